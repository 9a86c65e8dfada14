# SPDX-License-Identifier: Apache-2.0
"""The same call again: it finds the view that shows the same, and no other one."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import filesystems, image, machine, namespace
from support.answer import settled
from support.control import kill, listed_at, stopped
from support.image import KERNEL_PATH, lowerdir
from support.injection import injecting
from support.seccomp_deny import deny
from support.stack import File, Stack, build_layer
from support.view import Finished, View, call, program
from support.waiting import wait_until


@pytest.fixture
def option(place: Path) -> bytes:
    """lowerdir= of the usual image."""
    return lowerdir(image.usual().build(place / "layers"))


def test_options_that_show_nothing_do_not_matter(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view:
        others = b",passthrough=off,timeout=7,cache=none,noatime"
        assert call("-o", option + others, "none", view.root).status == 0


def test_a_resolved_view_is_told_again_as_it_was_told(place: Path, option: bytes) -> None:
    """The very line."""
    at = place / "view"
    at.mkdir()
    first = call("--id=a\\", "-o", option + b",resolve=ready", "none", at)
    for _ in range(3):
        assert call("--id=a\\", "-o", option, "none", at).ready_text == first.ready_text
    namespace.unmount(str(at), 0)
    wait_until(lambda: not machine.processes(), "the daemon to end")
    machine.bury()


@pytest.mark.parametrize("first, second", [("a\x1b", "a\\033"), ("a\\033", "a\x1b"), ("\x9b", "\\302\\233")])
def test_ids_are_compared_as_they_are(place: Path, option: bytes, first: str, second: str) -> None:
    """Not as they are shown."""
    with View(place / "view", f"--id={first}", "-o", option) as view:
        finished = call(f"--id={second}", "-o", option, "none", view.root)
        assert (finished.status, finished.code) == (32, "EMOUNT")
        assert call(f"--id={first}", "-o", option, "none", view.root).status == 0


def test_a_stopped_view_is_no_success(place: Path, option: bytes) -> None:
    """It does not answer, and the call says so in time."""
    with View(place / "view", "-o", option) as view:
        with stopped(view):
            finished = call("-o", option, "none", view.root)
            assert (finished.status, finished.code) == (32, "EMOUNT")
            assert "does not answer" in finished.stderr
        assert call("-o", option, "none", view.root).status == 0


def test_a_view_that_dies_while_it_is_asked_is_replaced(place: Path, option: bytes) -> None:
    seen: set[int] = set()

    def is_asked() -> bool:
        """Whether it is dead has been asked by one process, and what it is by another."""
        seen.update(process.pid for process in machine.processes())
        return len(seen) >= len(["view", "launcher", "server", "first asker", "second asker"])

    with View(place / "view", "-o", option) as view:
        view.daemon.signal(signal.SIGSTOP)
        with ThreadPoolExecutor() as pool:
            made = pool.submit(call, "--id=new", "-o", option, "none", view.root)
            wait_until(is_asked, "the view to be asked")
            kill(view)
        assert (made.result().status, made.result().stderr) == (0, "")
        assert made.result().ready["id"] == "new"
        namespace.unmount(str(view.root), 0)
        wait_until(lambda: not machine.processes(), "the new view's daemon to end")
    machine.bury()


STRANGER = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), getattr(fcntl, sys.argv[2]))
print("locked", flush=True)
sys.stdin.read()
"""
USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
TOGETHER = 4
# A lock delays a call by a fifth of a second. What is above this is the machine's.
DELAY_MAX = 2


def calls_together(at: Path, option: bytes) -> float:
    """The seconds that some calls take for one view, which is removed again."""
    start = time.monotonic()
    with ThreadPoolExecutor(TOGETHER) as pool:
        calls = list(pool.map(lambda _: call("--id=a", "-o", option, "none", at), range(TOGETHER)))
    elapsed = time.monotonic() - start
    assert [finished.status for finished in calls] == [0] * TOGETHER, calls
    assert len(machine.mounts_at(at)) == 1
    wait_until(lambda: len(machine.processes()) == 1, "the other calls' servers to end")
    namespace.unmount(str(at), 0)
    wait_until(lambda: not machine.processes(), "the daemon to end")
    machine.bury()
    return elapsed


