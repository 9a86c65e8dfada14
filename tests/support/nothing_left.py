# SPDX-License-Identifier: Apache-2.0
"""What every test of the programs has: nothing before it, and nothing after it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import machine, namespace, skipping
from .view import program
from .waiting import wait_until

# Far more than any test takes, if it is not marked takes_up_to(SECONDS): whoever then still hangs in
# a view is set free, and fails.
WATCHDOG_SECONDS = 120


@pytest.fixture(scope="session", autouse=True)
def _own_places(private_mounts: None) -> Iterator[None]:
    """A /run of our own, which must stay as it is; fusectl, to free what hangs."""
    if not os.path.exists("/dev/fuse"):
        skipping.skip("no /dev/fuse")
    if not program().exists():
        skipping.skip(f"not built: {program()}")
    machine.adopt_orphans()
    with namespace.tmpfs("/run"):
        os.mkdir("/run/mount")  # mount(8)'s own
        # Copies of the machine's: here they would only keep its daemons alive, and be counted.
        for mount in reversed(machine.mounts()):
            namespace.unmount(mount.mountpoint)
        if not os.path.exists("/sys/fs/fuse/connections/.") or not machine.mounts("fusectl"):
            namespace.mount("fusectl", "/sys/fs/fuse/connections", "fusectl")
        yield


@pytest.fixture(autouse=True)
def _nothing_left(_own_places: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """No process, no mount and no file of a view may be left by a test."""
    marker = request.node.get_closest_marker("takes_up_to")
    watchdog = threading.Timer(marker.args[0] if marker else WATCHDOG_SECONDS, machine.abort_views)
    watchdog.start()
    try:
        yield
        wait_until(lambda: not machine.processes(), "all processes to end", 5)
        assert machine.mounts() == []
        assert os.listdir("/run") == ["mount"]
    finally:
        watchdog.cancel()
        left = machine.sweep()
        machine.bury()
        if left:
            print("swept away:", *left, sep="\n  ")


@pytest.fixture
def place(layer_directory: Path) -> Path:
    """A directory for layers and mountpoints that other users may pass through."""
    layer_directory.chmod(0o755)
    return layer_directory
