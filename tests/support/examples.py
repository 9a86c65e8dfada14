# SPDX-License-Identifier: Apache-2.0
"""The examples in the README and in the manual, as what can be done with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .build import SOURCE
from .doc_options import page


@dataclass(frozen=True)
class Example:
    """A block between ```; KIND is what stands behind the first of them, or what it looks like."""

    kind: str
    text: str

    def session(self) -> Iterator[tuple[str, str]]:
        """Each command of a terminal session, and what it prints."""
        for part in re.split(r"^# ", self.text, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def _guess(text: str) -> str:
    """The manual's blocks have no names."""
    if text.startswith("# "):
        return "console"
    if text.startswith("{"):
        return "json"
    if "-fstype=" in text:
        return "autofs"
    if all(re.fullmatch(r"(\S+ +){3,5}\S+", line) for line in text.splitlines()):
        return "fstab"
    return "unknown"


def in_document(name: str) -> list[Example]:
    """All of README.md, or of a page of the manual."""
    text = (SOURCE / name).read_text() if name.endswith(".md") else page(name)
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Example(kind or _guess(body), body) for kind, body in blocks]
