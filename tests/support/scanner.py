# SPDX-License-Identifier: Apache-2.0
"""A scanner of files, as fanotify(7) lets one in between a process and what it opens or reads."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from pathlib import Path
from typing import Self

from . import skipping

FAN_OPEN_PERM = 0x00010000
FAN_ACCESS_PERM = 0x00020000

_FAN_CLOEXEC, _FAN_CLASS_CONTENT = 1, 4
_FAN_MARK_ADD = 1
_FAN_ALLOW, _FAN_DENY = 1, 2
_AT_FDCWD = -100

# struct fanotify_event_metadata
_EVENT = struct.Struct("=IBBHQii")

_libc = ctypes.CDLL(None, use_errno=True)


class Scanner:
    """Denies all but this process the EVENT on the file at PATH while the `with` block runs."""

    def __init__(self, path: Path, event: int = FAN_OPEN_PERM) -> None:
        self.path = path
        self.denied = 0
        self._event = event

    def __enter__(self) -> Self:
        self._fd = _libc.fanotify_init(_FAN_CLOEXEC | _FAN_CLASS_CONTENT, os.O_RDONLY)
        if self._fd < 0:
            skipping.skip_kernel(f"no fanotify: {os.strerror(ctypes.get_errno())}")
        mask = ctypes.c_uint64(self._event)
        path = os.fsencode(self.path)
        if _libc.fanotify_mark(self._fd, _FAN_MARK_ADD, mask, _AT_FDCWD, path) < 0:
            os.close(self._fd)
            reason = os.strerror(ctypes.get_errno())
            skipping.skip_kernel(f"no permission events of fanotify: {reason}")
        self._end, self._ended = os.pipe()
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()
        return self

    def _answer(self) -> None:
        while self._end not in select.select([self._fd, self._end], [], [])[0]:
            events = os.read(self._fd, 4096)
            while events:
                length, _, _, _, _, fd, pid = _EVENT.unpack_from(events)
                deny = pid != os.getpid()
                self.denied += deny
                os.write(self._fd, struct.pack("=iI", fd, _FAN_DENY if deny else _FAN_ALLOW))
                os.close(fd)
                events = events[length:]

    def __exit__(self, *_: object) -> None:
        os.close(self._ended)
        self._thread.join()
        os.close(self._end)
        # What still waits is allowed then.
        os.close(self._fd)
