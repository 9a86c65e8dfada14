# SPDX-License-Identifier: Apache-2.0
"""Files of a layer that change while a view of them is read.

Layers are not to be changed, and what a reader then sees is the layer's filesystem's business. But
he sees bytes of that file and no others, comes to an end, and the view stays.
"""

from __future__ import annotations

import faulthandler
import mmap
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from support import image
from support.bad_image import LIMITED, bystander_lives
from support.image import INITRD, INITRD_PATH, KERNEL_PATH, lowerdir
from support.stack import File, Stack
from support.view import View

PAGE = mmap.PAGESIZE
# Larger than what is read ahead of a reader.
SIZE = 3 * 1024 * 1024 + 123
OLD = image.noise(SIZE, "old")
NEW = image.noise(SIZE, "new")

# Both ways to read through the daemon: past the page cache, and (as an ELF kernel) through it.
FORMS = {"raw": OLD, "elf": b"\x7fELF" + OLD[4:]}


def shrink(path: Path) -> None:
    os.truncate(path, SIZE // 3)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def grow(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(NEW)


def rewrite(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(NEW)


def vanish(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(NEW)
    other.rename(path)


def replace_by_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.mkdir()
    path.write_bytes(NEW)


def forbid(path: Path) -> None:
    path.chmod(0)


# What becomes of the file that is open: its name is not it.
IN_PLACE: dict[str, Callable[[Path], None]] = {
    "shrinks": shrink,
    "is-emptied": empty,
    "grows": grow,
    "is-rewritten": rewrite,
}
BY_NAME: dict[str, Callable[[Path], None]] = {
    "vanishes": vanish,
    "is-replaced": replace,
    "becomes-a-link": replace_by_link,
    "becomes-a-fifo": replace_by_fifo,
    "directory-is-replaced": replace_directory,
    "is-forbidden": forbid,
}

passthrough = pytest.mark.parametrize("passthrough", ["auto", "off"])
form = pytest.mark.parametrize("old", FORMS.values(), ids=FORMS.keys())


def view_of(place: Path, old: bytes, passthrough: str) -> View:
    """Of one layer, resolved, so that what the view serves is settled."""
    layer = {
        b"urunc.json": image.urunc_json(initrd=INITRD_PATH),
        KERNEL_PATH.encode(): File(old),
        INITRD_PATH.encode(): File(INITRD),
    }
    options = lowerdir(Stack([layer]).build(place / "layers"))
    options += f",resolve=ready,passthrough={passthrough}".encode()
    return View(place / "view", "-o", options, foreground=True, wrapper=LIMITED)


def kernel_of(place: Path) -> Path:
    return place / "layers" / "0" / KERNEL_PATH


def read_on(descriptor: int) -> bytes:
    chunks = []
    while chunk := os.read(descriptor, 100_000):
        chunks.append(chunk)
    return b"".join(chunks)


def mixed(got: bytes, one: bytes, other: bytes, holes: bool = False) -> bool:
    """Whether each bit of GOT is that of ONE or the OTHER at its place, or of a hole."""
    g, a, b = (int.from_bytes(text[: len(got)], "little") for text in (got, one, other))
    return (g ^ a) & (g ^ b) & (g if holes else -1) == 0


@pytest.mark.parametrize("change", IN_PLACE.values(), ids=IN_PLACE.keys())
@passthrough
@form
def test_a_reader_of_a_changed_file_sees_only_its_states(
    place: Path, old: bytes, passthrough: str, change: Callable[[Path], None]
) -> None:
    with view_of(place, old, passthrough) as view:
        reader = os.open(view.root / KERNEL_PATH, os.O_RDONLY)
        try:
            start = os.read(reader, PAGE)
            change(kernel_of(place))
            got = start + read_on(reader)
            assert mixed(got, old + NEW, NEW)
            # Without passthrough what was cached may be seen for longer, and a size is for good.
            now = kernel_of(place).stat().st_size
            assert min(now, SIZE) <= max(len(got), len(start))
            if passthrough == "auto":
                assert len(got) == max(now, len(start))
        finally:
            os.close(reader)
        with open(view.root / KERNEL_PATH, "rb", buffering=0) as file:
            assert mixed(read_on(file.fileno()), old + NEW, NEW)
        bystander_lives(view)


@pytest.mark.parametrize("change", BY_NAME.values(), ids=BY_NAME.keys())
@passthrough
@form
def test_open_files_and_new_opens_stay_with_the_file_that_was_found(
    place: Path, old: bytes, passthrough: str, change: Callable[[Path], None]
) -> None:
    """Neither an open file nor a new open follows the name."""
    with view_of(place, old, passthrough) as view:
        reader = os.open(view.root / KERNEL_PATH, os.O_RDONLY)
        try:
            start = os.read(reader, PAGE)
            change(kernel_of(place))
            assert start + read_on(reader) == old
        finally:
            os.close(reader)
        assert (view.root / KERNEL_PATH).read_bytes() == old
        bystander_lives(view)


def signal_of_touching(path: Path, offset: int, change: Callable[[], None]) -> int | None:
    """In a process of its own: map PATH, CHANGE it, look at the byte at OFFSET."""
    child = os.fork()
    if child == 0:
        try:
            faulthandler.disable()
            with open(path, "rb") as file:
                memory = mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
            change()
            os._exit(memory[offset] != OLD[offset])
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    assert os.WEXITSTATUS(status) == 0
    return None


@pytest.mark.parametrize("where", ["inside", "beyond"])
@passthrough
@form
def test_a_mapping_faults_only_where_one_of_the_layers_file_does(
    place: Path, old: bytes, passthrough: str, where: str
) -> None:
    """SIGBUS comes where a mapping of the layer's own file would have it too, if at all."""
    rest = 100 * PAGE
    offset = rest - 1 if where == "inside" else SIZE - PAGE
    with view_of(place, old, passthrough) as view:
        kernel = kernel_of(place)
        got = signal_of_touching(
            view.root / KERNEL_PATH, offset, lambda: os.truncate(kernel, rest)
        )
        if where == "inside":
            assert got is None
        else:
            assert got == signal.SIGBUS
        bystander_lives(view)


@passthrough
def test_a_reader_never_sees_what_was_not_written(place: Path, passthrough: str) -> None:
    """Truncated, written and replaced by one process while another reads it again and again; a
    filesystem may itself show a hole where a file was cut and has grown again meanwhile."""
    with view_of(place, OLD, passthrough) as view:
        kernel = kernel_of(place)
        child = os.fork()
        if child == 0:
            try:
                with open(kernel, "r+b") as file:
                    while True:
                        for content in (NEW, OLD):
                            file.truncate(200 * PAGE)
                            file.seek(0)
                            file.write(content)
                            file.flush()
                        replace_by_link(kernel)
            finally:
                os._exit(1)
        try:
            for _ in range(20):
                got = (view.root / KERNEL_PATH).read_bytes()
                assert len(got) <= SIZE
                assert mixed(got, OLD, NEW, holes=True)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        bystander_lives(view)
