# SPDX-License-Identifier: Apache-2.0
"""The table of overlayfs's rules for lookups, attributes and paths, a numbered row for each.

What a row expects was written from overlayfs's documentation and sources, and every row is also put
to the running kernel, so the table cannot drift from it. Redirects are not followed and metacopy is
off: that is the kernel with redirect_dir=nofollow, and the policy of the project.

In layers, T is a file of the topmost layer, M of a middle one, B of the bottom. Text stands for its
UTF-8 bytes where a name is expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from support.resolver import Question
from support.stack import (
    Blk,
    Chr,
    Dir,
    Entry,
    Fifo,
    File,
    HardLink,
    Socket,
    Stack,
    Symlink,
    Whiteout,
    XattrWhiteout,
)

Text = str | bytes
Tree = Mapping[Text, Entry]


def name(text: Text) -> bytes:
    return text.encode() if isinstance(text, str) else text


# ---------------------------------------------------------------------------------- expectations


@dataclass(frozen=True)
class Ask:
    """A path to ask, and the fields that the answer must have."""

    path: bytes
    nofollow: bool
    expected: Mapping[str, Any]

    @property
    def question(self) -> Question:
        return Question(self.path, self.nofollow)


@dataclass(frozen=True)
class Listing:
    """What a directory holds.

    `visible` names are found by a lookup. `leaked` ones the kernel lists, though its own lookup
    says ENOENT: there a view differs on purpose, it hides them. `denied` ones are listed and fail
    otherwise. Every other name that some layer has there must be neither listed nor found.
    """

    path: bytes
    visible: frozenset[bytes]
    leaked: frozenset[bytes]
    denied: Mapping[bytes, str]

    def listed(self) -> set[bytes]:
        """The kernel's own listing."""
        return set(self.visible | self.leaked | set(self.denied))

    def asks(self, stack: Stack) -> list[Ask]:
        """The lookups that say the same."""
        concerned = stack.names(self.path) | self.listed()
        prefix = self.path + b"/" if self.path else b""
        return [Ask(prefix + n, True, self._expected(n)) for n in sorted(concerned)]

    def _expected(self, entry: bytes) -> Mapping[str, Any]:
        if entry in self.visible:
            return {"error": None}
        return {"error": self.denied.get(entry, "ENOENT")}


def ask(path: Text, nofollow: bool = False, **expected: Any) -> Ask:
    return Ask(name(path), nofollow, expected)


def reads(path: Text, content: bytes, **expected: Any) -> Ask:
    """PATH, links followed, is a regular file of that content."""
    return ask(path, error=None, type="file", content=content, size=len(content), **expected)


def is_dir(path: Text, nofollow: bool = False, **expected: Any) -> Ask:
    return ask(path, nofollow, error=None, type="dir", **expected)


def is_link(path: Text, target: Text) -> Ask:
    """PATH itself is a symbolic link."""
    return ask(path, True, error=None, type="symlink", link=name(target), mode=0o777)


def is_a(kind: str, path: Text, **expected: Any) -> Ask:
    return ask(path, True, error=None, type=kind, **expected)


def fails(error: str, *paths: Text, nofollow: bool = False) -> list[Ask]:
    return [ask(path, nofollow, error=error) for path in paths]


def gone(*paths: Text) -> list[Ask]:
    """Not there, whichever way it is asked."""
    return fails("ENOENT", *paths) + fails("ENOENT", *paths, nofollow=True)


def ls(
    path: Text,
    *visible: Text,
    leaked: tuple[Text, ...] = (),
    denied: Mapping[str, str] | None = None,
) -> Listing:
    return Listing(
        name(path),
        frozenset(map(name, visible)),
        frozenset(map(name, leaked)),
        {name(entry): error for entry, error in (denied or {}).items()},
    )


# ------------------------------------------------------------------------------------------ cases


