# SPDX-License-Identifier: Apache-2.0
"""Views of snapshots that are deleted and made again, whose inode numbers are given again.

A container's view may outlive its snapshot: its removal was skipped, its process was killed. The
next call at the same place then names a new snapshot, which the filesystem may have given the number
of the old one. Whatever is there, no call may succeed with a view of another image.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import image, machine, namespace
from .image import INITRD, INITRD_PATH, KERNEL_PATH, lowerdir
from .stack import File
from .view import Finished, call, program, run
from .waiting import wait_until

PLACES = 6
SNAPSHOTS = 8
TRIES = 200  # to be given a number again
SECONDS = 60


@dataclass
class Snapshot:
    path: Path
    content: bytes  # of the kernel
    number: int  # of its inode


@dataclass
class Live:
    """The view at a place."""

    shows: Snapshot
    daemon: machine.Process
    dead: bool = False


class WrongView(AssertionError):
    """A call succeeded with a view of another image."""


@dataclass
class Remade:
    """Random steps on a filesystem that gives inode numbers again, which holds BASE, the image's
    lower layer; `done` counts them."""

    base: Path
    place: Path
    source: random.Random
    done: Counter[str] = field(default_factory=Counter)
    views: dict[Path, Live] = field(default_factory=dict)
    snapshots: list[Snapshot] = field(default_factory=list)
    made: int = 0

    def __post_init__(self) -> None:
        # Not beside BASE: in its root the filesystem spreads directories over the disk.
        self.store = self.base.parent / "snapshots"
        self.store.mkdir()
        self.index = self.place / "index"
        self.places = [self.place / f"view-{number}" for number in range(PLACES)]
        for at in self.places:
            at.mkdir()
        for _ in range(SNAPSHOTS):
            self._make(None)

    def _make(self, wanted: int | None, name: str = "") -> None:
        """A new snapshot, with the number WANTED if it is given again."""
        self.made += 1
        path = self.store / (name or str(self.made))
        spare = []
        for number in range(TRIES if wanted else 1):
            path.mkdir()
            if wanted in (None, path.stat().st_ino):
                break
            spare.append(self.store / f"spare-{number}")
            path.rename(spare[-1])
        if not path.exists():
            path.mkdir()
        for directory in spare:
            directory.rmdir()
        # A file that a view has open keeps the numbers of the directories above it: so the kernel
        # of half of them is the base's.
        content = b"kernel of the base"
        if self.source.random() < 0.5:
            content = b"kernel of snapshot %d" % self.made
            (path / KERNEL_PATH).parent.mkdir(parents=True)
            (path / KERNEL_PATH).write_bytes(content)
        self.snapshots.append(Snapshot(path, content, path.stat().st_ino))

    def step(self) -> None:
        steps: list[Callable[[], None]] = [self.call, self.call, self.call, self.remake, self.end]
        self.source.choice(steps)()

    def remake(self) -> None:
        """A snapshot, of which there may be views, is deleted, and another one made at once: at a
        path of its own, or at the same one."""
        old = self.snapshots.pop(self.source.randrange(len(self.snapshots)))
        shutil.rmtree(old.path)
        self._make(old.number, old.path.name if self.source.random() < 0.5 else "")
        self.done["remade"] += 1
        self.done["numbers given again"] += self.snapshots[-1].number == old.number

    def end(self) -> None:
        """A view's process is killed, or the view unmounted."""
        if not self.views:
            return
        at = self.source.choice(list(self.views))
        if self.source.random() < 0.5:
            self.kill(at)
        else:
            self.unmount(at)

    def kill(self, at: Path) -> None:
        view = self.views[at]
        if not view.dead:
            view.daemon.signal(9)
            wait_until(lambda: not machine.is_alive(view.daemon.pid), "a daemon to die", SECONDS)
            machine.bury()
            view.dead = True
            self.done["killed"] += 1

    def unmount(self, at: Path) -> None:
        view = self.views.pop(at)
        namespace.unmount(str(at))
        wait_until(lambda: not machine.is_alive(view.daemon.pid), "a daemon to end", SECONDS)
        machine.bury()
        self.done["unmounted"] += 1

    def call(self) -> None:
        """Of any snapshot, but rather of one whose number is that of the view that is there."""
        at = self.source.choice(self.places)
        there = self.views.get(at)
        alike = [s for s in self.snapshots if there and s.number == there.shows.number]
        snapshot = self.source.choice(alike or self.snapshots)
        option = lowerdir([os.fsencode(snapshot.path), os.fsencode(self.base)])
        finished = call(
            f"--id={at.name}", "-o", option + b",cache=" + os.fsencode(self.index), "none", at,
            seconds=SECONDS,
        )  # fmt: skip
        self.done["calls"] += 1
        self._check(at, snapshot, there, finished)

    def _check(self, at: Path, snapshot: Snapshot, there: Live | None, finished: Finished) -> None:
        other = there is not None and not there.dead and there.shows is not snapshot
        if other and there and there.shows.number == snapshot.number:
            self.done["calls over a view of the same number"] += 1
        if finished.status == 0:
            content = (at / KERNEL_PATH).read_bytes()
            if other or content != snapshot.content:
                raise WrongView(f"{at}: {content!r}, of {there and there.shows}, for {snapshot}")
            assert (at / INITRD_PATH).read_bytes() == INITRD
        else:
            assert finished.code == "EMOUNT" and other, (finished, snapshot, there)
            self.done["refused"] += 1
            return
        if there and not there.dead:
            self.done["found again"] += 1
            return
        self.done["replaced" if there else "mounted"] += 1
        # What it holds until then keeps numbers, too.
        known = {view.daemon.pid for view in self.views.values()}
        (daemon,) = (p for p in machine.processes() if p.pid not in known)
        wait_until(daemon.is_sandboxed, "the daemon to be sandboxed", SECONDS)
        self.views[at] = Live(snapshot, daemon)

    def finish(self) -> None:
        for at in list(self.views):
            self.unmount(at)
        assert run(program("viewfsctl"), "gc", seconds=SECONDS).status == 0
        wait_until(lambda: not machine.processes(), "all processes to end", SECONDS)
        assert machine.mounts() == []


BASE = {
    b"urunc.json": image.urunc_json(initrd="/" + INITRD_PATH),
    KERNEL_PATH.encode(): File(b"kernel of the base"),
    INITRD_PATH.encode(): File(INITRD),
}


def remade(base: Path, place: Path, calls: int, seed: int) -> Remade:
    """So many CALLS, with what happens between them."""
    work = Remade(base, place, random.Random(seed))
    try:
        while work.done["calls"] < calls:
            work.step()
    finally:
        work.finish()
    return work
