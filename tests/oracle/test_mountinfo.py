# SPDX-License-Identifier: Apache-2.0
"""What is mounted, as mountinfo says: overlays however and wherever they were mounted, and every
line as libmount reads it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import namespace, newmount, scratch, search, skipping
from support.ordered_layers import OrderedLayers
from support.overlay import escape
from support.tool_client import ToolClient, Sources

EVERY_BYTE = bytes(number for number in range(1, 256) if number != ord("/"))
MS_BIND = 4096

ODD = [b"sp ace", b"co,mma", b"co:lon", b"ba\\ck", b"new\nline", b"ha#sh", b"end\\", b"oct\\040al",
       b"\xff", b"return\r", b"gone (deleted)"]  # fmt: skip


@pytest.fixture
def ordered(private_mounts: None) -> Iterator[OrderedLayers]:
    parent, reason = scratch.find()
    if parent is None:
        skipping.skip(f"nowhere to make layers: {reason}")
    with scratch.memory(parent) as path:
        yield OrderedLayers(path)


@pytest.fixture(scope="module")
def sources(private_mounts: None) -> Iterator[Sources]:
    with Sources() as asked:
        yield asked


@pytest.fixture(scope="module")
def readers() -> Iterator[Readers]:
    with Readers() as asked:
        yield asked


@contextmanager
def mounted(at: bytes, options: bytes, flags: int = namespace.MS_RDONLY) -> Iterator[None]:
    namespace.mount("overlay", at, "overlay", flags, options)
    try:
        yield
    finally:
        namespace.unmount(at)


@contextmanager
def bound(what: bytes, at: bytes) -> Iterator[None]:
    namespace.mount(what, at, None, MS_BIND)
    try:
        yield
    finally:
        namespace.unmount(at)


def lowerdir(layers: Sequence[bytes]) -> bytes:
    return b"lowerdir=" + b":".join(map(escape, layers))


def below(base: bytes, *names: bytes) -> list[bytes]:
    return [base + b"/" + name for name in names]


def raw_lines(path: str = "/proc/self/mountinfo") -> list[bytes]:
    """Not splitlines(): that would cut at a carriage return in a name, too."""
    with open(path, "rb") as file:
        return file.read().split(b"\n")[:-1]


# ---------------------------------------------------------------------------- what is mounted where


def test_a_line_of_five_hundred_long_names_is_read(
    ordered: OrderedLayers, sources: Sources
) -> None:
    """A line of a hundred thousand bytes, more than any buffer would have."""
    names = [b"%03d" % number + b"n" * (150 - len(ordered.base)) for number in range(500)]
    ordered.make_stack(names)
    layers = below(ordered.base, *[b"./" * 20 + name for name in names])
    with ordered.mounted([("lowerdir+", layer) for layer in layers]):
        assert max(map(len, raw_lines())) > 69_000
        ordered.check(names)
        assert list(sources.layers(ordered.at).paths) == layers


@pytest.mark.parametrize("base", [b"plain", *ODD], ids=ascii)
def test_relative_names_of_containerd_are_found(
    ordered: OrderedLayers, sources: Sources, base: bytes
) -> None:
    """Relative to the snapshots, which only the upper directory tells."""
    snapshots = os.path.join(ordered.base, base, b"snapshots")
    names = [base + b"/snapshots/%d/fs" % number for number in (2, 1)]
    ordered.make_stack(names)
    for name in (b"3/fs", b"3/work"):
        os.makedirs(os.path.join(snapshots, name))
    upper = b"upperdir=" + escape(snapshots + b"/3/fs")
    work = b"workdir=" + escape(snapshots + b"/3/work")
    options = b",".join([work, upper, b"lowerdir=2/fs:1/fs", b"index=off"])
    before = os.getcwd()
    os.chdir(snapshots)
    try:
        namespace.mount("overlay", ordered.at, "overlay", 0, options)
    finally:
        os.chdir(before)
    try:
        ordered.check(names)
        assert sources.layers(ordered.at).below(ordered.base) == names
    finally:
        namespace.unmount(ordered.at)


def test_relative_names_without_a_base_are_not_applicable(
    ordered: OrderedLayers, sources: Sources
) -> None:
    """Unless they lie beside the mountpoint."""
    ordered.make_stack([b"a", b"b"])
    with ordered.mounted(b"lowerdir=a:b"):
        assert list(sources.layers(ordered.at).paths) == below(ordered.base, b"a", b"b")
    at = os.path.join(ordered.base, b"1/2/3")
    os.makedirs(at)
    before = os.getcwd()
    os.chdir(ordered.base)
    try:
        with mounted(at, b"lowerdir=a:b"):
            found = sources.layers(at)
    finally:
        os.chdir(before)
    assert found.code == "ENOTAPPLICABLE"
    assert "layer 'a' is relative" in found.message


@pytest.mark.parametrize("name", [EVERY_BYTE, *ODD], ids=lambda name: ascii(name)[:20])
def test_a_mountpoint_with_any_name_is_found(
    ordered: OrderedLayers, sources: Sources, name: bytes
) -> None:
    layers = below(ordered.base, b"a", b"b")
    ordered.make([b"a", b"b"])
    at = os.path.join(ordered.base, name)
    os.mkdir(at)
    os.symlink(name, os.path.join(ordered.base, b"link"))
    with mounted(at, lowerdir(layers)):
        for written in (at, at + b"/", at + b"/.", ordered.base + b"/link"):
            assert list(sources.layers(written).paths) == layers
        assert list(sources.layers(at + b"/alone").paths) == [at + b"/alone"]


def test_the_topmost_of_stacked_mounts_counts(ordered: OrderedLayers, sources: Sources) -> None:
    """The topmost one is what is there."""
    ordered.make([b"a", b"b", b"c"])
    at, (a, b, c) = ordered.at, below(ordered.base, b"a", b"b", b"c")
    with mounted(at, lowerdir([a, b])):
        with mounted(at, lowerdir([c, a, b])):
            assert list(sources.layers(at).paths) == [c, a, b]
            with namespace.tmpfs(at):
                assert list(sources.layers(at).paths) == [at]
                with mounted(at, lowerdir([b, c])):
                    assert list(sources.layers(at).paths) == [b, c]
            assert list(sources.layers(at).paths) == [c, a, b]
        assert list(sources.layers(at).paths) == [a, b]
    assert list(sources.layers(at).paths) == [at]


def test_a_bind_of_an_overlay_is_the_overlay_or_a_directory(
    ordered: OrderedLayers, sources: Sources
) -> None:
    """Of the whole it is the overlay; of a directory in it, that directory."""
    ordered.make([b"a", b"b"])
    layers, other = below(ordered.base, b"a", b"b"), ordered.base + b"/other"
    os.mkdir(other)
    with mounted(ordered.at, lowerdir(layers)):
        with bound(ordered.at, other):
            assert list(sources.layers(other).paths) == layers
        with bound(ordered.at + b"/alone", other):
            assert list(sources.layers(other).paths) == [other]


def test_an_overlay_without_a_path_is_not_mistaken(ordered: OrderedLayers) -> None:
    """It has no path; the one that the kernel shows is another directory's."""
    ordered.make([b"a", b"b"])
    with mounted(ordered.at, lowerdir(below(ordered.base, b"a", b"b"))):
        descriptor = os.open(ordered.at, os.O_PATH | os.O_DIRECTORY)
    path = f"/proc/self/fd/{descriptor}"
    try:
        with Sources(pass_fds=[descriptor]) as holder:
            assert holder.layers(path).code == "ELAYER"
            # As a typed layer it is held by its descriptor, and has the name that /proc shows.
            assert list(holder.layers("-o", f"lowerdir={path}").paths) == [b"/"]
    finally:
        os.close(descriptor)


