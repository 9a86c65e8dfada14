"""The programs where mount(8) and mount.fuse3 look for them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from . import namespace, scratch, skipping
from .resolver import build_directory


@pytest.fixture(scope="module")
def installed(private_mounts: None) -> Iterator[None]:
    """In /usr/sbin, as meson installs them, laid over what is there for this process alone."""
    parent, reason = scratch.find()
    if parent is None:
        skipping.skip(reason)
    with scratch.directory(parent) as place:
        meson = ["meson", "install", "-C", build_directory(), "--no-rebuild", "--quiet"]
        subprocess.run([*meson, "--destdir", place], check=True, stdout=subprocess.DEVNULL)
        layers = f"lowerdir={place}/usr/sbin:/usr/sbin"
        namespace.mount("overlay", "/usr/sbin", "overlay", namespace.MS_RDONLY, layers)
        try:
            yield
        finally:
            namespace.unmount("/usr/sbin")
