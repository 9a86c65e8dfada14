# SPDX-License-Identifier: Apache-2.0
"""Build the project once more, otherwise than meson's build directory does."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
SECONDS = 300


def build(directory: Path, *options: str, targets: tuple[str, ...] = ()) -> None:
    """Set up DIRECTORY with OPTIONS of meson and build TARGETS (all); a warning is an error."""
    steps: list[list[str | Path]] = [
        ["meson", "setup", "--werror", *options, directory, SOURCE],
        ["ninja", "-C", directory, *targets],
    ]
    for step in steps:
        finished = subprocess.run(
            step, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SECONDS, check=False
        )
        text = finished.stdout.decode(errors="replace")
        assert finished.returncode == 0, text
        assert "warning:" not in text, text