@dataclass(frozen=True)
class Case:
    """A stack and what it must look like.

    `tmpfs` are layers on another filesystem (by index), `covered` directories of a layer under a
    mountpoint; `unprivileged` is asked as root of a user namespace, where the trusted marks cannot
    be read: there a view must refuse to run.
    """

    ident: str
    stack: Stack
    checks: tuple[Ask | Listing, ...]
    userxattr: bool = False
    tmpfs: tuple[int, ...] = ()
    covered: tuple[tuple[int, bytes], ...] = ()
    unprivileged: bool = False
    note: str = field(default="", compare=False)

    def asks(self) -> list[Ask]:
        """Everything to look up, in order."""
        found: list[Ask] = []
        for check in self.checks:
            found += check.asks(self.stack) if isinstance(check, Listing) else [check]
        return found

    def listings(self) -> list[Listing]:
        return [check for check in self.checks if isinstance(check, Listing)]


CASES: list[Case] = []


def layer(tree: Tree) -> dict[bytes, Entry]:
    return {name(path): entry for path, entry in tree.items()}


def row(
    number: int,
    layers: list[Tree],
    *checks: Ask | Listing | list[Ask],
    variant: str = "",
    **options: Any,
) -> None:
    """Put a case into the table; VARIANT tells the cases of one row apart."""
    flat: list[Ask | Listing] = []
    for check in checks:
        flat += check if isinstance(check, list) else [check]
    ident = f"row-{number:03}" + (f"-{variant}" if variant else "")
    stack = Stack([layer(tree) for tree in layers])
    CASES.append(Case(ident, stack, tuple(flat), **options))


T, M, B = File(b"T"), File(b"M"), File(b"B")
W, XW = Whiteout(), XattrWhiteout()
D = Dir()


def link(target: Text) -> Symlink:
    return Symlink(name(target))


def marked(**marks: Text) -> Dir:
    """A directory with overlay marks."""
    return Dir(marks=tuple((mark, name(value)) for mark, value in marks.items()))


OPAQUE = marked(opaque="y")
XWHITEOUTS = marked(opaque="x")
ORIGIN = marked(origin=bytes.fromhex("00fb1d0081") + bytes(24))


def metacopy(value: bytes = b"", content: bytes = b"") -> File:
    return File(content, marks=(("metacopy", value),))


# ------------------------------------------------------------------------ presence and whiteouts

row(1, [{}, {"a": B}], reads("a", b"B"), ls("", "a"))
row(2, [{"a": T}, {"a": B}], reads("a", b"T"))
row(3, [{"a": W}, {"a": B}], gone("a"), ls(""))
row(4, [{"a": W}, {"a/f": B}], gone("a", "a/f"))
row(5, [{"a": Whiteout(mode=0o666, uid=1000)}, {"a": B}], gone("a"))
row(6, [{"a": W, "b": HardLink(b"a")}, {"a": B, "b": B}], gone("a", "b"), ls(""))
row(7, [{"a": Chr(0, 1)}, {"a": B}], is_a("chr", "a", rdev=(0, 1)))
row(8, [{"a": Blk(0, 0)}, {"a": B}], is_a("blk", "a", rdev=(0, 0)))
row(9, [{"a": Chr(1, 3)}, {"a": B}], is_a("chr", "a", rdev=(1, 3)))
row(10, [{"a": W}, {"a": W}, {"a": B}], gone("a"))
row(11, [{"a": T}, {"a": W}, {"a": B}], reads("a", b"T"))
row(12, [{"zz": W}, {"a": B}], gone("zz"), ls("", "a"))
row(13, [{}, {"a": W, "b": B}], gone("a"), ls("", "b"))

# -------------------------------------------------------- whiteouts that a listing fails to filter

