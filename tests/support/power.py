# SPDX-License-Identifier: Apache-2.0
"""A disk whose power can be cut: what was written to it is recorded, and then replayed in part.

At a cut all that was written before the last completed flush is on the disk. Of what was written
after that any part may be, in any order: a disk's cache promises nothing else.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import namespace
from .filesystems import image_file, need, need_filesystem, run, unmount_idle
from .resolver import build_directory
from .waiting import SECONDS, wait_until

MIB = 1 << 20
MKFS: dict[str, tuple[list[str], int]] = {
    "ext4": (["mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4"], 48 * MIB),
    "xfs": (["mkfs.xfs", "-q"], 320 * MIB),
    "btrfs": (["mkfs.btrfs", "-q"], 128 * MIB),
}
PIECE = 4096
FLUSH = (1 << 64) - 1

# How likely each piece is to be on the disk that no flush followed.
CHANCES = (0.0, 0.5, 0.9, 1.0)


@dataclass(frozen=True)
class Write:
    offset: int
    data: bytes


class Disk:
    """What a filesystem was at first, and all that was written to it: None is a flush."""

    def __init__(self, place: Path, kind: str = "ext4") -> None:
        command, size = MKFS[kind]
        need(command[0])
        need_filesystem(kind)
        self._kind = kind
        self._image = image_file(place, "recorded", size)
        self._log = place / "recorded.log"
        self._directory = place / "recorded"
        self._directory.mkdir()
        run(*command, self._image)
        self._first = self._image.read_bytes()

    @contextmanager
    def recording(self, at: Path) -> Iterator[Path]:
        """The filesystem, mounted at AT, while the block runs."""
        program = build_directory() / "tests" / "record-disk"
        with subprocess.Popen([program, self._image, self._log, self._directory]) as recorder:
            try:
                disk = self._directory / "disk"
                wait_until(disk.exists, "the disk")
                at.mkdir()
                run("mount", "-t", self._kind, "-o", "loop", disk, at)
                try:
                    yield at
                finally:
                    namespace.unmount(str(at), 0)
            finally:
                # The loop device goes a moment after the mount.
                run("umount", "--lazy", self._directory)
                recorder.wait(SECONDS)
        self.writes = list(self._read_log())

    def _read_log(self) -> Iterator[Write | None]:
        log = self._log.read_bytes()
        at = 0
        while at < len(log):
            offset, length = (int.from_bytes(log[i : i + 8], "little") for i in (at, at + 8))
            at += 16
            if offset == FLUSH:
                yield None
                continue
            yield Write(offset, log[at : at + length])
            at += length

    @contextmanager
    def _mounted(self, data: bytes, at: Path) -> Iterator[Path]:
        self._image.write_bytes(data)
        run("mount", "-t", self._kind, "-o", "loop", self._image, at)
        try:
            yield at
        finally:
            unmount_idle(at)

    def cuts(self, count: int, seed: int, at: Path) -> Iterator[Path]:
        """Mounts at AT what is left after each of COUNT cuts, as the kernel recovers it."""
        source = random.Random(seed)
        durable = bytearray(self._first)
        flushed = 0
        for moment in sorted(source.randrange(1, len(self.writes)) for _ in range(count)):
            while None in self.writes[flushed:moment]:
                until = self.writes.index(None, flushed) + 1
                for write in self.writes[flushed:until]:
                    _apply(durable, write)
                flushed = until
            left = bytearray(durable)
            chance = source.choice(CHANCES)
            for write in self.writes[flushed:moment]:
                _apply(left, write, lambda: source.random() < chance)
            with self._mounted(left, at):
                yield at

    def end(self, at: Path) -> Iterator[Path]:
        """The same where the power was not cut."""
        whole = bytearray(self._first)
        for write in self.writes:
            _apply(whole, write)
        with self._mounted(whole, at):
            yield at


def _apply(disk: bytearray, write: Write | None, is_kept=lambda: True) -> None:
    if write is None:
        return
    for at in range(0, len(write.data), PIECE):
        piece = write.data[at : at + PIECE]
        if is_kept():
            disk[write.offset + at : write.offset + at + len(piece)] = piece
