# SPDX-License-Identifier: Apache-2.0
"""A systemd of its own: process 1 of a PID namespace, in the root that the calling process sees."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import machine, namespace, skipping
from .waiting import SECONDS, wait_until

PROGRAM = Path("/lib/systemd/systemd")
GROUPS = Path("/tmp/cgroup")

# It starts nothing that it is not asked for.
TARGET = "viewfs-test.target"

# unshare(1) made its namespaces, of which the cgroup's begins at the group of these processes.
BEGIN = f"""
umount -R /sys/fs/cgroup 2>/dev/null
mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1
export container=viewfs-test
exec {PROGRAM} --unit={TARGET} --log-target=null --show-status=no --dump-core=no
"""


class Systemd:
    def __init__(self, pid: int) -> None:
        self._pid = pid

    def attempt(self, command: str) -> tuple[int, str]:
        """How a shell's COMMAND ends beside it, and what it writes."""
        enter = ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--cgroup", "--"]
        finished = subprocess.run(
            [*enter, "sh", "-c", command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        return finished.returncode, finished.stdout

    def run(self, command: str) -> str:
        """What COMMAND writes; it must succeed."""
        status, text = self.attempt(command)
        assert status == 0, f"{command}: {status}\n{text}"
        return text


@contextmanager
def _own_group() -> Iterator[Path]:
    """A control group below this process's, which need not have any controller."""
    GROUPS.mkdir()
    namespace.mount("cgroup2", str(GROUPS), "cgroup2")
    (own,) = re.findall(r"^0::/(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    group = GROUPS / own / f"viewfs-test-{os.getpid()}"
    group.mkdir()

    def is_removed() -> bool:
        for parent, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                os.rmdir(parent)
        return not group.exists()

    try:
        yield group
    finally:
        wait_until(is_removed, "the control groups to be empty")


def require() -> None:
    """Skip where there is no systemd, or no control group that it could have."""
    if not PROGRAM.exists():
        skipping.skip(f"no {PROGRAM} (package systemd)")
    if "\tcgroup2\n" not in Path("/proc/filesystems").read_text():
        skipping.skip_kernel("cgroup2")


@contextmanager
def systemd() -> Iterator[Systemd]:
    """It runs, and is killed with all that it started when the block ends. To be called in a mount
    namespace that the process may change, as namespace.in_root() makes one; changes /tmp, /run and
    /etc/systemd/system there."""
    for directory in ("/tmp", "/run"):
        namespace.mount("tmpfs", directory, "tmpfs", 0, "mode=0755")
    Path(f"/etc/systemd/system/{TARGET}").write_text("[Unit]\nDefaultDependencies=no\n")
    with _own_group() as group:
        join = f'echo $$ >{group}/cgroup.procs && exec "$@"'
        unshare = ["unshare", "--fork", "--pid", "--cgroup", "--mount-proc", "--kill-child"]
        command = ["sh", "-c", join, "sh", *unshare, "sh", "-c", BEGIN]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
            try:
                (pid, *_) = wait_until(lambda: machine.children(process.pid), "unshare to fork")
                systemd = Systemd(pid)
                is_running = "systemctl is-system-running"
                wait_until(lambda: systemd.attempt(is_running)[0] == 0, "systemd to run")
                yield systemd
            finally:
                process.kill()
