# SPDX-License-Identifier: Apache-2.0
"""Writers of an index that are killed while they write, and readers that must not notice."""

from __future__ import annotations

import os
import random
import re
import subprocess
import threading
import time
from pathlib import Path

from support import image, resolver
from support.resolver import Question

KILLS = int(os.environ.get("VIEWFS_INDEX_KILLS") or 1000)
SEED = 3
ENTRY = re.compile(r"[0-9a-f]{32}|\.new-[0-9a-f]{16}")
LAYERS = 12
PATHS = [b"urunc.json", image.KERNEL_PATH.encode(), image.INITRD_PATH.encode(), b"usr/lib", b"nope"]
QUESTIONS = [Question(path) for path in PATHS]


class Readers(threading.Thread):
    """Asks with the index again and again, and compares."""

    def __init__(self, index: Path, layers: list[bytes]) -> None:
        super().__init__()
        self.layers = layers
        self.option = b"--index=" + os.fsencode(index)
        self.wanted = resolver.resolve_all(layers, QUESTIONS)
        self.wrong: list[object] = []
        self.rounds = 0
        self.stop = False

    def run(self) -> None:
        while not self.stop and not self.wrong:
            got = resolver.resolve_all([self.option, *self.layers], QUESTIONS)
            if got != self.wanted:
                self.wrong.append(got)
            self.rounds += 1


def test_killed_writers_leave_an_index_that_readers_can_use(place: Path) -> None:
    layers = image.crowded(LAYERS, 2).build(place / "layers")
    index = place / "index"
    source = random.Random(SEED)
    readers = Readers(index, layers)
    readers.start()
    whole = max(time_a_write(layers, index) for _ in range(5))
    died = 0
    try:
        for _ in range(KILLS):
            forget(index, source)
            with start(layers, index) as writer:
                end = time.perf_counter() + source.random() * whole
                while time.perf_counter() < end:
                    pass
                writer.kill()
            died += writer.returncode < 0
    finally:
        readers.stop = True
        readers.join()
    assert readers.wrong == []
    assert readers.rounds > 10
    assert died > KILLS // 10, "they were killed while they ran"
    assert all(ENTRY.fullmatch(name) for name in os.listdir(index)), os.listdir(index)
    readers.stop = False
    # What they left is whole: nobody has anything to complain of.
    assert resolver.resolve_all([readers.option, *layers], QUESTIONS) == readers.wanted


def start(layers: list[bytes], index: Path) -> subprocess.Popen[bytes]:
    """A process that reads and then writes the index."""
    option = b"--index=" + os.fsencode(index)
    process = subprocess.Popen(
        resolver.command([option, *layers]),
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin
    try:
        process.stdin.write(b"".join(b"f" + path + b"\0" for path in PATHS))
        process.stdin.close()
    except BrokenPipeError:
        pass
    process.stdin = None
    return process


def time_a_write(layers: list[bytes], index: Path) -> float:
    begin = time.perf_counter()
    with start(layers, index) as process:
        process.wait()
    return time.perf_counter() - begin


def forget(index: Path, source: random.Random) -> None:
    """So that there is something to write: some entries go, some are damaged."""
    for name in os.listdir(index):
        chance = source.random()
        try:
            if chance < 0.4:
                (index / name).unlink()
            elif chance < 0.5 and not name.startswith("."):
                os.truncate(index / name, source.randrange(100))
        except FileNotFoundError:
            pass
