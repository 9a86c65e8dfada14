# SPDX-License-Identifier: Apache-2.0
"""Describe a stack of overlayfs layers, and make it real.

A description is plain data: equal descriptions make equal trees, times included, and the printed
form of one is the Python that makes it again. So a failing stack can be pasted into a test, and a
generator can build and shrink descriptions without touching a disk.

A layer maps a path (bytes, relative, without a leading slash) to an entry; b"" is the layer's own
root. Directories above an entry need not be listed. A stack lists its layers topmost first.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields

from .waiting import wait_until

_CLOCK_REALTIME_COARSE = 5  # as <time.h> has it; Python does not

# Far from now, so that a time that was never set shows.
EPOCH_NS = 1_000_000_000 * 10**9
SECOND_NS = 10**9

TRUSTED = "trusted.overlay."
USER = "user.overlay."

Xattrs = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, repr=False)
class Entry:
    """What every kind of entry has.

    `marks` are overlayfs's own attributes without their prefix (`opaque`, `redirect`, …), which is
    chosen when the stack is built; `xattrs` are written under their full names, and so can
    put a mark into the namespace that the mount does not read.
    Without `mtime_ns` the time tells the layer: the topmost has EPOCH_NS, the next a second more.
    Without `mode` it is the usual one of the kind.
    """

    mode: int | None = field(default=None, kw_only=True)
    uid: int = field(default=0, kw_only=True)
    gid: int = field(default=0, kw_only=True)
    mtime_ns: int | None = field(default=None, kw_only=True)
    marks: Xattrs = field(default=(), kw_only=True)
    xattrs: Xattrs = field(default=(), kw_only=True)

    def __repr__(self) -> str:
        """Only what differs from the default: a shrunk description then prints short."""
        shown = [repr(getattr(self, f.name)) for f in fields(self) if f.default is MISSING]
        for item in fields(self):
            value = getattr(self, item.name)
            if item.default is not MISSING and value != item.default:
                text = oct(value) if item.name == "mode" else repr(value)
                shown.append(f"{item.name}={text}")
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(frozen=True, repr=False)
class File(Entry):
    """A regular file."""

    content: bytes


@dataclass(frozen=True, repr=False)
class Dir(Entry):
    """A directory; what is in it is listed in the layer under longer paths."""


@dataclass(frozen=True, repr=False)
class Symlink(Entry):
    """A symbolic link; a mode cannot be set on one."""

    target: bytes


@dataclass(frozen=True, repr=False)
class Fifo(Entry):
    """A named pipe."""


@dataclass(frozen=True, repr=False)
class Socket(Entry):
    """A socket's name, as bind(2) leaves it."""


@dataclass(frozen=True, repr=False)
class Chr(Entry):
    """A character device. 0:0 is a whiteout: say Whiteout."""

    major: int
    minor: int


@dataclass(frozen=True, repr=False)
class Blk(Entry):
    """A block device; 0:0 is nothing special."""

    major: int
    minor: int


@dataclass(frozen=True, repr=False)
class Whiteout(Entry):
    """The character device 0:0, which hides the name in the layers below."""


@dataclass(frozen=True, repr=False)
class XattrWhiteout(Entry):
    """The other form: an empty file with the mark `whiteout`, whatever its value."""

    value: bytes = b"y"


@dataclass(frozen=True, repr=False)
class HardLink(Entry):
    """Another name of an entry of the same layer. Attributes are the target's, none of its own."""

    target: bytes


Layer = Mapping[bytes, Entry]

_USUAL_MODE = {Dir: 0o755, Symlink: None, Whiteout: 0, HardLink: None}


