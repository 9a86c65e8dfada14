# SPDX-License-Identifier: Apache-2.0
"""How an artifact's content reaches its reader: by the kernel from the layer's file, or through the
daemon."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support import image, machine, namespace, pagecache
from support.image import INITRD_PATH, KERNEL_PATH, lowerdir
from support.pagecache import PAGE
from support.requests import Requests
from support.stack import File, Stack
from support.view import Finished, View, call, refused
from support.waiting import SECONDS, wait_until

MIB = 1 << 20
GIB = 1 << 30
SIZE = 16 * MIB
PAGES = SIZE // PAGE

_libc = ctypes.CDLL(None, use_errno=True)


def page(number: int, salt: int = 0) -> bytes:
    """The NUMBERth page of an artifact: no two are the same."""
    return (number << 8 | salt).to_bytes(8, "little") * (PAGE // 8)


def content(salt: int, head: bytes = b"") -> bytes:
    """SIZE bytes and a bit that begin with HEAD."""
    body = b"".join(page(number, salt) for number in range(PAGES)) + b"end"
    return head + body[len(head) :]


ELF = content(1, b"\x7fELF")
RAW = content(2)
INITRD = content(3)


def big(kernel: bytes = ELF) -> Stack:
    """An image with large artifacts, in two layers."""
    return Stack(
        [
            {b"urunc.json": image.urunc_json(initrd="/" + INITRD_PATH)},
            {KERNEL_PATH.encode(): File(kernel), INITRD_PATH.encode(): File(INITRD)},
        ]
    )


@pytest.fixture
def layers(place: Path) -> list[bytes]:
    return big().build(place / "layers")


def original(place: Path, path: str = KERNEL_PATH) -> Path:
    """The layer's own file."""
    return place / "layers" / "1" / path


def mounted(place: Path, layers: list[bytes], *arguments: str, **how: object) -> View:
    return View(place / "view", "-o", lowerdir(layers), *arguments, **how)


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def chunks(descriptor: int, size: int = MIB) -> Iterator[bytes]:
    """The rest of a file, piece by piece."""
    while chunk := os.read(descriptor, size):
        yield chunk


# Nothing passes through the daemon


def a_gigabyte(descriptor: int) -> Iterator[int]:
    """Read until there is a gigabyte, and after each round tell how much there is by now."""
    total = 0
    while total < GIB:
        os.lseek(descriptor, 0, os.SEEK_SET)
        for number, chunk in enumerate(chunks(descriptor)):
            assert chunk == ELF[number * MIB : (number + 1) * MIB]
            total += len(chunk)
        yield total


def test_reading_a_gigabyte_sends_no_read_request(place: Path, layers: list[bytes]) -> None:
    with mounted(place, layers) as view, Requests(view.root, view.daemon_pid, place) as requests:
        assert view.ready["passthrough"] is True
        path = view.root / KERNEL_PATH
        with opened(path) as descriptor:
            assert max(a_gigabyte(descriptor)) >= GIB
        counts = requests.counts()
        assert (counts["OPEN"], counts["RELEASE"], counts["READ"]) == (1, 1, 0)
        assert path.read_bytes() == ELF


def _walk_shared(descriptor: int) -> bytes:
    with mmap.mmap(descriptor, 0, mmap.MAP_SHARED, mmap.PROT_READ) as mapping:
        return mapping[:]


