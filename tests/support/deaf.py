# SPDX-License-Identifier: Apache-2.0
"""A FUSE filesystem that takes every request and answers none: a process that waits for an answer
cannot even be killed."""

from __future__ import annotations

import os
import select
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import namespace

_REQUEST_SIZE = 1 << 17  # more than the kernel ever sends
# Of linux/fuse.h: an answer's header, and struct fuse_init_out: version 7.31, no ability.
_HEADER = struct.Struct("=IiQ")
_INIT = struct.pack("=4I2H2I2H32x", 7, 31, 0, 0, 0, 0, 4096, 1, 0, 0)


def _serve(connection: int, end: int) -> None:
    select.select([connection], [], [])
    (unique,) = struct.unpack_from("=8xQ", os.read(connection, _REQUEST_SIZE))
    os.write(connection, _HEADER.pack(_HEADER.size + len(_INIT), 0, unique) + _INIT)
    while end not in select.select([connection, end], [], [])[0]:
        # A request that was there may be gone, with the process that asked.
        with suppress(OSError):
            os.read(connection, _REQUEST_SIZE)


@contextmanager
def deaf_fuse(directory: Path, fstype: str = "fuse") -> Iterator[Path]:
    """One at DIRECTORY, of which a test must ask nothing. What waits for it goes on when the block
    ends."""
    connection = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    directory.mkdir(parents=True, exist_ok=True)
    reader, writer = os.pipe()
    options = f"fd={connection},rootmode=40000,user_id=0,group_id=0"
    try:
        namespace.mount("deaf", str(directory), fstype, 0, options)
        server = threading.Thread(target=_serve, args=(connection, reader))
        server.start()
        try:
            yield directory
        finally:
            os.close(writer)
            server.join()
            with suppress(OSError):  # it may be gone
                namespace.unmount(str(directory))
    finally:
        # The last descriptor: what still waits now fails.
        os.close(connection)
        os.close(reader)