row(14, [{}, {"d/a": W, "d/b": B}], gone("d/a"), ls("d", "b", leaked=("a",)))
row(15, [{}, {"d/a": W, "d/b": B}, {}], gone("d/a"), ls("d", "b", leaked=("a",)))
row(16, [{"d": D}, {"d/a": W, "d/b": B}], gone("d/a"), ls("d", "b"))
row(17, [{}, {"d": ORIGIN, "d/a": W, "d/b": B}], gone("d/a"), ls("d", "b"))
row(18, [{}, {"d": marked(impure="y"), "d/a": W, "d/b": B}], ls("d", "b", leaked=("a",)))
row(19, [{"d/a": W, "d/k": T}, {"q": B}], ls("d", "k", leaked=("a",)))
row(
    20,
    [{"d": OPAQUE, "d/a": W, "d/b": T}, {"d/a": B, "d/c": B}],
    gone("d/c"),
    ls("d", "b", leaked=("a",)),
)
row(21, [{"q": T}, {"d/a": W, "d/k": M}, {"d/a": B}], gone("d/a"), ls("d", "k"))
row(22, [{"d/a": T}, {"d/a": W}, {"d/a": B, "d/b": B}], reads("d/a", b"T"), ls("d", "a", "b"))

# ------------------------------------------------------------------ what stops a merge, what not

row(23, [{"d/t": T}, {"d": W}, {"d/b": B}], gone("d/b"), ls("d", "t"))
row(24, [{"d/t": T}, {"d": M}, {"d/b": B}], gone("d/b"), ls("d", "t"))
row(25, [{"d/t": T}, {"d": link("e")}, {"d/b": B, "e/x": B}], ls("d", "t"), reads("e/x", b"B"))
row(26, [{"d/t": T}, {}, {"d/b": B}], ls("d", "b", "t"))
row(27, [{"d": T}, {"d/b": B}], reads("d", b"T"), fails("ENOTDIR", "d/b"))
row(28, [{"d/t": T}, {"d": B}], is_dir("d"), ls("d", "t"))
row(
    29,
    [{"d": link("e"), "e/t": T}, {"d/b": File(b"old"), "e/b": B}],
    is_link("d", "e"),
    reads("d/t", b"T"),
    reads("d/b", b"B"),
    ls("e", "b", "t"),
)
row(30, [{"d/t": T}, {"d": link("e"), "e/b": B}], is_dir("d", True), gone("d/b"), ls("d", "t"))
row(31, [{"d": T}, {"d/m": M}, {"d/b": B}], reads("d", b"T"), fails("ENOTDIR", "d/m", "d/b"))
row(32, [{"d/t": T}, {"d/m": M}, {"d": B}], ls("d", "m", "t"))
row(33, [{"d/t": T}, {"d/m": M}, {"d": W}], ls("d", "m", "t"))
row(
    34,
    [
        {"a": Fifo(), "b/x": T, "c": Socket(), "d": Blk(0, 0)},
        {"a/x": B, "b": Fifo(), "c": B, "d": B},
    ],
    is_a("fifo", "a"),
    is_dir("b"),
    ls("b", "x"),
    is_a("socket", "c"),
    is_a("blk", "d", rdev=(0, 0)),
    fails("ENOTDIR", "a/x"),
)
row(35, [{"p": W}, {"p/q/r": B}], gone("p", "p/q", "p/q/r"))
row(36, [{"p/q": D}, {"p": W}, {"p/q/r": B}], gone("p/q/r"), ls("p/q"))
row(37, [{"p/a": W}, {"p/a": B, "p/b": B}], ls("p", "b"))
row(38, [{"p": W}, {"p/q": OPAQUE}], gone("p", "p/q"))
row(39, [{"a/x": T}, {"a": W}, {"a": B}], is_dir("a"), ls("a", "x"))

# ------------------------------------------------------------------------------ opaque directories