@pytest.mark.parametrize("lock", ["LOCK_EX", "LOCK_SH"])
def test_a_strangers_lock_neither_delays_calls_nor_stacks_views(
    place: Path, option: bytes, lock: str
) -> None:
    """Any user who may read the mountpoint may lock it: the lock of calls only saves work."""
    free, at = place / "free", place / "view"
    free.mkdir(mode=0o755)
    at.mkdir(mode=0o755)
    with subprocess.Popen(
        [*USER, sys.executable, "-c", STRANGER, at, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as stranger:
        assert stranger.stdin and stranger.stdout and stranger.stdout.readline() == b"locked\n"
        elapsed = [(calls_together(free, option), calls_together(at, option)) for _ in range(5)]
        stranger.stdin.close()
    quick, delayed = map(min, zip(*elapsed))
    assert delayed - quick < DELAY_MAX


class Steps:
    """A call that stops before it attaches its mount, and after."""

    def __init__(self, place: Path, name: str, option: bytes) -> None:
        self.log = place / name
        self.log.touch()
        self._at = place / "view"
        self._option = option
        self._stops = 0

    def run(self) -> Finished:
        # With setsid(2) it leaves its caller, whose view is mounted then.
        steps = ["fsmount:signal=SIGSTOP", "move_mount:signal=SIGSTOP", "setsid:delay_exit=0"]
        words = ["--id=a", "-o", self._option + b",timeout=60", "none", self._at]
        return call(*words, wrapper=injecting(self.log, *steps))

    def _stopped(self) -> list[str]:
        return re.findall(r"^(\d+) .*stopped by SIGSTOP", self.log.read_text(), re.MULTILINE)

    def wait(self) -> None:
        wait_until(lambda: len(self._stopped()) > self._stops, f"{self.log.name} to stop")

    def go_on(self) -> None:
        self.wait()
        os.kill(int(self._stopped()[self._stops]), signal.SIGCONT)
        self._stops += 1


@pytest.mark.parametrize("leaves", ["the top", "the middle"])
def test_calls_that_mount_at_once_leave_the_first_ones_view(
    place: Path, option: bytes, leaves: str
) -> None:
    """Each has seen the place free. The first may find its view covered, and the second one's may
    be covered when it is to go."""
    at = place / "view"
    at.mkdir()
    calls = [Steps(place, name, option) for name in ("first", "second", "third")]
    with ThreadPoolExecutor() as pool:
        made = [pool.submit(step.run) for step in calls]
        for step in calls:
            step.wait()
        for mounts, step in enumerate(calls, 1):
            step.go_on()
            step.wait()
            assert len(machine.mounts_at(at)) == mounts
        calls[0].go_on()
        wait_until(lambda: "setsid" in calls[0].log.read_text(), "the first view to be mounted")
        for step in calls[1:] if leaves == "the middle" else calls[:0:-1]:
            step.go_on()
        others = {done.result().ready["connection"] for done in made[1:]}
        assert len(machine.mounts_at(at)) == 1
        namespace.unmount(str(at), 0)
        # Of which the tracer does not end before its view.
        assert others == {made[0].result().ready["connection"]}
        assert [done.result().status for done in made] == [0, 0, 0]
    wait_until(lambda: not machine.processes(), "the daemons to end")
    machine.bury()


def test_names_of_any_length_are_told_and_told_again(place: Path, option: bytes) -> None:
    """urunc.json lies behind 400 levels of directories, that links lead through: no path can say
    where, and no title."""
    parts, levels = 27, 15
    layer = os.fsencode(place / "deep")
    os.mkdir(layer)
    top = os.open(layer, os.O_RDONLY)
    below = os.dup(top)
    opened = [top, below]
    for part in range(parts):
        name = f"{part:03}-" + "d" * 250
        start = below
        for _ in range(levels):
            os.mkdir(name, dir_fd=below)
            below = os.open(name, os.O_RDONLY, dir_fd=below)
            opened.append(below)
        # Beside the first directory of the part, to the last one.
        os.symlink("/".join([name] * levels), f"l{part}", dir_fd=start)
    (place / "deep" / "kernel").write_bytes(b"kernel")
    opened.append(os.open("urunc.json", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=below))
    os.write(opened[-1], image.urunc_json("/kernel").content)
    way = "/".join(f"l{part}" for part in range(parts))
    os.symlink(f"{way}/urunc.json", "urunc.json", dir_fd=top)
    for fd in opened:
        os.close(fd)
    long = lowerdir([layer])
    for more in (b"", b",resolve=ready"):
        with View(place / "view", "--id=web-1", "-o", long + more) as view:
            assert (view.root / "kernel").read_bytes() == b"kernel"
            line = call("--id=web-1", "-o", long, "none", view.root).ready
            assert settled(view)["id"] == "web-1"
            assert listed_at(view.root)["id"] == "web-1"
            assert call("--id=web-1", "-o", long + b",resolve=ready", "none", view.root).ready == line
            assert (line["ready"], line["mountpoint"]) == (True, str(view.root))
            assert len(machine.mounts_at(view.root)) == 1


def test_what_a_view_lacks_is_not_promised(place: Path) -> None:
    """A lazy view is what was asked for, and one that promises its initrd is not."""
    layer = {b"urunc.json": image.urunc_json(initrd="/none"), KERNEL_PATH.encode(): File(b"kernel")}
    option = lowerdir(Stack([layer]).build(place / "layers"))
    with View(place / "view", "-o", option) as view:
        settled(view)
        assert call("-o", option, "none", view.root).status == 0
        for promise in (b"resolve=ready", b"passthrough=on", b"sandbox=require"):
            finished = call("-o", option + b"," + promise, "none", view.root)
            # A build with a sanitizer has no sandbox to promise.
            lacks = ["ESYSTEM"] if machine.is_sanitized(program()) else []
            assert finished.code in ["EMOUNT", "ENOARTIFACT", *lacks]


def test_a_promise_of_passthrough_is_held_against_the_view(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option + b",passthrough=off") as view:
        finished = call("-o", option + b",passthrough=on", "none", view.root)
        assert (finished.status, finished.code) == (32, "EMOUNT")


def test_a_promise_of_a_sandbox_is_held_against_the_view(place: Path, option: bytes) -> None:
    """A view that could not have all of it stands there, and now all could be had."""
    with View(place / "view", "-o", option, wrapper=deny("landlock_create_ruleset", "ENOSYS")) as view:
        settled(view)
        assert call("-o", option, "none", view.root).status == 0
        finished = call("-o", option + b",sandbox=require", "none", view.root)
        if machine.is_sanitized(program()):
            assert finished.code == "ESYSTEM"
            return
        assert (finished.status, finished.code) == (32, "EMOUNT")
    with View(place / "view", "-o", option) as view:
        assert call("-o", option + b",sandbox=require", "none", view.root).status == 0


def test_a_snapshot_that_was_made_again_is_another_layer(place: Path) -> None:
    """The filesystem gives its directory the number of the one that was deleted, of which the
    view holds no file open."""
    base = {b"urunc.json": image.urunc_json(), KERNEL_PATH.encode(): File(b"old")}
    update = {KERNEL_PATH.encode(): File(b"new")}
    with filesystems.filesystem("ext4", place, base, "disk") as bottom:
        # Not the root: there the filesystem spreads directories over the disk.
        snapshots = bottom.parent / "snapshots"
        snapshots.mkdir()

        def option(name: str) -> bytes:
            return lowerdir([os.fsencode(snapshots / name), os.fsencode(bottom)])

        build_layer({b"etc/hostname": File(b"a")}, os.fsencode(snapshots / "2"))
        number = (snapshots / "2").stat().st_ino
        with View(place / "view", "--id=web-1", "-o", option("2")) as view:
            view.wait_sandboxed()
            shutil.rmtree(snapshots / "2")
            tries = 0
            while not (snapshots / "3").exists():
                (snapshots / f"try-{tries}").mkdir()
                if (snapshots / f"try-{tries}").stat().st_ino == number:
                    os.rename(snapshots / f"try-{tries}", snapshots / "3")
                tries += 1
                assert tries < 1000, "the number was not given again"
            build_layer(update, os.fsencode(snapshots / "new"))
            for entry in (snapshots / "new").iterdir():
                os.rename(entry, snapshots / "3" / entry.name)
            assert (snapshots / "3").stat().st_ino == number
            finished = call("--id=web-1", "-o", option("3"), "none", view.root)
            assert (finished.status, finished.code) == (32, "EMOUNT")
            assert (view.root / KERNEL_PATH).read_bytes() == b"old"
