# SPDX-License-Identifier: Apache-2.0
"""What every measurement has at hand."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import contenders, mounting
from .builds import Build
from .contenders import Contender
from .material import MIB, Stack
from .report import Table


@dataclass(frozen=True)
class Scale:
    """How much is measured: the full run, or a quick one that only shows that all of it works."""

    layers: Sequence[int]
    reference: int
    """The number of layers of an ordinary image."""
    binary: int
    initrd: int
    small_binary: int
    small_initrd: int
    spawn_rounds: int
    read_rounds: int
    qemu_rounds: int
    cold_rounds: int
    """Of an index, each after all caches of the machine were dropped."""
    shared_views: int
    idle_views: int
    crowds: Sequence[int]
    readers: Sequence[int]


FULL = Scale(
    layers=(1, 8, 20, 32, 128, 500),
    reference=20,
    binary=12 * MIB,
    initrd=64 * MIB,
    small_binary=MIB,
    small_initrd=MIB // 4,
    spawn_rounds=60,
    read_rounds=20,
    qemu_rounds=20,
    cold_rounds=25,
    shared_views=20,
    idle_views=50,
    crowds=(1, 10, 100, 1000),
    readers=(1, 2, 8),
)
QUICK = Scale(
    layers=(1, 20, 128),
    reference=20,
    binary=2 * MIB,
    initrd=8 * MIB,
    small_binary=MIB,
    small_initrd=MIB // 4,
    spawn_rounds=4,
    read_rounds=3,
    qemu_rounds=2,
    cold_rounds=3,
    shared_views=4,
    idle_views=5,
    crowds=(1, 10),
    readers=(1, 2),
)


@dataclass
class Section:
    """What a measurement found: for the reader, for programs, and for the bars."""

    tables: list[Table] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class Bench:
    """The directory, the programs, the builds, the stacks."""

    directory: Path
    scale: Scale
    builds: Sequence[Build]
    programs: Path
    tmpfs: Path
    stacks: dict[int, Stack]
    small: Stack
    image: Path | None
    left_out: list[str] = field(default_factory=list)
    """Sentences: which contender is missing, and why."""
    _usable: dict[tuple[str, str, Path], bool] = field(default_factory=dict)

    @property
    def reference(self) -> Stack:
        """The stack of an ordinary image."""
        return self.stacks[self.scale.reference]

    def target(self, name: str) -> Path:
        """A fresh name for a directory to mount at."""
        path = self.directory / "mnt" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def starters(self) -> list[Contender]:
        """Those whose start is measured."""
        size = self.scale.reference
        return list(
            contenders.starters(self.builds, self.programs, self.image, self.tmpfs, size)
        )

    def readers(self) -> list[Contender]:
        """Those whose files are read."""
        return list(contenders.readers(self.builds, self.programs, self.tmpfs))

    def usable(self, contender: Contender, stack: Stack) -> bool:
        """Whether it is there, and shows the stack's artifacts as they are; else it is left out."""
        build = contender.build.name if contender.build else ""
        key = contender.name, build, stack.directory
        if key not in self._usable:
            reason = contender.absent or self._unfit(contender, stack)
            self._usable[key] = reason is None
            if reason:
                self.leave_out(f"{contender.name}: left out, {reason}")
        return self._usable[key]

    def _unfit(self, contender: Contender, stack: Stack) -> str | None:
        try:
            mounting.check(contender, stack, self.target(f"check-{contender.name}"))
        except mounting.Failed as failure:
            return f"with {stack}: {failure}"
        return None

    def leave_out(self, line: str) -> None:
        """Say, now and at the end, what is missing in the tables."""
        if line not in self.left_out:
            self.left_out.append(line)
            print(line, flush=True)

    def run(self, program: str, *arguments: str | Path) -> list[list[int]]:
        """One of the C programs' output: lines of numbers."""
        command = [self.programs / program, *map(str, arguments)]
        log = self.directory / f"{program}.log"
        with log.open("wb") as stderr:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        if done.returncode:
            said = log.read_text(errors="replace").strip().splitlines()
            raise mounting.Failed(f"{program}: {said[-1] if said else done.returncode}")
        return [list(map(int, line.split())) for line in done.stdout.splitlines()]
