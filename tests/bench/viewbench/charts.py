# SPDX-License-Identifier: Apache-2.0
"""Charts of a run's JSON: from the figures alone, so that they can be drawn again at any time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .bars import READS
from .contenders import (
    COPY,
    FALLBACK,
    FLOOR,
    FUSE_OVERLAYFS,
    FUSE_OVERLAYFS_2,
    LAYER,
    NOOP,
    OVERLAY,
    STORED_FIRST,
    STORED_HIT,
    STORED_SNAPSHOT,
    STORED_WARM,
)
from .material import MIB
from .report import get
from .svg import COLOURS, FAINT, MIDDLE, Picture

RESULT = "result.json"
"""The figures, beside the charts."""

WIDTH = 860
LEFT, RIGHT, TOP, BOTTOM = 70, 310, 78, 64
"""Around a panel of lines: room for the axis, and for the names at their ends."""

LINES_ONLY = ("unionfs-fuse", "mergerfs", "squashfuse", "mount(2) of an overlay")
STORED_ROWS = (STORED_HIT, STORED_WARM, STORED_SNAPSHOT, COPY, STORED_FIRST)
BARS_ONLY = (FALLBACK, "nothing to load", *STORED_ROWS)
"""What is in one kind of chart only, so that both do with as many colours as can be told apart."""

READ_ROWS = (
    ("read hot 1", "read(), hot"), ("read cold 1", "read(), cold"), ("whole hot 1", "one read()"),
    ("pread hot 1", "pread(), 4 KiB"), ("mmap hot 1", "mmap, hot"), ("mmap cold 1", "mmap, cold"),
    ("direct hot 1", "O_DIRECT, 4 KiB"),
)  # fmt: skip

READ_MOST = 2.0
"""A bar that is longer is cut off there: O_DIRECT from memory, beside a disk."""

STORED_MOST = 5.0
"""The same, of copies beside a mount."""

LOWER, HIGHER = "lower is better", "higher is better"

Series = Mapping[str, Mapping[float, float]]
"""By name: y by x."""

Words = Mapping[tuple[str, str], str]
"""By group and name: what stands beside a bar's value, in units of the machine."""


