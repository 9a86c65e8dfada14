# SPDX-License-Identifier: Apache-2.0
"""A system call that fails, or that its caller does not survive."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import skipping


def injecting(log: Path, *faults: str) -> list[str | Path]:
    """A wrapper in which FAULTS happen to whatever it starts, in strace's words, such as
    "mount:error=EPERM:when=2"; LOG tells whether they did."""
    if not shutil.which("strace"):
        skipping.skip("no strace")
    names = ",".join(fault.partition(":")[0] for fault in faults)
    # LeakSanitizer cannot work where somebody traces already.
    return ["env", "LSAN_OPTIONS=detect_leaks=0", "strace", "-f", "-qq", "-o", log,
            f"--trace={names}", *(f"--inject={fault}" for fault in faults), "--"]  # fmt: skip
