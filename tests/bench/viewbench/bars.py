# SPDX-License-Identifier: Apache-2.0
"""The numbers that the project set out to reach, and whether this run reached them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .builds import Build
from .contenders import (
    COPY,
    DUTIES,
    DUTIES_WARM,
    FUSE_OVERLAYFS,
    FUSE_OVERLAYFS_2,
    OVERLAY,
    STORED_HIT,
    SURVIVES,
)
from .figures import Figure
from .index_pays import pays_from
from .material import MIB
from .report import Table, get

DUTIES_PART = 1.1
PEER_PART = {"dynamic": 0.75, "static": 0.5}
READ_PART = 1.2
GROWTH = 1.5
LAYER_US = 1.5
INDEX_LAYERS = 32
STORED = 1.0
FILLING_RAW = 1.25
FILLING_CONTAINERD = 0.35
FILLING_TABLE = 0.25
READS = {
    "read hot 1": ("read(), hot", 0.95),
    "read cold 1": ("read(), cold", 0.9),
    "mmap hot 1": ("mmap, hot", 0.8),
    "direct hot 1": ("4 KiB O_DIRECT", 0.75),
}
# "1 x the files": the rest is room for what else the machine caches meanwhile.
PAGE_CACHE = 1.1
PRIVATE_DIRTY_KB = {"dynamic": 130, "static": 68}
MEMORY_KB = {"dynamic": 230, "static": 175}
CROWD = "1000"
LIST_MS = 1.0
# What a change should not add to without a reason.
PRIVATE_DIRTY_LIMIT_KB = {"dynamic": 150, "static": 80}
SURVIVING = 1.6
CALLS = {"dynamic": 200, "static": 160}
CALLS_PER_LAYER = 3
COPY_RATIO = {"dynamic": 30, "static": 60}

Data = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One bar for one build."""

    what: str
    build: str
    bar: str
    found: str
    met: bool | None
    """None: not measured in this run."""
    steady: bool = False
    """It does not depend on how busy the machine is: continuous integration insists on it."""

    @property
    def word(self) -> str:
        """For the table."""
        if not self.bar:
            return ""
        return {True: "met", False: "NOT met", None: "not measured"}[self.met]


def judge(builds: Sequence[Build], results: Data, reference: int) -> list[Verdict]:
    """All bars, for each build. RESULTS has each measurement's data; a missing one is no error."""
    return [
        verdict
        for build in builds
        for part in (
            _starting,
            _growing,
            _indexing,
            _storing,
            _filling,
            _counting,
            _reading,
            _sharing,
            _resting,
            _crowding,
            _copying,
        )
        for verdict in part(build, results, reference)
    ]


def table(verdicts: Sequence[Verdict], quick: bool) -> Table:
    """The closing table."""
    notes = ["Few rounds and small sizes: this shows that it works, not how well."] if quick else []
    found = Table("Numbers to reach", ["what", "build", "bar", "this run", ""], notes)
    for verdict in verdicts:
        found.add(verdict.what, verdict.build, verdict.bar, verdict.found, verdict.word)
    return found


