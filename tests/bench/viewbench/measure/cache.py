# SPDX-License-Identifier: Apache-2.0
"""How often the artifacts are in the page cache when N containers of one image read theirs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ..bench import Bench, Section
from ..contenders import Contender, Start
from ..figures import Figure, show
from ..material import ARTIFACTS, INITRD, MIB, Stack
from ..mounting import mounted
from ..report import Table
from ..system import drop_file, meminfo, read_through

REPEATS = 3


def measure(bench: Bench) -> Section:
    """One table."""
    count, stack = bench.scale.shared_views, bench.reference
    columns = ["", "x", "MiB here", "layer's initrd resident", "a contender's initrd resident"]
    notes = [
        f"{count} at once, all artifacts ({stack.total() / MIB:.0f} MiB) read through each."
        f" x = the growth of the page cache, tmpfs included, in times the artifacts;"
        f" {REPEATS} repeats",
        "Where the kernel reads the layer's file itself, the contender's shows that one's pages.",
    ]
    table = Table(f"Page cache for {count} containers of one image", columns, notes)
    section = Section([table])
    for contender in bench.readers():
        if not bench.usable(contender, stack):
            continue
        samples = [_sample(bench, contender, stack, count) for _ in range(REPEATS)]
        growth = Figure.of([sample[0] / stack.total() for sample in samples])
        assert growth
        initrd = stack.size(INITRD)
        layer, shown = (statistics.median(s[i] for s in samples) / initrd for i in (1, 2))
        absolute = growth.scaled(stack.total() / MIB)
        table.add(contender.name, show(growth), show(absolute, 0), f"{layer:.0%}", f"{shown:.0%}")
        section.data[contender.name] = {"ratio": growth, "count": count}
    return section


def _sample(
    bench: Bench, contender: Contender, stack: Stack, count: int
) -> tuple[float, float, float]:
    """The growth in bytes, and how much of the initrd is resident: the layer's, a contender's."""
    for file in stack.backing.values():
        drop_file(file)
    before = meminfo()["Cached"]
    with ExitStack() as mounts:
        starts = [
            mounts.enter_context(mounted(contender, stack, bench.target(f"cache-{i}")))
            for i in range(count)
        ]
        for path in _paths(starts):
            read_through(path)
        grown = meminfo()["Cached"] - before
        shown = starts[-1].artifact(INITRD)
        assert shown
        (layer,), (last,) = bench.run("reader", "resident", stack.backing[INITRD], shown)
    return grown, layer, last


def _paths(starts: Sequence[Start]) -> list[Path]:
    found = [start.artifact(path) for start in starts for path in ARTIFACTS]
    return [path for path in found if path]
