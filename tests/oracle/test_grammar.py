# SPDX-License-Identifier: Apache-2.0
"""overlayfs's option grammar: the same words, put to the kernel and to our reader.

What the kernel took for layers is seen in the mount itself, and what we read off that mount's line
in mountinfo must be the same again. Where we differ on purpose a row says so.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import scratch, search, skipping
from support.ordered_layers import OrderedLayers
from support.tool_client import Layers, Sources

Settings = Sequence[tuple[str, bytes]]


@pytest.fixture(scope="module")
def memory(private_mounts: None) -> Iterator[Path]:
    parent, reason = scratch.find()
    if parent is None:
        skipping.skip(f"nowhere to make layers: {reason}")
    with scratch.memory(parent) as path:
        yield path


@pytest.fixture(scope="module")
def sources() -> Iterator[Sources]:
    with Sources() as asked:
        yield asked


@dataclass
class Both:
    """The kernel and our reader, over the same directories."""

    ordered: OrderedLayers
    sources: Sources

    @property
    def base(self) -> bytes:
        return self.ordered.base

    def ours(self, *words: bytes) -> Layers:
        """Names stay below the base, as they do for the kernel."""
        return self.sources.layers(b"-o", b"basedir=" + self.base, *words)

    def typed(self, options: bytes) -> Layers:
        return self.ours(b"-o", options) if options else Layers(code="EUSAGE")

    def kernel(self, options: bytes | Settings, expected: Sequence[bytes] = ()) -> str | set[bytes]:
        """The layers that the kernel took, or why it took none. EXPECTED are in their order, and
        what mountinfo then says of them must read the same."""
        self.ordered.make_stack(expected)
        try:
            with self.ordered.mounted(options):
                taken = self.ordered.taken()
                if set(expected) == taken:
                    self.ordered.check(expected)
                    assert self.ours(self.ordered.at).below(self.base) == list(expected)
                return taken
        except OSError as error:
            return errno.errorcode[error.errno or 0]


@pytest.fixture(scope="module")
def both(memory: Path, sources: Sources) -> Both:
    return Both(OrderedLayers(memory), sources)


# --------------------------------------------------------------------------------------- the table


@dataclass(frozen=True)
class Row:
    """`kernel` is an errno's name or the layers, topmost first; `ours` a code or the layers, and
    without it the same as the kernel's."""

    options: bytes
    kernel: str | list[bytes]
    ours: str | list[bytes] | None = None


DATA = "ENOTAPPLICABLE"
USAGE = "EUSAGE"

