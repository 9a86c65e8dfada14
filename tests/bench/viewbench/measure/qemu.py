# SPDX-License-Identifier: Apache-2.0
"""QEMU's own loading: from exec until it has read the kernel, mapped the initrd and left again.

With -S the guest never runs, and "quit" is already waiting on the monitor: a guest's own start
would hide what is compared.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from ..bench import Bench, Section
from ..contenders import LAYER, Start
from ..figures import ratio, show
from ..material import BINARY, INITRD, MIB
from ..mounting import mounted
from ..plan import Step, carry_out, micros
from ..report import Table

PROGRAM = "qemu-system-x86_64"
NOTHING = "nothing to load"

WARMUP = 1


def measure(bench: Bench) -> Section:
    """Tables for a hot and for a cold page cache."""
    section = Section()
    program = shutil.which(PROGRAM)
    if not program:
        bench.leave_out(f"QEMU: left out, {PROGRAM} is not installed")
        return section
    stdin = bench.directory / "quit"
    stdin.write_text("quit\n")
    with ExitStack() as mounts:
        files = _files(bench, mounts)
        for state in ("hot", "cold"):
            _measure_state(bench, program, files, stdin, state, section)
    return section


Files = dict[str, tuple[Path, Path] | None]


def _files(bench: Bench, mounts: ExitStack) -> Files:
    stack = bench.reference
    files: Files = {NOTHING: None, LAYER: (stack.backing[BINARY], stack.backing[INITRD])}
    for number, contender in enumerate(bench.readers()):
        if bench.usable(contender, stack):
            target = bench.target(f"qemu-{number}")
            start = mounts.enter_context(mounted(contender, stack, target))
            kernel, initrd = start.artifact(BINARY), start.artifact(INITRD)
            assert kernel and initrd
            files[contender.name] = (kernel, initrd)
    return files


def _command(program: str, files: tuple[Path, Path] | None) -> Sequence[str | Path]:
    machine = "-accel tcg -M q35 -m 512M -nodefaults -display none -S -monitor stdio".split()
    loads = ["-kernel", files[0], "-initrd", files[1]] if files else []
    return [program, *machine, *loads]


def _measure_state(
    bench: Bench, program: str, files: Files, stdin: Path, state: str, section: Section
) -> None:
    stack = bench.reference
    backing = [stack.backing[BINARY], stack.backing[INITRD]]
    steps = []
    for name, pair in files.items():
        drop = [*(pair or ()), *backing] if state == "cold" else []
        steps.append(Step(name, Start(_command(program, pair), None), stdin=stdin, drop=drop))
    rounds = bench.scale.qemu_rounds
    timings = dict(zip(files, carry_out(bench, steps, rounds, WARMUP)))
    base = timings[LAYER].ready
    sizes = " + ".join(f"{file.stat().st_size / MIB:.0f} MiB" for file in backing)
    notes = [
        f"x = times the same from {LAYER}; kernel + initrd are {sizes}; {rounds} rounds;"
        " median [quartiles]",
        "QEMU reads the kernel and maps the initrd, which only a guest that runs would read.",
    ]
    columns = ["", "x", "ms here"]
    table = Table(f"QEMU, from exec to loaded and gone, {state}", columns, notes)
    for name, timing in timings.items():
        times, found = ratio(timing.ready, base), micros(timing.ready)
        table.add(name + timing.remark(rounds), show(times), show(found, 1, 1e3))
        section.data.setdefault(state, {})[name] = {
            "ratio": times,
            "us": found,
            "failures": timing.failures,
        }
    section.tables.append(table)
