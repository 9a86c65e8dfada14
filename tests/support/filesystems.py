# SPDX-License-Identifier: Apache-2.0
"""Filesystems of many kinds, each holding the same tree."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from . import namespace, skipping
from .overlay import escape
from .stack import Layer, build_layer
from .waiting import wait_until

MIB = 1 << 20

# Called with a place, a layer and a name; gives the directory that then holds the layer.
Maker = Callable[[Path, Layer, str], AbstractContextManager[Path]]


def run(*command: str | Path) -> None:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, f"{command}: {finished.stderr}"


def output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def need(program: str) -> None:
    if not shutil.which(program):
        skipping.skip(f"no {program}")


def need_filesystem(name: str) -> None:
    """Ask the kernel; it may have to load it first."""
    if not any(line.split()[-1] == name for line in open("/proc/filesystems", encoding="ascii")):
        subprocess.run(["modprobe", name], capture_output=True, check=False)
    if not any(line.split()[-1] == name for line in open("/proc/filesystems", encoding="ascii")):
        skipping.skip_kernel(f"no {name}")


@contextmanager
def mounted(source: str | Path, at: Path, fstype: str, options: str = "loop") -> Iterator[Path]:
    at.mkdir(exist_ok=True)
    run("mount", "-t", fstype, "-o", options, source, at)
    try:
        yield at
    finally:
        namespace.unmount(str(at))


def image_file(place: Path, name: str, size: int) -> Path:
    """An empty one, without blocks, in PLACE."""
    path = place / f"{name}.img"
    with open(path, "wb") as file:
        file.truncate(size)
    return path


def _made(mkfs: Sequence[str], size: int) -> Maker:
    """A filesystem that is written to once it is mounted."""

    @contextmanager
    def make(place: Path, layer: Layer, name: str) -> Iterator[Path]:
        fstype = mkfs[0].removeprefix("mkfs.")
        need(mkfs[0])
        need_filesystem(fstype)
        image = image_file(place, name, size)
        run(*mkfs, image)
        with mounted(image, place / name, fstype):
            build_layer(layer, os.fsencode(place / name / "layer"))
            yield place / name / "layer"

    return make


def _packed(*command: str) -> Maker:
    """A filesystem that is made of a tree: COMMAND gets TREE and IMAGE."""

    @contextmanager
    def make(place: Path, layer: Layer, name: str) -> Iterator[Path]:
        fstype = {"mksquashfs": "squashfs", "mkfs.erofs": "erofs"}[command[0]]
        need(command[0])
        need_filesystem(fstype)
        with mounted(packed(place, layer, name, *command), place / name, fstype):
            yield place / name

    return make


def packed(place: Path, layer: Layer, name: str, *command: str) -> Path:
    tree, image = place / f"{name}.tree", place / f"{name}.img"
    build_layer(layer, os.fsencode(tree))
    names = {"TREE": str(tree), "IMAGE": str(image)}
    run(*(names.get(word, word) for word in command))
    return image


_SQUASH = ("mksquashfs", "TREE", "IMAGE", "-noappend", "-quiet", "-no-progress")


@contextmanager
def _squashfuse(place: Path, layer: Layer, name: str) -> Iterator[Path]:
    need("squashfuse")
    need("mksquashfs")
    image = packed(place, layer, name, *_SQUASH)
    (place / name).mkdir()
    run("squashfuse", "-o", "allow_other", image, place / name)
    try:
        yield place / name
    finally:
        namespace.unmount(str(place / name))


@contextmanager
def _tmpfs(place: Path, layer: Layer, name: str) -> Iterator[Path]:
    (place / name).mkdir()
    with namespace.tmpfs(str(place / name)):
        build_layer(layer, os.fsencode(place / name / "layer"))
        yield place / name / "layer"


@contextmanager
def _disk(place: Path, layer: Layer, name: str) -> Iterator[Path]:
    build_layer(layer, os.fsencode(place / name))
    yield place / name


@contextmanager
def _bind(place: Path, layer: Layer, name: str) -> Iterator[Path]:
    build_layer(layer, os.fsencode(place / f"{name}.tree"))
    (place / name).mkdir()
    namespace.mount(str(place / f"{name}.tree"), str(place / name), None, 0x1000)
    try:
        yield place / name
    finally:
        namespace.unmount(str(place / name))


@contextmanager
def _subvolume(place: Path, layer: Layer, name: str) -> Iterator[Path]:
    """btrfs, with subvolumes for the directories at the top."""
    need("btrfs")
    need_filesystem("btrfs")
    image = image_file(place, name, 128 * MIB)
    run("mkfs.btrfs", "-q", image)
    with mounted(image, place / name, "btrfs"):
        run("btrfs", "subvolume", "create", place / name / "layer")
        tops = {path.split(b"/")[0] for path in layer if b"/" in path}
        for top in tops:
            run("btrfs", "subvolume", "create", place / name / "layer" / os.fsdecode(top))
        build_layer(layer, os.fsencode(place / name / "layer"))
        yield place / name / "layer"


def _overlay_on(lower: Maker) -> Maker:
    @contextmanager
    def make(place: Path, layer: Layer, name: str) -> Iterator[Path]:
        with ExitStack() as stack:
            below = stack.enter_context(lower(place, layer, name + ".lower"))
            empty = place / f"{name}.empty"
            empty.mkdir()
            (place / name).mkdir()
            layers = b":".join(escape(os.fsencode(p)) for p in (empty, below))
            namespace.mount("overlay", str(place / name), "overlay", 1, b"lowerdir=" + layers)
            stack.callback(namespace.unmount, str(place / name))
            yield place / name

    return make


_overlay = _overlay_on(_disk)

# How deep each is stacked already, for the kernel's count.
DEPTH = {"overlay": 1, "overlay-on-overlay": 2}

MAKERS: dict[str, Maker] = {
    "disk": _disk,
    "bind": _bind,
    "ext4": _made(["mkfs.ext4", "-q", "-F"], 16 * MIB),
    "xfs": _made(["mkfs.xfs", "-q"], 320 * MIB),
    "btrfs": _made(["mkfs.btrfs", "-q"], 128 * MIB),
    "btrfs-subvolumes": _subvolume,
    "tmpfs": _tmpfs,
    "squashfs": _packed(*_SQUASH),
    "erofs": _packed("mkfs.erofs", "--quiet", "IMAGE", "TREE"),
    "squashfuse": _squashfuse,
    "overlay": _overlay,
    "overlay-on-overlay": _overlay_on(_overlay),
}


@contextmanager
def filesystem(kind: str, place: Path, layer: Layer, name: str) -> Iterator[Path]:
    """LAYER on a filesystem of KIND, in PLACE under NAME and names that begin with it; gives the
    directory."""
    with MAKERS[kind](place, layer, name) as path:
        yield path


# Commands that make an empty filesystem, and the least it needs.
WRITABLE: dict[str, tuple[Sequence[str], int]] = {
    "ext4": (["mkfs.ext4", "-q", "-F"], 4 * MIB),
    "xfs": (["mkfs.xfs", "-q"], 320 * MIB),
    "btrfs": (["mkfs.btrfs", "-q"], 128 * MIB),
}


@contextmanager
def writable(
    kind: str, at: Path, size: int = 0, options: str = "", mkfs: Sequence[str] = ()
) -> Iterator[Path]:
    """An empty filesystem of KIND, tmpfs or of WRITABLE, at AT (made), of SIZE bytes or as few as
    it takes."""
    at.mkdir()
    if kind == "tmpfs":
        options = ",".join(filter(None, [f"size={size or MIB}", options]))
        run("mount", "-t", kind, "-o", options, kind, at)
        try:
            yield at
        finally:
            unmount_idle(at)
        return
    command, least = WRITABLE[kind]
    need(command[0])
    need_filesystem(kind)
    image = image_file(at.parent, at.name, max(size, least))
    run(*command, *mkfs, image)
    run("mount", "-t", kind, "-o", ",".join(filter(None, ["loop", options])), image, at)
    try:
        yield at
    finally:
        unmount_idle(at)
        image.unlink()


def unmount_idle(at: Path) -> None:
    """Unmount what is at AT as soon as no process uses it: what a view had open is closed a moment
    after the view's end."""

    def is_unmounted() -> bool:
        try:
            namespace.unmount(str(at), 0)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    wait_until(is_unmounted, f"{at} to be idle")