ROWS = [
    Row(b"lowerdir=a:b:c", [b"a", b"b", b"c"]),
    Row(b"lowerdir=c:a", [b"c", b"a"]),
    # A backslash goes away, whatever it stands before.
    Row(rb"lowerdir=co\:lon:b", [b"co:lon", b"b"]),
    Row(rb"lowerdir=co\,mma:b", [b"co,mma", b"b"]),
    Row(rb"lowerdir=ba\\ck:b", [rb"ba\ck", b"b"]),
    Row(rb"lowerdir=\b:sp\ ace", [b"b", b"sp ace"]),
    Row(rb"lowerdir=co\072lon:b", [b"co072lon", b"b"]),
    Row(rb"lowerdir=a\\:b", [b"a\\", b"b"]),
    Row(rb"lowerdir=b:a\\,index=off", [b"b", b"a\\"]),
    Row(b"lowerdir=b:a\\", [b"b", b"a"]),
    Row(b"lowerdir=b:a\\\\\\", [b"b", b"a\\"]),
    Row(b"lowerdir=b:\\", "EINVAL", USAGE),
    # What is no grammar.
    Row(b"lowerdir=sp ace:b", [b"sp ace", b"b"]),
    Row(b'lowerdir="a":b', [b'"a"', b"b"]),
    Row(b"lowerdir==a:b=", [b"=a", b"b="]),
    Row(b"lowerdir=#a:b", [b"#a", b"b"]),
    Row(b"lowerdir=t\tab:new\nline", [b"t\tab", b"new\nline"]),
    Row(b"lowerdir=\xff\xfe:\xc3", [b"\xff\xfe", b"\xc3"]),
    # Empty names.
    Row(b"lowerdir=", "EINVAL", USAGE),
    Row(b"lowerdir", "EINVAL", USAGE),
    Row(b"lowerdir=:a", "EINVAL", USAGE),
    Row(b"lowerdir=:a:b", "EINVAL", USAGE),
    Row(b"lowerdir=a:", "EINVAL", USAGE),
    Row(b"lowerdir=a:b:", "EINVAL", USAGE),
    Row(b"lowerdir=a:b::", "EINVAL", USAGE),
    Row(b"lowerdir=::a", "EINVAL", USAGE),
    Row(b"lowerdir=a:::b", "EINVAL", USAGE),
    Row(b"lowerdir=:", "EINVAL", USAGE),
    Row(b"lowerdir+=", "EINVAL", USAGE),
    Row(b"lowerdir+=a,lowerdir+=", "EINVAL", USAGE),
    # The last one counts.
    Row(b"lowerdir=a:b,lowerdir=c:b", [b"c", b"b"]),
    Row(b"lowerdir=a:b,index=off,lowerdir=c:b,index=off", [b"c", b"b"]),
    Row(b"lowerdir+=c,lowerdir=a:b", [b"a", b"b"]),
    Row(b"lowerdir=a::c,lowerdir=a:b", [b"a", b"b"]),
    Row(b"lowerdir=a:b,lowerdir=a:", "EINVAL", USAGE),
    # One by one: literal, and never after lowerdir=.
    Row(b"lowerdir+=a,lowerdir+=b", [b"a", b"b"]),
    Row(b"lowerdir+=co:lon,lowerdir+=b", [b"co:lon", b"b"]),
    Row(rb"lowerdir+=co\:lon,lowerdir+=b", [rb"co\:lon", b"b"]),
    Row(rb"lowerdir+=co\,mma,lowerdir+=b", [rb"co\,mma", b"b"]),
    Row(rb"lowerdir+=ba\\ck,lowerdir+=b", [rb"ba\\ck", b"b"]),
    Row(b"lowerdir+=a,lowerdir+=b\\", [b"a", b"b\\"]),
    Row(b"lowerdir=a:b,lowerdir+=c", "EINVAL", USAGE),
    # Options between and around, and none.
    Row(b",,lowerdir=a:b,,index=off,", [b"a", b"b"]),
    Row(b"userxattr,lowerdir=a:b,userxattr", [b"a", b"b"]),
    Row(b"lowerdir=a:b,userxattr=1", "EINVAL", USAGE),
    Row(b"LOWERDIR=a:b", "EINVAL", USAGE),
    # Layers that hold nothing but data: the kernel's are not seen in the mount either.
    Row(b"lowerdir=a::b", [b"a"], DATA),
    Row(b"lowerdir=a:b::c", [b"a", b"b"], DATA),
    Row(b"lowerdir=a::b::c", [b"a"], DATA),
    Row(b"lowerdir=a::b:c", "EINVAL", DATA),
    Row(b"lowerdir+=a,datadir+=b", [b"a"], DATA),
    Row(b"lowerdir+=a,datadir+=b,lowerdir+=c", "EINVAL", DATA),
    Row(b"lowerdir=a:b,datadir+=c", "EINVAL", DATA),
    Row(b"datadir+=c,lowerdir=a:b", [b"a", b"b"]),
    # Where we differ: one layer is enough for a view,
    Row(b"lowerdir=a", "EINVAL", [b"a"]),
    Row(b"lowerdir+=a", "EINVAL", [b"a"]),
    Row(b"lowerdir=a:b,lowerdir=c", "EINVAL", [b"c"]),
    # and it can bear the same one twice, or one inside another;
    Row(b"lowerdir=a:a", "ELOOP", [b"a", b"a"]),
    Row(b"lowerdir=a:b:a", "ELOOP", [b"a", b"b", b"a"]),
    Row(b"lowerdir=a:a/shared", "ELOOP", [b"a", b"a/shared"]),
    # a missing layer is said when layers are opened, and only if it is one;
    Row(b"lowerdir=a:missing", "ENOENT", [b"a", b"missing"]),
    Row(b"lowerdir=a:missing,lowerdir=a:b", "ENOENT", [b"a", b"b"]),
    # an upper directory is none of a view's;
    Row(b"lowerdir=a:b,upperdir=c", "EINVAL", [b"a", b"b"]),
    # what mount(8) knows is accepted,
    Row(b"lowerdir=a:b,comment=x,x-y=z", "EINVAL", [b"a", b"b"]),
    # an option without a name is not,
    Row(b"lowerdir=a:b,=x", [b"a", b"b"], USAGE),
    # and an empty list is a mistake of its own, which the kernel takes for a reset.
    Row(b"lowerdir=,lowerdir=a:b", [b"a", b"b"], USAGE),
    Row(b"lowerdir=a:b,lowerdir=,lowerdir+=b,lowerdir+=a", [b"b", b"a"], USAGE),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ascii(row.options)[2:-1])
