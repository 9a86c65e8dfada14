# SPDX-License-Identifier: Apache-2.0
"""The plan that the program `spawn` carries out, and what it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .bench import Bench
from .contenders import Start
from .figures import Figure, Samples, figure


@dataclass
class Timing:
    """One command's samples, by round."""

    ready: dict[int, float] = field(default_factory=dict)
    """ns from posix_spawn to the command's end."""
    read: dict[int, float] = field(default_factory=dict)
    """ns to the end of the first read; empty if there is nothing to read."""
    written: dict[int, float] = field(default_factory=dict)
    """Bytes written to disks by the command and its daemons."""
    failures: int = 0

    def remark(self, rounds: int) -> str:
        """What must stand beside its figures: they are of the rounds that did not fail."""
        return f" ({self.failures} of {rounds} FAILED)" if self.failures else ""

    def add(self, row: Sequence[int]) -> None:
        """A line of the program's."""
        _, round_, ready, read, written, status = row
        if status:
            self.failures += 1
            return
        self.ready[round_] = ready
        self.written[round_] = written
        if read:
            self.read[round_] = read


@dataclass(frozen=True)
class Step:
    """A command, and what is done around it outside the time."""

    name: str
    start: Start
    open: Path | None = None
    stdin: Path | None = None
    drop: Sequence[Path] = ()

    def lines(self) -> list[str]:
        """In the plan's words: see spawn.c."""
        start = self.start
        one = [("command", self.name), ("cwd", start.cwd), ("stdin", self.stdin)]
        one.append(("open", self.open))
        many = {
            "arg": start.argv,
            "drop": self.drop,
            "umount": start.unmount,
            "unlink": start.unlink,
        }
        lines = [f"{word} {value}" for word, value in one if value is not None]
        return lines + [f"{word} {value}" for word, values in many.items() for value in values]


def carry_out(bench: Bench, steps: Sequence[Step], rounds: int, warmup: int) -> list[Timing]:
    """Run every step once a round. Returns a Timing for each."""
    path = bench.directory / "plan"
    path.write_text("".join(line + "\n" for step in steps for line in step.lines()))
    timings = [Timing() for _ in steps]
    for row in bench.run("spawn", str(rounds), str(warmup), path):
        timings[row[0]].add(row)
    return timings


def micros(samples: Samples) -> Figure | None:
    """Samples of ns as a figure in µs."""
    found = figure(samples)
    return found and found.scaled(1e-3)