@dataclass(frozen=True)
class Axis:
    """From a value to a place; logarithmic, or from zero."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = True

    def at(self, value: float) -> float:
        """Where it is."""
        if self.logarithmic:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self) -> Iterator[float]:
        """1, 2, 5, 10, ..., or ten of even steps at most."""
        if not self.logarithmic:
            step = next(s for s in _steps(0.05) if self.high / s <= 10)
            count = int(self.high / step + 1e-9)
            yield from (step * i for i in range(count + 1))
            return
        for value in _steps(10 ** math.floor(math.log10(self.low))):
            if value > self.high * 1.001:
                return
            if value >= self.low * 0.999:
                yield value


def _steps(first: float) -> Iterator[float]:
    decade = first
    while True:
        yield from (decade, 2 * decade, 5 * decade)
        decade *= 10


def draw(document: Mapping[str, Any], directory: Path) -> list[Path]:
    """Writes the charts whose figures are there. Returns: their files."""
    makers: dict[str, Callable[[Mapping[str, Any], str], Picture | None]] = {
        "start": _start,
        "read": _read,
        "memory": _memory,
        "cache": _cache,
        "qemu": _qemu,
        "stored": _stored,
    }
    written = []
    where = _machine(document["environment"])
    for name, maker in makers.items():
        picture = maker(document, where)
        if picture:
            written.append(directory / f"{name}.svg")
            picture.write(written[-1])
    return written


def _machine(environment: Mapping[str, Any]) -> str:
    return (
        f"Linux {environment['kernel']}, {environment['cpus']} processors,"
        f" {environment['memory_gib']:.0f} GiB, {environment['filesystem']}"
    )


def _views(document: Mapping[str, Any]) -> list[str]:
    return [build["name"] for build in document["environment"]["builds"]]


def _colour(name: str, views: Sequence[str]) -> tuple[str, int, str]:
    """A contender's colour, mark and dashes: the same in every chart. The views' are full lines."""
    if name in (LAYER, NOOP, *FLOOR.values()):
        return MIDDLE, 4, "2 3"
    common = [*views, OVERLAY, FUSE_OVERLAYFS, FUSE_OVERLAYFS_2, COPY]
    group = LINES_ONLY if name in LINES_ONLY else BARS_ONLY
    index = common.index(name) if name in common else len(common) + group.index(name)
    dashes = "" if name in views else "6 3" if index % 2 else "9 3 2 3"
    return COLOURS[index % len(COLOURS)], index, dashes


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


# --- lines ---


def _start(document: Mapping[str, Any], where: str) -> Picture | None:
    stacks = get(document, "results", "spawn", "stacks")
    if not stacks:
        return None
    views = _views(document)
    series: dict[str, dict[float, float]] = {}
    beside: dict[str, str] = {}
    peers = (OVERLAY, FUSE_OVERLAYFS, FUSE_OVERLAYFS_2, COPY)
    for name in (*views, *peers, *LINES_ONLY, *FLOOR.values()):
        points = {float(n): get(stacks[n], name, "ready_ratio", "median") for n in stacks}
        found = {n: value for n, value in sorted(points.items()) if value}
        if found:
            series[name] = found
            last = get(stacks[f"{max(found):g}"], name, "ready_us", "median")
            beside[name] = f"×, {_short(last / 1000)} ms"
    title = "From spawn to mounted and ready, by the number of layers"
    unit = f"times a process that does nothing (log): {LOWER}"
    return _lines(title, where, "layers (log)", unit, series, views, beside)


def _memory(document: Mapping[str, Any], where: str) -> Picture | None:
    crowd = get(document, "results", "crowd")
    if not crowd:
        return None
    series: dict[str, dict[float, float]] = {}
    for name, sizes in crowd.items():
        found = {
            float(n): size["pss_bytes"] / float(n) / 1024
            for n, size in sizes.items()
            if size.get("pss_bytes")
        }
        if found:
            series[name] = found
    if not series:
        return None
    title = "Memory of each view's process when many are mounted and read (Pss)"
    beside = dict.fromkeys(series, "kB")
    unit = f"kB each (log): {LOWER}"
    return _lines(title, where, "mounted at once (log)", unit, series, _views(document), beside)


def _lines(
    title: str, where: str, x_unit: str, y_unit: str, series: Series, views: Sequence[str],
    beside: Mapping[str, str],
) -> Picture:  # fmt: skip
    """BESIDE: by name, what follows the last value. What was measured at one place only does not
    depend on it: its line goes from edge to edge."""
    picture = Picture(WIDTH, 460, title)
    every_x = sorted({x for points in series.values() for x in points})
    every_y = [y for points in series.values() for y in points.values()]
    x_axis = Axis(every_x[0], max(every_x[-1], every_x[0] * 1.01), LEFT, WIDTH - RIGHT)
    y_axis = Axis(min(every_y) * 0.85, max(every_y) * 1.15, picture.height - BOTTOM, TOP)
    _heading(picture, title, where)
    for tick in y_axis.ticks():
        y = y_axis.at(tick)
        picture.line(LEFT, y, WIDTH - RIGHT, y, FAINT)
        picture.text(LEFT - 8, y + 4, f"{tick:g}", "end")
    for x in every_x:
        picture.line(x_axis.at(x), TOP, x_axis.at(x), picture.height - BOTTOM, FAINT)
        picture.text(x_axis.at(x), picture.height - BOTTOM + 18, f"{x:g}", "middle")
    picture.text(LEFT, TOP - 8, y_unit)
    middle = (LEFT + WIDTH - RIGHT) / 2
    picture.text(middle, picture.height - BOTTOM + 40, x_unit, "middle")
    ends = []
    for name, points in series.items():
        colour, shape, dashes = _colour(name, views)
        places = [(x_axis.at(x), y_axis.at(y)) for x, y in points.items()]
        if len(places) == 1 and len(every_x) > 1:
            y = places[0][1]
            line = [(x_axis.start, y), (x_axis.end, y)]
        else:
            line = places
        picture.path(line, colour, dashes, 4 if name in views else 1.5)
        for x, y in places:
            picture.mark(x, y, shape, colour)
        words = f"{name}  {_short(list(points.values())[-1])} {beside[name]}"
        ends.append((line[-1], name, words))
    picture.text(WIDTH - RIGHT + 38, TOP - 24, "At each line's end:", size=11)
    _names(picture, sorted(ends), views)
    return picture


def _names(
    picture: Picture, ends: Sequence[tuple[tuple[float, float], str, str]], views: Sequence[str]
) -> None:
    """Each at its line's end, one below the other."""
    below = TOP - 17.0
    for (x, y), name, words in sorted(ends, key=lambda end: end[0][1]):
        at = max(y, below + 17)
        below = at
        colour, shape, _ = _colour(name, views)
        left = WIDTH - RIGHT + 26
        picture.line(x + 6, y, left - 8, at, colour, 0.7)
        picture.mark(left, at, shape, colour)
        weight = "bold" if name in views else "normal"
        picture.text(left + 12, at + 4, words, weight=weight)


