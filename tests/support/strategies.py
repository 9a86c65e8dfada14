# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for stacks of layers, and the paths worth asking one for.

Names are few, so that layers collide; what stands at them is drawn from tables that hold every kind
of entry and every mark, valid, invalid and out of place, with the plain ones more often. One draw
takes a path and one an entry: that is fast, and shrinks towards the front of the tables.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from .resolver import Question
from .stack import (
    Blk,
    Chr,
    Dir,
    Entry,
    Fifo,
    File,
    HardLink,
    Layer,
    Socket,
    Stack,
    Symlink,
    Whiteout,
    XattrWhiteout,
)

LAYERS_MAX = 8
ENTRIES_MAX = 12
RANDOM_PATHS = 40

# ------------------------------------------------------------------------------------------- names

USUAL = [b"a", b"b", b"d"]
LONGEST = b"n" * 255
ODD = [b"a b", b"a,b", b"a:b", b"a\\b", b"a\nb", "é€😀".encode(), b"\xff\xfe", LONGEST]
ODD += [b"...", b"-", b"A", b".wh.a", b".wh..wh..opq"]


def _join(*names: bytes) -> bytes:
    return b"/".join(names)


_SHALLOW = [_join(*p) for depth in (1, 2) for p in itertools.product(USUAL, repeat=depth)]
_DEEP = [_join(*p) for p in itertools.product(USUAL[:2], repeat=3)]
_DEEP += [b"a/a/a/a", b"a/b/a/b", b"a/a/b/a/d", b"d/d/d/d/d/d"]
_STRANGE = [path for name in ODD for path in (name, _join(b"a", name), _join(name, b"a"))]

PATHS = _SHALLOW * 6 + _DEEP * 2 + [b""] * 3 + _STRANGE

# ----------------------------------------------------------------------------------------- entries


def _marked(kind: type, *arguments: bytes, **marks: bytes) -> Entry:
    """An entry with overlay marks, in the order in which they are given."""
    return kind(*arguments, marks=tuple(marks.items()))


def _planted(kind: type, *arguments: bytes, **marks: bytes) -> list[Entry]:
    """One for each namespace; the mount reads one of them."""
    return [
        kind(*arguments, xattrs=((f"{namespace}.overlay.{name}", value),))
        for name, value in marks.items()
        for namespace in ("trusted", "user")
    ]


NOT_QUITE_OPAQUE = [b"yes", b"Y", b"", b"n", b"y\n", b"y\0", b"\0", b"xx"]
REDIRECTS = [b"/a", b"b", b"/a/b", b"/d", b"..", b"/../a", b".", b"\xff", b"n" * 300]
REDIRECTS += [b"/n" * 1000, b"b\0", b"b\0/a", b"/a\0/", b"\0", b"/a\0//"]
BAD_REDIRECTS = [b"a/b", b"", b"//a", b"/a/", b"/", b"/a//b", b"a/", b"//\0"]
METACOPIES = [b"", b"\0", b"aa", b"aaa", b"aaaa", b"\0\4\0\0", b"a" * 68, b"a" * 69, b"a" * 300]
# Outside of what the tests map into a user namespace: there not even root reads its 0600 files.
NOBODY = 100_000

HANDLE = bytes.fromhex("00fb1d0081") + bytes(24)
WITHOUT_EFFECT = {"origin": HANDLE, "impure": b"y", "uuid": bytes(16), "overlay.opaque": b"y"}
WITHOUT_EFFECT |= {"nlink": b"U+1", "upper": HANDLE, "protattr": b"i"}

DIRECTORIES: list[Entry] = [
    *[Dir()] * 60,
    Dir(mode=0o700, uid=11, gid=12),
    Dir(mode=0o2775, gid=7, mtime_ns=1),
    Dir(uid=NOBODY, marks=(("opaque", b"y"),)),
    Dir(mode=0o700, uid=NOBODY),
    Dir(mode=0o000, mtime_ns=2_000_000_000_123_456_789),
    *[_marked(Dir, opaque=b"y")] * 10,
    *[_marked(Dir, opaque=b"x")] * 5,
    *[_marked(Dir, opaque=value) for value in NOT_QUITE_OPAQUE],
    *[_marked(Dir, redirect=value) for value in REDIRECTS + BAD_REDIRECTS],
    *[_marked(Dir, opaque=o, redirect=r) for o in (b"y", b"x", b"n") for r in (b"/a", b"//")],
    *[_marked(Dir, **{name: value}) for name, value in WITHOUT_EFFECT.items()],
    _marked(Dir, metacopy=b""),
    _marked(Dir, metacopy=b"a"),
    _marked(Dir, whiteout=b"y"),
    *_planted(Dir, opaque=b"y", redirect=b"/a"),
]

