# SPDX-License-Identifier: Apache-2.0
"""The tables of README.md, from the figures of a full run.

Each stands between two comments, `<!-- figures: NAME -->` and `<!-- end of figures -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .contenders import (
    COPY,
    FUSE_OVERLAYFS,
    FUSE_OVERLAYFS_2,
    STORED_FIRST,
    STORED_HIT,
    STORED_SNAPSHOT,
    STORED_WARM,
)
from .report import get

REFERENCE = "20"

Figures = Mapping[str, Any]


def fill(text: str, found: Figures) -> str:
    """README with its tables written again."""
    for name, rows in TABLES.items():
        mark = f"<!-- figures: {name} -->\n"
        table = "\n".join("| " + " | ".join(row) + " |" for row in rows(found))
        text, count = re.subn(
            rf"{re.escape(mark)}.*?(?=<!-- end of figures -->)",
            lambda _, new=f"{mark}\n{table}\n\n": new,
            text,
            flags=re.DOTALL,
        )
        if count != 1:
            raise ValueError(f"README.md has {count} places for {name!r}")
    return text


def _head(*titles: str) -> Iterator[Sequence[str]]:
    yield titles
    yield ["---"] * len(titles)


def _times(figure: Any) -> str:
    return f"{figure['median']:.2f}" if figure else ""


def _range(figure: Any) -> str:
    """With its interval."""
    if not figure:
        return ""
    return f"{figure['median']:.2f} [{figure['low']:.2f} {figure['high']:.2f}]"


def _ms(figure: Any) -> str:
    return f"{figure['median'] / 1000:.2f} ms" if figure else ""


def _index(found: Figures) -> Iterator[Sequence[str]]:
    """Of the dynamic program."""
    yield from _head(
        "layers", "without an index", "stack known", "only its base known", "new to the index",
        "stack known, caches cold",
    )  # fmt: skip
    index = get(found, "results", "index", "view") or {}
    for count, ways in index.items():
        plain = get(found, "results", "spawn", "stacks", count, "view", "read_us")
        hot = [get(ways, "hot", f"known {what}", "read_ratio") for what in ("stack", "base")]
        new = get(ways, "hot", "new to the index", "read_ratio")
        cold = get(ways, "cold", "known stack", "read_ratio")
        yield [count, _ms(plain), *map(_range, (*hot, new, cold))]


_NAMES = {
    "a process that does nothing": "a process that does nothing",
    "view, static": "a view, static program",
    "view": "a view, dynamic program",
    "mount -t overlay": "`mount -t overlay`",
    FUSE_OVERLAYFS: "fuse-overlayfs 1.10",
    FUSE_OVERLAYFS_2: "fuse-overlayfs 2.0",
    COPY: "copying all artifacts, 76 MiB",
}


def _cost(found: Figures) -> Iterator[Sequence[str]]:
    yield from _head("", "from spawn to ready", "times a process that does nothing")
    stack = get(found, "results", "spawn", "stacks", REFERENCE) or {}
    for key, name in _NAMES.items():
        if key in stack:
            yield [name, _ms(stack[key]["ready_us"]), _times(stack[key]["ready_ratio"])]


_STORED = {
    STORED_HIT: "the stored image",
    STORED_WARM: "20 layer directories, index warm",
    STORED_SNAPSHOT: "mounting a snapshot for each container",
    COPY: "copying all artifacts, as urunc does",
    STORED_FIRST: "the first container: from a tree into the store, then the view",
}


def _stored(found: Figures) -> Iterator[Sequence[str]]:
    """Of the dynamic program."""
    yield from _head("", "from spawn to ready", "times 20 layer directories, index warm")
    ways = get(found, "results", "stored", "view") or {}
    for key, name in _STORED.items():
        if key in ways:
            yield [name, _ms(ways[key]["ready_us"]), _range(ways[key]["ready_ratio"])]


def _missed(found: Figures) -> Iterator[Sequence[str]]:
    yield from _head("target that is missed", "program", "target", "found")
    programs = {"view": "dynamic", "view, static": "static"}
    parent = ""
    for bar in found["bars"]:
        what, build = bar["what"], bar["build"]
        # An indented one says more of the one above it.
        if not what.startswith(" "):
            parent = what
        if bar["met"] is False:
            shown = what if what == parent else f"{parent}: {what.strip()}"
            yield [shown, programs.get(build, build), bar["bar"], bar["found"]]


TABLES = {"index": _index, "cost": _cost, "stored": _stored, "missed": _missed}
