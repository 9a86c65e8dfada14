# SPDX-License-Identifier: Apache-2.0
"""An image that has no layer directories: its artifacts come out of the artifact store.

Beside it: the same image from directories, with what the index knows of them; the artifacts moved
out of the container's disk, as urunc does it; and a snapshot mounted for each container.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from support import namespace

from .. import mounting
from ..bench import Bench, Section
from ..builds import Build
from ..contenders import (
    COPY,
    STORED_FIRST,
    STORED_HIT,
    STORED_SNAPSHOT,
    STORED_WARM,
    Contender,
    Start,
    copy,
    first_artifact,
    view,
)
from ..figures import Figure, interval, show
from ..material import ARTIFACTS, BINARY, CONFIG, INITRD, MIB, Stack
from ..plan import Step, Timing, carry_out, micros
from ..report import Table
from ..system import meminfo, read_through

WARMUP = 3
CROWD = 100
QUICK_CROWD = 5

CHAIN = hashlib.sha256(b"the image of the benchmark").hexdigest()

# A filesystem's own share of its image, and the least that mkfs takes.
ROOM = 1.2
LEAST = 16 * MIB


@dataclass(frozen=True)
class Place:
    """A snapshot of the image, mounted and as a file, and stores that have it or will."""

    snapshot: Path
    tree: Path
    filled: Path
    first: Path
    digests: Sequence[str]
    """Of the artifacts."""

    def forgotten(self) -> list[Path]:
        """What the store that is filled again and again has then."""
        objects = [self.first / "objects" / name[:2] / name for name in self.digests]
        return [self.first / "chains" / CHAIN, *objects]


def measure(bench: Bench) -> Section:
    """Two tables: one container after the other, and many at once."""
    section = Section()
    filler = next((build.program.with_name("viewfsctl") for build in bench.builds
                   if build.program.with_name("viewfsctl").exists()), None)  # fmt: skip
    if not filler or not shutil.which("mkfs.ext4"):
        bench.leave_out("stored: left out, there is no viewfsctl or no mkfs.ext4")
        return section
    with _place(bench, filler) as place:
        for build in bench.builds:
            ways = list(_ways(bench, build, filler, place))
            single, found = _single(bench, build, ways)
            crowd, found["at_once"] = _crowd(bench, build, ways, place)
            section.tables += [single, crowd]
            section.data[build.name] = found
    return section


@contextlib.contextmanager
def _place(bench: Bench, filler: Path) -> Iterator[Place]:
    directory = bench.directory / "stored"
    content = directory / "content"
    for path in ARTIFACTS:
        (content / path).parent.mkdir(parents=True, exist_ok=True)
        os.link(bench.reference.backing[path], content / path)
    image = directory / "snapshot"
    with image.open("wb") as file:
        file.truncate(max(int(bench.reference.total() * ROOM), LEAST))
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", content, image], check=True)
    found = {hashlib.sha256((content / path).read_bytes()).hexdigest() for path in ARTIFACTS}
    stores = directory / "filled", directory / "first"
    place = Place(image, directory / "tree", *stores, sorted(found))
    place.tree.mkdir()
    options = "loop,ro,noload"
    subprocess.run(["mount", "-t", "ext4", "-o", options, image, place.tree], check=True)
    try:
        for store in (place.filled, place.first):
            subprocess.run(_fill(filler, place, store), check=True, stdout=subprocess.DEVNULL)
        for path in place.forgotten():
            path.unlink()
        yield place
    finally:
        namespace.unmount(str(place.tree))


def _fill(filler: Path, place: Place, store: Path) -> list[str | Path]:
    words = [f"--chain=sha256:{CHAIN}", f"--tree={place.tree}", "-o", f"store={store}"]
    return [filler, "store", "add", *words]


def _ways(bench: Bench, build: Build, filler: Path, place: Place) -> Iterator[Contender]:
    """The measure of the others first."""
    # A comma, as in a build's name, would end the option.
    index = bench.tmpfs / f"stored-index-{bench.builds.index(build)}"
    index.mkdir(mode=0o700)
    warm = view(build, ["-o", f"cache={index}"], STORED_WARM)
    mounting.teach(warm, bench.reference, bench.target("teach"), index)
    yield warm

    def command(store: Path, target: Path) -> list[str | Path]:
        words = [f"--chain=sha256:{CHAIN}", "-o", f"store={store}", "bench"]
        return [build.program, *words, target]

    def hit(_stack: Stack, target: Path) -> Start:
        return Start(command(place.filled, target), target, [target])

    yield Contender(STORED_HIT, hit, build)

    def first(_stack: Stack, target: Path) -> Start:
        fill, show = _fill(filler, place, place.first), command(place.first, target)
        script = f"{shlex.join(map(str, fill))} >/dev/null && exec {shlex.join(map(str, show))}"
        argv = ["/bin/sh", "-c", script]
        return Start(argv, target, [target], place.forgotten())

    yield Contender(STORED_FIRST, first, build)
    yield copy(bench.programs, bench.tmpfs)

    def snapshot(_stack: Stack, target: Path) -> Start:
        mount = shutil.which("mount") or "mount"
        argv = [mount, "-t", "ext4", "-o", "loop,ro,noload", place.snapshot, target]
        return Start(argv, target, [target])

    yield Contender(STORED_SNAPSHOT, snapshot)


def _single(
    bench: Bench, build: Build, ways: Sequence[Contender]
) -> tuple[Table, dict[str, object]]:
    stack = bench.reference
    columns = ["", "ready, x", "first bytes, x", "ready, µs here", "first bytes, µs here"]
    notes = [
        f"x = times the same image from {stack} with a warm index, in the same rounds; median"
        " [its 95 % interval]; µs: median [quartiles]",
        f"Artifacts: {stack.total() / MIB:.0f} MiB. {COPY}: what urunc does, out of a disk that is"
        f" mounted already. {STORED_SNAPSHOT}: by mount(8) alone; a lease, a View and their end, which are"
        " containerd's, come to that for each container.",
    ]
    table = Table(f"A stored image: {build.name}", columns, notes)
    usable = [way for way in ways if bench.usable(way, stack)]
    # Where the index of the first one learns the layers.
    starts = [way.start(stack, bench.target(f"stored-{n}")) for n, way in enumerate(usable)]
    steps = [Step(w.name, s, first_artifact(s)) for w, s in zip(usable, starts, strict=True)]
    timings = carry_out(bench, steps, bench.scale.spawn_rounds, WARMUP)
    base = timings[0]
    found: dict[str, object] = {"layers": len(stack.layers)}
    for way, timing in zip(usable, timings, strict=True):
        ready, read = interval(timing.ready, base.ready), interval(timing.read, base.read)
        remark = timing.remark(bench.scale.spawn_rounds)
        here = (micros(timing.ready), micros(timing.read))
        table.add(way.name + remark, show(ready), show(read), *(show(figure, 0) for figure in here))
        found[way.name] = _figures(ready, read, timing)
    return table, found


def _figures(ready: Figure | None, read: Figure | None, timing: Timing) -> dict[str, object]:
    return {
        "ready_ratio": ready,
        "read_ratio": read,
        "ready_us": micros(timing.ready),
        "read_us": micros(timing.read),
        "failures": timing.failures,
    }


def _crowd(
    bench: Bench, build: Build, ways: Sequence[Contender], place: Place
) -> tuple[Table, dict[str, object]]:
    count = CROWD if max(bench.scale.crowds) >= CROWD else QUICK_CROWD
    stack = bench.reference
    columns = ["", "all ready, s", "all read, s", "page cache, x the files", "kept on disks, MiB"]
    notes = [
        f"{count} started at once; then all artifacts are read through each. One run: absolute"
        " numbers are of this machine. Kept on disks: by each way's own files.",
    ]
    table = Table(f"A stored image, {count} at once: {build.name}", columns, notes)
    found: dict[str, object] = {"count": count}
    for way in ways:
        if not bench.usable(way, stack):
            continue
        if way.name == COPY and count * stack.total() > meminfo()["MemAvailable"] // 2:
            bench.leave_out(f"{way.name}: {count} at once: left out, too much for this memory")
            continue
        try:
            ready, read, cached = _at_once(bench, way, stack, count)
        except (mounting.Failed, OSError) as failure:
            mounting.end_all()
            bench.leave_out(f"{way.name}: {count} at once: {failure}")
            continue
        kept = _kept(way, place, stack, count)
        times = cached / stack.total()
        table.add(way.name, f"{ready:.3f}", f"{read:.3f}", f"{times:.2f}", f"{kept / MIB:.0f}")
        found[way.name] = {
            "ready_s": ready, "read_s": read, "cached_ratio": times, "kept_bytes": kept,
        }  # fmt: skip
    return table, found


def _at_once(
    bench: Bench, way: Contender, stack: Stack, count: int
) -> tuple[float, float, float]:
    """Seconds until all are ready, and until all are read; by how much the page cache grew."""
    starts = [way.start(stack, bench.target(f"at-once-{n}")) for n in range(count)]
    cached = meminfo()["Cached"]
    begin = time.monotonic()
    processes = [
        subprocess.Popen(
            list(map(str, start.argv)), cwd=start.cwd,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for start in starts
    ]  # fmt: skip
    try:
        failed = sum(process.wait(mounting.PATIENCE) != 0 for process in processes)
        ready = time.monotonic() - begin
        if failed:
            raise mounting.Failed(f"{failed} failed")
        for start in starts:
            for path in (CONFIG, BINARY, INITRD):
                shown = start.artifact(path)
                assert shown
                read_through(shown)
        read = time.monotonic() - begin
        grown = meminfo()["Cached"] - cached
    finally:
        for start in starts:
            for place in start.unmount:
                with contextlib.suppress(OSError):
                    namespace.unmount(place)
            for path in start.unlink:
                path.unlink(missing_ok=True)
        mounting.reap()
    return ready, read, grown


def _kept(way: Contender, place: Place, stack: Stack, count: int) -> int:
    """What all containers together keep beside the image as it was unpacked."""
    if way.name in (STORED_HIT, STORED_FIRST):
        objects = [path for path in (place.filled / "objects").rglob("*") if path.is_file()]
        return sum(path.stat().st_blocks * 512 for path in objects)
    return count * stack.total() if way.name == COPY else 0
