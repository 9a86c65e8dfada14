# SPDX-License-Identifier: Apache-2.0
"""A write lease on a file, as a file server takes one: opening the file fails, or waits, until the
lease is given back."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from pathlib import Path
from typing import Self

from . import skipping
from .waiting import wait_until


class Lease:
    """Held on PATH until release(), or the end of the `with` block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        # The holder is told by this signal that another process wants the file.
        self._before = signal.signal(signal.SIGIO, signal.SIG_IGN)
        self._fd = os.open(self._path, os.O_RDWR)
        try:
            fcntl.fcntl(self._fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError as error:
            os.close(self._fd)
            skipping.skip_kernel(f"no leases here: {error}")
        return self

    def is_wanted(self) -> bool:
        """Whether another process tried to open the file."""
        return fcntl.fcntl(self._fd, fcntl.F_GETLEASE) != fcntl.F_WRLCK

    def release(self) -> None:
        if self._fd >= 0:
            fcntl.fcntl(self._fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            os.close(self._fd)
            self._fd = -1

    def release_when_wanted(self) -> None:
        """In a thread."""

        def release() -> None:
            wait_until(self.is_wanted, "a process to want the file")
            self.release()

        self._thread = threading.Thread(target=release)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_thread"):
            self._thread.join()
        self.release()
        signal.signal(signal.SIGIO, self._before)
