# SPDX-License-Identifier: Apache-2.0
"""A memory cgroup of its own: what processes take of everything, kernel memory included."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from support import namespace

from .contenders import Start
from .mounting import wait_until

PREFIX = "viewfs-bench-"

JOIN = 'echo 0 >"$1"; shift; exec "$@"'
"""As the shell's words: the command, from its first page on, in the cgroup."""


class Unavailable(Exception):
    """There is no memory controller to be had; says why."""


@dataclass(frozen=True)
class Group:
    """A cgroup's directory, of either version."""

    directory: Path
    unified: bool

    def start(self, start: Start) -> Start:
        """The same contender, in the group."""
        return Start(self.command(start.argv), start.root, start.unmount, start.unlink, start.cwd)

    def command(self, argv: Sequence[str | Path]) -> list[str | Path]:
        """The same command, in the group."""
        return ["/bin/sh", "-c", JOIN, "sh", self.directory / "cgroup.procs", *argv]

    def usage(self) -> dict[str, int]:
        """Bytes: of processes, of files, of the kernel. Their sum is more exact than the group's
        counter, to which each processor adds in batches."""
        lines = (self.directory / "memory.stat").read_text().splitlines()
        stat = {key: int(value) for key, value in (line.split() for line in lines)}
        if self.unified:
            return {key: stat[key] for key in ("anon", "file", "kernel")}
        kernel = int((self.directory / "memory.kmem.usage_in_bytes").read_text())
        return {"anon": stat["rss"], "file": stat["cache"], "kernel": kernel}


@contextlib.contextmanager
def group(scratch: Path) -> Iterator[Group]:
    """A fresh one, removed after. Where no hierarchy with memory is mounted, version 1's is mounted
    below SCRATCH, for this mount namespace. Raises Unavailable."""
    hierarchy, unified = mounted() or (_mount(scratch), False)
    made = Group(hierarchy / f"{PREFIX}{scratch.name}", unified)
    made.directory.mkdir()
    try:
        if not (made.directory / "memory.stat").exists():
            raise Unavailable("the root cgroup gives its children no memory controller")
        yield made
    finally:
        wait_until(lambda: not (made.directory / "cgroup.procs").read_text(), "an empty cgroup")
        made.directory.rmdir()


def mounted() -> tuple[Path, bool] | None:
    """The root of a hierarchy that accounts memory, and whether it is version 2's."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        place = Path(fields.split(" ")[4])
        if kind == "cgroup" and "memory" in options.split(","):
            return place, False
        controllers = place / "cgroup.controllers"
        if kind == "cgroup2" and "memory" in controllers.read_text().split():
            return place, True
    return None


def _mount(scratch: Path) -> Path:
    place = scratch / "cgroup"
    place.mkdir(exist_ok=True)
    try:
        namespace.mount("cgroup", place, "cgroup", 0, "memory")
    except OSError as error:
        raise Unavailable(f"no memory controller: {os.strerror(error.errno or 0)}") from error
    return place


def all_left() -> list[Path]:
    """The groups of all runs, where a hierarchy is mounted."""
    found = mounted()
    return list(found[0].glob(PREFIX + "*")) if found else []


def remove_left(scratch: str) -> None:
    """What an interrupted run, whose scratch directory had that name, may have left."""
    for directory in all_left():
        if directory.name == PREFIX + scratch:
            try:
                directory.rmdir()
            except OSError as error:
                print(f"bench: {directory} is left: {error.strerror}", file=sys.stderr)