row(40, [{"d": OPAQUE, "d/t": T}, {"d/b": B}], gone("d/b"), ls("d", "t"))
row(41, [{"d/t": T}, {"d": OPAQUE, "d/m": M}, {"d/b": B}], ls("d", "m", "t"))
row(42, [{"d/t": T}, {"d": OPAQUE, "d/b": B}], ls("d", "b", "t"))
row(43, [{"d": OPAQUE, "d/e/t": T}, {"d/e/b": B}], ls("d/e", "t"))
row(
    44,
    [{"d/e/t": T}, {"d": OPAQUE, "d/m": M}, {"d/e/b": B}],
    ls("d", "e", "m"),
    ls("d/e", "t"),
)
row(
    45,
    [
        {"p/q/t": T},
        {"p/q": OPAQUE, "p/q/m": M, "p/r": M},
        {"p/q/b": B, "p/s": B},
    ],
    ls("p", "q", "r", "s"),
    ls("p/q", "m", "t"),
)
row(46, [{"z": T}, {"p": OPAQUE, "p/m": M}, {"p/b": B}], ls("p", "m"))
for variant, value in (
    ("yes", "yes"),
    ("newline", "y\n"),
    ("upper", "Y"),
    ("empty", ""),
    ("n", "n"),
):
    row(
        47,
        [{"d": marked(opaque=value), "d/t": T}, {"d/b": B}],
        ls("d", "b", "t"),
        variant=variant,
    )
row(48, [{"f": File(b"T", marks=(("opaque", b"y"),))}, {"f": B}], reads("f", b"T"))
row(49, [{"": OPAQUE, "t": T}, {"b": B}], ls("", "b", "t"))
row(50, [{"t": T}, {"": OPAQUE, "m": M}, {"b": B}], ls("", "b", "m", "t"))

# ------------------------------------------------------------------ which namespace of marks counts

USER_OPAQUE = Dir(xattrs=(("user.overlay.opaque", b"y"),))
TRUSTED_OPAQUE = Dir(xattrs=(("trusted.overlay.opaque", b"y"),))

row(51, [{"d": USER_OPAQUE, "d/t": T}, {"d/b": B}], ls("d", "b", "t"))
row(52, [{"d": USER_OPAQUE, "d/t": T}, {"d/b": B}], ls("d", "t"), userxattr=True)
row(53, [{"d": TRUSTED_OPAQUE, "d/t": T}, {"d/b": B}], ls("d", "b", "t"), userxattr=True)
row(54, [{"a": W}, {"a": B}], gone("a"), ls(""), userxattr=True)
row(
    55,
    [{"d": OPAQUE}, {"d/b": B}],
    reads("d/b", b"B"),
    ls("d", "b"),
    unprivileged=True,
    note="The kernel's answer is wrong for want of privilege: a view must refuse to give it.",
)
row(
    56,
    [{"d/.wh.b": T, "d/.wh..wh..opq": T}, {"d/b": B}],
    ls("d", ".wh..wh..opq", ".wh.b", "b"),
)

# ---------------------------------------------------------------------------- whiteouts by xattr

row(57, [{"d": XWHITEOUTS, "d/a": XW}, {"d/a": B, "d/b": B}], gone("d/a"), ls("d", "b"))
row(58, [{"d/a": XW}, {"d/a": B, "d/b": B}], gone("d/a"), ls("d", "b", leaked=("a",)))
row(
    58,
    [{"d/a": XattrWhiteout(b"")}, {"d/a": B}],
    gone("d/a"),
    ls("d", leaked=("a",)),
    variant="empty-value",
)
row(
    59,
    [
        {"d": XWHITEOUTS, "d/a": File(b"T", marks=(("whiteout", b"y"),))},
        {"d/a": B, "d/b": B},
    ],
    reads("d/a", b"T"),
    ls("d", "a", "b"),
)
row(60, [{"": XWHITEOUTS, "a": XW}, {"a": B, "b": B}], gone("a"), ls("", "b"))
row(61, [{"a": XW}, {"a": B, "b": B}], gone("a"), ls("", "b", leaked=("a",)))
row(
    62,
    [{"d": D}, {"d": XWHITEOUTS, "d/a": XW, "d/b": B}],
    gone("d/a"),
    ls("d", "b", leaked=("a",)),
)
row(
    63,
    [{}, {"d": XWHITEOUTS, "d/a": XW, "d/z": M}, {"d/a": B, "d/b": B}],
    gone("d/a"),
    ls("d", "b", "z"),
)
row(
    64,
    [{}, {"d": XWHITEOUTS, "d/a": XW, "d/z": M}, {"q": B}],
    gone("d/a"),
    ls("d", "z", leaked=("a",)),
)
row(65, [{"p": XWHITEOUTS, "p/d": XW}, {"p/d/f": B}], gone("p/d", "p/d/f"))
row(
    66,
    [{"p": OPAQUE, "p/d": XW, "p/k": T}, {"p/d/f": B}],
    gone("p/d"),
    ls("p", "k", leaked=("d",)),
)
row(
    67,
    [{"p/a": T}, {"p": XWHITEOUTS, "p/a": XW}, {"p/a": B, "p/b": B}],
    reads("p/a", b"T"),
    ls("p", "a", "b"),
)
row(68, [{"d": XWHITEOUTS, "d/t": T}, {"d/b": B}], ls("d", "b", "t"))

