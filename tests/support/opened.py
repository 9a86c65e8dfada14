# SPDX-License-Identifier: Apache-2.0
"""How often files were opened."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

IN_OPEN, IN_Q_OVERFLOW = 0x20, 0x4000
_EVENT = struct.Struct("=iIII")


class Opened:
    """Counts from when it is made; each of PATHS must exist."""

    def __init__(self, paths: Iterable[Path]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._watch >= 0, os.strerror(ctypes.get_errno())
        self._paths = {}
        for path in paths:
            number = libc.inotify_add_watch(self._watch, os.fsencode(path), IN_OPEN)
            assert number >= 0, os.strerror(ctypes.get_errno())
            self._paths[number] = path

    def counts(self) -> dict[Path, int]:
        """By path, since the last call; two in a row that nothing comes between count as one."""
        found = dict.fromkeys(self._paths.values(), 0)
        while True:
            try:
                events = os.read(self._watch, 1 << 16)
            except BlockingIOError:
                return found
            at = 0
            while at < len(events):
                number, mask, _, length = _EVENT.unpack_from(events, at)
                assert not mask & IN_Q_OVERFLOW
                found[self._paths[number]] += 1
                at += _EVENT.size + length

    def close(self) -> None:
        os.close(self._watch)