# --- bars ---


def _read(document: Mapping[str, Any], where: str) -> Picture | None:
    sizes = get(document, "results", "read")
    if not sizes:
        return None
    largest = list(sizes)[-1]
    groups: dict[str, dict[str, float]] = {}
    beside: dict[tuple[str, str], str] = {}
    mib = float(largest.split()[0])
    for key, label in READ_ROWS:
        row = {
            name: reading["ratio"]["median"]
            for name, reading in (get(sizes, largest, key) or {}).items()
            if name != LAYER and reading["ratio"]
        }
        if row:
            groups[label] = row
        for name in row:
            speed = get(sizes, largest, key, name, "per_second", "median")
            beside[label, name] = f"{_short(mib * MIB / speed * 1000)} ms"
    title = f"Reading {largest} of a file, in times the speed of the layer's own file"
    bars = {label: READS[key][1] for key, label in READ_ROWS if key in READS}
    note = "Vertical lines across bars: what the project set out to reach."
    return _bars(title, where, HIGHER, groups, _views(document), beside, bars, READ_MOST, note)


def _cache(document: Mapping[str, Any], where: str) -> Picture | None:
    cache = get(document, "results", "cache")
    if not cache:
        return None
    count = next(iter(cache.values()))["count"]
    row = {name: found["ratio"]["median"] for name, found in cache.items()}
    title = f"Page cache for {count} containers of one image, in times its artifacts"
    label = "all artifacts read"
    size = get(document, "results", "spawn", "artifact_bytes")
    beside = {(label, name): f"{x * size / MIB:.0f} MiB" for name, x in row.items() if size}
    return _bars(title, where, LOWER, {label: row}, _views(document), beside)


def _qemu(document: Mapping[str, Any], where: str) -> Picture | None:
    """What comes before QEMU, the mounting or the copying, was measured with its start."""
    states = get(document, "results", "qemu")
    before = _before_qemu(document)
    if not states or not before:
        return None
    groups: dict[str, dict[str, float]] = {}
    beside: dict[tuple[str, str], str] = {}
    for state, contenders in states.items():
        label = f"page cache {state}"
        base = contenders[LAYER]["us"]["median"]
        for name, found in contenders.items():
            if not found["us"] or name not in before:
                continue
            took = found["us"]["median"] + before[name]
            groups.setdefault(label, {})[name] = took / base
            ms, first = _short(took / 1000), _short(before[name] / 1000)
            beside[label, name] = f"{ms} ms, {first} of it before"
    title = "Mounting or copying, then QEMU until loaded, in times QEMU alone"
    note = (
        "Before QEMU: until the mount is ready, or files in memory are copied. Times 1: QEMU alone,"
        " from the layer's files."
    )
    return _bars(title, where, LOWER, groups, _views(document), beside, note=note)


def _before_qemu(document: Mapping[str, Any]) -> dict[str, float]:
    """µs, by contender, of the stack that is copied too: it is QEMU's."""
    stacks = get(document, "results", "spawn", "stacks") or {}
    stack = next((found for found in stacks.values() if COPY in found), {})
    return {name: row["ready_us"]["median"] for name, row in stack.items() if row["ready_us"]}