def test_each_row_is_read_as_the_kernel_reads_it(row: Row, both: Both) -> None:
    both.ordered.make([b"a", b"b", b"c"])
    layers = row.kernel if isinstance(row.kernel, list) else []
    if row.ours is None or row.ours == row.kernel:
        assert both.kernel(row.options, layers) == set(layers)
    else:
        both.ordered.make_stack(layers)
        kernel = set(layers) if layers else row.kernel
        assert kernel_alone(both, row.options) == kernel
    ours = both.typed(row.options)
    expected = row.kernel if row.ours is None else row.ours
    assert (ours.code or ours.below(both.base)) == expected, ours


def kernel_alone(both: Both, options: bytes | Settings) -> str | set[bytes]:
    """Where we are not expected to agree."""
    try:
        with both.ordered.mounted(options):
            return both.ordered.taken()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


# --------------------------------------------------------------------------------- any options

# Names are made of what the grammar is made of; no dots and slashes: they are made as directories.
PLAIN = [b"a", b"b", b" ", b"=", b"072", b"\n", b"\xff", b"\\:", b"\\,", b"\\\\"]
KEYS = [b"lowerdir", b"lowerdir+"]
OTHERS = [b"index=off", b"userxattr", b"metacopy=off", b"xino=off", b""]

name = st.lists(st.sampled_from([*PLAIN, b"\\"]), min_size=1, max_size=3).map(b"".join)
names = st.lists(name, min_size=2, max_size=4, unique=True)
text = st.lists(st.sampled_from([*PLAIN, b"\\", b",", b":", b"::"]), max_size=8).map(b"".join)
keyed = st.tuples(st.sampled_from(KEYS), st.one_of(names.map(b":".join), name, text))
one_by_one = names.map(lambda some: [(b"lowerdir+", one) for one in some])
keyed_lists = st.lists(st.one_of(keyed.map(lambda one: [one]), one_by_one), min_size=1, max_size=3)
settings_lists = keyed_lists.map(lambda lists: [one for some in lists for one in some])