# ----------------------------------------------------------------------------- another's mounts


@contextmanager
def elsewhere(at: bytes, options: bytes) -> Iterator[int]:
    """A process with a mount namespace of its own, and there an overlay at AT; its id."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from support import namespace\n"
        "namespace.enter_private()\n"
        "at, options = map(bytes.fromhex, sys.argv[2:])\n"
        'namespace.mount("overlay", at, "overlay", namespace.MS_RDONLY, options)\n'
        "print(flush=True)\n"
        "sys.stdin.read()\n"
    )
    tests = str(Path(__file__).resolve().parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", program, tests, at.hex(), options.hex()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout and process.stdout.readline() == b"\n"
            yield process.pid
        finally:
            assert process.stdin
            process.stdin.close()


def test_a_mount_of_another_namespace_is_a_directory(
    ordered: OrderedLayers, sources: Sources
) -> None:
    ordered.make([b"a", b"b"])
    at, layers = ordered.at, below(ordered.base, b"a", b"b")
    with elsewhere(at, lowerdir(layers)) as process:
        with Sources(["nsenter", f"--mount=/proc/{process}/ns/mnt", "--"]) as inside:
            assert list(inside.layers(at).paths) == layers
        assert list(sources.layers(at).paths) == [at]
        # Through its root the mount is seen, but not in our mountinfo: it is a directory, and not
        # the one that has this name here.
        through = b"/proc/%d/root" % process + at
        assert list(sources.layers(through).paths) == [through]
        assert set(os.listdir(through)) == {b"alone", b"shared"}


# ------------------------------------------------------------------------------------- libmount


Fields = dict[str, Any]


class Readers(ToolClient):
    """Our reader of mountinfo, and libmount's."""

    def __init__(self) -> None:
        super().__init__("mountinfo-dump")

    def read(self, line: bytes) -> tuple[Fields | None, Fields | None]:
        """A line's fields by both; None where it is refused."""
        if b"\n" in line or b"\0" in line:
            raise ValueError(f"not one line: {line!r}")
        answer = self.ask(line + b"\n")
        return answer["ours"], answer["libmount"]

    def agree(self, line: bytes) -> None:
        ours, libmount = self.read(line)
        assert ours is not None, line
        assert ours == libmount, line