FILES: list[Entry] = [
    *[File(b"f")] * 40,
    File(b""),
    File(b"longer"),
    File(b"x" * 5000, mode=0o4755, uid=1000, gid=1000),
    File(b"secret", mode=0o600, uid=11, gid=12, mtime_ns=3),
    File(b"unreadable", mode=0o600, uid=NOBODY, gid=NOBODY),
    File(b"", mode=0o600, uid=NOBODY, gid=NOBODY, marks=(("whiteout", b"y"),)),
    File(b"", mode=0o600, uid=NOBODY, gid=NOBODY, marks=(("metacopy", b"a"),)),
    *[_marked(File, content, metacopy=value) for content in (b"", b"m") for value in METACOPIES],
    *[_marked(File, b"m", metacopy=m, redirect=r) for m in (b"", b"a") for r in (b"/a", b"a/b")],
    _marked(File, b"", whiteout=b"y", metacopy=b"a", redirect=b"a/b"),
    *[_marked(File, b"w", whiteout=value) for value in (b"", b"y")],
    _marked(File, b"r", redirect=b"/a"),
    _marked(File, b"r", redirect=b"//a"),
    _marked(File, b"o", opaque=b"y"),
    _marked(File, b"o", origin=HANDLE),
    *_planted(File, b"", whiteout=b"y", metacopy=b""),
]

WHITEOUTS: list[Entry] = [
    *[Whiteout()] * 10,
    Whiteout(mode=0o666, uid=1000),
    *[XattrWhiteout()] * 4,
    XattrWhiteout(b""),
    XattrWhiteout(b"anything", mode=0o600, uid=5),
]

# user.* attributes do not exist on these.
_TRUSTED = [(("trusted.overlay." + name, b"y"),) for name in ("opaque", "whiteout", "metacopy")]

SPECIAL: list[Entry] = [
    Fifo(),
    Socket(),
    Chr(1, 3),
    Chr(0, 1),
    Chr(1, 0),
    Blk(0, 0),
    Blk(7, 0, mode=0o600, uid=3),
    *[kind for xattrs in _TRUSTED for kind in (Fifo(xattrs=xattrs), Blk(0, 0, xattrs=xattrs))],
    *[Whiteout(xattrs=xattrs) for xattrs in _TRUSTED],
]

TARGETS = [b"a", b"b", b"d", b"a/b", b"/a", b"/b", b"/a/b", b"/d/a", b".", b"..", b"/", b"/."]
TARGETS += [b"../a", b"../b/a", b"../../../a", b"/../b", b"./a/../b", b"a/", b"/a/b/", b"d//a"]
TARGETS += [b"nope", b"/nope", b"nope/../a", b"/d/../a/..", b"a/.", b"..//b/", b"///"]
TARGETS += [*ODD, b"/a/" + LONGEST, LONGEST + b"n", b"./" * 2046 + b"a", b"/." * 2047 + b"/"]

LINKS: list[Entry] = [Symlink(target) for target in TARGETS * 2]
LINKS += [Symlink(b"a", uid=9, gid=9, mtime_ns=5)]
LINKS += [Symlink(b"b", xattrs=xattrs) for xattrs in _TRUSTED]

HARD_LINKS: list[Entry] = [HardLink(name) for name in USUAL + [b"a/a", b"a/b", b"b/a"]]

ENTRIES = DIRECTORIES * 2 + FILES * 3 + LINKS * 2 + WHITEOUTS * 3 + SPECIAL + HARD_LINKS * 3

# ------------------------------------------------------------------------------------------ stacks


def _above(path: bytes) -> Iterable[bytes]:
    while path:
        path = os.path.dirname(path)
        yield path


