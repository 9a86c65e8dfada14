# SPDX-License-Identifier: Apache-2.0
"""The system calls of a view, as strace sees them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import skipping


@dataclass(frozen=True)
class Calls:
    """What strace saw of the processes of a view, from its start to its end."""

    lines: list[str]

    def of(self, name: str, path: str = "") -> list[str]:
        """The calls of NAME whose arguments, with descriptors spelled out, hold PATH."""
        return [line for line in self.lines if re.search(rf"\b{name}\(", line) and path in line]


def traced(place: Path, what: str, live: Callable[[list[str | Path]], None]) -> Calls:
    """Call LIVE with a wrapper that traces the calls WHAT (strace's classes) of a view."""
    if not shutil.which("strace"):
        skipping.skip("no strace")
    log = place / "strace"
    # LeakSanitizer cannot work where somebody traces already.
    os.environ["LSAN_OPTIONS"] = "detect_leaks=0"
    try:
        live(["strace", "-f", "-y", "-qq", "-s", "512", "-o", log, "-e", f"trace={what}", "--"])
    finally:
        del os.environ["LSAN_OPTIONS"]
    return Calls(log.read_text().splitlines())
