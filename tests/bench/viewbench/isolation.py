# SPDX-License-Identifier: Apache-2.0
"""Run the benchmark where nothing of it can stay: namespaces, and one private directory.

It mounts thousands of times and starts as many daemons. In a mount and a PID namespace of its own
the kernel ends all of it with the first process, however the run ends; only then is the directory
removed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from types import FrameType

from support import scratch

from . import cgroup

INSIDE = "--inside"

# setpriv: also if this process is killed, the one that holds the namespace is.
NAMESPACES = """setpriv --pdeathsig KILL
    unshare --mount --propagation private --pid --fork --kill-child --mount-proc""".split()

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """A signal that ends the benchmark."""


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(number)


def run(program: str, arguments: Sequence[str]) -> int:
    """Run PROGRAM --inside DIRECTORY ARGUMENTS isolated. Returns its exit status."""
    parent, reason = scratch.find()
    if parent is None:
        sys.exit(f"bench: nowhere to put layers: {reason}")
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    directory = tempfile.mkdtemp(prefix="viewfs-bench-", dir=parent)
    try:
        return _run_inside([program, INSIDE, directory, *arguments])
    except Interrupted as interrupt:
        print("bench: interrupted", file=sys.stderr)
        return 128 + int(interrupt.args[0])
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        cgroup.remove_left(os.path.basename(directory))
        shutil.rmtree(directory)


def _run_inside(command: Sequence[str]) -> int:
    """In a session of its own, where Ctrl-C does not reach it: it is this process that ends it."""
    process = subprocess.Popen([*NAMESPACES, *command], start_new_session=True)
    try:
        return process.wait()
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the namespace's first process, and with it all others; unshare then ends too.

    unshare alone must not be killed: it would be gone before the others are.
    """
    children = f"/proc/{process.pid}/task/{process.pid}/children"
    while process.poll() is None:
        try:
            with open(children, encoding="ascii") as file:
                for pid in file.read().split():
                    os.kill(int(pid), signal.SIGKILL)
            process.wait(0.1)
        except (OSError, subprocess.TimeoutExpired):
            continue  # it has ended meanwhile, or not yet