USER_XWHITEOUT = [
    {
        "d": Dir(xattrs=(("user.overlay.opaque", b"x"),)),
        "d/a": File(b"", xattrs=(("user.overlay.whiteout", b"y"),)),
    },
    {"d/a": B},
]
row(69, USER_XWHITEOUT, reads("d/a", b""), ls("d", "a"), variant="trusted")
row(69, USER_XWHITEOUT, gone("d/a"), ls("d"), variant="userxattr", userxattr=True)

# -------------------------------------------------------------------- redirects: never followed

for userxattr in (False, True):
    variant = "userxattr" if userxattr else "nofollow"
    row(
        70,
        [{"new": marked(redirect="/old"), "new/t": T}, {"old/b": B, "new/n": B}],
        fails("EPERM", "new", "new/t", "new/n", "new/b"),
        fails("EPERM", "new", nofollow=True),
        reads("old/b", b"B"),
        ls("", "old", denied={"new": "EPERM"}),
        variant=variant,
        userxattr=userxattr,
    )
row(
    71,
    [{"new": marked(redirect="/old"), "new/t": T, "old": W}, {"old/b": B}],
    fails("EPERM", "new", "new/b"),
    gone("old"),
    ls("", denied={"new": "EPERM"}),
)
row(
    72,
    [{"p/new": marked(redirect="old"), "p/new/t": T}, {"p/old/b": B, "old/zz": B}],
    fails("EPERM", "p/new", "p/new/t", "p/new/b"),
    ls("p", "old", denied={"new": "EPERM"}),
)
for variant, value in (
    ("relative", "x/old"),
    ("double", "//old"),
    ("trailing", "/old/"),
    ("root", "/"),
    ("empty", ""),
):
    row(
        73,
        [{"new": marked(redirect=value)}, {"old/b": B}],
        fails("EINVAL", "new", "new/t"),
        fails("EINVAL", "new", nofollow=True),
        variant=variant,
        note="The value is read and checked before the policy is: EINVAL, not EPERM, either way.",
    )
row(
    73,
    [{"new": marked(redirect="//old")}, {"old/b": B}],
    fails("EINVAL", "new"),
    variant="userxattr",
    userxattr=True,
)
for variant, value in (("dotdot", ".."), ("absolute", "/../x")):
    row(
        74,
        [{"p/new": marked(redirect=value)}, {"p/old/b": B}],
        fails("EPERM", "p/new"),
        variant=variant,
        note="EACCES only where redirects are followed: a component .. is found while following.",
    )
row(
    75,
    [{"new": marked(redirect="/none"), "new/t": T}, {"new/n": B}],
    fails("EPERM", "new", "new/t", "new/n"),
)
row(
    76,
    [
        {"new": marked(redirect="/a"), "new/t": T},
        {"a": marked(redirect="/b"), "a/m": M},
        {"b/b": B, "new/n": B},
    ],
    fails("EPERM", "new", "a", "new/t", "a/m"),
    reads("b/b", b"B"),
)
for userxattr in (False, True):
    row(
        77,
        [{"q": T}, {"new": marked(redirect="/old"), "new/m": B, "old/b": B}],
        reads("new/m", b"B"),
        ls("new", "m"),
        ls("", "new", "old", "q"),
        variant="userxattr" if userxattr else "nofollow",
        userxattr=userxattr,
    )
    row(
        78,
        [{"p/new": marked(redirect="/old"), "p/new/t": T}, {"q": B, "old/b": B}],
        reads("p/new/t", b"T"),
        ls("p/new", "t"),
        variant="userxattr" if userxattr else "nofollow",
        userxattr=userxattr,
    )
