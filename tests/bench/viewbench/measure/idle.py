# SPDX-License-Identifier: Apache-2.0
"""What a mounted view costs while no process reads it."""

from __future__ import annotations

import statistics

from ..bench import Bench, Section
from ..contenders import Contender
from ..material import ARTIFACTS, Stack
from ..mounting import children, mounted, wait_until
from ..report import Table
from ..system import cpu_ticks, descriptors, smaps, status

REPEATS = 3

KEYS = ("Private_Dirty", "Private_Clean", "Pss", "Rss")


def measure(bench: Bench) -> Section:
    """One table."""
    stack = bench.reference
    columns = ["", "Private_Dirty, kB", "Private_Clean, kB", "Pss, kB", "Rss, kB"]
    columns += ["page tables, kB", "processes", "threads", "descriptors"]
    notes = [
        "After 4 KiB of each artifact were read; the sum over its processes (smaps_rollup);"
        f" median of {REPEATS}. kB = 1024 bytes"
    ]
    table = Table(f"An idle view: {stack}", columns, notes)
    section = Section([table])
    for contender in bench.readers():
        if not bench.usable(contender, stack):
            continue
        samples = [_sample(bench, contender, stack) for _ in range(REPEATS)]
        found = {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}
        table.add(contender.name, *(f"{value:.0f}" for value in found.values()))
        section.data[contender.name] = found
    return section


def _sample(bench: Bench, contender: Contender, stack: Stack) -> dict[str, float]:
    with mounted(contender, stack, bench.target("idle")) as start:
        for path in ARTIFACTS:
            shown = start.artifact(path)
            assert shown
            with shown.open("rb", buffering=0) as file:
                file.read(4096)
        pids = sorted(children())
        settle(pids)
        maps = [smaps(pid) for pid in pids]
        states = [status(pid) for pid in pids]
        found: dict[str, float] = {key: sum(m[key] for m in maps) / 1024 for key in KEYS}
        found["VmPTE"] = sum(int(state["VmPTE"].split()[0]) for state in states)
        found["processes"] = len(pids)
        found["threads"] = sum(int(state["Threads"]) for state in states)
        found["descriptors"] = sum(map(descriptors, pids))
        return found


def settle(pids: list[int]) -> None:
    """Wait until the processes stay asleep: a view finishes some work after it is ready."""
    seen: list[list[object]] = []

    def quiet() -> bool:
        now: list[object] = [
            (cpu_ticks(pid), descriptors(pid), status(pid)["State"]) for pid in pids
        ]
        seen.append(now)
        return len(seen) >= 50 and all(earlier == now for earlier in seen[-50:])

    wait_until(quiet, "an idle view")
