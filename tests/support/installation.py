# SPDX-License-Identifier: Apache-2.0
"""The programs as `meson install` installs them, and what that is."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from .build import SOURCE
from .doc_options import MANUAL
from .resolver import build_directory

HELPERS = {"mount.urunc-viewfs", "mount.fuse.urunc-viewfs", "mount.fuse3.urunc-viewfs"}
COMMANDS = {"urunc-viewfs", "viewfsctl", *HELPERS}
PAGES = {path.stem for path in MANUAL.glob("*.scd")} | {f"{name}.8" for name in HELPERS}

PACKAGING = SOURCE / "packaging"
KIT = [path for path in (PACKAGING / "containerd").rglob("*") if path.is_file()]

FILES = {
    *(f"usr/sbin/{name}" for name in COMMANDS),
    *(f"usr/share/man/man{page[-1]}/{page}" for page in PAGES),
    *(f"usr/share/bash-completion/completions/{name}" for name in COMMANDS),
    *(f"usr/share/fish/vendor_completions.d/{name}.fish" for name in COMMANDS),
    "usr/share/zsh/site-functions/_urunc-viewfs",
    "usr/lib/systemd/system/urunc-viewfs-gc.service",
    "usr/lib/systemd/system/urunc-viewfs-gc.timer",
    "usr/lib/tmpfiles.d/urunc-viewfs.conf",
    "usr/share/doc/urunc-viewfs/README.md",
    "usr/share/doc/urunc-viewfs/SECURITY.md",
    *(f"usr/share/doc/urunc-viewfs/{path.relative_to(PACKAGING)}" for path in KIT),
    "usr/share/doc/urunc-viewfs/examples/srv-guest.mount",
    "usr/share/doc/urunc-viewfs/examples/srv-guest.automount",
}

# By each of its names a program mounts a view, which is looked at and unmounted.
USE = "/source/packaging/debian/tests/mount-a-view"


def install(destination: Path) -> None:
    """Of the build directory under test, into the root DESTINATION."""
    command = ["meson", "install", "-C", build_directory(), "--no-rebuild", "--quiet"]
    subprocess.run([*command, "--destdir", destination], check=True)


def without_directories(paths: Iterable[str]) -> set[str]:
    """Those of PATHS in which no other one lies."""
    paths = set(paths)
    parents = {str(parent) for path in paths for parent in Path(path).parents}
    return paths - parents


def readme_package(kind: str) -> list[str]:
    """The commands in README's table that make the package of that KIND."""
    text = (SOURCE / "README.md").read_text()
    (row,) = re.findall(rf"^\| {re.escape(kind)} \| (.*?) \|", text, re.MULTILINE)
    return re.findall(r"`(.*?)`", row)