row(
    79,
    [
        {"new": marked(redirect="/p/old"), "new/t": T},
        {"p": OPAQUE, "p/old/m": M},
        {"p/old/b": B},
    ],
    fails("EPERM", "new", "new/t"),
    reads("p/old/m", b"M"),
    gone("p/old/b"),
)
row(
    80,
    [{"f": File(b"T", marks=(("redirect", b"/g"),))}, {"f": B, "g": B}],
    reads("f", b"T"),
)

# --------------------------------------------------------------------- metacopy: never followed

row(
    81,
    [{"f": metacopy()}, {"f": File(b"DATA")}],
    fails("EPERM", "f"),
    fails("EPERM", "f", nofollow=True),
    ls("", denied={"f": "EPERM"}),
)
row(
    81,
    [{"f": File(b"", xattrs=(("trusted.overlay.metacopy", b""),))}, {"f": File(b"DATA")}],
    reads("f", b""),
    variant="other-namespace",
    userxattr=True,
)
row(
    81,
    [{"f": metacopy()}, {"f": File(b"DATA")}],
    fails("EPERM", "f"),
    variant="userxattr",
    userxattr=True,
)
row(82, [{"g": T}, {"f": metacopy()}], fails("EPERM", "f"), ls("", "g", denied={"f": "EPERM"}))
row(
    82,
    [{"g": T}, {"f": metacopy()}],
    fails("EPERM", "f"),
    variant="userxattr",
    userxattr=True,
)
row(83, [{"f": T}, {"f": metacopy()}, {"f": B}], reads("f", b"T"))
row(84, [{"f": metacopy()}, {"f/x": B}], fails("EPERM", "f", "f/x"), variant="directory")
row(84, [{"f": metacopy()}, {"f": W}, {"f": B}], fails("EPERM", "f"), variant="whiteout")
row(85, [{"d": marked(metacopy=""), "d/t": T}, {"d/b": B}], ls("d", "b", "t"))
for size, error in ((1, "EIO"), (3, "EIO"), (4, "EPERM"), (68, "EPERM"), (69, "EPERM")):
    row(
        86,
        [{"f": metacopy(b"a" * size)}, {"f": B}],
        fails(error, "f"),
        fails(error, "f", nofollow=True),
        variant=f"size-{size}",
        note="A lookup asks only for the size: more than a struct and a digest (68) is no error.",
    )

# --------------------------------------------------------------------- marks that mean nothing here

row(
    87,
    [{"d": Dir(xattrs=(("trusted.overlay.overlay.opaque", b"y"),)), "d/t": T}, {"d/b": B}],
    ls("d", "b", "t"),
    note="That the kernel shows the mark under its inner name is left out: a view shows no xattrs.",
)
row(88, [{"f": File(b"T", marks=(("origin", b"garbage"),))}, {"f": B}], reads("f", b"T"))

# --------------------------------------------------------------------------------- attributes

