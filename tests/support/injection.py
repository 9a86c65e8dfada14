"""A system call that fails, or that its caller does not survive."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import skipping


def injecting(log: Path, fault: str) -> list[str | Path]:
    """A wrapper in which FAULT happens to whatever it starts, in strace's words, such as
    "mount:error=EPERM:when=2"; LOG tells whether it did."""
    if not shutil.which("strace"):
        skipping.skip("no strace")
    name = fault.partition(":")[0]
    # LeakSanitizer cannot work where somebody traces already.
    return ["env", "LSAN_OPTIONS=detect_leaks=0", "strace", "-f", "-qq", "-o", log,
            f"--trace={name}", f"--inject={fault}", "--"]  # fmt: skip
