# SPDX-License-Identifier: Apache-2.0
"""How much of a file is in the page cache."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from . import skipping

PAGE = os.sysconf("SC_PAGE_SIZE")

_CACHESTAT = 451  # the same on every architecture
_libc = ctypes.CDLL(None, use_errno=True)


def cached(path: Path) -> int:
    """Pages that the file at PATH itself has there, by cachestat(2) (Linux 6.5). mincore(2), and so
    fincore(1), would ask about a mapping: of a passed-through file that is the layer's file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return cached_of(descriptor)
    finally:
        os.close(descriptor)


def cached_of(descriptor: int) -> int:
    """The same of an open file."""
    whole = (ctypes.c_uint64 * 2)(0, 0)
    counts = (ctypes.c_uint64 * 5)()
    if _libc.syscall(_CACHESTAT, descriptor, whole, counts, 0) < 0:
        error = ctypes.get_errno()
        if error == errno.ENOSYS:
            skipping.skip_kernel("cachestat(2)")
        raise OSError(error, os.strerror(error), "cachestat")
    return counts[0]


def whole(path: Path) -> bool:
    """Whether the file at PATH is there, once: all of it but a hundredth, as the kernel takes
    pages back whenever it likes."""
    pages = -(-path.stat().st_size // PAGE)
    return pages * 99 // 100 <= cached(path) <= pages


def drop(path: bytes | Path) -> None:
    """Take a file that is not in use out of the page cache."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
