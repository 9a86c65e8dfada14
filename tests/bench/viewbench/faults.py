# SPDX-License-Identifier: Apache-2.0
"""How many page faults a contender takes until it is ready, counted by the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .bench import Bench
from .builds import compilers
from .contenders import Contender, Start, duties, view
from .material import Stack
from .mounting import mounted


def count(bench: Bench, contender: Contender) -> int | None:
    """For the stack of an ordinary image; None: they cannot be counted here."""
    found = bench.directory / "faults"

    def start(stack: Stack, target: Path) -> Start:
        plain = contender.start(stack, target)
        argv = [bench.programs / "faults", found, *plain.argv]
        return Start(argv, plain.root, plain.unmount)

    with mounted(Contender(contender.name, start), bench.reference, bench.target("faults")):
        pass
    text = found.read_text()
    return int(text) if text else None


def of_views_size(bench: Bench) -> Iterator[Contender]:
    """For each linkage the bare system calls with as many page faults as the first view of it."""
    for linkage in compilers(bench.builds):
        build = next(build for build in bench.builds if build.linkage == linkage)
        mine = count(bench, view(build))
        least = count(bench, duties(bench.programs, linkage))
        if mine is None or least is None:
            bench.leave_out("page faults: left out, the kernel does not count them here")
        elif mine > least:
            yield duties(bench.programs, linkage, mine - least)
