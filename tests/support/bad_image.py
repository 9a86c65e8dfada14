# SPDX-License-Identifier: Apache-2.0
"""Images that are made to do harm, and what must come of them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import image
from .image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from .stack import File, Layer, Stack
from .view import Argument, View, call, refused

# Of memory in all: a call of a program under test goes through this, and no image may need more.
MEMORY = 32 << 20
LIMITED = ("prlimit", f"--as={MEMORY}", "--")


@dataclass(frozen=True)
class BadImage:
    """An image, and what a view of it shows at KERNEL_PATH; or with CODE, what the call that asks
    for it fails with, and what the message names (a regular expression)."""

    layers: Sequence[Layer]
    content: bytes = KERNEL
    code: str = ""
    naming: str = ""
    # Files made that large when the layers are there: (layer, path) and the size.
    sparse: Mapping[tuple[int, bytes], int] = field(default_factory=dict)

    def build(self, place: Path) -> bytes:
        """Make the layers; returns `lowerdir=`."""
        layers = Stack(self.layers).build(place / "layers")
        for (layer, path), size in self.sparse.items():
            os.truncate(os.path.join(layers[layer], path), size)
        return lowerdir(layers)


def artifact(*upper: Layer, **expected: object) -> BadImage:
    """A bad image on the unikernel's path: UPPER above a layer with all the rest. Its initrd is the
    innocent neighbour."""
    rest = {b"urunc.json": image.urunc_json(initrd=INITRD_PATH), INITRD_PATH.encode(): File(INITRD)}
    return BadImage([*upper, rest], **expected)


def peak_kib(view: View) -> int:
    """The most memory that any of a view's processes has had resident."""
    lines = [
        line
        for process in view.processes
        for line in (process.proc / "status").read_text().splitlines()
        if line.startswith("VmHWM:")
    ]
    return max(int(line.split()[1]) for line in lines)


def bytes_read(view: View) -> int:
    """What the daemon has read in all, from wherever."""
    (line,) = re.findall(r"^rchar: (\d+)$", (view.daemon.proc / "io").read_text(), re.MULTILINE)
    return int(line)


def is_refused(bad_image: BadImage, place: Path, *arguments: Argument) -> None:
    """That a call that asks for everything at once fails as it must."""
    (place / "view").mkdir()
    options = bad_image.build(place) + b",resolve=ready"
    finished = call("-o", options, *arguments, "none", place / "view", wrapper=LIMITED)
    refused(finished, bad_image.code, 32, bad_image.naming)


def bystander_lives(view: View) -> None:
    """That an artifact without fault is shown beside one that has one, and at little cost."""
    assert (view.root / INITRD_PATH).read_bytes() == INITRD
    assert os.listdir(view.root / os.path.dirname(INITRD_PATH)) == [os.path.basename(INITRD_PATH)]
    assert peak_kib(view) < MEMORY >> 10


def kernel_is(view: View, content: bytes) -> None:
    path = view.root / KERNEL_PATH
    assert path.read_bytes() == content
    assert os.lstat(path).st_size == len(content)
