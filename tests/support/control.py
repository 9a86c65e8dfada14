# SPDX-License-Identifier: Apache-2.0
"""viewfsctl: what it says of the views of this namespace."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import machine
from .view import Argument, Finished, View, program, run
from .waiting import wait_until

# What a command may take, however the views are: its own time-outs, and a busy machine.
PATIENCE = 20

# No other test's on this machine: `list --all`, `umount --id` and `upgrade` find those of all
# namespaces.
ID = f"web-{os.getpid()}"


def viewfsctl(*words: Argument, **how: Any) -> Finished:
    return run(program("viewfsctl"), *words, seconds=PATIENCE, **how)


def without_note(finished: Finished) -> Finished:
    """Without the line about views that no mount of this namespace leads to: others may test."""
    lines = finished.stdout.splitlines(keepends=True)
    return replace(finished, stdout="".join(line for line in lines if not line.startswith("kept ")))


def listed(*words: str) -> list[dict[str, Any]]:
    finished = viewfsctl("list", "--json", *words)
    assert (finished.status, finished.stderr) == (0, "")
    return json.loads(finished.stdout)["views"]


def listed_at(mountpoint: Path) -> dict[str, Any]:
    (found,) = (view for view in listed() if view["mountpoint"] == str(mountpoint))
    return found


def kill(view: View) -> None:
    """What is left of it is dead."""
    view.status = -signal.SIGKILL
    view.daemon.signal(signal.SIGKILL)
    view.wait_gone()


@contextmanager
def stopped(view: View) -> Iterator[None]:
    """Its process answers nothing while the block runs."""
    view.daemon.signal(signal.SIGSTOP)
    wait_until(lambda: view.daemon.stat()[0] == "T", "it to stop")
    try:
        yield
    finally:
        # The process is our child, and not buried yet: the number is its own.
        os.kill(view.daemon_pid, signal.SIGCONT)
        # A child that asked the view was killed, and can end now.
        wait_until(lambda: not machine.processes({"viewfsctl"}), "the commands' children to end")
