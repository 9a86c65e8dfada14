# SPDX-License-Identifier: Apache-2.0
"""Writers of an artifact store that are killed while they write, and views that must not notice."""

from __future__ import annotations

import collections
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support import machine, stored
from support.injection import injecting
from support.view import program, run
from support.view import Argument
from support.waiting import wait_until

EACH = 100
KILLS = int(os.environ.get("VIEWFS_STORE_KILLS") or EACH)
IMAGES = {f"image-{n}": stored.files(f"{n}", 1_500_000 + n, 400_000) for n in range(6)}
VIEWED = "image-0"
# For some of the images: what is evicted meanwhile.
ROOM = 6 << 20

# How far a writer was when it was killed, by what it had open.
STAGES = ("starting", "reading", "locked", "copying", "publishing")


def stage(pids: list[int], root: Path) -> str:
    """Of processes that are stopped."""
    found = 0
    for pid in pids:
        with suppress(OSError):
            for link in Path("/proc", str(pid), "fd").iterdir():
                with suppress(OSError):
                    found = max(found, _stage_of(os.readlink(link), str(root)))
    return STAGES[found]


def _stage_of(path: str, root: str) -> int:
    path, _, deleted = path.partition(" (deleted)")
    if not path.startswith(root):
        return 0
    below = path.removeprefix(root)
    if below.startswith("/chains/") and "#" in below:
        return 4
    if below.startswith("/objects/") and "#" in below:
        return 3
    return 2 if below == "/lock" else 1


class Readers(threading.Thread):
    """Mounts a view of one image after the other, and compares."""

    def __init__(self, place: Path, number: int) -> None:
        super().__init__()
        self.place = place / f"reader-{number}"
        self.source = random.Random(number)
        self.hits = self.misses = 0
        self.wrong: list[object] = []
        self.stop = False

    def run(self) -> None:
        while not self.stop and not self.wrong:
            name = self.source.choice(list(IMAGES))
            try:
                found = stored.shown(self.place, self.place.parent / "store", name)
            except Exception as error:  # noqa: BLE001
                self.wrong.append((name, error))
                break
            if found is None:
                self.misses += 1
            elif found == IMAGES[name]:
                self.hits += 1
            else:
                self.wrong.append(name)