@dataclass(frozen=True)
class Stack:
    """Layers, topmost first."""

    layers: Sequence[Layer]

    def build(
        self, directory: str | bytes, userxattr: bool = False, names: Sequence[str] = ()
    ) -> list[bytes]:
        """Make the layers as DIRECTORY/0 (the topmost), DIRECTORY/1, …, or by their NAMES there;
        returns their paths.

        A layer's directory may be there already, if it is empty (a mountpoint, say). They are
        settled then, as an image's are when a container starts.
        """
        prefix = USER if userxattr else TRUSTED
        roots = []
        for index, layer in enumerate(self.layers):
            name = names[index] if names else str(index)
            root = os.path.join(os.fsencode(directory), os.fsencode(name))
            build_layer(layer, root, prefix, EPOCH_NS + index * SECOND_NS)
            roots.append(root)
        settle()
        return roots

    def paths(self) -> list[bytes]:
        """Every path that some layer has, directories above included, and the root as b""."""
        found: set[bytes] = set()
        for layer in self.layers:
            found.update(complete(layer))
        return sorted(found)

    def names(self, directory: bytes) -> set[bytes]:
        """The names that some layer has directly in DIRECTORY (hidden ones and whiteouts too)."""
        return {os.path.basename(p) for p in self.paths() if p and os.path.dirname(p) == directory}


def complete(layer: Layer) -> dict[bytes, Entry]:
    """LAYER with its root and the directories above each entry, parents before children."""
    full: dict[bytes, Entry] = {b"": Dir()}
    for path in layer:
        for parent in _parents(path):
            full.setdefault(parent, Dir())
    full.update(layer)
    return dict(sorted(full.items()))


def _parents(path: bytes) -> Iterable[bytes]:
    parent = os.path.dirname(path)
    while parent:
        yield parent
        parent = os.path.dirname(parent)


def settle() -> None:
    """Wait for the clock's next tick: what changes from then on has later times than what has
    changed so far, and only of such layers a view's findings are kept."""
    now = time.time_ns()
    wait_until(lambda: time.clock_gettime_ns(_CLOCK_REALTIME_COARSE) > now, "a tick")


def build_layer(layer: Layer, root: bytes, prefix: str = TRUSTED, mtime_ns: int = EPOCH_NS) -> None:
    """Make LAYER in the directory ROOT, which may exist.

    Links come after what they name; times are set last and deepest first, because making an entry
    touches its directory.
    """
    os.makedirs(root, exist_ok=True)
    entries = complete(layer)
    plain = {p: e for p, e in entries.items() if not isinstance(e, HardLink)}
    for path, entry in plain.items():
        host = os.path.join(root, path)
        _create(entry, host)
        _set_attributes(entry, host, prefix)
    for path, entry in entries.items():
        if isinstance(entry, HardLink):
            target = os.path.join(root, entry.target)
            os.link(target, os.path.join(root, path), follow_symlinks=False)
    for path, entry in reversed(plain.items()):
        time = mtime_ns if entry.mtime_ns is None else entry.mtime_ns
        os.utime(os.path.join(root, path), ns=(time, time), follow_symlinks=False)


def _create(entry: Entry, host: bytes) -> None:
    match entry:
        case Dir():
            os.makedirs(host, exist_ok=True)
        case File(content=content):
            _write(host, content)
        case XattrWhiteout():
            _write(host, b"")
        case Symlink(target=target):
            os.symlink(target, host)
        case Fifo():
            os.mkfifo(host)
        case Socket():
            os.mknod(host, stat.S_IFSOCK)
        case Chr(major=major, minor=minor):
            os.mknod(host, stat.S_IFCHR, os.makedev(major, minor))
        case Blk(major=major, minor=minor):
            os.mknod(host, stat.S_IFBLK, os.makedev(major, minor))
        case Whiteout():
            os.mknod(host, stat.S_IFCHR, os.makedev(0, 0))
        case _:
            raise TypeError(f"not an entry: {entry!r}")


def _write(host: bytes, content: bytes) -> None:
    with open(host, "xb") as file:
        file.write(content)


def _set_attributes(entry: Entry, host: bytes, prefix: str) -> None:
    """The owner before the mode: a new owner takes the set-user-ID bit away."""
    os.chown(host, entry.uid, entry.gid, follow_symlinks=False)
    mode = _USUAL_MODE.get(type(entry), 0o644) if entry.mode is None else entry.mode
    if mode is not None and not isinstance(entry, Symlink):
        os.chmod(host, mode)
    marks = entry.marks
    if isinstance(entry, XattrWhiteout):
        marks += (("whiteout", entry.value),)
    for name, value in marks:
        os.setxattr(host, prefix + name, value, follow_symlinks=False)
    for name, value in entry.xattrs:
        os.setxattr(host, name, value, follow_symlinks=False)
