# SPDX-License-Identifier: Apache-2.0
"""A urunc.json that is made to do harm."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from support import image
from support.bad_image import LIMITED, MEMORY, BadImage, bytes_read, is_refused, kernel_is, peak_kib
from support.image import INITRD, KERNEL, KERNEL_PATH, PREFIX
from support.stack import Blk, Chr, Dir, Entry, Fifo, File, Layer, Socket, Symlink, Whiteout
from support.view import View

SIZE_MAX = 1 << 20
TEBIBYTE = 1 << 40
GOOD = image.urunc_json().content
OTHER = image.urunc_json("/other").content


def bad_image(config: Entry | bytes, *lower: Layer, **expected: object) -> BadImage:
    """CONFIG at the top, the unikernel beside it."""
    entry = File(config) if isinstance(config, bytes) else config
    top = {b"urunc.json": entry, KERNEL_PATH.encode(): File(KERNEL), b"other": File(INITRD)}
    return BadImage([top, *lower], **expected)


def refused(config: Entry | bytes, naming: str, *lower: Layer, **how: object) -> BadImage:
    return bad_image(config, *lower, code="ECONFIG", naming="^/urunc.json" + naming, **how)


def absent(config: Entry | bytes, *lower: Layer) -> BadImage:
    return bad_image(config, *lower, code="ENOTAPPLICABLE", naming="^no /urunc.json in any of")


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def members(*pairs: tuple[str, str], rest: bytes = GOOD) -> bytes:
    """An object of PAIRS (whose texts are taken as they are) and, before them, what is in REST."""
    added = "".join(f',"{key}":"{value}"' for key, value in pairs)
    return rest.rstrip()[:-1] + added.encode() + b"}"


def beside(value: bytes) -> bytes:
    """A good configuration and a key of somebody else's."""
    return GOOD.rstrip()[:-1] + b',"other":' + value + b"}"


def padded(size: int) -> bytes:
    return GOOD + b" " * (size - len(GOOD))


def filled(value: bytes, size: int = SIZE_MAX) -> bytes:
    """As many VALUEs beside a good configuration as SIZE bytes can hold."""
    count = (size - len(beside(b"[]"))) // (len(value) + 1)
    return beside(b"[" + b",".join([value] * count) + b"]")


BINARY = PREFIX + "binary"

BOOTS: dict[str, BadImage] = {
    "largest": bad_image(padded(SIZE_MAX)),
    "one-large-string": bad_image(beside(b'"' + b"x" * 1_000_000 + b'"')),
    "one-large-key": bad_image(members(("x" * 1_000_000, ""))),
    "deepest": bad_image(beside(b"[" * 62 + b"]" * 62)),
    "not-utf-8": bad_image(beside(b'"\xff\xfe\xc0\x80"')),
    "lone-surrogate": bad_image(beside(rb'"\ud800"')),
    "escaped-nul-beside": bad_image(beside(rb'"a\u0000b"')),
    "duplicate-last-wins": bad_image(members((BINARY, coded(KERNEL_PATH)), rest=OTHER)),
    "duplicate-in-other-case": bad_image(members((BINARY.upper(), coded(KERNEL_PATH)), rest=OTHER)),
    "duplicate-of-nonsense": bad_image(
        members((BINARY, coded(KERNEL_PATH)), rest=members((BINARY, "!!"), rest=OTHER))
    ),
    "thousand-duplicates": bad_image(members(*[(BINARY, coded(KERNEL_PATH))] * 1000, rest=OTHER)),
    "unreadable-by-mode": bad_image(File(GOOD, mode=0)),
    "link-in-image": bad_image(Symlink(b"/etc/u.json"), {b"etc/u.json": File(GOOD)}),
    "link-upwards": bad_image(Symlink(b"../../../../etc/passwd"), {b"etc/passwd": File(GOOD)}),
    # The host has files of these names, too.
    "link-to-passwd-of-the-image": bad_image(Symlink(b"/etc/passwd"), {b"etc/passwd": File(GOOD)}),
    "link-to-proc-of-the-image": bad_image(Symlink(b"/proc/self/environ"), {b"proc/self/environ": File(GOOD)}),
    "link-to-fd-of-the-image": bad_image(Symlink(b"/dev/fd/3"), {b"dev/fd/3": File(GOOD)}),
    "huge-below": bad_image(GOOD, {b"urunc.json": File(b"")}, sparse={(1, b"urunc.json"): TEBIBYTE}),
    "fifo-below": bad_image(GOOD, {b"urunc.json": Fifo()}),
}  # fmt: skip

