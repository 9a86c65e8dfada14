# SPDX-License-Identifier: Apache-2.0
"""The sources as they are released."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from .build import SOURCE

NAME = "urunc-viewfs"


def version() -> str:
    (found,) = re.findall(r"^  version: '(.*)'", (SOURCE / "meson.build").read_text(), re.MULTILINE)
    return found


def export(parent: Path) -> Path:
    """A directory NAME-VERSION in PARENT with what git knows, or would take."""
    directory = parent / f"{NAME}-{version()}"
    git = ["git", "-C", SOURCE, "-c", f"safe.directory={SOURCE}", "ls-files", "-z"]
    listed = subprocess.run(
        [*git, "--cached", "--others", "--exclude-standard"], capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.split(b"\0")):
        path = os.fsdecode(name)
        if os.path.lexists(SOURCE / path):
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(SOURCE / path, directory / path, follow_symlinks=False)
    return directory


def tarball(directory: Path, archive: Path) -> None:
    """Pack an exported DIRECTORY."""
    command = ["tar", "-C", directory.parent, "-czf", archive, directory.name]
    subprocess.run(command, check=True)
