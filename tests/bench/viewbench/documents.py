# SPDX-License-Identifier: Apache-2.0
"""What README.md and URUNC.md say of the figures of a full run.

Each table, or sentence, stands between two comments, `<!-- figures: NAME -->` and
`<!-- end of figures -->`.
"""

from __future__ import annotations

import re
import textwrap
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


def fill(path: str, text: str, found: Figures) -> str:
    """The TEXT of the document at PATH with its figures written again."""
    for name, write in DOCUMENTS[path].items():
        written = write(found)
        if not isinstance(written, str):
            written = "\n".join("| " + " | ".join(row) + " |" for row in written)
        mark = f"<!-- figures: {name} -->\n"
        text, count = re.subn(
            rf"{re.escape(mark)}.*?(?=<!-- end of figures -->)",
            lambda _, new=f"{mark}\n{written}\n\n": new,
            text,
            flags=re.DOTALL,
        )
        if count != 1:
            raise ValueError(f"{path} has {count} places for {name!r}")
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


_PROGRAMS = {"dynamic": "view", "static": "view, static"}


def _claim(found: Figures) -> str:
    stack = get(found, "results", "spawn", "stacks", REFERENCE)
    times = [f"{stack[key]['copy_ratio']['median']:.0f}" for key in _PROGRAMS.values()]
    ready = [f"{_ms(stack[key]['ready_us'])} ({name} program)" for name, key in _PROGRAMS.items()]
    text = (
        f"**A view is ready {' to '.join(times)} times faster than a copy of the same 76 MiB of "
        f"artifacts, and writes 0 bytes**: {' or '.join(ready)} instead of "
        f"{_ms(stack[COPY]['ready_us'])}, with {REFERENCE} layers, on the machine of "
        "[that run](tests/bench/charts/result.json). Copying is what urunc does without a view."
    )
    return textwrap.fill(text, 119, break_long_words=False, break_on_hyphens=False)


def _urunc(found: Figures) -> Iterator[Sequence[str]]:
    yield from _head("", "copying all artifacts", *(f"a view, {name} program" for name in _PROGRAMS))
    stack = get(found, "results", "spawn", "stacks", REFERENCE)
    read = [_ms(stack[key]["read_us"]) for key in (COPY, *_PROGRAMS.values())]
    yield [f"from spawn to the first bytes, 76 MiB in {REFERENCE} layers", *read]
    idle = get(found, "results", "idle")
    memory = [f"{idle[key]['Private_Dirty']:.0f} kB" for key in _PROGRAMS.values()]
    yield ["memory of its own while it is idle", "none", *memory]


DOCUMENTS = {
    "README.md": {
        "claim": _claim, "index": _index, "cost": _cost, "stored": _stored, "missed": _missed,
    },
    "packaging/containerd/URUNC.md": {"urunc": _urunc},
}  # fmt: skip
