"""The numbers that the project set out to reach, and whether this run reached them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .builds import Build
from .contenders import COPY, DUTIES, DUTIES_WARM, FLOOR, FUSE_OVERLAYFS, OVERLAY
from .figures import Figure
from .material import MIB
from .report import Table, get

READY = {"dynamic": 1.7, "static": 1.1}
FIRST_BYTES = {"dynamic": 2.0, "static": 1.3}
FUSE_OVERLAYFS_PART = 0.5
GROWTH = 1.5
LAYER_US = 2.0
READS = {
    "read hot 1": ("read(), hot", 0.95),
    "read cold 1": ("read(), cold", 0.9),
    "mmap hot 1": ("mmap, hot", 0.8),
    "direct hot 1": ("4 KiB O_DIRECT", 0.75),
}
# "1 x the files": the rest is room for what else the machine caches meanwhile.
PAGE_CACHE = 1.1
PRIVATE_DIRTY_KB = {"dynamic": 150, "static": 80}
CROWD = "1000"
# What a change should not add to without a reason.
CALLS = {"dynamic": 200, "static": 160}
CALLS_PER_LAYER = 3
COPY_RATIO = 20

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


def _part(mine: Figure | None, other: Figure | None) -> float | None:
    """Both are multiples of the same."""
    return mine.median / other.median if mine and other else None


def _starting(build: Build, results: Data, reference: int) -> Iterator[Verdict]:
    stack = get(results, "spawn", "stacks", str(reference))
    mine = get(stack, build.name, "ready_ratio")
    first = get(stack, build.name, "read_ratio")
    what = f"spawn to ready, {reference} layers"
    yield _at_most(what, build, READY[build.linkage], _median(mine), " x")
    for part, name in (
        ("  of that, what any program would take", FLOOR[build.linkage]),
        ("  and what the contract's system calls take", DUTIES[build.linkage]),
    ):
        least = _median(get(stack, name, "ready_ratio"))
        yield Verdict(part, build.name, "", _shown(least, " x"), None)
    for name, bar in ((OVERLAY, 1.0), (FUSE_OVERLAYFS, FUSE_OVERLAYFS_PART)):
        found = _part(mine, get(stack, name, "ready_ratio"))
        met = None if found is None else found < bar
        shown = _shown(found, " x")
        yield Verdict(f"  beside {name}", build.name, f"< {bar:g} x", shown, met)
    what = f"spawn to first bytes, {reference} layers"
    yield _at_most(what, build, FIRST_BYTES[build.linkage], _median(first), " x")


def _growing(build: Build, results: Data, _reference: int) -> Iterator[Verdict]:
    growth = get(results, "spawn", "growth")
    warm = get(growth, "contenders", f"{build.name}, index warm")
    mine = warm or get(growth, "contenders", build.name)
    layers = f"{get(growth, 'from')} to {get(growth, 'to')}" if growth else "20 to 500"
    what = f"first bytes, {layers} layers, " + ("index warm" if warm else "no index yet")
    yield _at_most(what, build, GROWTH, _median(get(mine, "read_ratio")), " x")
    found = _median(get(mine, "read_us_per_layer"))
    yield _at_most("  each layer", build, LAYER_US, found, " µs")
    least = _median(get(growth, "contenders", DUTIES_WARM[build.linkage], "ready_us_per_layer"))
    yield Verdict("  of that, to look at it once", build.name, "", _shown(least, " µs"), None)


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
    yield _at_most("Private_Dirty of an idle view", build, bar, found, " kB", steady=True)


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


def _copying(build: Build, results: Data, reference: int) -> Iterator[Verdict]:
    mine = get(results, "spawn", "stacks", str(reference), build.name)
    size = get(results, "spawn", "artifact_bytes")
    what = "beside: " + (f"copying {size / MIB:.0f} MiB of artifacts" if size else COPY)
    times = _median(get(mine, "copy_ratio"))
    shown = "-" if times is None else f"{times:.1f} x faster"
    met = None if times is None else times >= COPY_RATIO
    yield Verdict(what, build.name, f">= {COPY_RATIO} x faster", shown, met)
    written = _median(get(mine, "written_bytes"))
    yield _none("  written to disks", build, written, " bytes")
