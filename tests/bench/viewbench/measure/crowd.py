# SPDX-License-Identifier: Apache-2.0
"""Many views at once: the time, the memory, and that nothing is left."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..bench import Bench, Section
from ..contenders import COPY, FUSE_OVERLAYFS, FUSE_OVERLAYFS_2, Contender, Start
from ..material import ARTIFACTS, MIB, Stack
from ..mounting import Failed, children, end_all, reap, run, take_away
from ..report import Table
from ..system import meminfo, mounts, processes, read_through, smaps

LARGE = (FUSE_OVERLAYFS, FUSE_OVERLAYFS_2)
PEER_LIMIT = 100
"""Of a peer that takes a megabyte and more for each mount there need not be a thousand."""


@dataclass(frozen=True)
class Crowd:
    """What N of a contender took."""

    mount_s: float
    read_s: float
    list_s: float | None
    """One `viewfsctl list` of all of them; None of a peer's."""
    unmount_s: float
    pss_bytes: int
    """Of all processes together; what they share is counted once."""
    idle_bytes: int
    """By which MemAvailable shrank: what cannot be had back."""
    cached_bytes: int
    """By which the page cache grew when all were read."""
    left: Sequence[str]
    """Mounts and processes that are still there at the end."""


def measure(bench: Bench) -> Section:
    """One table with a row for each contender and size."""
    stack = bench.small
    columns = ["", "at once", "mounted, s", "read, s", "listed, s", "unmounted, s"]
    columns += ["Pss each, kB", "memory each, kB", "page cache, MiB", "left at the end"]
    notes = [
        f"{stack}, artifacts of {stack.total() / MIB:.2f} MiB, all read through each; one run."
        " Absolute numbers are of this machine, and those of few at once are mostly noise.",
        "Pss: the processes' memory; memory: by which MemAvailable shrank; page cache: by which it"
        " grew while all were read.",
    ]
    table = Table("Many at once", columns, notes)
    section = Section([table])
    for count in bench.scale.crowds:
        for contender in bench.readers():
            if contender.name == COPY or (contender.name in LARGE and count > PEER_LIMIT):
                continue
            if not bench.usable(contender, stack):
                continue
            try:
                crowd = _gather(bench, contender, stack, count)
            except (Failed, OSError) as failure:
                end_all()
                bench.leave_out(f"{contender.name}: {count} at once: {failure}")
                section.data.setdefault(contender.name, {})[str(count)] = {"error": str(failure)}
                continue
            table.add(contender.name, str(count), *_cells(crowd, count))
            section.data.setdefault(contender.name, {})[str(count)] = {
                **vars(crowd),
                "left": list(crowd.left),
            }
    return section


def _cells(crowd: Crowd, count: int) -> list[str]:
    seconds = (crowd.mount_s, crowd.read_s, crowd.list_s, crowd.unmount_s)
    return [
        *("-" if value is None else f"{value:.3f}" for value in seconds),
        f"{crowd.pss_bytes / count / 1024:.0f}",
        f"{crowd.idle_bytes / count / 1024:.0f}",
        f"{crowd.cached_bytes / MIB:.1f}",
        ", ".join(crowd.left) or "nothing",
    ]


def _gather(bench: Bench, contender: Contender, stack: Stack, count: int) -> Crowd:
    starts = [contender.start(stack, bench.target(f"crowd-{i}")) for i in range(count)]
    for path in stack.backing.values():
        read_through(path)
    before = set(mounts())
    memory = meminfo()
    begin = time.monotonic()
    done: list[Start] = []
    try:
        for start in starts:
            run(start, bench.directory / "crowd.log")
            done.append(start)
        mounted_at = time.monotonic()
        idle = meminfo()
        read_begin = time.monotonic()
        _read(starts, stack)
        read_end = time.monotonic()
        cached = meminfo()
        pss = sum(smaps(pid)["Pss"] for pid in children())
        listed = _list(contender, count)
    finally:
        unmount_begin = time.monotonic()
        for start in done:
            take_away(start)
        reap()
    return Crowd(
        mounted_at - begin,
        read_end - read_begin,
        listed,
        time.monotonic() - unmount_begin,
        pss,
        memory["MemAvailable"] - idle["MemAvailable"],
        cached["Cached"] - idle["Cached"],
        left(before),
    )


def _list(contender: Contender, count: int) -> float | None:
    """How long viewfsctl takes for a line of each view."""
    program = contender.build and contender.build.program.with_name("viewfsctl")
    if not program or not program.exists():
        return None
    begin = time.monotonic()
    done = subprocess.run([program, "list"], stdout=subprocess.PIPE)
    taken = time.monotonic() - begin
    if done.returncode or len(done.stdout.splitlines()) < count:
        raise Failed(f"viewfsctl list: exit {done.returncode}, or less than {count} views")
    return taken


def _read(starts: Sequence[Start], stack: Stack) -> None:
    for start in starts:
        for path in ARTIFACTS:
            shown = start.artifact(path)
            assert shown
            if read_through(shown) != stack.size(path):
                raise Failed(f"{shown} is short")


def left(mounts_before: set[str]) -> list[str]:
    """Mounts that were not there, and processes that are not this one."""
    names = processes()
    return sorted(set(mounts()) - mounts_before) + [names.get(pid, "?") for pid in children()]