def data(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """For the JSON."""
    return [asdict(verdict) for verdict in verdicts]


def _shown(found: float | None, unit: str) -> str:
    return "-" if found is None else f"{found:.2f}{unit}"


def _at_most(
    what: str, build: Build, bar: float, found: float | None, unit: str, steady: bool = False
) -> Verdict:
    met = None if found is None else found <= bar
    return Verdict(what, build.name, f"<= {bar:g}{unit}", _shown(found, unit), met, steady)


def _none(what: str, build: Build, found: float | None, unit: str) -> Verdict:
    shown = "-" if found is None else f"{found:.0f}{unit}"
    met = None if found is None else found == 0
    return Verdict(what, build.name, f"0{unit}", shown, met, steady=True)


def _median(figure: Figure | None) -> float | None:
    return figure.median if figure else None


def _starting(build: Build, results: Data, reference: int) -> Iterator[Verdict]:
    mine = get(results, "spawn", "stacks", str(reference), build.name)
    what = f"spawn to ready, {reference} layers, in"
    found = _median(get(mine, "duties_ratio"))
    yield _at_most(f"{what} its bare system calls", build, DUTIES_PART, found, " x")
    shown = _shown(_median(get(mine, "duties_faults_ratio")), " x")
    yield Verdict("  and in these with as many page faults", build.name, "", shown, None)
    bar = PEER_PART[build.linkage]
    for peer, key in ((FUSE_OVERLAYFS_2, "fuse_overlayfs_2_ratio"), (OVERLAY, "overlay_ratio")):
        yield _at_most(f"  in {peer}", build, bar, _median(get(mine, key)), " x")
    shown = _shown(_median(get(mine, "fuse_overlayfs_ratio")), " x")
    yield Verdict(f"  in {FUSE_OVERLAYFS}", build.name, "", shown, None)
    shown = _shown(_median(get(mine, "ready_ratio")), " x")
    yield Verdict("  in a process that does nothing", build.name, "", shown, None)
    found = _median(get(mine, "read_per_ready"))
    yield _at_most("spawn to first bytes, in spawn to ready", build, READ_PART, found, " x")


def _growing(build: Build, results: Data, _reference: int) -> Iterator[Verdict]:
    growth = get(results, "spawn", "growth")
    warm = get(growth, "contenders", f"{build.name}, index warm")
    mine = warm or get(growth, "contenders", build.name)
    layers = f"{get(growth, 'from')} to {get(growth, 'to')}" if growth else "20 to 500"
    what = f"first bytes, {layers} layers, " + ("index warm" if warm else "no index yet")
    yield _at_most(what, build, GROWTH, _median(get(mine, "read_ratio")), " x")
    duties = get(growth, "contenders", DUTIES_WARM[build.linkage])
    shown = _shown(_median(get(duties, "ready_ratio")), " x")
    yield Verdict("  of its bare system calls, to ready", build.name, "", shown, None)
    found = _median(get(mine, "read_us_per_layer"))
    yield _at_most("  each layer", build, LAYER_US, found, " µs")
    least = _median(get(duties, "ready_us_per_layer"))
    yield Verdict("  of that, to look at it once", build.name, "", _shown(least, " µs"), None)


def _indexing(build: Build, results: Data, _reference: int) -> Iterator[Verdict]:
    found = get(results, "index", build.name)
    least = pays_from(found) if found else None
    met = (least is not None and least <= INDEX_LAYERS) if found else None
    shown = "-" if not found else f"{least} layers" if least else "none of these"
    what, bar = "index pays, hot and cold, from", f"<= {INDEX_LAYERS} layers"
    yield Verdict(what, build.name, bar, shown, met)


def _storing(build: Build, results: Data, _reference: int) -> Iterator[Verdict]:
    found = get(results, "stored", build.name)
    layers = get(found, "layers") or 20
    what = f"a stored image to ready, in {layers} directories, index warm"
    yield _at_most(what, build, STORED, _median(get(found, STORED_HIT, "ready_ratio")), " x")
    read = _median(get(found, STORED_HIT, "read_ratio"))
    yield _at_most("  and to its first bytes", build, STORED, read, " x")


def _filling(build: Build, results: Data, _reference: int) -> Iterator[Verdict]:
    found = get(results, "blobs", build.name)
    if not found:
        return
    what = "first extraction of a gzip layer, CPU, in decoding and hashing it"
    raw = _median(get(found, "gzip", "raw_ratio"))
    yield _at_most(what, build, FILLING_RAW, raw, " x")
    other = _median(get(found, "gzip", "containerd_ratio"))
    yield _at_most("  in containerd's unpacking", build, FILLING_CONTAINERD, other, " x")
    for kind, streamed in (("zstd:chunked", "zstd"), ("eStargz", "gzip")):
        mine, whole = (_median(get(found, one, "cpu_s")) for one in (kind, streamed))
        part = None if mine is None or not whole else mine / whole
        yield _at_most(f"  {kind} by its table, in {streamed}", build, FILLING_TABLE, part, " x")
        alone = _median(get(found, kind, "files_cpu_s"))
        part = None if alone is None or not whole else alone / whole
        shown = "" if part is None else f"{part:.2f} x"
        yield Verdict("  of which its files alone, decoded and hashed", build.name, "", shown, None)


def _counting(build: Build, results: Data, reference: int) -> Iterator[Verdict]:
    mine = get(results, "counts", build.name)
    what = f"system calls until ready, {reference} layers"
    bar = CALLS[build.linkage]
    yield _at_most(what, build, bar, get(mine, "calls", str(reference)), "", steady=True)
    found = get(mine, "calls_per_layer")
    yield _at_most("  each layer", build, CALLS_PER_LAYER, found, "", steady=True)
    found = get(mine, "requests", "READ")
    yield _none("requests to read, all artifacts read", build, found, "")
    yield _none("  page cache of its own", build, get(mine, "cached_bytes"), " bytes")


def _reading(build: Build, results: Data, _reference: int) -> Iterator[Verdict]:
    """The bar holds for every size: the slowest counts."""
    sizes = get(results, "read") or {}
    for key, (what, bar) in READS.items():
        found = {size: _median(get(sizes, size, key, build.name, "ratio")) for size in sizes}
        known = {size: value for size, value in found.items() if value is not None}
        shown = ", ".join(f"{value:.2f} x ({size})" for size, value in known.items()) or "-"
        met = min(known.values()) >= bar if known else None
        yield Verdict(f"reading, {what}", build.name, f">= {bar:g} x", shown, met)


def _sharing(build: Build, results: Data, _reference: int) -> Iterator[Verdict]:
    mine = get(results, "cache", build.name)
    count = get(mine, "count") or "N"
    what = f"page cache, {count} views, all read"
    yield _at_most(what, build, PAGE_CACHE, _median(get(mine, "ratio")), " x the files")


def _resting(build: Build, results: Data, _reference: int) -> Iterator[Verdict]:
    found = get(results, "idle", build.name, "Private_Dirty")
    bar = PRIVATE_DIRTY_KB[build.linkage]
    yield _at_most("Private_Dirty of an idle view", build, bar, found, " kB")
    limit = PRIVATE_DIRTY_LIMIT_KB[build.linkage]
    yield _at_most("  what no change may pass", build, limit, found, " kB", steady=True)
    found = get(results, "memory", build.name, "all")
    bar = MEMORY_KB[build.linkage]
    yield _at_most("  and all of its memory, the kernel's too", build, bar, found, " kB")
    least = get(results, "memory", DUTIES[build.linkage], "all")
    yield Verdict("  of its bare system calls", build.name, "", _shown(least, " kB"), None)
    both = get(results, "memory", f"{build.name}, {SURVIVES}", "all")
    ratio = both / found if both and found else None
    yield _at_most("  times that with survive=on", build, SURVIVING, ratio, " x")


def _crowding(build: Build, results: Data, _reference: int) -> Iterator[Verdict]:
    crowd = get(results, "crowd", build.name, CROWD)
    what, bar = f"{CROWD} views at once", "mounted, read, gone"
    if not crowd:
        yield Verdict(what, build.name, bar, "-", None)
    elif "error" in crowd:
        yield Verdict(what, build.name, bar, crowd["error"], False)
    else:
        left = len(crowd["left"])
        shown = "nothing left" if not left else f"{left} left"
        yield Verdict(what, build.name, bar, shown, not left)
    each = get(crowd, "list_s")
    found = None if each is None else each * 1000 / int(CROWD)
    yield _at_most("  viewfsctl list, each view", build, LIST_MS, found, " ms")


def _copying(build: Build, results: Data, reference: int) -> Iterator[Verdict]:
    mine = get(results, "spawn", "stacks", str(reference), build.name)
    size = get(results, "spawn", "artifact_bytes")
    what = "beside: " + (f"copying {size / MIB:.0f} MiB of artifacts" if size else COPY)
    times = _median(get(mine, "copy_ratio"))
    shown = "-" if times is None else f"{times:.1f} x faster"
    bar = COPY_RATIO[build.linkage]
    met = None if times is None else times >= bar
    yield Verdict(what, build.name, f">= {bar} x faster", shown, met)
    written = _median(get(mine, "written_bytes"))
    yield _none("  written to disks", build, written, " bytes")