def _walk_private(descriptor: int) -> bytes:
    with mmap.mmap(descriptor, 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as mapping:
        return mapping[:]


def _send(descriptor: int) -> bytes:
    memory = os.memfd_create("copy")
    with os.fdopen(memory, "rb") as copy:
        while os.sendfile(memory, descriptor, None, SIZE) > 0:
            pass
        copy.seek(0)
        return copy.read()


def _direct(descriptor: int) -> bytes:
    """O_DIRECT, which takes memory on a page's boundary."""
    found = []
    with opened(Path(f"/proc/self/fd/{descriptor}"), os.O_DIRECT) as direct:
        with mmap.mmap(-1, MIB) as buffer:
            while n := os.readv(direct, [buffer]):
                found.append(buffer[:n])
    return b"".join(found)


WAYS: dict[str, Callable[[int], bytes]] = {
    "read": lambda descriptor: b"".join(chunks(descriptor)),
    "small reads": lambda descriptor: b"".join(chunks(descriptor, 8 * 1024 + 1)),
    "backwards": lambda descriptor: b"".join(
        reversed([os.pread(descriptor, MIB, at) for at in range(SIZE, -1, -MIB)])
    ),
    "one read": lambda descriptor: os.read(descriptor, 2 * SIZE),
    "shared mapping": _walk_shared,
    "private mapping": _walk_private,
    "sendfile": _send,
    "O_DIRECT": _direct,
}


@pytest.mark.parametrize("option", ["auto", "on", "off"])
@pytest.mark.parametrize(
    ("kernel", "path"),
    [(ELF, KERNEL_PATH), (RAW, KERNEL_PATH), (ELF, INITRD_PATH)],
    ids=["ELF", "raw", "initrd"],
)
def test_every_way_to_read_gives_the_content(
    place: Path, kernel: bytes, path: str, option: str
) -> None:
    """Cold each, and by the kernel alone unless that is off."""
    layers = big(kernel).build(place / "layers")
    expected = kernel if path == KERNEL_PATH else INITRD
    with mounted(place, layers, "-o", f"passthrough={option}") as view:
        assert view.ready["passthrough"] is (option != "off")
        with Requests(view.root, view.daemon_pid, place) as requests:
            for name, read in WAYS.items():
                pagecache.drop(original(place, path))
                with opened(view.root / path) as descriptor:
                    found = read(descriptor)
                assert found == expected, name
                if option != "off":
                    assert requests.counts()["READ"] == 0, name


def test_a_size_is_that_of_the_file_that_is_read(place: Path, layers: list[bytes]) -> None:
    """Once it is found: what takes its place in the layer is not seen."""
    with mounted(place, layers, "-o", "resolve=ready") as view:
        other = place / "other"
        other.write_bytes(b"longer" + RAW)
        os.replace(other, original(place))
        path = view.root / KERNEL_PATH
        assert os.stat(path).st_size == len(ELF)
        with opened(path) as descriptor:
            assert os.fstat(descriptor).st_size == len(ELF)
            assert os.lseek(descriptor, 0, os.SEEK_END) == len(ELF)
        assert path.read_bytes() == ELF


# Through the daemon


def test_without_passthrough_reads_are_large_and_cached(place: Path, layers: list[bytes]) -> None:
    """What QEMU maps, it maps again: an ELF kernel and an initrd stay."""
    with mounted(place, layers, "-o", "passthrough=off") as view:
        bdi = Path("/sys/class/bdi", view.mount.device, "read_ahead_kb")
        assert int(bdi.read_text()) == 1024
        with Requests(view.root, view.daemon_pid, place) as requests:
            for path in (KERNEL_PATH, INITRD_PATH):
                with opened(view.root / path) as descriptor:
                    for _ in chunks(descriptor):
                        pass
                sizes = [request.size or 0 for request in requests.take() if request.name == "READ"]
                assert max(sizes) == MIB
                assert len(sizes) <= SIZE // MIB + 4
                assert pagecache.whole(view.root / path)
                for way in ("read", "shared mapping", "private mapping"):
                    with opened(view.root / path) as descriptor:
                        WAYS[way](descriptor)
                # The kernel may have taken a few pages back: never as many as one way reads.
                again = [request.size or 0 for request in requests.take() if request.name == "READ"]
                assert sum(again) < SIZE // 4, again


def test_a_raw_kernel_is_read_past_the_cache(place: Path) -> None:
    """QEMU reads it once, as a whole."""
    layers = big(RAW).build(place / "layers")
    with mounted(place, layers, "-o", "passthrough=off") as view:
        with Requests(view.root, view.daemon_pid, place) as requests:
            with opened(view.root / KERNEL_PATH) as descriptor:
                # On a page's boundary, as large memory is.
                with mmap.mmap(-1, len(RAW)) as buffer:
                    assert os.readv(descriptor, [buffer]) == len(RAW)
                    assert buffer[:] == RAW
            sizes = [request.size for request in requests.take() if request.name == "READ"]
            assert sizes == [MIB] * (SIZE // MIB) + [3]
            assert pagecache.cached(view.root / KERNEL_PATH) == 0


# The page cache


def test_the_page_cache_is_shared(place: Path, layers: list[bytes]) -> None:
    """By all views of an image, and with the layer itself."""
    for path in (KERNEL_PATH, INITRD_PATH):
        pagecache.drop(original(place, path))
        assert pagecache.cached(original(place, path)) == 0
    with ExitStack() as stack:
        views = [
            stack.enter_context(View(place / f"view{n}", "-o", lowerdir(layers))) for n in range(8)
        ]
        for view in views:
            for path, expected in ((KERNEL_PATH, ELF), (INITRD_PATH, INITRD)):
                with opened(view.root / path) as descriptor:
                    assert _walk_private(descriptor) == expected
                    assert b"".join(chunks(descriptor)) == expected
                    assert pagecache.cached_of(descriptor) == 0
        for path in (KERNEL_PATH, INITRD_PATH):
            assert pagecache.whole(original(place, path))


def test_the_end_of_one_view_does_not_disturb_another(place: Path, layers: list[bytes]) -> None:
    """It takes nothing from the other one."""
    with View(place / "other", "-o", lowerdir(layers)) as other:
        with mounted(place, layers) as view, opened(view.root / KERNEL_PATH) as descriptor:
            kill(view)
            assert (other.root / KERNEL_PATH).read_bytes() == ELF
            assert b"".join(chunks(descriptor)) == ELF
        assert (other.root / INITRD_PATH).read_bytes() == INITRD


def _readahead(descriptor: int, offset: int, size: int) -> None:
    _libc.readahead(descriptor, ctypes.c_int64(offset), ctypes.c_size_t(size))


def _will_need(descriptor: int, offset: int, size: int) -> None:
    os.posix_fadvise(descriptor, offset, size, os.POSIX_FADV_WILLNEED)


@pytest.mark.parametrize("ask", [_readahead, _will_need], ids=["readahead", "fadvise"])
def test_reading_ahead_of_passthrough_does_no_harm(
    place: Path, layers: list[bytes], ask: Callable[[int, int, int], None]
) -> None:
    """The kernel asks the daemon then, as of any file, 128 KiB a call at most; the pages that it
    took for that it gives back when the file is opened again."""
    with mounted(place, layers) as view, Requests(view.root, view.daemon_pid, place) as requests:
        pagecache.drop(original(place))
        with opened(view.root / KERNEL_PATH) as descriptor:
            ask(descriptor, 0, 0)
            ask(descriptor, 0, len(ELF))
            assert pagecache.cached_of(descriptor) <= 128 * 1024 // PAGE
            for offset in range(0, SIZE, MIB):
                ask(descriptor, offset, MIB)
                assert os.pread(descriptor, MIB, offset) == ELF[offset : offset + MIB]
            requests.take()
            assert b"".join(chunks(descriptor)) == ELF
            for way in ("shared mapping", "private mapping"):
                assert WAYS[way](descriptor) == ELF
        with opened(view.root / KERNEL_PATH) as descriptor:
            assert pagecache.cached_of(descriptor) == 0
            assert _direct(descriptor) == ELF
            assert b"".join(chunks(descriptor)) == ELF
        assert requests.counts()["READ"] == 0


# The daemon's death


def kill(view: View) -> None:
    view.status = -signal.SIGKILL
    view.daemon.signal(signal.SIGKILL)
    view.wait_gone()
    with pytest.raises(OSError) as caught:
        os.statvfs(view.root)
    assert caught.value.errno == errno.ENOTCONN


def test_a_gigabyte_outlives_the_daemon(place: Path, layers: list[bytes]) -> None:
    with mounted(place, layers) as view, opened(view.root / KERNEL_PATH) as descriptor:
        rounds = a_gigabyte(descriptor)
        while next(rounds) < GIB // 2:
            continue
        kill(view)
        assert max(rounds) >= GIB


def test_a_read_loop_outlives_the_daemon(place: Path, layers: list[bytes]) -> None:
    with mounted(place, layers) as view, opened(view.root / KERNEL_PATH) as descriptor:
        pagecache.drop(original(place))
        found = []
        for chunk in chunks(descriptor):
            found.append(chunk)
            if len(found) == 3:
                kill(view)
        assert b"".join(found) == ELF


@pytest.mark.parametrize("flags", [mmap.MAP_SHARED, mmap.MAP_PRIVATE], ids=["shared", "private"])
def test_a_mapping_outlives_the_daemon(place: Path, layers: list[bytes], flags: int) -> None:
    """As QEMU's initrd: its descriptor is closed."""
    with mounted(place, layers) as view:
        path = original(place, INITRD_PATH)
        pagecache.drop(path)
        with opened(view.root / INITRD_PATH) as descriptor:
            mapping = mmap.mmap(descriptor, 0, flags, mmap.PROT_READ)
        with mapping:
            mapping.madvise(mmap.MADV_RANDOM)
            for number in range(0, PAGES, 7):
                at = number * PAGE
                assert mapping[at : at + PAGE] == page(number, 3)
                if number == 7 * (PAGES // 21):
                    assert pagecache.cached(path) <= PAGES // 3
                    kill(view)
            assert mapping[:] == INITRD


def test_a_held_descriptor_outlives_the_daemon(place: Path, layers: list[bytes]) -> None:
    with mounted(place, layers) as view, opened(view.root / KERNEL_PATH) as descriptor:
        kill(view)
        pagecache.drop(original(place))
        for name in ("read", "backwards", "shared mapping", "private mapping", "sendfile"):
            os.lseek(descriptor, 0, os.SEEK_SET)
            assert WAYS[name](descriptor) == ELF, name
        assert os.fstat(descriptor).st_size == len(ELF)
        for path in (KERNEL_PATH, INITRD_PATH):
            with pytest.raises(OSError) as caught:
                os.open(view.root / path, os.O_RDONLY)
            assert caught.value.errno == errno.ENOTCONN


# A reader in a process of its own: a line when it is at it, and its last word at the end of stdin.
READER = """
import os, select, sys
descriptor, size = os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2])
first, rounds = None, 0
while not (rounds and select.select([0], [], [], 0)[0]):
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    found = b"".join(os.pread(descriptor, 65536, at) for at in range(0, size, 65536))
    first = first or found
    assert len(found) == size and found == first
    rounds += 1
    if rounds == 1:
        print("reading", flush=True)
print("fine", flush=True)
"""


def test_readers_at_work_do_not_notice(place: Path, layers: list[bytes]) -> None:
    with mounted(place, layers) as view, ExitStack() as stack:
        arguments = ["/usr/bin/python3", "-c", READER]
        readers = [
            stack.enter_context(
                subprocess.Popen(
                    [*arguments, view.root / path, str(len(ELF))],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for path in (KERNEL_PATH, INITRD_PATH)
        ]
        for reader in readers:
            assert reader.stdout and reader.stdout.readline() == "reading\n"
        kill(view)
        for reader in readers:
            assert reader.communicate(timeout=SECONDS)[0] == "fine\n"
            assert reader.returncode == 0


# Where it cannot be


def test_passthrough_on_is_promised_in_the_ready_line(place: Path, layers: list[bytes]) -> None:
    with mounted(place, layers, "-o", "passthrough=on", foreground=True) as view:
        assert view.ready["passthrough"] is True
        roles = [artifact["role"] for artifact in view.ready["artifacts"]]
        assert roles == ["config", "binary", "initrd"]


def in_namespace(attempt: Callable[[], object]) -> object:
    """Call ATTEMPT as root of a user namespace, which has no privilege where that counts."""

    def guarded() -> object:
        found = attempt()
        wait_until(lambda: not machine.processes(), "the view's process to end")
        assert machine.mounts() == []
        return found

    return namespace.in_user_namespace(guarded)


def test_passthrough_on_fails_without_privilege(place: Path, layers: list[bytes]) -> None:
    option = lowerdir(layers) + b",userxattr,passthrough=on"
    finished = in_namespace(lambda: call("-o", option, "--", "none", place))
    assert isinstance(finished, Finished)
    refused(finished, "EMOUNT", 32, "passthrough=on.*CAP_SYS_ADMIN")


@pytest.mark.parametrize("resolve", ["ready", "lazy"])
@pytest.mark.parametrize(("option", "expected"), [("auto", ["CAP_SYS_ADMIN"]), ("off", [])])
def test_passthrough_auto_falls_back_without_privilege(
    place: Path, layers: list[bytes], option: str, expected: list[str], resolve: str
) -> None:
    options = f"userxattr,passthrough={option},resolve={resolve}"

    def attempt() -> object:
        with mounted(place, layers, "-o", options, foreground=True, expected=expected) as view:
            files = {path: (view.root / path).read_bytes() for path in (KERNEL_PATH, INITRD_PATH)}
            return view.ready["passthrough"], files

    assert in_namespace(attempt) == (False, {KERNEL_PATH: ELF, INITRD_PATH: INITRD})


@contextmanager
def overlay(lower: list[bytes | Path], at: Path) -> Iterator[bytes]:
    """The kernel's own overlay, without an upper layer; overlays of one layer there are none."""
    at.mkdir()
    empty = at.with_name(at.name + ".empty")
    empty.mkdir()
    names = b":".join(os.fsencode(directory) for directory in [*lower, empty])
    namespace.mount("overlay", str(at), "overlay", 0, b"lowerdir=" + names)
    try:
        yield os.fsencode(at)
    finally:
        namespace.unmount(str(at), 0)


TOO_DEEP = "too many stacked filesystems"


def test_layers_on_one_overlay_pass_through_and_on_two_do_not(
    place: Path, layers: list[bytes]
) -> None:
    """One deep it goes, two deep the kernel does not."""
    with overlay(layers[1:], place / "first") as first:
        with mounted(place, [layers[0], first], "-o", "passthrough=on") as view:
            assert view.ready["passthrough"] is True
            with Requests(view.root, view.daemon_pid, place) as requests:
                assert (view.root / KERNEL_PATH).read_bytes() == ELF
                assert requests.counts()["READ"] == 0
        with overlay([first], place / "second") as second:
            option = lowerdir([layers[0], second])
            finished = call("-o", option, "-o", "passthrough=on", "--", "none", place)
            refused(finished, "EMOUNT", 32, TOO_DEEP)


def test_only_an_artifact_that_lies_too_deep_is_read_through_the_daemon(
    place: Path, layers: list[bytes]
) -> None:
    """It alone is read through the daemon, and that is said once."""
    above = Stack([{INITRD_PATH.encode(): File(INITRD), b"urunc.json": image.urunc_json()}])
    upper = above.build(place / "above")
    with overlay(layers, place / "first") as first, overlay([first], place / "second") as second:
        arguments = ["-o", f"resolve=ready,initrd={INITRD_PATH}"]
        with mounted(
            place, [*upper, second], *arguments, foreground=True, expected=[TOO_DEEP]
        ) as view:
            assert view.ready["passthrough"] is True
            with Requests(view.root, view.daemon_pid, place) as requests:
                assert (view.root / INITRD_PATH).read_bytes() == INITRD
                assert requests.counts()["READ"] == 0
                assert (view.root / KERNEL_PATH).read_bytes() == ELF
                assert requests.counts()["READ"] > 0


def test_a_view_of_a_view_passes_through_once(place: Path, layers: list[bytes]) -> None:
    """It passes through as well; a view of that falls back."""
    with View(place / "first", "-o", lowerdir(layers)) as first:
        with View(
            place / "second", "-o", "passthrough=on,initrd=" + INITRD_PATH, source=first.root
        ) as second:
            with Requests(second.root, second.daemon_pid, place) as requests:
                assert (second.root / KERNEL_PATH).read_bytes() == ELF
                assert requests.counts()["READ"] == 0
            finished = call("-o", "passthrough=on", "--", second.root, place / "layers")
            assert (finished.status, finished.code) == (32, "EMOUNT")
            assert re.search(f"passthrough=on.*'/.*'.*{TOO_DEEP}", finished.stderr)
            assert finished.stderr.count("\n") == 1
            with View(
                place / "third", source=second.root, foreground=True, expected=[TOO_DEEP]
            ) as third:
                assert (third.root / KERNEL_PATH).read_bytes() == ELF


def test_a_view_may_be_a_layer_of_an_overlay(place: Path, layers: list[bytes]) -> None:
    """What is read in the overlay still passes through."""
    with mounted(place, layers) as view, overlay([view.root], place / "merged"):
        with Requests(view.root, view.daemon_pid, place) as requests:
            assert (place / "merged" / KERNEL_PATH).read_bytes() == ELF
            with opened(place / "merged" / INITRD_PATH) as descriptor:
                assert _walk_private(descriptor) == INITRD
            assert requests.counts()["READ"] == 0


# Opening


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_TRUNC, os.O_RDWR | os.O_TRUNC])
def test_opening_for_writing_never_passes(place: Path, layers: list[bytes], flags: int) -> None:
    """Not even where the read-only flags of the mount are gone, and it is being read."""
    before = image.fingerprint(place / "layers")
    with mounted(place, layers) as view, opened(view.root / KERNEL_PATH) as descriptor:
        for drop in (False, True):
            if drop:
                namespace.mount("none", str(view.root), None, namespace.MS_REMOUNT)
            for path in (KERNEL_PATH, INITRD_PATH):
                with pytest.raises(OSError) as caught:
                    os.open(view.root / path, flags)
                assert errno.errorcode[caught.value.errno] == "EROFS"
        with pytest.raises(OSError):
            mmap.mmap(descriptor, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # Of one's own memory anybody may do as he likes.
        with mmap.mmap(descriptor, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as own:
            own[:PAGE] = b"x" * PAGE
            assert os.pread(descriptor, PAGE, 0) == ELF[:PAGE]
    assert image.fingerprint(place / "layers") == before
    assert original(place).read_bytes() == ELF


def _open_many(path: Path, expected: bytes) -> None:
    for number in range(100):
        at = number * 37 % PAGES * PAGE
        with opened(path) as descriptor:
            assert os.pread(descriptor, PAGE, at) == expected[at : at + PAGE]


@pytest.mark.parametrize("option", ["on", "off"])
def test_many_processes_may_open_at_once(place: Path, layers: list[bytes], option: str) -> None:
    with mounted(place, layers, "-o", f"passthrough={option}") as view:
        children = []
        for number in range(12):
            path, expected = [(KERNEL_PATH, ELF), (INITRD_PATH, INITRD)][number % 2]
            child = os.fork()
            if child == 0:
                try:
                    _open_many(view.root / path, expected)
                    os._exit(0)
                finally:
                    os._exit(1)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)


def test_five_hundred_descriptors_read_their_pages(place: Path, layers: list[bytes]) -> None:
    with mounted(place, layers) as view, ExitStack() as stack:
        path = view.root / KERNEL_PATH
        descriptors = [stack.enter_context(opened(path)) for _ in range(500)]
        for number, descriptor in enumerate(descriptors):
            at = PAGE * (number + 1)
            assert os.pread(descriptor, PAGE, at) == page(number + 1, 1)


def test_io_uring_is_not_taken_up(place: Path, layers: list[bytes]) -> None:
    """Newer libfuse would take its requests from there, in threads, where the environment says so."""
    env = {"FUSE_URING_ENABLE": "1"}
    with mounted(place, layers, env=env) as view:
        assert view.ready["passthrough"] is True
        with Requests(view.root, view.daemon_pid, place) as requests:
            assert (view.root / KERNEL_PATH).read_bytes() == ELF
            assert requests.counts()["OPEN"] == 1
        assert len(os.listdir(view.daemon.proc / "task")) == 1
