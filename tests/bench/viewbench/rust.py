# SPDX-License-Identifier: Apache-2.0
"""fuse-overlayfs 2, the rewrite in Rust: no release of Debian has it, so cargo installs it in a
directory of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

VERSION = "2.0.0"
VARIABLE = "VIEWFS_FUSE_OVERLAYFS_2"
"""Names the directory; what is there already is not built again."""
NONE = "none"
"""In place of a directory: leave it out."""
CARGO = (1, 85)


def prefix(build: Path) -> Path:
    """Where it is or belongs: $VIEWFS_FUSE_OVERLAYFS_2, else a directory in BUILD."""
    named = os.environ.get(VARIABLE)
    if named == NONE:
        return Path(NONE)
    return Path(named).resolve() if named else build / f"fuse-overlayfs-{VERSION}"


def program() -> Path:
    """Once the variable is set."""
    return Path(os.environ.get(VARIABLE, "/nonexistent")) / "bin/fuse-overlayfs"


def absent() -> str | None:
    """Why it takes no part; None: it does."""
    if os.environ.get(VARIABLE) == NONE:
        return f"${VARIABLE} says so"
    if program().exists():
        return None
    return _no_cargo() or f"not installed in {program().parent.parent}; a full run does that"


def install() -> None:
    """Build it where it is not there and can be. That it failed is said by absent()."""
    if os.environ.get(VARIABLE) == NONE or program().exists() or _no_cargo():
        return
    root = program().parent.parent
    print(f"Building fuse-overlayfs {VERSION} in {root}, once", flush=True)
    command = ["cargo", "install", "fuse-overlayfs", "--version", VERSION, "--locked"]
    command += ["--quiet", "--root", root]
    subprocess.run(["nice", *command], stdin=subprocess.DEVNULL, check=False)


def _no_cargo() -> str | None:
    wanted = ".".join(map(str, CARGO))
    if not shutil.which("cargo"):
        return f"cargo is not installed ({wanted} or newer builds it)"
    said = subprocess.run(["cargo", "--version"], capture_output=True, text=True).stdout
    found = re.match(r"cargo (\d+)\.(\d+)", said)
    if found and tuple(map(int, found.groups())) >= CARGO:
        return None
    return f"cargo is older than {wanted}: {said.strip() or 'it does not say its version'}"
