# SPDX-License-Identifier: Apache-2.0
"""A place for layers: a real filesystem that takes every mark that overlayfs reads."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import namespace

TMPFS_MAGIC = 0x01021994
OVERLAYFS_MAGIC = 0x794C7630

_libc = ctypes.CDLL(None, use_errno=True)


def candidates() -> list[str]:
    """Where to look, best first."""
    named = os.environ.get("TMPDIR")
    return [*([named] if named else []), "/var/tmp"]


def find() -> tuple[str | None, str]:
    """The first usable candidate, and else why there is none."""
    reasons = []
    for directory in candidates():
        reason = unusable(directory)
        if reason is None:
            return directory, ""
        reasons.append(f"{directory}: {reason}")
    return None, "; ".join(reasons)


def unusable(directory: str) -> str | None:
    """Why no layers can be made in DIRECTORY; None if they can.

    Not on tmpfs, whose user.* attributes came late, and not on an overlay, which escapes the very
    marks that are to be written.
    """
    try:
        if _magic(directory) in (TMPFS_MAGIC, OVERLAYFS_MAGIC):
            return "not on a disk"
        _try_marks(directory)
    except OSError as error:
        return str(error)
    return None


def _try_marks(directory: str | Path) -> None:
    with tempfile.TemporaryDirectory(dir=directory) as probe:
        os.setxattr(probe, "trusted.overlay.opaque", b"y")
        os.setxattr(probe, "user.overlay.opaque", b"y")
        os.mknod(os.path.join(probe, "whiteout"), stat.S_IFCHR, os.makedev(0, 0))


@contextmanager
def memory(parent: str) -> Iterator[Path]:
    """A fresh directory in PARENT, in memory where the kernel's tmpfs takes the marks (since Linux
    6.6): a disk's filesystem needs ten times as long to make a directory. Else as directory()."""
    with ExitStack() as stack:
        path = stack.enter_context(directory(parent))
        mounted = stack.enter_context(ExitStack())
        mounted.enter_context(namespace.tmpfs(str(path)))
        try:
            _try_marks(path)
        except OSError:
            mounted.close()
        yield path


def _magic(directory: str) -> int:
    """statfs(2)'s f_type, its first word, which Python does not show."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.statfs(os.fsencode(directory), buffer) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), directory)
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF


@contextmanager
def directory(parent: str) -> Iterator[Path]:
    """A fresh directory in PARENT, removed afterwards: an error of removing it is a test's error
    (something is still mounted there)."""
    made = tempfile.mkdtemp(prefix="viewfs-test-", dir=parent)
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made)