def namespaces() -> Iterator[str]:
    """A process of each mount namespace on this machine."""
    seen = set()
    for process in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # It has just ended.
            namespace_id = os.readlink(f"/proc/{process}/ns/mnt")
            if namespace_id not in seen:
                seen.add(namespace_id)
                yield process


def test_the_lines_of_this_machine_are_read_as_libmount_reads_them(readers: Readers) -> None:
    found = set(raw_lines())
    for process in namespaces():
        with suppress(OSError):
            found.update(raw_lines(f"/proc/{process}/mountinfo"))
    for line in sorted(found)[:1000]:
        readers.agree(line)


@pytest.mark.parametrize("name", [EVERY_BYTE, *ODD], ids=lambda name: ascii(name)[:20])
def test_the_lines_of_odd_mounts_are_read_as_libmount_reads_them(
    ordered: OrderedLayers, readers: Readers, name: bytes
) -> None:
    """With the name as source, mountpoint, root of a bind and layer, by both system calls."""
    ordered.make([name, b"a"])
    at, layers = ordered.at, below(ordered.base, name, b"a")
    os.mkdir(os.path.join(ordered.base, name, name))
    with ExitStack() as stack:
        namespace.mount(name, layers[0] + b"/" + name, "tmpfs")
        stack.callback(namespace.unmount, layers[0] + b"/" + name)
        stack.enter_context(bound(layers[0], layers[0]))
        stack.enter_context(mounted(at, lowerdir(layers)))
        if len(layers[0]) < 256:
            newmount.mount("overlay", at, [("ro", ""), *[("lowerdir+", one) for one in layers]])
            stack.callback(namespace.unmount, at)
        for line in raw_lines():
            readers.agree(line)


# What a field may hold as the kernel prints it: nothing that would end it.
PRINTED = [b"a", b"/", b"x" * 40, b":", b"=", b"-", b"\\040", b"\\011", b"\\012", b"\\134",
           b"\\043", b"\\054", b'"', b"\xff", b"\xc3\xa4", b"(deleted)", b"\r"]  # fmt: skip
SUPER = [*PRINTED, b",", b",lowerdir=", b",lowerdir+=", b",upperdir=", b",userxattr"]
OPTIONAL = [b"unbindable", b"master:1", b"shared:2147483647", b"propagate_from:3", b"new:x"]
TYPES = [b"ext4", b"overlay", b"fuse.urunc-viewfs", b"fuse."]


def pieces(some: Sequence[bytes], least: int, most: int, between: bytes = b"") -> Any:
    """A few of SOME, joined; drawn as one string of bytes, because lists take hypothesis long."""
    drawn = st.binary(min_size=least, max_size=most)
    return drawn.map(lambda which: between.join(some[index % len(some)] for index in which))


@st.composite
def _lines(draw: st.DrawFn) -> bytes:
    ids = [b"%d" % draw(st.integers(0, 2**31 - 1)) for _ in range(2)]
    root, mountpoint = (b"/" + draw(pieces(PRINTED, 0, 6)) for _ in range(2))
    optional = draw(pieces(OPTIONAL, 0, 5, b" "))
    fstype = draw(pieces(TYPES, 1, 1)) + draw(pieces(PRINTED, 0, 3))
    source = draw(pieces(PRINTED, 0, 6))
    parts = [*ids, b"0:78", root, mountpoint, b"rw,relatime", *([optional] if optional else [])]
    return b" ".join([*parts, b"-", fstype, source, b"ro" + draw(pieces(SUPER, 0, 12))])


lines = _lines()


@search.repeat(150)
@given(line=lines.filter(lambda line: not line.endswith(b"\r")))  # libmount drops it
def test_any_line_is_read_as_libmount_reads_it(readers: Readers, line: bytes) -> None:
    readers.agree(line)


CHANGES = [b"", b" ", b"  ", b"-", b" - ", b"\t", b"\\", b"\\0", b"\\000", b"\\400", b"x",
           b"0", b"#", b"\xff"]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A line with pieces taken out and others put in."""
    line = draw(lines)
    for change in draw(st.lists(st.sampled_from(CHANGES), min_size=1, max_size=3)):
        start = draw(st.integers(0, len(line)))
        line = line[:start] + change + line[start + draw(st.sampled_from([0, 0, 1, 2, 8, 1000])) :]
    return line


def is_strange(line: bytes) -> bool:
    """Where libmount says something else of what no kernel prints, or is wrong: it reads numbers
    that we have no use for, takes tabs for spaces, drops a carriage return at the end, and cuts a
    name at an escape that it reads as NUL or as more than a byte."""
    cut = b"\t" in line or line.endswith(b"\r") or re.search(rb"\\(000|[4-7][0-7]{2})", line)
    return bool(cut) or not NUMBERS.match(line)


NUMBERS = re.compile(rb"[0-9]+ [0-9]+ [0-9]+:[0-9]+ ")


@search.repeat(250)
@given(line=mutated())
def test_any_broken_line_is_rejected_or_read_as_libmount_reads_it(
    readers: Readers, line: bytes
) -> None:
    """We refuse it, or read what libmount reads."""
    ours, libmount = readers.read(line)
    assert ours is None or ours == libmount or is_strange(line)
