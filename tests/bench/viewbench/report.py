# SPDX-License-Identifier: Apache-2.0
"""Tables: ratios first, absolute numbers after them, as of this machine and this run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Table:
    """Columns of text; the first is the name of the row."""

    title: str
    columns: Sequence[str]
    notes: Sequence[str] = ()
    """What a reader must know to take the figures right."""
    rows: list[Sequence[str]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        """A row."""
        self.rows.append(cells)

    def __str__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        body = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
            for line in lines
        ]
        rule = "  ".join("-" * width for width in widths)
        return "\n".join([f"== {self.title}", *self.notes, "", body[0], rule, *body[1:], ""])


def get(data: Any, *keys: str) -> Any:
    """What is at the end of the keys, or None if one of them is not there."""
    for key in keys:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data
