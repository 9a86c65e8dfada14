# SPDX-License-Identifier: Apache-2.0
"""Layers on every kind of filesystem, alone and mixed."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import image
from support.bad_image import LIMITED, bytes_read
from support.filesystems import DEPTH, MAKERS, filesystem
from support.image import INITRD, INITRD_PATH, KERNEL_PATH, lowerdir
from support.stack import File
from support.view import View, call, refused

# Larger than all that the daemon reads of its own.
KERNEL = image.noise(2_000_003, "large")
TOO_DEEP = "its layer is on too many stacked filesystems"
FALLBACK = f"^urunc-viewfs: no passthrough, reading through this process: {TOO_DEEP}"

LAYER: dict[bytes, File] = {
    b"urunc.json": image.urunc_json(initrd=INITRD_PATH),
    KERNEL_PATH.encode(): File(KERNEL, mode=0o750, uid=12, gid=34),
    INITRD_PATH.encode(): File(INITRD),
}
# Not in that order, so that the layers of a mixed stack are all needed.
PARTS = [{path: entry} for path, entry in LAYER.items()]

KINDS = list(MAKERS)


def content_is_right(view: View) -> None:
    assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
    assert (view.root / INITRD_PATH).read_bytes() == INITRD
    assert (view.root / "urunc.json").read_bytes() == LAYER[b"urunc.json"].content
    st = os.lstat(view.root / KERNEL_PATH)
    assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o550, 12, 34)


@pytest.mark.parametrize("passthrough", ["auto", "off"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_on_each_filesystem_is_served(place: Path, kind: str, passthrough: str) -> None:
    through = passthrough == "auto" and DEPTH.get(kind, 0) < 2
    expected = [FALLBACK] if passthrough == "auto" and not through else []
    with ExitStack() as stack:
        layer = stack.enter_context(filesystem(kind, place, LAYER, "fs"))
        options = lowerdir([os.fsencode(layer)]) + f",passthrough={passthrough}".encode()
        with View(place / "view", "-o", options, foreground=True, expected=expected,
                  wrapper=LIMITED) as view:  # fmt: skip
            before = bytes_read(view)
            content_is_right(view)
            # The evidence: whether the daemon saw the content.
            assert (bytes_read(view) - before < len(KERNEL)) == through
            assert view.ready["passthrough"] == (passthrough == "auto")


def test_passthrough_on_fails_where_a_layer_is_stacked_too_deep(place: Path) -> None:
    with filesystem("overlay-on-overlay", place, LAYER, "fs") as layer:
        options = lowerdir([os.fsencode(layer)]) + b",passthrough=on"
        (place / "view").mkdir()
        finished = call("-o", options, "none", place / "view")
        naming = f"passthrough=on, but '/urunc.json' cannot be passed through: {TOO_DEEP}"
        refused(finished, "EMOUNT", 32, naming)


@pytest.mark.parametrize("kinds", [
    ["ext4", "xfs", "btrfs"], ["tmpfs", "squashfs", "erofs"], ["squashfuse", "disk", "overlay"],
    ["overlay", "overlay-on-overlay", "disk"], ["btrfs-subvolumes", "overlay-on-overlay", "tmpfs"],
], ids="+".join)  # fmt: skip
def test_layers_on_different_filesystems_are_served(place: Path, kinds: list[str]) -> None:
    """An artifact that cannot be passed through does not keep another from it."""
    deep = any(DEPTH.get(kind, 0) > 1 for kind in kinds)
    with ExitStack() as stack:
        layers = [
            os.fsencode(stack.enter_context(filesystem(kind, place, part, f"fs{n}")))
            for n, (kind, part) in enumerate(zip(kinds, PARTS))
        ]
        with View(place / "view", "-o", lowerdir(layers), foreground=True,
                  expected=[FALLBACK] if deep else [], wrapper=LIMITED) as view:  # fmt: skip
            content_is_right(view)
            assert view.ready["passthrough"] is True
            # What is not passed through stays open.
            files = [path for path in view.daemon.descriptors().values() if os.path.isfile(path)]
            assert len(files) == sum(DEPTH.get(kind, 0) > 1 for kind in kinds)
