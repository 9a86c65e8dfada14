# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of memory and of processes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

BLOCK = bytearray(1 << 20)


def meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    found = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        key, _, value = line.partition(":")
        amount, _, unit = value.strip().partition(" ")
        found[key] = int(amount) * (1024 if unit == "kB" else 1)
    return found


def smaps(pid: int) -> dict[str, int]:
    """/proc/PID/smaps_rollup in bytes."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        key, _, value = line.partition(":")
        found[key] = int(value.split()[0]) * 1024
    return found


def status(pid: int) -> dict[str, str]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu_ticks(pid: int) -> int:
    """How long a process has run so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def drop_file(path: Path) -> None:
    """Throw a file out of the page cache; what is not on disk yet would stay."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def read_through(path: Path) -> int:
    """Read a file to its end. Returns its length."""
    total = 0
    with path.open("rb", buffering=0) as file:
        while amount := file.readinto(BLOCK):
            total += amount
    return total


def processes() -> dict[int, str]:
    """The names of all living processes that are seen from here."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            if state not in "ZX":
                found[int(entry.name)] = (entry / "comm").read_text().strip()
    return found


def mounts() -> list[str]:
    """The mountpoints that are seen from here."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted(line.split(" ")[4] for line in lines)
