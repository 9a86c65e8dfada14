# SPDX-License-Identifier: Apache-2.0
"""What an idle view takes of everything: its process's memory, and the kernel's for it."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack

from .. import cgroup
from ..bench import Bench, Section
from ..builds import compilers
from ..contenders import COPY, FALLBACK, Contender, duties, surviving
from ..material import ARTIFACTS, Stack
from ..mounting import children, mounted
from ..report import Table
from .idle import settle

HEAD = shutil.which("head") or "head"

KEYS = ("anon", "kernel", "file")


def measure(bench: Bench) -> Section:
    """One table."""
    stack, count = bench.reference, bench.scale.idle_views
    notes = [
        f"Of each of {count} at once, by a memory cgroup that they and their readers are in, after"
        " 4 KiB of each artifact were read; kB = 1024 bytes.",
        "anon: the processes' own memory; kernel: tasks, page tables, mounts, inodes; file: pages"
        " of the page cache that were not there before.",
    ]
    columns = ["", "all, kB", *(f"{key}, kB" for key in KEYS)]
    table = Table(f"All memory of an idle view: {stack}", columns, notes)
    section = Section()
    least = [duties(bench.programs, linkage) for linkage in compilers(bench.builds)]
    for contender in [*bench.readers(), *map(surviving, bench.builds), *least]:
        # The one keeps no process, and the other is a view.
        if contender.name in (COPY, FALLBACK) or not bench.usable(contender, stack):
            continue
        try:
            found = _sample(bench, contender, stack, count)
        except cgroup.Unavailable as reason:
            bench.leave_out(f"memory: left out, {reason}")
            return section
        table.add(contender.name, *(f"{value:.0f}" for value in found.values()))
        section.data[contender.name] = {**found, "count": count}
    section.tables.append(table)
    return section


def _sample(bench: Bench, contender: Contender, stack: Stack, count: int) -> dict[str, float]:
    """kB of each, as those after the first take it: what all have in common is no view's own."""
    with cgroup.group(bench.directory) as group:
        inside = Contender(contender.name, lambda s, t: group.start(contender.start(s, t)))

        def take(number: int) -> dict[str, int]:
            with ExitStack() as mounts:
                for i in range(number):
                    target = bench.target(f"memory-{i}")
                    start = mounts.enter_context(mounted(inside, stack, target))
                    files = [file for path in ARTIFACTS if (file := start.artifact(path))]
                    if files:
                        command = group.command([HEAD, "-c4096", *files])
                        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                settle(sorted(children()))
                used = group.usage()
            return used

        one, many = take(1), take(count)
    each = {key: (many[key] - one[key]) / (count - 1) / 1024 for key in KEYS}
    return {"all": sum(each.values()), **each}
