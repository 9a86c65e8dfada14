# SPDX-License-Identifier: Apache-2.0
"""The programs of version 0.1.0, as they were before views were asked, built from the history."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from . import skipping
from .build import SOURCE

# The last commit before views were asked.
COMMIT = "d227afe"


def build_old(place: Path, *targets: str) -> Path:
    """The directory of the programs (all, or TARGETS of ninja), which are built in PLACE if they are
    not there yet."""
    programs = place / "build" / "fuse"
    if (programs / "urunc-viewfs").exists():
        return programs
    for name in ("git", "meson", "ninja"):
        if not shutil.which(name):
            skipping.skip(f"no {name}")
    archive = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", SOURCE, "archive", COMMIT], capture_output=True
    )
    if archive.returncode != 0:
        # A checkout need not have its history: no machine can make up for that.
        pytest.skip(f"no history: {archive.stderr.decode(errors='replace').strip()}")
    place.mkdir(exist_ok=True)
    subprocess.run(["tar", "x", "-C", place], input=archive.stdout, check=True)
    for command in (
        ["meson", "setup", place / "build", place, "-Dtests=disabled"],
        ["ninja", "-C", place / "build", "-j2", *targets],
    ):
        finished = subprocess.run(command, capture_output=True, text=True)
        assert finished.returncode == 0, finished.stdout + finished.stderr
    return programs