row(
    89,
    [
        {"d": Dir(mode=0o700, uid=11, gid=12, mtime_ns=10**15)},
        {"d": Dir(mode=0o755, uid=21, gid=22)},
        {"d": Dir(mode=0o777, uid=31, gid=32)},
    ],
    is_dir("d", mode=0o700, uid=11, gid=12, mtime_ns=10**15),
    note="Link counts are not compared: overlayfs makes them up.",
)
row(
    90,
    [{"q": T}, {"d": Dir(mode=0o750, uid=9, gid=9), "d/1": D, "d/2": D}],
    is_dir("d", mode=0o750, uid=9, gid=9),
    ls("d", "1", "2"),
    note="Link counts are not compared.",
)
row(
    91,
    [{"": Dir(mode=0o711, uid=1, gid=2)}, {"": Dir(mode=0o755)}],
    is_dir("/", mode=0o711, uid=1, gid=2),
    is_dir(".", mode=0o711, uid=1, gid=2),
)
row(
    92,
    [{"a": W}, {"a": B, "b": HardLink(b"a"), "c": HardLink(b"a")}],
    gone("a"),
    reads("b", b"B"),
    reads("c", b"B"),
    note="Inode numbers and link counts are not compared.",
)
row(
    93,
    [
        {"d": Dir(mode=0o711, xattrs=(("user.foo", b"2"),))},
        {"d": Dir(xattrs=(("user.bar", b"L"),))},
    ],
    is_dir("d", mode=0o711),
    note="A view shows no xattrs: what is left is that strange ones do no harm.",
)
row(94, [{"A": T}, {"a": B}], reads("A", b"T"), reads("a", b"B"), ls("", "A", "a"))
row(95, [{}, {}], is_dir("/"), ls(""), gone("a"))

# ---------------------------------------------------------------------------------- deep stacks

row(
    96,
    [{"d/1": T}, {}, {"d": W}, {"d/4": M}, {"d": OPAQUE, "d/5": M}, {"d/6": B}],
    ls("d", "1"),
)
row(
    97,
    [{}, {"d/2": M}, {}, {"d/4": M}, {"d": OPAQUE, "d/5": M}, {"d/6": B}],
    ls("d", "2", "4", "5"),
)
row(
    98,
    [{"d": OPAQUE, "d/t": T, "e": W, "m/t": T}, {"d/b": B, "e/b": B, "m/b": B}],
    ls("d", "t"),
    ls("m", "b", "t"),
    gone("e", "e/b"),
    tmpfs=(0,),
    note="Device numbers are not compared.",
)

# ------------------------------------------------------------------------------- symbolic links

CONF: Tree = {"etc/conf": B}

row(
    99,
    [{"etc/conf": W}, {**CONF, "l": link("/etc/conf")}],
    fails("ENOENT", "l"),
    is_link("l", "/etc/conf"),
)
row(100, [{"etc": W}, {**CONF, "l": link("/etc/conf")}], fails("ENOENT", "l"))
row(101, [{"l": link("d")}, {"d/x": B}], reads("l/x", b"B"))
row(102, [{"t": T}, {"l": link("t"), "t": B}], reads("l", b"T"))
row(
    103,
    [{"l/x": T}, {"l": link("d"), "d/x": B, "d/y": B}],
    reads("l/x", b"T"),
    gone("l/y"),
    reads("d/y", b"B"),
)
row(
    104,
    [{"lib": link("usr/lib"), "usr/lib/new": T}, {"lib/old": B, "usr/lib/u": B}],
    gone("lib/old"),
    reads("lib/u", b"B"),
    reads("lib/new", b"T"),
)
row(105, [{"l": W}, {"l": link("d"), "d/x": B}, {"l/x": B}], gone("l", "l/x"))
row(
    106,
    [{}, {"d": link("/x")}, {"d/6": B, "x/k": B}],
    reads("d/k", b"B"),
    gone("d/6"),
)
row(
    107,
    [{"a": link("b")}, {"b": link("a")}],
    fails("ELOOP", "a", "a/x"),
    fails("ELOOP", "a/", "a/x", nofollow=True),
    is_link("a", "b"),
)
row(108, [{"b/esc": link("../../../../etc/conf")}, CONF], reads("b/esc", b"B"))
row(109, [{"dots": link("../../..")}, {"etc/low": B}], reads("dots/etc/low", b"B"))

CHAIN = {f"c{n}": link(f"c{n + 1}") for n in range(41)} | {"c41": B}

