# SPDX-License-Identifier: Apache-2.0
"""Artifacts whose paths lead where they should not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from support import image
from support.bad_image import LIMITED, BadImage, artifact, bystander_lives, is_refused, kernel_is
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH
from support.stack import (
    Blk,
    Chr,
    Dir,
    Entry,
    Fifo,
    File,
    Layer,
    Socket,
    Stack,
    Symlink,
    Whiteout,
)
from support.view import View

KERNEL_NAME = KERNEL_PATH.encode()
# Not what any file of the host holds.
MINE = image.noise(5000, "of the image")
TEBIBYTE = 1 << 40


def link(target: bytes, *layers: Layer, **expected: object) -> BadImage:
    """The unikernel is a link to TARGET, above LAYERS."""
    return artifact({KERNEL_NAME: Symlink(target)}, *layers, **expected)


def shown(target: bytes, *layers: Layer) -> BadImage:
    return link(target, *layers, content=MINE)


def missing(target: bytes, *layers: Layer) -> BadImage:
    naming = f"^binary '/{KERNEL_PATH}': not in any of"
    return link(target, *layers, code="ENOARTIFACT", naming=naming)


def unfit(target: bytes, naming: str, *layers: Layer) -> BadImage:
    return link(target, *layers, code="EARTIFACT", naming=f"^binary '/{KERNEL_PATH}': {naming}")


def chain(links: int) -> Layer:
    """That many links to a file, the first of them the unikernel."""
    names = [KERNEL_NAME, *(b"chain/%d" % n for n in range(1, links)), b"end"]
    layer: dict[bytes, Entry] = {
        name: Symlink(b"/" + target) for name, target in zip(names, names[1:])
    }
    return {**layer, b"end": File(MINE)}


def tower(height: int) -> Layer:
    """Links to links whose paths go through links: 2 to the power of HEIGHT if all were walked."""
    layer: dict[bytes, Entry] = {b"t0": Dir(), b"t0/kernel": File(MINE)}
    for n in range(1, height):
        layer[b"t%d" % n] = Symlink(b"t%d/../t%d/../t%d" % (n - 1, n - 1, n - 1))
    return {**layer, KERNEL_NAME: Symlink(b"/t%d/kernel" % (height - 1))}


MINE_AT = [
    b"etc/passwd", b"etc/shadow", b"proc/self/exe", b"proc/self/environ", b"proc/self/fd/0",
    b"proc/1/root/etc/passwd", b"proc/sys/kernel/core_pattern", b"dev/null", b"dev/fuse",
    b"dev/fd/0", b"sys/kernel/uevent_helper", b"run/secret", b"var/lib/containerd/meta.db",
]  # fmt: skip

SHOWN: dict[str, BadImage] = {
    **{f"absolute-{p.decode()}": shown(b"/" + p, {p: File(MINE)}) for p in MINE_AT},
    **{f"upwards-{p.decode()}": shown(b"../" * 20 + p, {p: File(MINE)}) for p in MINE_AT[:3]},
    "through-a-link-to-proc": shown(b"/p/self/exe", {b"p": Symlink(b"/proc")}, {b"proc/self/exe": File(MINE)}),
    "upwards-beyond-the-root": shown(b"/../../../../x", {b"x": File(MINE)}),
    "upwards-in-the-middle": shown(b"/a/../../../b/../x", {b"a": Dir(), b"b": Dir(), b"x": File(MINE)}),
    "upwards-is-physical": shown(b"/l/../x", {b"l": Symlink(b"a/b")}, {b"a/b": Dir(), b"a/x": File(MINE), b"x": File(b"lexical")}),
    "doubled-slashes": shown(b"//x///y", {b"x/y": File(MINE)}),
    "forty-links": artifact(chain(40), content=MINE),
    "longest-name": shown(b"/" + b"n" * 255, {b"n" * 255: File(MINE)}),
    "longest-body": shown(b"/" * 4094 + b"x", {b"x": File(MINE)}),
    "bodies-do-not-add-up": shown(b"./" * 2000 + b"a", {b"unikernel/a": Symlink(b"./" * 2000 + b"../d"), b"d": Symlink(b"./" * 2000 + b"x")}, {b"x": File(MINE)}),
    "directory-links": artifact({b"unikernel": Symlink(b"/etc")}, {b"etc/kernel": File(MINE)}, content=MINE),
    "fifo-below": artifact({KERNEL_NAME: File(MINE)}, {KERNEL_NAME: Fifo()}, content=MINE),
    "link-below": artifact({KERNEL_NAME: File(MINE)}, {KERNEL_NAME: Symlink(b"/etc/passwd")}, content=MINE),
    "device-in-the-way-below": artifact({b"unikernel": Dir(), KERNEL_NAME: File(MINE)}, {b"unikernel": Chr(1, 5)}, content=MINE),
    "without-a-mode": artifact({KERNEL_NAME: File(MINE, mode=0)}, content=MINE),
}  # fmt: skip

MISSING: dict[str, BadImage] = {
    **{f"absolute-{p.decode()}": missing(b"/" + p) for p in MINE_AT},
    **{f"upwards-{p.decode()}": missing(b"../" * 20 + p) for p in MINE_AT[:3]},
    "magic-root": missing(b"/proc/self/root/etc/passwd"),
    "magic-cwd": missing(b"/proc/self/cwd/kernel"),
    "magic-namespace": missing(b"/proc/self/ns/mnt"),
    "like-a-magic-link": missing(b"/proc/self/exe", {b"proc/self/exe": Symlink(b"pipe:[1]")}),
    "deleted": missing(b"/x", {b"x": Whiteout()}, {b"x": File(b"old")}),
    "upwards-from-what-is-missing": missing(b"/gone/../x", {b"x": File(b"lexical")}),
    "below-a-file": missing(b"/x/y", {b"x": File(b"")}),
    "upwards-from-a-file": missing(b"/x/../y", {b"x": File(b""), b"y": File(b"")}),
    "a-file-with-a-slash": missing(b"/x/", {b"x": File(b"")}),
    "below-a-fifo": missing(b"/x/y", {b"x": Fifo()}, {b"x/y": File(b"")}),
    "below-a-device": missing(b"/x/y", {b"x": Chr(1, 5)}, {b"x/y": File(b"")}),
}  # fmt: skip

REFUSED: dict[str, BadImage] = {
    "directory": unfit(b"/etc", "a directory", {b"etc": Dir()}),
    "root": unfit(b"/", "a directory"),
    "upwards-to-the-root": unfit(b"../..", "a directory"),
    "null": unfit(b"/dev/null", "a device", {b"dev/null": Chr(1, 3)}),
    "zero": unfit(b"/dev/zero", "a device", {b"dev/zero": Chr(1, 5)}),
    "terminal": unfit(b"/dev/tty", "a device", {b"dev/tty": Chr(5, 0)}),
    "tape": unfit(b"/dev/st0", "a device", {b"dev/st0": Chr(9, 0)}),
    "watchdog": unfit(b"/dev/watchdog", "a device", {b"dev/watchdog": Chr(10, 130)}),
    "disk": unfit(b"/dev/sda", "a device", {b"dev/sda": Blk(8, 0)}),
    "block-whiteout": unfit(b"/x", "a device", {b"x": Blk(0, 0)}),
    "fifo": unfit(b"/pipe", "a FIFO", {b"pipe": Fifo()}),
    "socket": unfit(b"/socket", "a socket", {b"socket": Socket()}),
    "forty-one-links": artifact(chain(41), code="EARTIFACT", naming="Too many levels of symbolic links"),
    "empty": artifact({KERNEL_NAME: File(b"")}, code="EARTIFACT", naming="is empty"),
    "ring": unfit(b"kernel", "Too many levels"),
    "ring-of-directories": unfit(b"/a/x", "Too many levels", {b"a": Symlink(b"b"), b"b": Symlink(b"a")}),
    "ring-across-layers": unfit(b"/a", "Too many levels", {b"a": Symlink(b"/b")}, {b"b": Symlink(b"/unikernel/kernel")}),
    "growing-ring": unfit(b"/a/x", "Too many levels", {b"a": Symlink(b"a/a")}),
    "tower": artifact(tower(30), code="EARTIFACT", naming="Too many levels"),
    "name-too-long": unfit(b"/" + b"n" * 256, "File name too long"),
    "name-far-too-long": unfit(b"n" * 4095, "File name too long"),
    "redirect": artifact({b"unikernel": Dir(marks=(("redirect", b"/etc"),))}, {b"etc/kernel": File(MINE)}, code="EARTIFACT", naming="redirect or metacopy"),
    "redirect-upwards": artifact({b"unikernel": Dir(marks=(("redirect", b"../../etc"),))}, code="EARTIFACT", naming="redirect or metacopy"),
    "redirect-of-64-KiB": artifact({b"unikernel": Dir(marks=(("redirect", b"/" + b"a" * 2000),))}, code="EARTIFACT", naming="redirect or metacopy"),
    "metacopy": artifact({KERNEL_NAME: File(b"x", marks=(("metacopy", b""), ("redirect", b"/etc/passwd")))}, {b"etc/passwd": File(MINE)}, code="EARTIFACT", naming="redirect or metacopy"),
    **{f"forbidden-{name!r}": unfit(b"/" + name, "the path may hold only", {name: File(MINE)})
       for name in [b"a b", b"a,b", b"a:b", b"a\nb", b"a;b", b"$(id)", b"a\\b", b"\xff", "ä".encode(), b"a=b", b"\x1b[2J"]},
}  # fmt: skip

HARMFUL = {**MISSING, **REFUSED}


@pytest.mark.parametrize("case", SHOWN.values(), ids=SHOWN.keys())
@pytest.mark.parametrize("resolve", ["lazy", "ready"])
def test_a_path_inside_the_image_is_shown(place: Path, case: BadImage, resolve: str) -> None:
    options = case.build(place) + b",resolve=" + resolve.encode()
    with View(place / "view", "-o", options, foreground=True, wrapper=LIMITED) as view:
        kernel_is(view, case.content)
        bystander_lives(view)


@pytest.mark.parametrize("case", HARMFUL.values(), ids=HARMFUL.keys())
def test_an_unfit_path_is_refused(place: Path, case: BadImage) -> None:
    is_refused(case, place)


@pytest.mark.parametrize("case", HARMFUL.values(), ids=HARMFUL.keys())
def test_a_path_to_nothing_is_an_error(place: Path, case: BadImage) -> None:
    """A lazy view says so when it is asked, and shows the others."""
    expected = ["^urunc-viewfs: " + case.naming.removeprefix("^")]
    if not case.naming.startswith("^"):
        expected = [case.naming]
    options = case.build(place)
    with View(
        place / "view", "-o", options, foreground=True, wrapper=LIMITED, expected=expected
    ) as view:
        with pytest.raises(FileNotFoundError):
            os.stat(view.root / KERNEL_PATH)
        assert os.listdir(view.root / "unikernel") == []
        bystander_lives(view)


# The paths themselves.


def deep(size: int) -> str:
    """A path of SIZE bytes, of the longest names."""
    parts = ["d" * 255] * (size // 256)
    rest = size - 256 * len(parts)
    if rest:
        parts[-1:] = [parts[-1][: 255 - (rest == 1)], "k" * (rest - 1 or 1)]
    return "".join("/" + part for part in parts)


def make_deep(root: bytes, path: str, content: bytes) -> None:
    """The file PATH below ROOT, however long PATH is."""
    *parents, name = path.strip("/").split("/")
    at = os.open(root, os.O_PATH | os.O_DIRECTORY)
    for parent in parents:
        os.mkdir(parent, dir_fd=at)
        below = os.open(parent, os.O_PATH | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    with open(os.open(name, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=at), "wb") as file:
        file.write(content)
    os.close(at)


def open_deep(root: Path, path: str) -> int:
    *parents, name = path.strip("/").split("/")
    at = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        for parent in parents:
            below = os.open(parent, os.O_PATH | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        return os.open(name, os.O_RDONLY, dir_fd=at)
    finally:
        os.close(at)


@pytest.mark.parametrize("size", [4094, 4095])
def test_the_longest_path_is_shown(place: Path, size: int) -> None:
    path = deep(size)
    assert len(path) == size
    layer = Stack([{b"urunc.json": image.urunc_json(path)}]).build(place / "layers")
    make_deep(layer[0], path, MINE)
    options = image.lowerdir(layer) + b",resolve=ready"
    with View(place / "view", "-o", options, wrapper=LIMITED) as view:
        with open(open_deep(view.root, path), "rb") as file:
            assert file.read() == MINE


@pytest.mark.parametrize(
    ("path", "naming"),
    [
        # What urunc takes, and no kernel: a path of theirs ends in a NUL within 4096 bytes.
        # The message has room for no more than the path.
        (deep(4096), "^binary '/ddd"),
        (deep(4097), "^binary '/ddd"),
        ("/" + "n" * 256, "File name too long"),
        ("/" + "n" * 4000, "File name too long"),
        ("/" + "n" * 100_000, "^binary '/nnn"),
    ],
    ids=["4096", "4097", "name-256", "name-4000", "100000"],
)
def test_a_path_that_is_too_long_is_rejected(place: Path, path: str, naming: str) -> None:
    config = image.urunc_json(path, initrd=INITRD_PATH)
    layer = {b"urunc.json": config, INITRD_PATH.encode(): File(INITRD)}
    is_refused(BadImage([layer], code="EARTIFACT", naming=naming), place)


def test_a_name_that_is_too_long_is_not_there(place: Path) -> None:
    path = "/" + "n" * 256
    config = image.urunc_json(path, initrd=INITRD_PATH)
    layer = {b"urunc.json": config, INITRD_PATH.encode(): File(INITRD)}
    options = BadImage([layer]).build(place)
    with View(
        place / "view", "-o", options, foreground=True, expected=["File name too long"]
    ) as view:
        with pytest.raises(OSError) as raised:
            os.stat(str(view.root) + path)
        assert raised.value.errno in (errno.ENOENT, errno.ENAMETOOLONG)
        assert set(os.listdir(view.root)) == {"urunc.json", "boot"}
        bystander_lives(view)


def test_a_path_of_two_thousand_directories_is_shown(place: Path) -> None:
    """2047 of them in one path: none is looked for more than once a request."""
    path = "/d" * 2047
    layer = Stack([{b"urunc.json": image.urunc_json(path)}]).build(place / "layers")
    with View(place / "view", "-o", image.lowerdir(layer), wrapper=LIMITED) as view:
        found = os.open(view.root, os.O_PATH | os.O_DIRECTORY)
        try:
            for _ in range(2046):
                assert "d" in os.listdir(f"/proc/self/fd/{found}")
                below = os.open("d", os.O_PATH | os.O_DIRECTORY, dir_fd=found)
                os.close(found)
                found = below
            assert os.listdir(f"/proc/self/fd/{found}") == []
        finally:
            os.close(found)


def test_an_artifact_of_a_tebibyte_costs_only_what_is_read(place: Path) -> None:
    """Is shown as it is, and costs what is read of it."""
    case = artifact({KERNEL_NAME: File(KERNEL)}, sparse={(0, KERNEL_NAME): TEBIBYTE})
    for passthrough in (b"auto", b"off"):
        options = b",passthrough=" + passthrough
        bad_image = case.build(place / passthrough.decode()) + options
        with View(place / "view", "-o", bad_image, wrapper=LIMITED) as view:
            assert os.stat(view.root / KERNEL_PATH).st_size == TEBIBYTE
            with open(view.root / KERNEL_PATH, "rb", buffering=0) as file:
                assert file.read(len(KERNEL)) == KERNEL
                assert os.pread(file.fileno(), 100, TEBIBYTE - 50) == bytes(50)
            bystander_lives(view)
