# SPDX-License-Identifier: Apache-2.0
"""Views of version 0.1.0, whose program is built from the history: they know no question."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import image, machine, scratch, skipping
from support.control import ID, listed, viewfsctl
from support.image import KERNEL, KERNEL_PATH, lowerdir
from support.old_program import build_old
from support.view import call, run
from support.waiting import wait_until


@pytest.fixture(scope="session")
def old_program(private_mounts: None) -> Iterator[Path]:
    parent, reason = scratch.find()
    if parent is None:
        skipping.skip(f"nowhere to build: {reason}")
    with scratch.directory(parent) as place:
        yield build_old(place, "fuse/urunc-viewfs") / "urunc-viewfs"


@pytest.fixture
def option(place: Path) -> bytes:
    """lowerdir= of the usual image."""
    return lowerdir(image.usual().build(place / "layers"))


@pytest.fixture
def at(place: Path, option: bytes, old_program: Path) -> Iterator[Path]:
    """Where an old view is mounted."""
    mountpoint = place / "view"
    mountpoint.mkdir()
    assert run(old_program, f"--id={ID}", "-o", option, "none", mountpoint).status == 0
    try:
        yield mountpoint
    finally:
        viewfsctl("umount", mountpoint)
        wait_until(lambda: not machine.processes(), "the daemon to end")
        machine.bury()


def told(at: Path) -> dict[str, Any]:
    (found,) = listed()
    assert found["mountpoint"] == str(at)
    return found


def test_an_old_view_is_listed_as_alive_with_an_unknown_version(at: Path) -> None:
    """And its title decides nothing: its id is not known."""
    view = told(at)
    assert (view["state"], view["version"], view["id"]) == ("alive", None, None)
    (daemon,) = machine.processes()
    assert view["pid"] == daemon.pid
    assert viewfsctl("umount", f"--id={ID}").status == 0
    assert (at / KERNEL_PATH).read_bytes() == KERNEL


def test_an_old_view_is_emount_for_the_same_call(at: Path, option: bytes) -> None:
    finished = call(f"--id={ID}", "-o", option, "none", at)
    assert (finished.status, finished.code) == (32, "EMOUNT")
    assert (at / KERNEL_PATH).read_bytes() == KERNEL


def test_an_old_view_is_unmounted_and_ended(at: Path) -> None:
    assert viewfsctl("umount", at).status == 0
    assert machine.mounts_at(at) == []
    wait_until(lambda: not machine.processes(), "the daemon to end")


@pytest.mark.parametrize("stop", [False, True])
def test_a_dead_old_view_is_collected_and_a_stopped_one_is_kept(at: Path, stop: bool) -> None:
    (daemon,) = machine.processes()
    daemon.signal(signal.SIGSTOP if stop else signal.SIGKILL)
    if stop:
        wait_until(lambda: daemon.stat()[0] == "T", "it to stop")
    else:
        wait_until(lambda: not machine.processes(), "it to die")
    assert told(at)["state"] == ("not answering" if stop else "dead")
    removed = f"removed dead view '{at}'\n" in viewfsctl("gc").stdout
    assert removed is not stop
    assert len(machine.mounts_at(at)) == (1 if stop else 0)
    if stop:
        os.kill(daemon.pid, signal.SIGCONT)
