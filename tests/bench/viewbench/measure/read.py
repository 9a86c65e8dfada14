# SPDX-License-Identifier: Apache-2.0
"""Reading artifacts, in the ways in which monitors read them."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ..bench import Bench, Section
from ..contenders import COPY, LAYER
from ..figures import Figure, figure, ratio, show
from ..material import BINARY, INITRD, MIB, Stack
from ..mounting import mounted
from ..report import Table

WARMUP = 1

HOT, COLD = "hot", "cold"

MODES = {
    "read": "read(), 1 MiB blocks",
    "whole": "one read(), as QEMU reads a bzImage",
    "pread": "pread(), 4 KiB blocks",
    "mmap": "mmap, every page",
    "direct": "O_DIRECT, 4 KiB at random",
    "open": "open, 4 KiB, close",
}

COLD_MODES = ("read", "whole", "mmap")

NOTICEABLE = 0.05
"""The part of a file that may be in the page cache and it still be called cold."""


@dataclass(frozen=True)
class Case:
    """What is read, and how."""

    artifact: str
    size: int
    mode: str
    state: str
    readers: int

    @property
    def key(self) -> str:
        """For the JSON and the bars."""
        return f"{self.mode} {self.state} {self.readers}"

    def __str__(self) -> str:
        words = [MODES[self.mode]]
        if self.mode not in ("direct", "open"):
            words.append(self.state)
        if self.readers > 1:
            words.append(f"{self.readers} readers")
        return ", ".join(words)


@dataclass
class Reading:
    """One file's samples: bytes a second by round (opens a second for "open")."""

    speed: dict[int, float] = field(default_factory=dict)
    errors: set[int] = field(default_factory=set)
    not_cold: int = 0


Found = Mapping[Case, Mapping[str, Reading]]


@dataclass(frozen=True)
class Shown:
    """A contender's file."""

    name: str
    path: Path


def measure(bench: Bench) -> Section:
    """A table for a small and for a large file."""
    section = Section()
    for stack, artifact in ((bench.small, BINARY), (bench.reference, INITRD)):
        _measure_file(bench, stack, artifact, section)
    return section


def _measure_file(bench: Bench, stack: Stack, artifact: str, section: Section) -> None:
    size = stack.size(artifact)
    title = f"{size / MIB:.0f} MiB"
    with ExitStack() as mounts:
        files = _files(bench, stack, artifact, mounts)
        names = [shown.name for shown in files]
        found = {
            case: _run(bench, case, files, stack.backing[artifact])
            for case in _cases(bench, artifact, size)
        }
    section.tables += [_ratios(bench, title, names, found), _absolutes(title, names, found)]
    section.data[title] = {
        case.key: {
            name: {
                "ratio": ratio(reading.speed, readings[LAYER].speed),
                "per_second": figure(reading.speed),
            }
            for name, reading in readings.items()
        }
        for case, readings in found.items()
    }


def _ratios(bench: Bench, title: str, names: Sequence[str], found: Found) -> Table:
    notes = [
        f"Times the speed of {LAYER}; {bench.scale.read_rounds} rounds; median [quartiles].",
        "Every file is opened anew each round, as each monitor does; opening is not in the time,"
        " but in the row that says so.",
        "Of a hot file read() reads 16 MiB, over and over if it is smaller.",
        "Without passthrough, O_DIRECT stops at the daemon, which reads through the page cache.",
    ]
    table = Table(f"Reading a file of {title}", ["", *names[1:]], notes)
    for case, readings in found.items():
        base = readings[LAYER].speed
        taken = [readings.get(name) for name in names[1:]]
        cells = [r and show(ratio(r.speed, base)) + _remark(r) or "-" for r in taken]
        table.add(str(case), *cells)
    return table


def _absolutes(title: str, names: Sequence[str], found: Found) -> Table:
    notes = ["MB/s on this machine, in this run; opening: µs."]
    table = Table(f"Reading a file of {title}, absolute", ["", *names], notes)
    for case, readings in found.items():
        taken = [readings.get(name) for name in names]
        table.add(str(case), *(r and _absolute(case, r) or "-" for r in taken))
    return table


def _files(bench: Bench, stack: Stack, artifact: str, mounts: ExitStack) -> list[Shown]:
    files = [Shown(LAYER, stack.backing[artifact])]
    for number, contender in enumerate(bench.readers()):
        if not bench.usable(contender, stack):
            continue
        target = bench.target(f"read-{number}")
        start = mounts.enter_context(mounted(contender, stack, target))
        path = start.artifact(artifact)
        assert path
        files.append(Shown(contender.name, path))
    return files


def _cases(bench: Bench, artifact: str, size: int) -> list[Case]:
    single = [Case(artifact, size, mode, HOT, 1) for mode in MODES]
    cold = [Case(artifact, size, mode, COLD, 1) for mode in COLD_MODES]
    several = [Case(artifact, size, "read", HOT, n) for n in bench.scale.readers if n > 1]
    return sorted(single + cold, key=lambda case: list(MODES).index(case.mode)) + several


def _run(bench: Bench, case: Case, files: Sequence[Shown], backing: Path) -> dict[str, Reading]:
    """A copy in memory is never cold, and is left out there."""
    taken = [shown for shown in files if case.state == HOT or shown.name != COPY]
    pairs = [path for shown in taken for path in (shown.path, backing)]
    rounds = bench.scale.read_rounds
    arguments = [case.mode, case.state, str(rounds), str(WARMUP), str(case.readers), *pairs]
    readings = {shown.name: Reading() for shown in taken}
    for number, round_, ns, amount, resident, error in bench.run("reader", *arguments):
        reading = readings[taken[number].name]
        if error:
            reading.errors.add(error)
            continue
        if case.state == COLD and resident > NOTICEABLE * case.size:
            reading.not_cold += 1
        done = 1 if case.mode == "open" else amount
        reading.speed[round_] = done / max(ns, 1) * 1e9
    return readings


def _remark(reading: Reading) -> str:
    remarks = [errno.errorcode.get(error, str(error)) for error in sorted(reading.errors)]
    if reading.not_cold:
        remarks.append(f"{reading.not_cold} not cold")
    return f" ({', '.join(remarks)})" if remarks else ""


def _absolute(case: Case, reading: Reading) -> str:
    speed = figure(reading.speed)
    if speed is None:
        return "-"
    if case.mode == "open":
        # The quartiles change places: the fastest take the least time.
        low, median, high = (1e6 / value for value in (speed.high, speed.median, speed.low))
        return Figure(median, low, high, speed.count).show(0)
    return show(speed, 0, 1e6)
