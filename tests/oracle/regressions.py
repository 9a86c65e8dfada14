# SPDX-License-Identifier: Apache-2.0
"""Stacks worth keeping: what a search found, or what a reader of the sources would try first.

Each is asked at its own paths, links followed and not, and at every other path that the search
would ask; the kernel says what is right. A search that fails prints an entry to be put here.
"""

from __future__ import annotations

from dataclasses import dataclass

from support.stack import (
    Blk,
    Chr,
    Dir,
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
from support.strategies import NOBODY, Sample

# The vocabulary of printed stacks, used by the entries or not.
__all__ = ["Blk", "Chr", "Fifo", "HardLink", "KEPT", "Kept", "Socket", "Whiteout"]


@dataclass(frozen=True)
class Kept:
    name: str
    sample: Sample


KEPT: list[Kept] = []


def keep(name: str, layers: list[Layer], *paths: bytes, userxattr: bool = False) -> None:
    KEPT.append(Kept(name, Sample(Stack(layers), userxattr, paths=paths)))


# The kernel reads a redirect as a C string, whatever its size.
for suffix, value in (
    ("relative", b"b\0"),
    ("hides-a-slash", b"b\0/a"),
    ("absolute", b"/a\0//"),
    ("trailing-slash", b"/a/\0"),
    ("alone", b"\0"),
):
    keep(
        f"redirect-with-nul-{suffix}",
        [{b"a": Dir(marks=(("redirect", value),))}, {b"a/b": File(b"f")}],
        b"a",
        b"a/b",
    )

keep(
    "metacopy-of-69-bytes",
    [{b"a": File(b"", marks=(("metacopy", b"a" * 69),))}, {b"a": File(b"f")}],
    b"a",
)
keep(
    "metacopy-with-an-invalid-redirect",
    [{b"a": File(b"", marks=(("metacopy", b""), ("redirect", b"a/b")))}, {b"a": File(b"f")}],
    b"a",
)
keep(
    "metacopy-with-an-invalid-redirect-in-the-last-layer",
    [{}, {b"a": File(b"", marks=(("metacopy", b""), ("redirect", b"a/b")))}],
    b"a",
)
keep(
    "a-whiteout-hides-its-own-bad-marks",
    [{b"a": File(b"", marks=(("whiteout", b""), ("metacopy", b"a")))}, {b"a": File(b"f")}],
    b"a",
)
keep(
    "a-file-below-a-directory-is-not-looked-at",
    [{b"a/b": File(b"f")}, {b"a": File(b"", marks=(("metacopy", b"a"),))}, {b"a/d": File(b"f")}],
    b"a/b",
    b"a/d",
)
keep(
    "opaque-before-an-invalid-redirect",
    [{b"a": Dir(marks=(("redirect", b"//"), ("opaque", b"y")))}, {b"a/b": File(b"f")}],
    b"a",
    b"a/b",
)
keep(
    "an-invalid-redirect-below-counts",
    [{b"a/b": File(b"f")}, {b"a": Dir(marks=(("redirect", b"//"),))}, {}],
    b"a",
    b"a/b",
)
keep(
    "the-last-layer-of-the-parent-not-of-the-stack",
    [
        {b"a/b": File(b"f")},
        {b"a/d": Dir(marks=(("redirect", b"//"),)), b"a/d/b": File(b"f")},
        {b"a": XattrWhiteout()},
        {b"a/d/d": File(b"f")},
    ],
    b"a/d/b",
    b"a/d/d",
    userxattr=True,
)
keep(
    "a-long-name-in-a-link",
    [{b"a": Symlink(b"n" * 256), b"b": Symlink(b"nope/" + b"n" * 256)}, {}],
    b"a",
    b"b",
)

# What a user namespace's root may not read or search.
UNSEARCHABLE = Dir(mode=0o700, uid=NOBODY)

keep(
    "dots-after-a-directory-that-may-not-be-searched",
    [{}, {b"a": UNSEARCHABLE, b"a/b": File(b"f"), b"d": Symlink(b"a/.."), b"b": Symlink(b"a/")}],
    b"a",
    b"a/",
    b"a/.",
    b"a/..",
    b"d/",
    b"b",
    userxattr=True,
)
keep(
    "a-name-too-long-in-a-directory-that-may-not-be-searched",
    [{b"": UNSEARCHABLE}, {b"a": UNSEARCHABLE, b"a/b": File(b"f")}],
    b"n" * 256,
    b"a/" + b"n" * 256,
    b"nope",
    userxattr=True,
)
keep(
    "marks-that-may-not-be-read",
    [
        {
            b"a": File(b"", mode=0o600, uid=NOBODY, marks=(("whiteout", b""),)),
            b"b": File(b"", mode=0o600, uid=NOBODY, marks=(("metacopy", b"a"),)),
            b"d": Dir(mode=0o700, uid=NOBODY, marks=(("opaque", b"y"),)),
        },
        {b"a": File(b"f"), b"b": File(b"f"), b"d/a": File(b"f")},
    ],
    b"a",
    b"b",
    b"d",
    b"d/a",
    userxattr=True,
)

# A loop of links full of dots: cheap for the kernel, so it must be for us.
keep(
    "a-loop-through-many-dots",
    [{b"a": Symlink(b"./" * 2046 + b"a"), b"b": Symlink(b"../" * 1364 + b"b")}, {}],
    *[b"a", b"b", b"a/a", b"b/b", b"a/..", b"b/."] * 20,
)