def spelled(options: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    return [b"=".join(one) for one in options]


option_strings = st.one_of(
    st.tuples(settings_lists.map(spelled), st.lists(st.sampled_from(OTHERS), max_size=2))
    .flatmap(lambda both: st.permutations(both[0] + both[1]))
    .map(b",".join),
    st.tuples(st.sampled_from([b"lowerdir=a:", b"lowerdir="]), text).map(b"".join),
)


def split_options(options: bytes) -> list[bytes]:
    """At the commas without a backslash before them."""
    return re.findall(rb"(?:\\.|[^,\\]|\\\Z)+", options, re.DOTALL)


def is_tame(options: bytes) -> bool:
    """Without what the kernel accepts and we refuse (see the table)."""
    return not any(one == b"lowerdir=" or one[:1] == b"=" for one in split_options(options))


def agree(both: Both, ours: Layers, options: bytes | Settings, alone: Sequence[Layers]) -> None:
    """That the kernel does with OPTIONS what it should, given what we do with them. What each of
    them ALONE names is made, so that only grammar can be to blame, except for data."""
    data = DATA in (found.code for found in alone)
    for found in alone:
        both.ordered.make([] if found.code else found.below(both.base))
    if ours.code:
        assert ours.code in (USAGE, DATA), ours
        kernel = kernel_alone(both, options)
        assert data or kernel == "EINVAL", ours
        assert ours.code == DATA or isinstance(kernel, str), ours
        return
    layers = ours.below(both.base)
    if len(layers) == 1:
        expected: str | set[bytes] = "EINVAL"
    else:
        expected = set(layers) if len(set(layers)) == len(layers) else "ELOOP"
    assert both.kernel(options, layers) == expected


@search.repeat(250)
@given(options=option_strings.filter(is_tame))
def test_any_option_string_is_read_as_the_kernel_reads_it(both: Both, options: bytes) -> None:
    alone = [both.typed(one) for one in split_options(options)]
    agree(both, both.typed(options), options, alone)


def typed_value(both: Both, value: bytes) -> Layers:
    """Of a lowerdir= that fsconfig(2) would take: there a comma ends nothing."""
    return both.typed(b"lowerdir=" + re.sub(rb"(\\.)|,", escape_comma, value, flags=re.DOTALL))


def escape_comma(match: re.Match[bytes]) -> bytes:
    return match[1] or b"\\,"


def meant(both: Both, options: Settings) -> Layers:
    """What our reader would take, could one type all that fsconfig(2) takes."""
    layers: tuple[bytes, ...] = ()
    closed = False
    for key, value in options:
        if key == "lowerdir":
            found = typed_value(both, value)
            if found.code:
                return found
            layers, closed = found.paths, True
        elif closed:
            return Layers(code=USAGE)
        else:
            layers += (both.base + b"/" + value,)
    return Layers(layers)


@search.repeat(250)
@given(options=settings_lists.filter(lambda options: all(value for _, value in options)))
def test_any_fsconfig_settings_are_read_as_the_kernel_reads_them(
    both: Both, options: list[tuple[bytes, bytes]]
) -> None:
    """By fsconfig(2), whose mounts mountinfo shows in another way."""
    decoded = [(key.decode(), value) for key, value in options]
    alone = [meant(both, [one]) for one in decoded]
    agree(both, meant(both, decoded), decoded, alone)


# ------------------------------------------------------------------------------------------ limits


def padded(name: bytes, size: int) -> bytes:
    """Another path to NAME, of SIZE bytes."""
    path = b"./" * ((size - len(name)) // 2) + name
    return path if len(path) == size else b"." + b"/" + path[1:]


def normalised(layers: Layers, base: bytes) -> list[bytes]:
    return [os.path.normpath(path) for path in layers.below(base)]


def long_options(size: int) -> bytes:
    """SIZE bytes that end in two layers with names of one."""
    start = b"lowerdir=" + padded(b"a", 2000) + b":"
    return start + padded(b"b", size - len(start) - len(b":c:d")) + b":c:d"


@pytest.mark.parametrize(
    ("size", "kernel"),
    [(4095, {b"a", b"b", b"c", b"d"}), (4096, "EINVAL"), (4097, {b"a", b"b", b"c"})],
    ids=str,
)
def test_options_beyond_a_page_are_not_cut(both: Both, size: int, kernel: str | set[bytes]) -> None:
    """mount(2) cuts the rest off without a word; for us there is no limit."""
    options = long_options(size)
    assert len(options) == size
    both.ordered.make([b"a", b"b", b"c", b"d"])
    assert kernel_alone(both, options) == kernel
    assert normalised(both.typed(options), both.base) == [b"a", b"b", b"c", b"d"]


@pytest.mark.parametrize(("size", "kernel"), [(255, {b"a", b"b"}), (256, "EINVAL")], ids=str)
@pytest.mark.parametrize("key", ["lowerdir", "lowerdir+"])
def test_long_fsconfig_values_are_not_cut(
    both: Both, key: str, size: int, kernel: str | set[bytes]
) -> None:
    both.ordered.make([b"a", b"b"])
    if key == "lowerdir":
        options = [(key, b"b:" + padded(b"a", size - 2))]
    else:
        options = [(key, b"b"), (key, padded(b"a", size))]
    assert len(options[-1][1]) == size
    assert kernel_alone(both, options) == kernel
    typed = b",".join(key.encode() + b"=" + value for _, value in options)
    assert normalised(both.typed(typed), both.base) == [b"b", b"a"]


@pytest.mark.parametrize("count", [500, 501])
@pytest.mark.parametrize("key", ["lowerdir", "lowerdir+"])
def test_five_hundred_layers_are_read_in_order(both: Both, key: str, count: int) -> None:
    layers = [b"%d" % number for number in range(count)]
    one_by_one = [(key, layer) for layer in layers]
    typed = b"lowerdir=" + b":".join(layers)
    if key == "lowerdir+":
        typed = b",".join(b"lowerdir+=" + layer for layer in layers)
    assert both.typed(typed).below(both.base) == layers
    expected = set(layers) if count == 500 else "EINVAL"
    assert both.kernel(typed if key == "lowerdir" else one_by_one, layers) == expected


# ------------------------------------------------------------------------------------------- names

BYTES = [bytes([number]) for number in range(1, 256) if number != ord("/")]
EVERY = b"".join(BYTES)


def escaped(layer: bytes) -> bytes:
    return re.sub(rb"([\\:,])", rb"\\\1", layer)


def by_string(layers: Sequence[bytes]) -> bytes:
    return b"lowerdir=" + b":".join(map(escaped, layers))


def by_string_one_by_one(layers: Sequence[bytes]) -> bytes:
    return b",".join(b"lowerdir+=" + layer for layer in layers)


def by_settings(layers: Sequence[bytes]) -> Settings:
    """A comma needs no escape, and a backslash only of what it would else escape."""
    return [("lowerdir", b":".join(re.sub(rb"([\\:])", rb"\\\1", layer) for layer in layers))]


def by_settings_one_by_one(layers: Sequence[bytes]) -> Settings:
    return [("lowerdir+", layer) for layer in layers]


PATTERNS = {"alone": b"%b", "first": b"%bx", "last": b"x%b", "inside": b"x%bx", "twice": b"%b%b"}


def patterned(pattern: str) -> list[bytes]:
    """A name for each byte."""
    form = PATTERNS[pattern]
    found = [form.replace(b"%b", one) for one in BYTES]
    return [one for one in found if one not in (b".", b"..")]


def chunks(layers: list[bytes], spell: Any) -> Iterator[list[bytes]]:
    """Of as many layers as their longest option's limit lets go together."""
    if spell is by_settings_one_by_one:
        yield layers
        return
    size = 50 if spell is by_settings else 200
    for start in range(0, len(layers), size):
        yield [*layers[start : start + size], b"further", b"last"]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    "spell", [by_string, by_string_one_by_one, by_settings, by_settings_one_by_one]
)
def test_every_byte_of_a_name_is_read_as_the_kernel_reads_it(
    both: Both, spell: Any, pattern: str
) -> None:
    layers = patterned(pattern)
    if spell is by_string_one_by_one:  # which has no way to say some
        layers = [one for one in layers if b"," not in one and not one.endswith(b"\\")]
    for some in chunks(layers, spell):
        options = spell(some)
        if isinstance(options, bytes):
            assert both.typed(options).below(both.base) == some
        assert both.kernel(options, some) == set(some)


@pytest.mark.parametrize("spell", [by_string, by_settings_one_by_one])
def test_one_name_may_hold_every_byte(both: Both, spell: Any) -> None:
    for whole in (EVERY, EVERY[::-1]):
        some = [b"a", whole, b"b"]
        assert both.kernel(spell(some), some) == set(some)


any_name = st.one_of(
    st.binary(min_size=1, max_size=255),
    st.lists(st.sampled_from([*PLAIN, b",", b":", b"\\", b"\\054", b"#", b'"', b"'", b"\t"]),
             min_size=1, max_size=20).map(b"".join),
).filter(lambda one: one not in (b".", b"..") and not set(one) & set(b"\0/"))  # fmt: skip


@search.repeat(100)
@given(layers=st.lists(any_name, min_size=2, max_size=3, unique=True))
def test_any_name_is_read_as_the_kernel_reads_it(both: Both, layers: list[bytes]) -> None:
    typed = by_string(layers)
    assert both.typed(typed).below(both.base) == layers
    assert both.kernel(typed, layers) == set(layers)
    assert both.kernel(by_settings_one_by_one(layers), layers) == set(layers)


# -------------------------------------------------------------------------------- containerd's JSON

GO = {"type": "Type", "source": "Source", "target": "Target", "options": "Options"}

SHAPES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "go": lambda mount: [{GO[key]: value for key, value in mount.items()}],
    "lower-case": lambda mount: [mount],
    "protobuf": lambda mount: [{key: value for key, value in mount.items() if value}],
    "object": lambda mount: {"Mounts": [{GO[key]: value for key, value in mount.items()}]},
}


