# SPDX-License-Identifier: Apache-2.0
"""What SOURCE and --bundle name: overlays and binds that are mounted, and views of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

from . import namespace
from .image import INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from .view import View, tree

USUAL_TREE = {"urunc.json", "unikernel/", KERNEL_PATH, "boot/", INITRD_PATH}


def ready(place: Path, *arguments: str | bytes | Path, **how: Any) -> View:
    return View(place / "view", "-o", "resolve=ready", *arguments, **how)


def assert_usual(view: View) -> None:
    """All three layers were found, in their order."""
    assert tree(view.root) == USUAL_TREE
    assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
    assert [a["layer"] for a in view.ready["artifacts"]] == [0, 1, 2]


@contextmanager
def bind(directory: bytes, at: Path, read_only: bool = False) -> Iterator[None]:
    namespace.mount(directory, str(at), None, namespace.MS_BIND)
    try:
        if read_only:
            flags = namespace.MS_BIND | namespace.MS_REMOUNT | namespace.MS_RDONLY
            namespace.mount("none", str(at), None, flags)
        yield
    finally:
        namespace.unmount(str(at))


@contextmanager
def overlay(
    at: Path, layers: list[bytes], *options: str, cwd: str | Path = "/"
) -> Iterator[Path]:
    """An overlay of the kernel's by mount(2), called in CWD."""
    at.mkdir(exist_ok=True)
    flags = 0 if any(o.startswith("upperdir=") for o in options) else namespace.MS_RDONLY
    data = b",".join([lowerdir(layers), *map(os.fsencode, options)])
    with chdir(cwd):
        namespace.mount("overlay", str(at), "overlay", flags, data)
    try:
        yield at
    finally:
        namespace.unmount(str(at))


def make_bundle(place: Path, annotations: object = None, path: object = "rootfs") -> Path:
    """A bundle whose rootfs is a directory that nothing is mounted at yet."""
    bundle = place / "bundle"
    (bundle / "rootfs").mkdir(parents=True)
    config: dict[str, Any] = {"ociVersion": "1.0.2", "root": {"path": path}}
    if annotations is not None:
        config["annotations"] = annotations
    (bundle / "config.json").write_text(json.dumps(config))
    return bundle
