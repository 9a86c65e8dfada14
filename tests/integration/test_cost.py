# SPDX-License-Identifier: Apache-2.0
"""What a view costs: layers times the depth of the paths, whatever the layers hold."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from support import image
from support.calls import Calls, traced
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.view import View

FILES = 2000
DIRECTORIES = (b"", b"unikernel", b"boot")

# Names between a layer's root and the artifacts, urunc.json twice: it is read, and it is shown.
DEPTH = sum(path.count("/") + 1 for path in ("urunc.json", "urunc.json", KERNEL_PATH, INITRD_PATH))

# What does not depend on the layers.
CONSTANT = 12


def trace(place: Path, layers: list[bytes], *arguments: str) -> Calls:
    """Mount a view, read everything, unmount it."""

    def live(wrapper: list[str | Path]) -> None:
        with View(
            place / "view", "-o", lowerdir(layers), *arguments, foreground=True, wrapper=wrapper
        ) as view:
            assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
            assert (view.root / INITRD_PATH).read_bytes() == INITRD
            assert len((view.root / "urunc.json").read_bytes()) > 0
            assert sorted(os.listdir(view.root)) == ["boot", "unikernel", "urunc.json"]

    return traced(place, "%file,%desc", live)


@pytest.mark.parametrize("resolve", ["lazy", "ready"])
@pytest.mark.parametrize("count", [20, 100])
def test_calls_are_limited_by_layers_times_depth(place: Path, count: int, resolve: str) -> None:
    layers = image.crowded(count, 0).build(place / "layers")
    for layer in (layers[0], layers[count // 2], layers[-1]):
        fill(layer)
    calls = trace(place, layers, "-o", "resolve=" + resolve)
    below = str(place / "layers")
    opened = [*calls.of("openat2"), *calls.of("openat", below), *calls.of("open", below)]
    assert len(opened) <= count * (DEPTH + 1) + CONSTANT
    assert calls.of("getdents64", below) == []
    # Every other call on a layer is one for each that was opened, at most: to look at it, to read
    # its marks, to close it.
    looked = [line for line in calls.lines if below in line and not re.search(r"\bclose\(", line)]
    assert len(looked) <= 4 * len(opened) + CONSTANT


def fill(layer: bytes) -> None:
    """Thousands of other files, beside the artifacts."""
    first = os.path.join(layer, b"file")
    os.close(os.open(first, os.O_CREAT, 0o644))
    for directory in filter(os.path.isdir, (os.path.join(layer, d) for d in DIRECTORIES)):
        for n in range(FILES):
            # Names are what a directory is searched for; new inodes would only take time.
            os.link(first, os.path.join(directory, b"f%d" % n))


def test_the_crowd_costs_nothing(place: Path) -> None:
    """The very same calls, in number, for empty layers and for full ones."""
    layers = image.crowded(20, 0).build(place / "layers")
    options = ["-o", "resolve=ready"]
    before = trace(place, layers, *options)
    for layer in layers[:5]:
        fill(layer)
    after = trace(place, layers, *options)
    below = str(place / "layers")
    for name in ("openat2", "openat", "newfstatat", "statx", "getxattr", "fgetxattr"):
        assert len(after.of(name, below)) == len(before.of(name, below)), name


def test_mounting_lazily_opens_no_artifact(place: Path) -> None:
    """Not even one: only the configuration is looked for before the view is announced."""
    layers = image.crowded(20, 0).build(place / "layers")
    calls = trace(place, layers, "-o", "resolve=lazy")
    (mounted,) = (
        n for n, line in enumerate(calls.lines) if re.search(r"\bmove_mount\(", line)
    )
    early = calls.lines[:mounted]
    artifacts = re.compile(r'"(unikernel|kernel|boot|initrd\.img)"')
    assert list(filter(artifacts.search, early)) == []
