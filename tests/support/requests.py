# SPDX-License-Identifier: Apache-2.0
"""Which FUSE requests arrive at a daemon: what strace sees it read from /dev/fuse."""

from __future__ import annotations

import os
import re
import shutil
import signal
import struct
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from . import skipping
from .waiting import SECONDS, wait_until

# enum fuse_opcode of linux/fuse.h; the kernel forgets when it likes, which asks for nothing.
OPCODES = {
    1: "LOOKUP", 2: "FORGET", 3: "GETATTR", 4: "SETATTR", 5: "READLINK", 14: "OPEN", 15: "READ",
    16: "WRITE", 17: "STATFS", 18: "RELEASE", 20: "FSYNC", 22: "GETXATTR", 23: "LISTXATTR",
    25: "FLUSH", 26: "INIT", 27: "OPENDIR", 28: "READDIR", 29: "RELEASEDIR", 34: "ACCESS",
    36: "INTERRUPT", 38: "DESTROY", 39: "IOCTL", 40: "POLL", 42: "BATCH_FORGET", 44: "READDIRPLUS",
    46: "LSEEK", 50: "SYNCFS", 52: "STATX",
}  # fmt: skip
_FORGETTING = {"FORGET", "BATCH_FORGET"}

_HEADER = struct.Struct("=IIQQIIIHH")
_READ = struct.Struct("=QQI")
_LINE = re.compile(r'read\(\d+, "((?:\\x[0-9a-f]{2})+)".* = (\d+)$')


@dataclass(frozen=True)
class Request:
    """One request."""

    name: str
    node: int
    size: int | None = None  # of a READ


def _parse(data: bytes) -> Request:
    _, opcode, _, node, *_ = _HEADER.unpack_from(data)
    name = OPCODES.get(opcode, str(opcode))
    size = _READ.unpack_from(data, _HEADER.size)[2] if name == "READ" else None
    return Request(name, node, size)


class Requests:
    """What arrives at the daemon of the view at ROOT for as long as the `with` block runs."""

    def __init__(self, root: Path, pid: int, directory: Path) -> None:
        if not shutil.which("strace"):
            skipping.skip("no strace")
        self.root = root
        self._pid = pid
        self._log = directory / f"strace-{pid}"
        self._seen = 0

    def __enter__(self) -> Requests:
        self._log.touch()
        self._strace = subprocess.Popen(
            ["strace", "-qq", "-xx", "-s", "64", "-e", "trace=read", "-e", "signal=none"]
            + ["-o", self._log, "-p", str(self._pid)],
            stderr=subprocess.PIPE,
        )
        tracer = f"TracerPid:\t{self._strace.pid}\n"
        status = Path("/proc", str(self._pid), "status")
        wait_until(lambda: tracer in status.read_text(), "strace to attach")
        # The call that the daemon waited in meanwhile is not shown.
        wait_until(lambda: os.statvfs(self.root) and self._since(), "the first request to show")
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self._strace.send_signal(signal.SIGINT)
        self._strace.communicate(timeout=SECONDS)
        self._log.unlink()

    def take(self) -> list[Request]:
        """The requests since the last call, without the one that this one makes to find the end:
        statfs(2) is always asked, and comes after what was sent before."""
        os.statvfs(self.root)
        found = wait_until(self._since, "statfs(2) to show in strace's output")
        self._seen += len(found)
        return [request for request in found[:-1] if request.name not in _FORGETTING]

    def _since(self) -> list[Request] | None:
        lines = self._log.read_text().splitlines()
        reads = [(_bytes(match[1]), int(match[2])) for line in lines if (match := _LINE.search(line))]
        # A request begins with its length; a view reads other files before it is sandboxed.
        every = [_parse(data) for data, size in reads if data[:4] == struct.pack("=I", size)]
        new = every[self._seen :]
        while new and new[-1].name in _FORGETTING:
            new.pop()
        return new if new and new[-1].name == "STATFS" else None

    def counts(self) -> Counter[str]:
        """How many of each since the last call."""
        return Counter(request.name for request in self.take())


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))