def to_json(value: Any, ascii_only: bool) -> bytes:
    """Bytes that are not UTF-8 as they are, which no encoder of containerd's would write."""
    return json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogateescape")


def listed(both: Both, options: Sequence[bytes], shape: str, ascii_only: bool = False) -> Layers:
    decoded = [option.decode("utf-8", "surrogateescape") for option in options]
    mount = {"type": "overlay", "source": "overlay", "target": "", "options": decoded}
    file = both.base + b"/mounts.json"
    Path(os.fsdecode(file)).write_bytes(to_json(SHAPES[shape](mount), ascii_only))
    return both.ours(b"--mounts=" + file)


@search.repeat(250)
@given(
    layers=st.lists(name, min_size=1, max_size=5),
    others=st.lists(st.sampled_from(OTHERS[:-1]), max_size=3),
    order=st.randoms(use_true_random=False),
    shape=st.sampled_from(sorted(SHAPES)),
)
def test_any_mount_of_containerd_is_read_as_typed(
    both: Both, layers: list[bytes], others: list[bytes], order: Any, shape: str
) -> None:
    """As containerd mounts it: the options are joined with commas, and no name is escaped."""
    options = [b"lowerdir=" + b":".join(layers), *others]
    order.shuffle(options)
    if len(split_options(b",".join(options))) != len(options):
        return  # A comma in a name makes an option that only a list may have.
    alone = [both.typed(option) for option in options]
    agree(both, listed(both, options, shape), b",".join(options), alone)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_byte_survives_json(both: Both, pattern: str, shape: str) -> None:
    layers = patterned(pattern)
    assert listed(both, [by_string(layers)], shape).below(both.base) == layers
    one_by_one = [b"lowerdir+=" + one for one in layers if b"," not in one]
    found = listed(both, one_by_one, shape).below(both.base)
    assert [b"lowerdir+=" + one for one in found] == one_by_one


@pytest.mark.parametrize("ascii_only", [False, True])
def test_every_letter_survives_json(both: Both, ascii_only: bool) -> None:
    """However JSON writes it; "\\u2028" and "<" are what Go escapes on its own."""
    for letters in ("äöü", "空間", "\U0001f600", "\u2028<>&", "\x7f\x80", "\u00a0"):
        layers = [letters.encode(), b"b"]
        assert listed(both, [by_string(layers)], "go", ascii_only).below(both.base) == layers
