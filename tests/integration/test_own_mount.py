# SPDX-License-Identifier: Apache-2.0
"""A call mounts where its mountpoint was, and removes no mount but its own."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import machine, namespace
from support.image import KERNEL, KERNEL_PATH
from support.injection import injecting
from support.view import Finished, View, call, program, refused
from support.waiting import SECONDS, wait_until


@contextmanager
def lifeline() -> Iterator[tuple[int, Callable[[], None]]]:
    """The end for a call, and what cuts it."""
    reader, writer = os.pipe()
    ends = [reader, writer]

    def cut() -> None:
        while ends:
            os.close(ends.pop())

    try:
        yield reader, cut
    finally:
        cut()


# What a supervisor removes


@contextmanager
def supervised(at: Path, option: bytes, how: str) -> Iterator[Callable[[], None]]:
    """A view at AT, and what ends it: by its lifeline, or by a signal in the foreground."""
    at.mkdir(exist_ok=True)

    def gone() -> bool:
        return not any(machine.is_alive(process.pid) for process in started)

    with lifeline() as (reader, cut):
        arguments = [f"--lifeline={reader}", "-o", option, "none", at]
        if how == "lifeline":
            assert call(*arguments, pass_fds=[reader]).status == 0
            started = machine.processes()

            def end() -> None:
                cut()
                wait_until(gone, "the view's processes to end")

            yield end
            return
        ready, told = os.pipe()
        command = [program(), "-f", f"--ready-fd={told}", *arguments]
        with subprocess.Popen(command, pass_fds=[reader, told]) as process, os.fdopen(ready) as line:
            os.close(told)
            assert line.readline()
            started = machine.processes()

            def end() -> None:
                process.terminate()
                assert process.wait(SECONDS) == 0
                wait_until(gone, "the view's processes to end")

            yield end


HOW = pytest.mark.parametrize("how", ["lifeline", "foreground"])


@HOW
def test_a_strangers_mount_over_a_view_stays(place: Path, option: bytes, how: str) -> None:
    at = place / "view"
    with supervised(at, option, how) as end:
        with namespace.tmpfs(str(at)):
            (at / "data").write_text("precious")
            end()
            assert (at / "data").read_text() == "precious"
    # The view below it could not be removed, but it has ended.
    with pytest.raises(OSError, match="not connected"):
        os.listdir(at)
    namespace.unmount(str(at))


@HOW
def test_another_view_at_the_same_place_stays(place: Path, option: bytes, how: str) -> None:
    """The first one was unmounted, and lives on for a file that is open."""
    at = place / "view"
    with supervised(at, option, how) as end:
        first = len(machine.processes())
        with open(at / KERNEL_PATH, "rb"):
            namespace.unmount(str(at))
            assert call("--id=second", "-o", option, "none", at).status == 0
            wait_until(lambda: len(machine.processes()) == first + 1, "the second call to end")
            end()
            assert (at / KERNEL_PATH).read_bytes() == KERNEL
        namespace.unmount(str(at), 0)


@HOW
@pytest.mark.parametrize("moved", ["the mount", "its parent"])
def test_a_view_that_was_moved_is_removed_there(
    place: Path, option: bytes, how: str, moved: str
) -> None:
    """And what stands at its old path by then is not."""
    parent, other = place / "parent", place / "other"
    parent.mkdir()
    at = parent / "view"
    with supervised(at, option, how) as end:
        if moved == "the mount":
            other.mkdir()
            namespace.mount(str(at), str(other), None, namespace.MS_MOVE)
        else:
            parent.rename(other)
            parent.mkdir()
            at.mkdir()
        with namespace.tmpfs(str(at)):
            (at / "data").write_text("precious")
            end()
            assert (at / "data").read_text() == "precious"
        assert machine.mounts() == []


def test_a_foreground_view_that_was_unmounted_ends_the_call(place: Path, option: bytes) -> None:
    """The supervisor holds nothing that would keep umount(8) from it."""
    at = place / "view"
    for how in ("lifeline", "foreground"):
        with supervised(at, option, how):
            namespace.unmount(str(at), 0)
            wait_until(lambda: not machine.processes(), "all processes to end")


# Where a call mounts


def delayed(place: Path, meanwhile: Callable[[], None], *arguments: object) -> Finished:
    """A call, during which MEANWHILE is done: just before it attaches its mount."""
    log = place / "log"
    log.touch()
    wrapper = injecting(log, "move_mount:delay_enter=400000")
    with ThreadPoolExecutor() as pool:
        made = pool.submit(call, *arguments, wrapper=wrapper)
        # Its session has been started by then; strace writes a call when it begins.
        wait_until(lambda: "move_mount(" in log.read_text(), "the call to attach")
        meanwhile()
        return made.result()


def test_a_parent_that_was_swapped_fails_the_call(place: Path, option: bytes) -> None:
    """A user who owns a parent cannot have a view put elsewhere and called ready."""
    parent = place / "parent"
    at = parent / "view"
    at.mkdir(parents=True)
    (place / "decoy/view").mkdir(parents=True)

    def swap() -> None:
        parent.rename(place / "gone")
        (place / "decoy").rename(parent)

    finished = delayed(place, swap, "-o", option, "none", at)
    refused(finished, "EMOUNT", 32, f"^mountpoint '{at}': moved, replaced or covered while mount")


def test_a_mount_that_came_first_stays_alone(place: Path, option: bytes) -> None:
    at = place / "view"
    at.mkdir()
    finished = delayed(
        place, lambda: namespace.mount("tmpfs", str(at), "tmpfs"), "-o", option, "none", at
    )
    try:
        refused(finished, "EMOUNT", 32, f"^mountpoint '{at}': moved, replaced or covered while")
    finally:
        namespace.unmount(str(at), 0)
    assert not os.path.ismount(at)


def test_the_same_view_that_came_first_is_reused(place: Path, option: bytes) -> None:
    """Also where a stranger's lock keeps the calls from waiting for each other."""
    at = place / "view"
    at.mkdir()
    stranger = os.open(at, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(stranger, fcntl.LOCK_EX)
        calls = [
            subprocess.Popen([program(), "--id=a", "-o", option, "none", at]) for _ in range(4)
        ]
        assert [process.wait(SECONDS) for process in calls] == [0] * 4
    finally:
        os.close(stranger)
    assert len(machine.mounts_at(at)) == 1
    wait_until(lambda: len(machine.processes()) == 1, "one view to be left")
    namespace.unmount(str(at), 0)


@pytest.mark.parametrize("length", [255, 256, 5000])
def test_a_long_source_is_shortened_and_said(place: Path, option: bytes, length: int) -> None:
    long = length > 255
    expected = ["SOURCE is longer than 255 bytes: mountinfo shows its beginning"] if long else []
    with View(place / "view", "-o", option, source="x" * length, expected=expected) as view:
        assert view.mount.source == (b"x" * 252 + b"..." if long else b"x" * 255)


def test_a_mount_is_as_mount_2_makes_it(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option, source="a,b\\c d") as view:
        assert view.mount.source == b"a,b\\c d"
        assert {"ro", "nosuid", "nodev", "noexec", "relatime"} == view.mount.options
        assert set(view.mount.super_options) == {
            b"ro", b"user_id=0", b"group_id=0", b"default_permissions", b"allow_other",
        }  # fmt: skip


# What a finished call holds


@pytest.mark.parametrize("life", [False, True])
def test_a_call_that_found_its_view_holds_nothing(place: Path, option: bytes, life: bool) -> None:
    """umount(8) right after it is not kept waiting."""
    at = place / "view"
    at.mkdir()
    with lifeline() as (reader, _):
        words = [f"--lifeline={reader}"] if life else []
        for _ in range(60):
            command = [program(), *words, "-o", option, "none", at]
            for _ in range(2):
                assert subprocess.run(command, pass_fds=[reader], check=False).returncode == 0
            namespace.unmount(str(at), 0)
            wait_until(lambda: not machine.processes(), "the view to end")


def test_a_view_holds_nothing_of_its_mountpoints_filesystem(place: Path, option: bytes) -> None:
    """By the time that the call is back."""
    (place / "disk").mkdir()
    for _ in range(20):
        namespace.mount("tmpfs", str(place / "disk"), "tmpfs")
        (place / "disk/view").mkdir()
        with View(place / "disk/view", "-o", option):
            pass
        namespace.unmount(str(place / "disk"), 0)


def test_a_found_view_that_is_covered_ends_by_its_process(place: Path, option: bytes) -> None:
    """Another call's view is not this one's child, and its mount cannot be reached."""
    with View(place / "view", "-o", option) as view, lifeline() as (reader, cut):
        words = [f"--lifeline={reader}", "-o", option, "none", view.root]
        assert call(*words, pass_fds=[reader]).status == 0
        with namespace.tmpfs(str(view.root)):
            view.status = -signal.SIGTERM
            cut()
            wait_until(lambda: not machine.processes(), "both processes to end")
            assert _type_at(view.root) == "tmpfs"
        assert machine.mounts_at(view.root)
        namespace.unmount(str(view.root))


def _type_at(at: Path) -> str:
    return [m.type for m in machine.mounts(None) if m.mountpoint == os.fsencode(at)][-1]