def _stored(document: Mapping[str, Any], where: str) -> Picture | None:
    builds = get(document, "results", "stored")
    if not builds:
        return None
    groups: dict[str, dict[str, float]] = {}
    beside: dict[tuple[str, str], str] = {}
    for build, found in builds.items():
        for name in STORED_ROWS:
            times = get(found, name, "ready_ratio", "median")
            if times is None:
                continue
            groups.setdefault(build, {})[name] = times
            beside[build, name] = f"{_short(get(found, name, 'ready_us', 'median') / 1000)} ms"
    if not groups:
        return None
    title = "An image without layer directories: from spawn to its artifacts ready"
    note = "In times the same image from layer directories, with a warm index."
    return _bars(
        title, where, LOWER, groups, _views(document), beside, most=STORED_MOST, note=note
    )


def _bars(
    title: str, where: str, better: str, groups: Mapping[str, Mapping[str, float]],
    views: Sequence[str], beside: Words, wanted: Mapping[str, float] = MappingProxyType({}),
    most: float = math.inf, note: str = "",
) -> Picture:  # fmt: skip
    """Lying ones, by group, none of them longer than MOST. Where a group has a WANTED number, a
    line shows it. NOTE stands at the foot."""
    names = list(dict.fromkeys(name for row in groups.values() for name in row))
    thick, gap, left, right = 15, 16, 150, 230
    rows = sum(len(row) for row in groups.values())
    legend = list(_legend(names))
    top = legend[-1][2] + 30
    height = top + rows * thick + len(groups) * gap + 46
    picture = Picture(WIDTH, height, title)
    _heading(picture, title, where)
    longest = max(value for row in groups.values() for value in row.values())
    axis = Axis(0, max(1.0, min(longest, most)) * 1.02, left, WIDTH - right, logarithmic=False)
    for name, x, at in legend:
        picture.box(x, at, 12, 12, _colour(name, views)[0])
        picture.text(x + 17, at + 10, name, weight="bold" if name in views else "normal")
    picture.text(WIDTH - 24, 42, better, "end", weight="bold")
    end = height - 40
    for tick in axis.ticks():
        picture.line(axis.at(tick), top, axis.at(tick), end, FAINT)
        picture.text(axis.at(tick), end + 16, f"{tick:g}", "middle")
    y = top + gap / 2
    late: list[tuple[float, float, str, str]] = []
    for label, row in groups.items():
        picture.text(left - 10, y + len(row) * thick / 2 + 4, label, "end")
        begin = y
        for name, value in row.items():
            colour, _, _ = _colour(name, views)
            right_end = axis.at(min(value, most))
            picture.box(left, y, right_end - left, thick - 2, colour)
            shown = f"{value:.2f} ×" if value <= most else f"{value:.0f} × (bar cut off)"
            words = ", ".join(filter(None, (shown, beside.get((label, name)))))
            weight = "bold" if name in views else "normal"
            late.append((right_end + 5, y + thick - 4, words, weight))
            y += thick
        if label in wanted:
            picture.line(axis.at(wanted[label]), begin - 3, axis.at(wanted[label]), y + 1, width=2)
        y += gap
    picture.line(axis.at(1), top, axis.at(1), end, MIDDLE)
    for x, at, words, weight in late:
        picture.text(x, at, words, size=11, weight=weight, halo=True)
    if note:
        picture.text(left, end + 33, note, size=11)
    return picture


def _legend(names: Sequence[str]) -> Iterator[tuple[str, float, float]]:
    """The names, and where they are to stand: in as many rows as they need."""
    x, y = 24.0, TOP - 18.0
    for name in names:
        width = 17 + 7.8 * len(name) + 20
        if x + width > WIDTH:
            x, y = 24.0, y + 18
        yield name, x, y
        x += width


def _heading(picture: Picture, title: str, where: str) -> None:
    picture.text(24, 24, title, size=15, weight="bold")
    picture.text(24, 42, where, size=11)
