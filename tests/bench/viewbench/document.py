# SPDX-License-Identifier: Apache-2.0
"""A run's figures as JSON text, a row of a table on a line: two runs can be compared by eye."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any


def dumps(document: Mapping[str, Any]) -> str:
    """The text, with a newline at its end."""
    plain = json.loads(json.dumps(document, default=_plain))
    return "".join(_pieces(plain, "\n")) + "\n"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(type(value))


def _pieces(value: Any, newline: str) -> Iterator[str]:
    """NEWLINE ends a line, and indents the next one as deep as VALUE is."""
    if not value or _is_cell(value) or _is_row(value):
        yield json.dumps(value)
        return
    items = list(value.items() if isinstance(value, dict) else enumerate(value))
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield opening
    for number, (key, item) in enumerate(items):
        yield ("," if number else "") + newline + " "
        if isinstance(value, dict):
            yield json.dumps(key) + ": "
        yield from _pieces(item, newline + " ")
    yield newline + closing


def _is_cell(value: Any) -> bool:
    """A number, words, or a figure with its range."""
    return not isinstance(value, (dict, list)) or (isinstance(value, dict) and "median" in value)


def _is_row(value: Any) -> bool:
    """Lists of words may stand in a row: what was left behind."""
    if isinstance(value, list):
        return False
    cells = (item if isinstance(item, list) else [item] for item in value.values())
    return all(_is_cell(cell) for cell in (cell for part in cells for cell in part))
