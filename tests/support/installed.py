# SPDX-License-Identifier: Apache-2.0
"""The programs where mount(8) and mount.fuse3 look for them, and mount(8) itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import image, machine, namespace, scratch, skipping
from .image import INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from .resolver import build_directory
from .view import Argument, Finished, run, tree
from .waiting import wait_until

# The last two are a subtype of mount(8)'s, for which it would run mount.fuse and mount.fuse3.
TYPES = ["urunc-viewfs", "fuse.urunc-viewfs", "fuse3.urunc-viewfs"]

USUAL_TREE = {"urunc.json", "unikernel/", KERNEL_PATH, "boot/", INITRD_PATH}
SILENCE = Finished(0, "", "")


@pytest.fixture(scope="module")
def installed(private_mounts: None) -> Iterator[None]:
    """In /usr/sbin, as meson installs them, laid over what is there for this process alone."""
    parent, reason = scratch.find()
    if parent is None:
        skipping.skip(reason)
    with scratch.directory(parent) as place:
        place.chmod(0o755)
        meson = ["meson", "install", "-C", build_directory(), "--no-rebuild", "--quiet"]
        subprocess.run([*meson, "--destdir", place], check=True, stdout=subprocess.DEVNULL)
        layers = f"lowerdir={place}/usr/sbin:/usr/sbin"
        namespace.mount("overlay", "/usr/sbin", "overlay", namespace.MS_RDONLY, layers)
        try:
            yield
        finally:
            namespace.unmount("/usr/sbin")


@pytest.fixture
def at(place: Path) -> Path:
    mountpoint = place / "view"
    mountpoint.mkdir()
    return mountpoint


@pytest.fixture
def option(place: Path) -> bytes:
    """lowerdir= of the usual image."""
    return lowerdir(image.usual().build(place / "layers"))


def mount(*arguments: Argument, **how: Any) -> Finished:
    return run("mount", *arguments, **how)


def umount(at: Path) -> None:
    """All that is mounted, which is a view at AT."""
    assert run("umount", at) == SILENCE
    wait_until(lambda: not machine.processes(), "the daemon to end")
    assert machine.mounts() == []


def assert_mounted(at: Path, source: bytes = b"none") -> None:
    """A view of the usual image, once."""
    (found,) = machine.mounts_at(at)
    assert found.type == "fuse.urunc-viewfs"
    assert found.source == source
    assert {"ro", "nosuid", "nodev", "noexec"} <= found.options
    assert tree(at) == USUAL_TREE
    assert (at / KERNEL_PATH).read_bytes() == KERNEL
