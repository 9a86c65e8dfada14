# SPDX-License-Identifier: Apache-2.0
"""From posix_spawn to a mount that is ready, and to its first bytes; and what each layer adds.

All numbers of layers are measured in the same rounds: they are compared with each other too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import faults
from ..bench import Bench, Section
from ..contenders import (
    COPY,
    DUTIES,
    DUTIES_FAULTS,
    FUSE_OVERLAYFS,
    FUSE_OVERLAYFS_2,
    NOOP,
    OVERLAY,
    Contender,
    first_artifact,
    view,
)
from ..figures import Figure, Samples, difference, figure, quickest, ratio, show
from ..material import MIB
from ..mounting import Failed, teach
from ..plan import Step, Timing, carry_out, micros
from ..report import Table

WARMUP = 3

Timings = dict[tuple[str, int], Timing]


def measure(bench: Bench) -> Section:
    """Tables for each number of layers, and one for what the layers add."""
    timings = _run(bench, [*bench.starters(), *faults.of_views_size(bench), *_with_index(bench)])
    noop = timings[NOOP, bench.scale.reference]
    section = Section()
    for count in bench.scale.layers:
        section.tables.append(_table(bench, timings, noop, count))
    section.tables.append(_layers(bench, timings))
    section.data = {
        "artifact_bytes": bench.reference.total(),
        "stacks": _data(bench, timings, noop),
        "growth": _growth(bench, timings),
    }
    return section


def _with_index(bench: Bench) -> list[Contender]:
    """A view with a shared layer index, of the builds that know one."""
    found = []
    for build in bench.builds:
        # In memory, as below /run; and a comma would end the option.
        directory = bench.tmpfs / f"index-{len(found)}"
        directory.mkdir(mode=0o700)
        name = f"{build.name}, index warm"
        contender = view(build, ["-o", f"cache={directory}"], name)
        try:
            for stack in bench.stacks.values():
                teach(contender, stack, bench.target("index"), directory)
        except Failed:
            continue  # it does not know the option
        found.append(contender)
    return found


def _run(bench: Bench, contenders: Sequence[Contender]) -> Timings:
    keys: list[tuple[str, int]] = []
    steps = []
    for count, stack in bench.stacks.items():
        for number, contender in enumerate(contenders):
            if contender.name == NOOP and count != bench.scale.reference:
                continue
            if not contender.takes(stack) or not bench.usable(contender, stack):
                continue
            start = contender.start(stack, bench.target(f"{count}-{number}"))
            keys.append((contender.name, count))
            steps.append(Step(contender.name, start, first_artifact(start)))
    return dict(zip(keys, carry_out(bench, steps, bench.scale.spawn_rounds, WARMUP)))


def _table(bench: Bench, timings: Timings, noop: Timing, count: int) -> Table:
    stack = bench.stacks[count]
    notes = [
        f"x = times {NOOP} (dynamic, like any program); {bench.scale.spawn_rounds} rounds;"
        " median [quartiles]",
        "quickest = its quickest round in times the quickest of the other, in whichever rounds",
    ]
    if count == 1:
        notes.append("An overlay takes two layers at least: it has an empty one below.")
    if count == bench.scale.reference:
        notes.append(f"Artifacts: {stack.total() / MIB:.0f} MiB.")
    columns = ["", "ready, x", "quickest", "first bytes, x", "quickest"]
    columns += ["ready, µs here", "first bytes, µs here"]
    table = Table(f"Spawn to mounted and ready: {stack}", columns, notes)
    for (name, layers), timing in {(NOOP, count): noop, **timings}.items():
        if layers == count:
            table.add(
                name + timing.remark(bench.scale.spawn_rounds),
                show(ratio(timing.ready, noop.ready)),
                _times(quickest(timing.ready, noop.ready)),
                show(ratio(timing.read, noop.ready)),
                _times(quickest(timing.read, noop.ready)),
                show(micros(timing.ready), 0),
                show(micros(timing.read), 0),
            )
    return table


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _layers(bench: Bench, timings: Timings) -> Table:
    few, many = bench.scale.reference, max(bench.scale.layers)
    columns = ["", "ready, x", "first bytes, x"]
    columns += ["ready, µs a layer", "first bytes, µs a layer", "quickest, µs a layer"]
    notes = [f"x = times the same with {few} layers, in the same rounds; µs of this machine"]
    table = Table(f"What layers add: {few} to {many}", columns, notes)
    for name, growth in _growth_figures(bench, timings).items():
        least = (min(timings[name, count].read.values(), default=None) for count in (few, many))
        table.add(name, *map(show, growth.values()), _slope(*least, many - few))
    return table


def _slope(before: float | None, after: float | None, layers: int) -> str:
    if before is None or after is None:
        return "-"
    return f"{(after - before) * 1e-3 / layers:.2f}"


def _growth_figures(bench: Bench, timings: Timings) -> dict[str, dict[str, Figure | None]]:
    few, many = bench.scale.reference, max(bench.scale.layers)
    found: dict[str, dict[str, Figure | None]] = {}
    for name, count in timings:
        if count != few or many == few or (name, many) not in timings:
            continue
        before, after = timings[name, few], timings[name, many]
        found[name] = {
            "ready_ratio": ratio(after.ready, before.ready),
            "read_ratio": ratio(after.read, before.read),
            "ready_us_per_layer": _each(after.ready, before.ready, many - few),
            "read_us_per_layer": _each(after.read, before.read, many - few),
        }
    return found


def _each(after: Samples, before: Samples, layers: int) -> Figure | None:
    found = difference(after, before)
    return found and found.scaled(1e-3 / layers)


def _growth(bench: Bench, timings: Timings) -> dict[str, Any]:
    return {
        "from": bench.scale.reference,
        "to": max(bench.scale.layers),
        "contenders": _growth_figures(bench, timings),
    }


def _data(bench: Bench, timings: Timings, noop: Timing) -> dict[str, Any]:
    """By number of layers, then by contender."""
    found: dict[str, Any] = {}
    linkage = {build.name: build.linkage for build in bench.builds}
    for (name, count), timing in timings.items():
        copied = next((t.ready for (n, c), t in timings.items() if (n, c) == (COPY, count)), {})
        found.setdefault(str(count), {})[name] = {
            "ready_ratio": ratio(timing.ready, noop.ready),
            "ready_quickest_ratio": quickest(timing.ready, noop.ready),
            "read_ratio": ratio(timing.read, noop.ready),
            "read_quickest_ratio": quickest(timing.read, noop.ready),
            "copy_ratio": ratio(copied, timing.ready),
            "ready_us": micros(timing.ready),
            "read_us": micros(timing.read),
            "written_bytes": figure(timing.written),
            "failures": timing.failures,
        }
        if name in linkage:
            found[str(count)][name].update(_beside(timings, timing, count, linkage[name]))
    return found


def _beside(timings: Timings, mine: Timing, count: int, linkage: str) -> dict[str, Any]:
    """Times to ready in those of others; and to the first bytes, in those to ready."""
    others = {
        "duties_ratio": DUTIES[linkage],
        "duties_faults_ratio": DUTIES_FAULTS[linkage],
        "overlay_ratio": OVERLAY,
        "fuse_overlayfs_ratio": FUSE_OVERLAYFS,
        "fuse_overlayfs_2_ratio": FUSE_OVERLAYFS_2,
    }
    found = {
        key: ratio(mine.ready, timings[other, count].ready) if (other, count) in timings else None
        for key, other in others.items()
    }
    return {**found, "read_per_ready": ratio(mine.read, mine.ready)}
