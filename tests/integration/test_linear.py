# SPDX-License-Identifier: Apache-2.0
"""What list and umount cost: proportional to the number of views.

The bars of a view's time are measured by `VIEWFS_TIMED_VIEWS=1000`; on a machine that does other work only
the number of system calls is a measure.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import image, machine, namespace, skipping
from support.image import lowerdir
from support.view import Argument, program, run
from support.waiting import wait_until

FEW, MANY = 50, 200
# What a view may cost more in a larger number of them.
GROWTH = 1.15
AT_ONCE = 8
LIST_MS, UMOUNT_MS = 1.0, 2.0
TIMED = int(os.environ.get("VIEWFS_TIMED_VIEWS") or 100)


@contextmanager
def views(place: Path, count: int) -> Iterator[list[Path]]:
    option = lowerdir(image.usual().build(place / f"layers-{count}"))
    roots = [place / f"view-{count}-{number}" for number in range(count)]

    def mount(root: Path) -> None:
        root.mkdir()
        assert run(program(), f"--id={root.name}", "-o", option, "none", root).status == 0

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(mount, roots))
    wait_until(lambda: all(p.is_sandboxed() for p in machine.processes()), "all to be sandboxed", 60)
    try:
        yield roots
    finally:
        for mount in machine.mounts():
            namespace.unmount(mount.mountpoint)
        wait_until(lambda: not machine.processes(), "all daemons to end", 60)
        machine.bury()


def calls_of(place: Path, *command: Argument) -> int:
    """The system calls of a command and its children."""
    if not shutil.which("strace"):
        skipping.skip("no strace")
    log = place / "calls"
    finished = run("strace", "-f", "-c", "-o", log, "--", *command, seconds=120)
    assert finished.status == 0, finished
    total = re.search(r"^\s*100\.00\s+\S+\s+(?:\S+\s+)?(\d+)\s+(?:\d+\s+)?total$", log.read_text(), re.M)
    assert total, log.read_text()
    return int(total[1])


COMMANDS = [["list"], ["list", "--prometheus"], ["list", "--all"], ["gc"], ["umount"]]


def costs(place: Path, count: int) -> list[int]:
    """Of each command; the last one ends the views."""
    with views(place, count) as roots:
        return [
            calls_of(place, program("viewfsctl"), *words, *(roots if words == ["umount"] else []))
            for words in COMMANDS
        ]


@pytest.mark.takes_up_to(300)
def test_a_view_costs_the_same_among_few_and_many(place: Path) -> None:
    if machine.is_sanitized(program()):
        pytest.skip("a sanitizer does not work below strace")
    for words, few, many in zip(COMMANDS, costs(place, FEW), costs(place, MANY), strict=True):
        print(f"{words}: {few} calls for {FEW} views, {many} for {MANY}")
        assert many <= few * MANY / FEW * GROWTH, words


def test_fusectl_is_mounted_once_for_all_views(place: Path) -> None:
    """Where the namespace has none: each mount of it has a directory for every connection."""
    if machine.is_sanitized(program()):
        pytest.skip("a sanitizer does not work below strace")
    log = place / "mounts"
    with views(place, 8) as roots, namespace.tmpfs("/sys/fs/fuse/connections"):
        for words in ["list"], ["umount", *roots]:
            command = ["strace", "-f", "-qq", "-o", log, "-e", "trace=fsmount", "--"]
            assert run(*command, program("viewfsctl"), *words).status == 0
            assert log.read_text().count("fsmount(") <= 2, words


@dataclass(frozen=True)
class Cost:
    """Of a command and its children, in milliseconds."""

    elapsed: float
    processor: float


def cost_of(*command: Argument) -> Cost:
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run(*command, seconds=120).status == 0
    elapsed, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Cost(elapsed * 1000, processor * 1000)


@pytest.mark.takes_up_to(300)
def test_list_and_umount_of_many_views_take_little_time(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Processor time: what passes meanwhile is also that of the machine's other work."""
    with views(place, TIMED) as roots:
        listing = [cost_of(program("viewfsctl"), "list") for _ in range(3)]
        costs = {"list": min(listing, key=lambda cost: cost.elapsed)}
        costs["umount"] = cost_of(program("viewfsctl"), "umount", *roots)
        assert machine.mounts() == []
    with capsys.disabled():
        for name, cost in costs.items():
            print(f"\n{TIMED} views: {name} {cost.elapsed / TIMED:.2f} ms a view, "
                  f"{cost.processor / TIMED:.2f} ms of a processor", end="")  # fmt: skip
    for name, most in (("list", LIST_MS), ("umount", UMOUNT_MS)):
        assert costs[name].processor / TIMED <= most
