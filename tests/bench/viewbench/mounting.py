# SPDX-License-Identifier: Apache-2.0
"""Mount a contender from here, look at its processes, unmount it, and see that nothing is left.

This process takes in its descendants' orphans: a daemon's end is then something to wait for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Set
from pathlib import Path

from support import namespace

from .contenders import Contender, Start
from .material import ARTIFACTS, Stack

PR_SET_CHILD_SUBREAPER = 36

PATIENCE = 60.0
"""Seconds for a command or for a daemon's end."""


class Failed(Exception):
    """A contender did not do what it should."""


def adopt_orphans() -> None:
    """Become the parent of daemons that descendants leave."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll. The pause is long enough not to be what is measured."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"still waiting for {what} after {PATIENCE:.0f} s")
        time.sleep(0.001)


def run(start: Start, log: Path) -> None:
    """Run the command to its end. Raises Failed with what it said."""
    with log.open("w+b") as output:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
        ]
        argv = list(map(str, start.argv))
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.chdir(start.cwd)
        try:
            pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions)
        finally:
            os.fchdir(here)
            os.close(here)
        _, status = os.waitpid(pid, 0)
        if status != 0:
            output.seek(0)
            said = output.read().decode(errors="replace").strip().splitlines()
            code = os.waitstatus_to_exitcode(status)
            raise Failed(f"exit {code}: {said[-1] if said else 'not a word'}")


def take_away(start: Start) -> None:
    """Undo what the command did. Its daemons end later: see reap()."""
    for target in start.unmount:
        namespace.unmount(target)
    for path in start.unlink:
        path.unlink()


def reap(spared: Set[int] = frozenset()) -> None:
    """Wait until no child and no orphan is left but the SPARED, whose mounts are still wanted."""

    def none_left() -> bool:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0] > 0:
                continue
        return children() <= spared

    wait_until(none_left, "daemons to end")


def children() -> set[int]:
    """The processes whose parent this one is, the dead left out."""
    me = os.getpid()
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == me and state not in "ZX":
                found.add(int(entry.parent.name))
    return found


def end_all(spared: Set[int] = frozenset()) -> None:
    """After a failure: end what this process started, so that the next measurement has peace."""
    for pid in children() - spared:
        os.kill(pid, signal.SIGKILL)
    reap(spared)


@contextlib.contextmanager
def mounted(contender: Contender, stack: Stack, target: Path) -> Iterator[Start]:
    """The stack, shown at TARGET for as long as the block runs, and all of its processes ended
    after. Blocks may stand in each other."""
    target.mkdir(parents=True, exist_ok=True)
    start = contender.start(stack, target)
    others = children()
    try:
        run(start, target.with_suffix(".log"))
        yield start
        take_away(start)
        reap(others)
    except BaseException:
        for place in start.unmount:
            with contextlib.suppress(OSError):
                namespace.unmount(place)
        end_all(others)
        raise


def teach(contender: Contender, stack: Stack, target: Path, index: Path) -> None:
    """Has a view file in INDEX what it finds, which it does once it has looked for all artifacts: one
    that is unmounted before files less."""
    known = len(os.listdir(index))
    with mounted(contender, stack, target) as start:
        for path in ARTIFACTS:
            shown = start.artifact(path)
            assert shown
            shown.read_bytes()
        wait_until(lambda: len(os.listdir(index)) > known, "a view to file what it found")


def check(contender: Contender, stack: Stack, target: Path) -> None:
    """That the contender shows the artifacts' bytes. Raises Failed.

    What is fast because it shows something else is not to be compared with.
    """
    with mounted(contender, stack, target) as start:
        for path in ARTIFACTS:
            shown = start.artifact(path)
            if shown is None:
                continue
            command = ["cmp", "-s", shown, stack.backing[path]]
            if subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
                raise Failed(f"/{path} differs from the layer's")