REFUSED: dict[str, BadImage] = {
    "one-byte-too-large": refused(padded(SIZE_MAX + 1), " is larger than 1048576 bytes"),
    "huge": refused(b"", " is larger than 1048576 bytes", sparse={(0, b"urunc.json"): TEBIBYTE}),
    "huge-and-good": refused(GOOD, " is larger than", sparse={(0, b"urunc.json"): TEBIBYTE}),
    "sparse": refused(b"", " is not JSON: a NUL byte at byte 0", sparse={(0, b"urunc.json"): SIZE_MAX}),
    "many-objects": refused(filled(b"{}"), " is not JSON: too many values"),
    "many-arrays": refused(filled(b"[]"), " is not JSON: too many values"),
    "many-numbers": refused(filled(b"1"), " is not JSON: too many values"),
    "many-keys": refused(members(*[(f"{n}", "") for n in range(80_000)]), " is not JSON: too many values"),
    "too-deep": refused(beside(b"[" * 64 + b"]" * 64), " is not JSON: nesting too deep"),
    "very-deep": refused(b"[" * SIZE_MAX, " is not JSON"),
    "very-deep-objects": refused(b'{"":' * (SIZE_MAX // 5), " is not JSON"),
    "very-deep-in-a-string": refused(b'"' + b"[" * (SIZE_MAX - 1), " is not JSON: unexpected end"),
    "only-commas": refused(b"," * SIZE_MAX, " is not JSON"),
    "only-backslashes": refused(b'"' + b"\\" * (SIZE_MAX - 1), " is not JSON"),
    "truncated": refused(GOOD[: len(GOOD) // 2], " is not JSON: unexpected end"),
    "truncated-by-one": refused(GOOD.rstrip()[:-1], " is not JSON: unexpected end"),
    "empty": refused(b"", " is not JSON: unexpected end"),
    "utf-16": refused(GOOD.decode().encode("utf-16"), " is not JSON"),
    "byte-order-mark": refused(b"\xef\xbb\xbf" + GOOD, " is not JSON"),
    "not-utf-8-in-a-value": refused(members((BINARY, "")).replace(b'binary":""', b'binary":"\xff"'), ": .*binary' is not standard base64"),
    "nul-at-the-end": refused(GOOD + b"\0", " is not JSON: a NUL byte"),
    "nul-in-a-value": refused(GOOD.replace(b": \"", b": \"\0", 1), " is not JSON: a NUL byte"),
    "escaped-nul-in-a-value": refused(members((BINARY, coded(KERNEL_PATH) + r"\u0000!")), ": .*binary' is not without a NUL byte"),
    "escaped-nul-in-a-key": refused(members((BINARY + r"\u0000x", coded("other"))), " is not JSON: a NUL in a key"),
    "escaped-nul-in-base64": refused(members((BINARY, coded("a\0b"))), ": .*binary' is not without a NUL byte"),
    "duplicate-last-is-nonsense": refused(members((BINARY, "!!")), ": .*binary' is not standard base64"),
    "two-texts": refused(GOOD + GOOD, " is not JSON"),
    "elf": refused(b"\x7fELF\2\1\1" + image.noise(4096), " is not JSON"),
    "directory": refused(Dir(), ": not a regular file"),
    "fifo": refused(Fifo(), ": not a regular file"),
    "socket": refused(Socket(), ": not a regular file"),
    "zero": refused(Chr(1, 5), ": not a regular file"),
    "terminal": refused(Chr(5, 0), ": not a regular file"),
    "disk": refused(Blk(0, 0), ": not a regular file"),
    "link-to-fifo": refused(Symlink(b"/pipe"), ": not a regular file", {b"pipe": Fifo()}),
    "link-to-root": refused(Symlink(b"/"), ": not a regular file"),
    "link-to-itself": refused(Symlink(b"urunc.json"), ": Too many levels of symbolic links"),
    "links-in-a-ring": refused(Symlink(b"/a"), ": Too many levels of symbolic links", {b"a": Symlink(b"urunc.json")}),
    "link-through-a-file": refused(Symlink(b"other/x"), ": Not a directory"),
    "link-too-long": refused(Symlink(b"x" * 256), ": File name too long"),
}  # fmt: skip

ABSENT: dict[str, BadImage] = {
    "whiteout": absent(Whiteout(), {b"urunc.json": File(GOOD)}),
    "dangling-link": absent(Symlink(b"nowhere"), {b"urunc.json": File(GOOD)}),
    "link-to-a-whiteout": absent(Symlink(b"gone"), {b"gone": Whiteout()}, {b"gone": File(GOOD)}),
    "link-to-the-hosts-passwd": absent(Symlink(b"/etc/passwd")),
    "link-upwards-to-the-hosts": absent(Symlink(b"../../../../../../../../etc/passwd")),
    "link-to-the-hosts-proc": absent(Symlink(b"/proc/self/exe")),
    "link-to-a-descriptor": absent(Symlink(b"/proc/self/fd/0")),
    "link-to-the-hosts-zero": absent(Symlink(b"/dev/zero")),
}

HARMFUL = {**REFUSED, **ABSENT}


@pytest.mark.parametrize("case", BOOTS.values(), ids=BOOTS.keys())
def test_a_valid_urunc_json_boots(place: Path, case: BadImage) -> None:
    with View(place / "view", "-o", case.build(place), wrapper=LIMITED) as view:
        kernel_is(view, case.content)
        assert not (view.root / "other").exists()
        assert os.path.isfile(view.root / "urunc.json")


@pytest.mark.parametrize("case", HARMFUL.values(), ids=HARMFUL.keys())
def test_a_bad_urunc_json_is_refused(place: Path, case: BadImage) -> None:
    is_refused(case, place)


@pytest.mark.parametrize("case", HARMFUL.values(), ids=HARMFUL.keys())
def test_a_bad_urunc_json_does_not_stop_a_view_with_binary(place: Path, case: BadImage) -> None:
    """With a binary= of the caller's it is looked into for an initrd only; a bad one is said."""
    expected = []
    if case.code == "ECONFIG":
        expected = [f"{case.naming.removeprefix('^')}.*; booting binary= without an initrd$"]
    options = case.build(place) + b",binary=" + KERNEL_PATH.encode()
    with View(place / "view", "-o", options, wrapper=LIMITED, expected=expected) as view:
        kernel_is(view, KERNEL)
        assert bytes_read(view) < 2 * SIZE_MAX + len(KERNEL)
        assert peak_kib(view) < MEMORY >> 11


def test_a_urunc_json_that_is_only_shown_is_not_read_whole(place: Path) -> None:
    """Shown, where nobody needs to understand it, as any other file."""
    options = bad_image(GOOD, sparse={(0, b"urunc.json"): TEBIBYTE}).build(place)
    options += b",initrd=/other,binary=/" + KERNEL_PATH.encode()
    with View(place / "view", "-o", options, wrapper=LIMITED) as view:
        assert (view.root / "urunc.json").stat().st_size == TEBIBYTE
        with open(view.root / "urunc.json", "rb", buffering=0) as file:
            assert file.read(len(GOOD)) == GOOD
            file.seek(TEBIBYTE - 10)
            assert file.read(100) == bytes(10)
        assert bytes_read(view) < SIZE_MAX
