# SPDX-License-Identifier: Apache-2.0
"""What the shared index of layers saves, and what it costs where it does not know the layers.

Each build is compared with itself, told not to use one. The index lies in memory, as below /run.
Ratios are medians of paired rounds with their 95 % interval: from which number of layers on the
index pays is said by the intervals, not by the medians.
"""

from __future__ import annotations

import collections
import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from support import namespace

from .. import mounting
from ..bench import Bench, Section
from ..builds import Build
from ..contenders import Contender, Start, first_artifact, view
from ..figures import difference, interval, show
from ..index_pays import COLD_MOST, HOT_MOST, KNOWN, pays_from
from ..material import Stack
from ..plan import Step, carry_out
from ..report import Table, get

WARMUP = 3
DROP = Path("/proc/sys/vm/drop_caches")

NONE, BASE, NEW = "no index", "known base", "new to the index"


@dataclass(frozen=True)
class Way:
    """One way to start a view."""

    name: str
    contender: Contender
    stack: Stack

    def start(self, bench: Bench) -> Start:
        return self.contender.start(self.stack, bench.target(f"index {self.name}"))


def measure(bench: Bench) -> Section:
    section = Section()
    for build in bench.builds:
        hot = Table(
            f"The index of layers, hot: {build.name}",
            ["", "layers", "ready, x", "first bytes, x", "µs of first bytes saved here"],
            [
                "x = times the same with cache=none, in the same rounds;"
                " median [its 95 % interval]; µs: median [quartiles]"
            ],
        )
        cold = Table(
            f"The index of layers, page and dentry cache cold: {build.name}",
            ["", "layers", "first bytes, x"],
            [
                f"After drop_caches, {bench.scale.cold_rounds} rounds; the index is in memory and"
                " stays; median [its 95 % interval]"
            ],
        )
        counted = Table(
            f"The index of layers, system calls to the first bytes: {build.name}",
            ["", "layers", "calls", "of them", "", ""],
        )
        found: dict[str, Any] = {}
        for count, stack in bench.stacks.items():
            with _ways(bench, build, stack) as ways:
                found[str(count)] = {
                    "hot": _hot(bench, ways, count, hot),
                    "cold": _cold(bench, ways, count, cold),
                    "calls": _calls(bench, ways, count, counted),
                }
        section.tables += [hot, cold, counted, _summary(build, found)]
        section.data[build.name] = found
    return section


def _summary(build: Build, found: Mapping[str, Any]) -> Table:
    """As the README has it."""
    least = pays_from(found)
    said = f"from {least} layers on" if least else "with none of these numbers of layers"
    columns = ["layers", KNOWN, f"only {BASE}", NEW, f"{KNOWN}, caches cold"]
    notes = [
        "First bytes in times the same without an index; median [its 95 % interval].",
        f"It pays {said}: the whole interval is at most {HOT_MOST:.2f} hot and {COLD_MOST:.2f}"
        " cold.",
    ]
    table = Table(f"The index of layers, in short: {build.name}", columns, notes)
    for count, ways in found.items():
        hot = [get(ways, "hot", name, "read_ratio") for name in (KNOWN, BASE, NEW)]
        table.add(count, *map(show, (*hot, get(ways, "cold", KNOWN, "read_ratio"))))
    return table


@contextlib.contextmanager
def _ways(bench: Bench, build: Build, stack: Stack) -> Iterator[Sequence[Way]]:
    """The ways, with an index each. What an index is to know it is taught here; it can then not be
    written any more, so that what was new to it stays so."""
    place = bench.tmpfs / "index"
    none = Way(NONE, view(build, ["-o", "cache=none"]), stack)
    another = _with_another_top(bench, stack)
    with contextlib.ExitStack() as mounts:

        def way(name: str, taught: Stack | None, shown: Stack) -> Way:
            index = place / name.replace(" ", "-")
            index.mkdir(parents=True, exist_ok=True)
            mounts.enter_context(namespace.tmpfs(str(index)))
            contender = view(build, ["-o", f"cache={index}"])
            if taught:
                mounting.teach(contender, taught, bench.target("teach"), index)
            namespace.mount("", str(index), None, namespace.MS_REMOUNT | namespace.MS_RDONLY)
            return Way(name, contender, shown)

        ways = [none, way(KNOWN, stack, stack), way(NEW, None, stack)]
        if len(stack.layers) > 1:
            ways.append(way(BASE, stack, another))
        yield ways


def _with_another_top(bench: Bench, stack: Stack) -> Stack:
    """An image of its own on the same base."""
    top = bench.directory / f"top-{len(stack.layers)}"
    if not top.exists():
        shutil.copytree(stack.layers[0], top)
    return replace(stack, layers=[top, *stack.layers[1:]])


def _read(start: Start) -> None:
    shown = first_artifact(start)
    assert shown
    with shown.open("rb", buffering=0) as file:
        file.read(4096)


def _hot(bench: Bench, ways: Sequence[Way], count: int, table: Table) -> dict[str, object]:
    starts = [way.start(bench) for way in ways]
    steps = [Step(w.name, s, first_artifact(s)) for w, s in zip(ways, starts, strict=True)]
    timings = carry_out(bench, steps, bench.scale.spawn_rounds, WARMUP)
    base = timings[0]
    found: dict[str, object] = {}
    for way, timing in zip(ways[1:], timings[1:], strict=True):
        saved = difference(base.read, timing.read)
        ready = interval(timing.ready, base.ready)
        read = interval(timing.read, base.read)
        table.add(way.name, str(count), show(ready), show(read), show(saved, 0, 1000))
        found[way.name] = {"ready_ratio": ready, "read_ratio": read, "saved_ns": saved}
    return found


def _cold(bench: Bench, ways: Sequence[Way], count: int, table: Table) -> dict[str, object]:
    timings: dict[str, dict[int, float]] = collections.defaultdict(dict)
    for round_ in range(bench.scale.cold_rounds):
        for way in ways:
            timings[way.name][round_] = _time_cold(bench, way)
    found: dict[str, object] = {}
    for way in ways[1:]:
        read = interval(timings[way.name], timings[NONE])
        table.add(way.name, str(count), show(read))
        found[way.name] = {"read_ratio": read}
    return found


def _time_cold(bench: Bench, way: Way) -> float:
    os.sync()
    DROP.write_text("3")
    begin = time.perf_counter()
    with mounting.mounted(way.contender, way.stack, bench.target("cold")) as start:
        _read(start)
        return time.perf_counter() - begin


def _calls(bench: Bench, ways: Sequence[Way], count: int, table: Table) -> dict[str, object]:
    if not shutil.which("strace"):
        bench.leave_out("index: system calls are not counted, there is no strace")
        return {}
    found: dict[str, object] = {}
    for way in ways:
        calls = _count(bench, way)
        most = [f"{name} {n}" for name, n in calls.most_common(3)]
        table.add(way.name, str(count), str(calls.total()), *most)
        found[way.name] = dict(calls)
    return found


def _count(bench: Bench, way: Way) -> collections.Counter[str]:
    """From the start to the end of a view, which has little more to do once it is ready."""
    start = way.start(bench)
    log = bench.directory / "strace.log"
    command = ["strace", "-f", "-qq", "-o", log, *map(str, start.argv)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as traced:
        mounting.wait_until(lambda: os.path.ismount(start.unmount[0]), "a traced view")
        _read(start)
        mounting.take_away(start)
        traced.wait(mounting.PATIENCE)
    lines = log.read_text(errors="replace").splitlines()
    names = (re.match(r"\d+ +(\w+)\(", line) for line in lines)
    return collections.Counter(match[1] for match in names if match)