def possible(pairs: Iterable[tuple[bytes, Entry]]) -> Layer:
    """A layer of those PAIRS that can be in one directory tree; the first one at a path counts.

    A hard link to nothing that can have one is made to the first entry that can, if there is any.
    """
    drawn: dict[bytes, Entry] = {}
    for path, entry in pairs:
        drawn.setdefault(path, entry)
    layer: dict[bytes, Entry] = {}
    for path, entry in sorted(drawn.items()):  # parents first
        above = (layer.get(parent) for parent in _above(path))
        if all(parent is None or isinstance(parent, Dir) for parent in above):
            if path or isinstance(entry, Dir):
                layer[path] = entry
    implied = {parent for path in layer for parent in _above(path)}
    targets = [p for p, e in layer.items() if not isinstance(e, (Dir, HardLink))]
    for path, entry in list(layer.items()):
        if isinstance(entry, HardLink) and entry.target not in targets:
            if targets:
                layer[path] = HardLink(targets[0])
            else:
                del layer[path]
    assert not implied & set(targets)
    return layer


@dataclass(frozen=True)
class Sample:
    """A stack, how it is mounted, the seed of the random paths that it is asked for, and others."""

    stack: Stack
    userxattr: bool = False
    salt: int = 0
    paths: Sequence[bytes] = ()

    def own_questions(self) -> list[Question]:
        return [Question(path, nofollow) for path in self.paths for nofollow in (False, True)]

    def questions(self) -> list[Question]:
        return self.own_questions() + questions(self.stack, self.salt)


def samples(userxattr: st.SearchStrategy[bool] | None = None) -> st.SearchStrategy[Sample]:
    """Stacks in either mode, or in the one that USERXATTR draws."""
    pairs = st.tuples(st.sampled_from(PATHS), st.sampled_from(ENTRIES))
    some = st.lists(pairs, max_size=ENTRIES_MAX)  # five on average, whatever the maximum
    layer = st.builds(lambda *lists: possible(itertools.chain(*lists)), some, some)
    # The minimum makes large stacks usual; small ones come of leaving layers out, and of shrinking.
    kept = st.sampled_from([False] + [True] * 6)
    stacks = st.lists(st.tuples(kept, layer), min_size=4, max_size=LAYERS_MAX).map(mountable)
    modes = st.booleans() if userxattr is None else userxattr
    return st.builds(Sample, stacks, modes, st.integers(0, 2**32 - 1))


def mountable(drawn: list[tuple[bool, Layer]]) -> Stack:
    """Those that are kept. The kernel takes two at least: what is missing is empty and below."""
    layers = [layer for kept, layer in drawn if kept]
    return Stack(layers + [{}] * (2 - len(layers)))


# ----------------------------------------------------------------------------------------- paths

_PARTS = USUAL * 6 + [b"..", b"..", b".", b"", b"nope"] * 2 + ODD + [LONGEST + b"n"]

# Around the 40 links that a walk may follow, and the 4095 bytes that a path may have.
_LIMITS = [
    (name + b"/") * count + tail
    for name in USUAL
    for count, tail in ((39, b"a"), (40, b""), (40, b"b"), (41, b""), (41, b"d"))
]
_LIMITS += [b"", b"/", b".", b"..", b"./" * 2047 + b"a", b"./" * 2048, b"/" * 4095, b"/" * 4096]


def questions(stack: Stack, salt: int) -> list[Question]:
    """Every path that a layer has, and what can be appended to it; limits; random paths."""
    asked = []
    for path in stack.paths():
        asked += [Question(path, True), Question(path + b"/", True)]
        asked += [Question(path + end) for end in (b"", b"/", b"/.", b"/..", b"/a", b"/nope")]
    for path in _LIMITS + random_paths(random.Random(salt)):
        asked += [Question(path), Question(path, True)]
    return asked


def random_paths(source: random.Random) -> list[bytes]:
    found = []
    for _ in range(RANDOM_PATHS):
        parts = [source.choice(_PARTS) for _ in range(source.randint(1, 7))]
        rooted = source.choice([b"", b"", b"/"])
        ending = source.choice([b"", b"", b"", b"/", b"/."])
        found.append(rooted + b"/".join(parts) + ending)
    return found
