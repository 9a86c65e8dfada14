# SPDX-License-Identifier: Apache-2.0
"""What is at a path: the one form in which the kernel's answer and ours are compared."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field, fields

# A regular file's content is compared up to here, and its digest beyond where that is known.
CONTENT_LIMIT = 4096

TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "chr",
    stat.S_IFBLK: "blk",
}


@dataclass(frozen=True)
class Result:
    """An error's name, or an object's type and attributes.

    Left out, because overlayfs makes them up: inode and device numbers, link counts, a directory's
    size. What only one side can know (`digest`, `layer`, `origin`) does not take part in ==.
    """

    error: str | None = None
    type: str | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    mtime_ns: int | None = None
    rdev: tuple[int, int] | None = None
    link: bytes | None = None
    content: bytes | None = None
    unreadable: str | None = None  # the error of opening a regular file, instead of its content
    digest: str | None = field(default=None, compare=False)
    layer: int | None = field(default=None, compare=False)
    origin: bytes | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        known = ((f.name, getattr(self, f.name)) for f in fields(self))
        shown = (
            f"{name}={oct(value) if name == 'mode' else repr(value)}"
            for name, value in known
            if value is not None
        )
        return f"Result({', '.join(shown)})"