row(
    110,
    [{}, CHAIN],
    reads("c1", b"B"),
    fails("ELOOP", "c0"),
    is_link("c0", "c1"),
    note="c1 takes 40 links, c0 takes 41.",
)
row(
    111,
    [{"a": link(".")}, {"f": B}],
    reads("a/" * 40 + "f", b"B"),
    fails("ELOOP", "a/" * 41 + "f"),
    is_link("a/" * 40 + "a", "."),
    fails("ELOOP", "a/" * 40 + "a"),
    note="A final link that is not followed does not count.",
)
row(
    112,
    [{"fl": link("etc/conf")}, CONF],
    reads("fl", b"B"),
    fails("ENOTDIR", "fl/"),
    fails("ENOTDIR", "fl/", nofollow=True),
)
row(
    113,
    [{"dl": link("/etc")}, {"etc/low": B}],
    is_link("dl", "/etc"),
    is_dir("dl/", True),
    is_dir("dl"),
    reads("dl/low", b"B"),
)
row(114, [{"fl2": link("etc/conf/")}, CONF], fails("ENOTDIR", "fl2"), is_link("fl2", "etc/conf/"))
row(
    115,
    [{"dang": link("/nope")}, {}],
    fails("ENOENT", "dang", "dang/"),
    fails("ENOENT", "dang/", nofollow=True),
    is_link("dang", "/nope"),
)

# ---------------------------------------------------------------------------------------- paths

row(
    116,
    [{"lib64": link("usr/lib64")}, {"usr/lib64/so": B, "lib/x": B}],
    fails("ENOENT", "lib64/../lib/x"),
    reads("lib64/../../lib/x", b"B"),
)
row(
    117,
    [{}, {"etc/low": B}],
    fails("ENOENT", "nope/../etc/low", ""),
    fails("ENOENT", "", nofollow=True),
    fails("ENOTDIR", "etc/low/..", "etc/low/.", "etc/low/", "etc/low/x"),
    reads("/../../etc/low", b"B"),
    reads("//etc///low", b"B"),
    reads("./etc/./../etc/low", b"B"),
    is_dir("etc/.."),
    is_dir("../.."),
)
row(
    118,
    [{"new": marked(redirect="/p/old")}, {"p/old/b": B, "p/k": B, "top": B}],
    fails("EPERM", "new", "new/../top", "new/../k"),
    reads("p/old/../k", b"B"),
    note="That .. of a followed redirect is the merged parent cannot show: nothing is followed.",
)

LONGEST = "n" * 255

row(
    119,
    [{}, {LONGEST: B, "f": B}],
    reads(LONGEST, b"B"),
    fails("ENAMETOOLONG", "n" * 256, "n" * 256 + "/x"),
    fails("ENOENT", "nope/" + "n" * 256),
    fails("ENOTDIR", "f/" + "n" * 256),
    reads("./" * 2047 + "f", b"B"),
    fails("ENAMETOOLONG", "./" * 2047 + "/f", "./" * 2048 + "xx"),
    note="4095 bytes of path are fine, 4096 are too many.",
)
row(
    120,
    [{"l": link("./" * 2046 + "..f"), "m": link("././" * 1023 + "//f")}, {"..f": B, "f": B}],
    reads("l", b"B"),
    reads("m", b"B"),
    is_link("l", "./" * 2046 + "..f"),
)
row(
    121,
    [{"d/t": T}, {"d/covered": B}],
    reads("d/covered", b"B"),
    ls("d", "covered", "t"),
    covered=((1, b"d"),),
    note="A mount inside a layer is not seen: what it covers is.",
)

STRANGE = [b"a b", b"a\nb", b"a\\b", b"a:b", b"a,b", "é€😀".encode()]
STRANGE += [b"\xff\xfe", b"\x01\x7f", b"-", b"..."]

row(
    122,
    [
        {b"d/" + entry: File(b"T" + entry) for entry in STRANGE[::2]},
        {b"d/" + entry: File(b"B" + entry) for entry in STRANGE},
    ],
    ls("d", *STRANGE),
    *[reads(b"d/" + entry, b"T" + entry) for entry in STRANGE[::2]],
    *[reads(b"d/" + entry, b"B" + entry) for entry in STRANGE[1::2]],
)

ROWS = 122
