# SPDX-License-Identifier: Apache-2.0
"""viewfsctl gc: what nobody needs any more goes, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support import image, machine, namespace
from support.control import kill, stopped, viewfsctl, without_note
from support.image import KERNEL, KERNEL_PATH, lowerdir
from support.view import Finished, View, call, program, run
from support.waiting import SECONDS, wait_until

MS_BIND = 0x1000


@pytest.fixture
def option(place: Path) -> bytes:
    """lowerdir= of the usual image."""
    return lowerdir(image.usual().build(place / "layers"))


def gc(*words: str, **how: object) -> Finished:
    return without_note(viewfsctl("gc", *words, **how))


def removed(*places: Path) -> Finished:
    return Finished(0, "".join(f"removed dead view '{place}'\n" for place in places), "")


def test_gc_without_views_says_nothing(place: Path, option: bytes) -> None:
    assert gc() == removed()
    with View(place / "view", "-o", option) as view:
        assert gc() == removed()
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_gc_removes_dead_views(place: Path, option: bytes) -> None:
    views = [View(place / f"view-{n}", "-o", option) for n in range(3)]
    with views[0] as first, views[1] as live, views[2] as last:
        kill(first)
        kill(last)
        assert gc() == removed(last.root, first.root)
        assert (live.root / KERNEL_PATH).read_bytes() == KERNEL
        assert machine.mounts_at(first.root) == machine.mounts_at(last.root) == []
        assert gc() == removed()


def test_a_dry_run_names_dead_views_and_removes_none(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view:
        kill(view)
        for _ in range(2):
            said = f"would remove dead view '{view.root}'\n"
            assert gc("--dry-run") == Finished(0, said, "")
        assert len(machine.mounts_at(view.root)) == 1
        assert gc() == removed(view.root)


def test_all_dead_views_of_a_stack_are_removed(place: Path, option: bytes) -> None:
    """One can only be asked, and taken away, when the one above it is gone."""
    with View(place / "view", "-o", option) as view, View(place / "other", "-o", option) as other:
        for _ in range(2):
            namespace.mount(str(other.root), str(view.root), None, MS_BIND)
        kill(view)
        kill(other)
        finished = gc()
        assert (finished.status, finished.stderr) == (0, "")
        assert sorted(finished.stdout.splitlines()) == sorted(
            removed(view.root, view.root, view.root, other.root).stdout.splitlines()
        )
        assert machine.mounts() == []


def test_a_dead_view_below_a_live_one_stays(place: Path, option: bytes) -> None:
    """It cannot be reached."""
    with View(place / "view", "-o", option) as view, View(place / "other", "-o", option) as other:
        namespace.mount(str(other.root), str(view.root), None, MS_BIND)
        kill(view)
        assert gc() == removed()
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        namespace.unmount(str(view.root))
        assert gc() == removed(view.root)


def test_bound_files_of_a_dead_view_are_removed(place: Path, option: bytes) -> None:
    (place / "file").touch()
    with View(place / "view", "-o", option) as view:
        namespace.mount(str(view.root / KERNEL_PATH), str(place / "file"), None, MS_BIND)
        kill(view)
        assert gc() == removed(place / "file", view.root)


def test_other_filesystems_stay(place: Path) -> None:
    """A dead FUSE mount that is no view is not ours."""
    connection = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    (place / "dead").mkdir()
    options = f"fd={connection},rootmode=40000,user_id=0,group_id=0"
    namespace.mount("dead", str(place / "dead"), "fuse.other", 0, options)
    os.close(connection)
    try:
        assert gc() == removed()
        assert len(machine.mounts("fuse.other")) == 1
    finally:
        namespace.unmount(str(place / "dead"))


def test_a_view_that_does_not_answer_stays(place: Path, option: bytes) -> None:
    """Neither a stopped view nor one whose process is not seen is dead; nobody waits for them."""
    with View(place / "view", "-o", option) as view, machine.silent_fuse(place / "silent"):
        with stopped(view):
            start = time.monotonic()
            assert gc() == removed()
            wrapper = ["unshare", "--pid", "--fork", "--mount-proc", "--"]
            assert without_note(run(*wrapper, program("viewfsctl"), "gc")) == removed()
            assert time.monotonic() - start < 10
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_a_live_view_is_never_removed(place: Path, option: bytes) -> None:
    """While another call replaces the dead one, at any moment."""
    at = place / "view"
    at.mkdir()
    for _ in range(15):
        assert call("-o", option, "none", at).status == 0
        (daemon,) = machine.processes()
        daemon.signal(signal.SIGKILL)
        wait_until(lambda: not machine.processes(), "it to die")
        collecting = subprocess.Popen([program("viewfsctl"), "gc"], stdout=subprocess.DEVNULL)
        assert call("-o", option, "none", at).status == 0
        assert collecting.wait(SECONDS) == 0
        assert (at / KERNEL_PATH).read_bytes() == KERNEL
        namespace.unmount(str(at), 0)
        wait_until(lambda: not machine.processes(), "the daemon to end")
        machine.bury()


def test_gc_without_privilege_names_what_it_cannot_remove(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view:
        kill(view)
        finished = gc(user="nobody")
        assert finished == Finished(
            32, "", f"viewfsctl: unmount '{view.root}': Operation not permitted\n"
        )


def test_names_are_printed_without_control_characters(place: Path, option: bytes) -> None:
    with View(place / "a\x1b[31m\n", "-o", option) as view:
        kill(view)
        assert gc().stdout == f"removed dead view '{place}/a\\033[31m\\012'\n"
