# SPDX-License-Identifier: Apache-2.0
"""What every test here has: nothing before it, and nothing after it; shims, and a container."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import image, machine, namespace
from support.go import go
from support.nothing_left import _nothing_left, _own_places, place  # noqa: F401
from support.shim import DIRECTORY, EXAMPLE, Direct, Example, Shim
from support.task import BOX, NAMESPACES, rootfs


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """The example, built."""
    directory = tmp_path_factory.mktemp("example")
    assert go(EXAMPLE, "build", "-o", directory / "shim", "./shim") == ""
    return Example(directory / "shim")


@pytest.fixture(params=["direct", "example"])
def shim(request: pytest.FixtureRequest) -> Shim:
    return Direct() if request.param == "direct" else request.getfixturevalue("example")


@pytest.fixture(scope="module", autouse=True)
def _shared_run(_own_places: None) -> Iterator[None]:
    """What is mounted below /run reaches other mount namespaces, as on a machine with systemd."""
    namespace.mount("none", "/run", None, namespace.MS_SHARED)
    yield
    namespace.mount("none", "/run", None, namespace.MS_PRIVATE)


@pytest.fixture(autouse=True)
def _no_mountpoint_left(_nothing_left: None) -> Iterator[None]:
    """The directories for views stay, and nothing in them."""
    yield
    mounts = machine.mounts()
    for mount in reversed(mounts):
        namespace.unmount(mount.mountpoint)
    mountpoints = [path for of in NAMESPACES for path in (DIRECTORY / of).glob("*")]
    for directory in (DIRECTORY, Path("/run/containerd")):
        shutil.rmtree(directory, ignore_errors=True)
    assert (mounts, mountpoints) == ([], [])


@pytest.fixture
def bundle() -> Path:
    """A bundle where containerd puts them, with a root for the monitor where urunc makes it."""
    path = Path("/run/containerd/io.containerd.runtime.v2.task/default", BOX)
    (path / "rootfs").mkdir(parents=True)
    (path / "monRootfs").mkdir()
    (path / "config.json").write_text('{"root": {"path": "rootfs"}}')
    return path


@pytest.fixture
def mounts(place: Path) -> list[dict[str, Any]]:
    """What a task is to be created of, when its image is the usual one."""
    return rootfs(image.usual().build(place / "layers"))