class Writer:
    """A command that changes the store, in a session of its own."""

    def __init__(self, root: Path, command: Sequence[Argument]) -> None:
        self._root = root
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    def wait_publishing(self) -> None:
        """Until that is seen, which lasts a moment, or it has ended."""
        while self.process.poll() is None and stage(machine.family(self.process.pid), self._root) != STAGES[-1]:
            pass

    def kill(self, source: random.Random) -> str | None:
        """All of it or one process, at a moment that is then known; None: it had ended."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGSTOP)
        pids = machine.family(self.process.pid)
        at = stage(pids, self._root)
        with suppress(ProcessLookupError):
            if source.random() < 0.5:
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                os.kill(source.choice(pids), signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGCONT)
        status = self.process.wait(60)
        wait_until(lambda: not any(map(machine.is_alive, pids)), "its processes to end")
        return at if status != 0 else None


def time_an_add(root: Path, tree: Path) -> float:
    begin = time.perf_counter()
    assert stored.add(root, tree).status == 0
    return time.perf_counter() - begin


def forget(root: Path, source: random.Random) -> None:
    """Some of what is there goes, as when it is evicted, in use or not."""
    for path in stored.objects(root) + list((root / "chains").iterdir()):
        if source.random() < 0.15:
            path.unlink(missing_ok=True)


@pytest.mark.takes_up_to(600)
@pytest.mark.parametrize("seed", range(-(-KILLS // EACH)))
def test_writers_that_are_killed_harm_no_view(place: Path, seed: int) -> None:
    root = place / "store"
    source = random.Random(seed)
    stages: collections.Counter[str] = collections.Counter()
    with ExitStack() as stack:
        trees = stack.enter_context(stored.trees(place, IMAGES))
        whole = max(time_an_add(root, trees / name) for name in IMAGES)
        viewed = stack.enter_context(stored.view(place / "view", root, VIEWED, "resolve=ready"))
        readers = [Readers(place, number) for number in range(2)]
        for reader in readers:
            reader.start()
        try:
            died = 0
            while died < EACH and not any(reader.wrong for reader in readers):
                forget(root, source)
                names = [source.choice(list(IMAGES)) for _ in range(2)]
                writers = [Writer(root, stored.adding(root, trees / name)) for name in names]
                evicting = Writer(root, stored.evicting(root, "-o", f"store-size={ROOM}"))
                end = time.perf_counter() + 1.5 * source.random() * whole
                if source.random() < 0.5:
                    writers[0].wait_publishing()
                while time.perf_counter() < end:
                    pass
                evicting.kill(source)
                for writer in writers:
                    at = writer.kill(source)
                    if at is not None:
                        stages[at] += 1
                        died += 1
                assert stored.wrong_objects(root) == []
        finally:
            for reader in readers:
                reader.stop = True
                reader.join()
        assert [reader.wrong for reader in readers] == [[], []]
        assert stored.content(viewed.root) == IMAGES[VIEWED]
        print(dict(stages), [(reader.hits, reader.misses) for reader in readers])
        assert all(reader.hits and reader.misses for reader in readers)
        # They were killed while they wrote, and at the end of it.
        assert stages["copying"] > EACH / 10 and stages["publishing"] > 0, stages

        # No lock is left, and each image can be had again.
        for name in IMAGES:
            assert stored.add(root, trees / name, seconds=10).status == 0
            assert stored.shown(place / "after", root, name) == IMAGES[name]
    assert stored.ctl(root, "verify").status == 0
    assert stored.gc(root).status == 0
    wanted = {stored.sha256(data) for files in IMAGES.values() for data in files.values()}
    assert {path.name for path in stored.objects(root)} == wanted
    assert len(stored.all_files(root)) == len(wanted) + len(IMAGES)


# What a writer does from its lock to the facts, in the order of its first use.
CALLS = ["mkdirat", "openat", "fallocate", "copy_file_range", "fchmod", "utimensat", "fdatasync",
         "linkat", "/^renameat", "write"]  # fmt: skip


def kill_at(place: Path, root: Path, tree: Path, name: str, number: int) -> bool:
    """Kill a writer when it calls NAME for the NUMBER-th time; False: it never does."""
    log = place / "log"
    wrapper = injecting(log, f"{name}:signal=SIGKILL:when={number}")
    finished = run(*wrapper, *stored.adding(root, tree))
    killed = "+++ killed by SIGKILL +++" in log.read_text()
    assert killed == (finished.status != 0), finished
    return killed


@pytest.mark.parametrize("fresh", [True, False], ids=["first", "more"])
@pytest.mark.parametrize("name", CALLS)
def test_a_writer_can_be_killed_at_any_call(place: Path, name: str, fresh: bool) -> None:
    """Where the image is new, or gets more paths."""
    root = place / "store"
    died = 0
    with stored.trees(place, {VIEWED: IMAGES[VIEWED]}) as trees:
        while True:
            if not fresh:
                only_config = ["binary=/urunc.json", "initrd=/urunc.json"]
                assert stored.add(root, trees / VIEWED, options=only_config).status == 0
            if not kill_at(place, root, trees / VIEWED, name, died + 1):
                break
            died += 1
            found = stored.shown(place / "shown", root, VIEWED)
            assert found is None or found == IMAGES[VIEWED], f"after {died} {name}"
            assert stored.wrong_objects(root) == []
            assert stored.add(root, trees / VIEWED, seconds=10).status == 0
            assert stored.shown(place / "shown", root, VIEWED) == IMAGES[VIEWED]
            shutil.rmtree(root)
    assert died > 0 or (fresh and name == "/^renameat"), "no such call was killed"
    gc = run(program("viewfsctl"), "gc", "-o", f"store={root}")
    assert gc.status == 0
    assert {path.name for path in stored.objects(root)} == {
        stored.sha256(data) for data in IMAGES[VIEWED].values()
    }
