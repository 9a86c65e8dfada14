# SPDX-License-Identifier: Apache-2.0
"""The container that the tests of the contract with a shim create: its image, its mounts, and the
one daemon that serves its view."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from . import image, machine
from .image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH
from .monitor import Monitor, digest
from .waiting import wait_until

BOX = "web-1"
NAMESPACES = ("default", "k8s.io")
NOBODY = 65534

CONTENT = {
    KERNEL_PATH: KERNEL,
    INITRD_PATH: INITRD,
    "urunc.json": image.urunc_json(initrd="/" + INITRD_PATH).content,
}


def rootfs(layers: list[bytes]) -> list[dict[str, Any]]:
    """LAYERS as an active snapshot's mounts, in the words of Go's type."""
    options = [
        "index=off",
        "workdir=/nowhere/work",
        "upperdir=/nowhere/fs",
        image.lowerdir(layers).decode(),
    ]
    return [{"Type": "overlay", "Source": "overlay", "Target": "", "Options": options}]


def assert_serves(view: Path) -> None:
    assert {path: (view / path).read_bytes() for path in CONTENT} == CONTENT


def read_all(monitor: Monitor) -> None:
    for path, content in CONTENT.items():
        assert monitor.digest(monitor.open(f"/{path}")) == digest(content)


def daemon() -> machine.Process:
    """The only one."""
    (process,) = machine.processes()
    return process


def kill_daemon() -> None:
    daemon().signal(signal.SIGKILL)
    wait_until(lambda: not machine.processes(), "the daemon to die")
