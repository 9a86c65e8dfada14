# SPDX-License-Identifier: Apache-2.0
"""Any process of a call is killed at any moment: no view outlives its lifeline, and no mount of a
stranger's is touched."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import machine, namespace
from support.image import KERNEL, KERNEL_PATH
from support.view import program
from support.waiting import SECONDS, wait_until

# Of each kind; the long form has 10000. A test is no longer than its watchdog allows.
KILLS = int(os.environ.get("VIEWFS_CALL_KILLS", "200"))
PARTS = [min(200, KILLS - n) for n in range(0, KILLS, 200)]


def family() -> list[int]:
    """The processes of the one call that this process has made, each after its parent."""
    found = [pid for pid in machine.children(os.getpid()) if machine.is_alive(pid)]
    for pid in found:
        found += [child for child in machine.children(pid) if machine.is_alive(child)]
    return found


@dataclass
class Attempt:
    """A call that is killed."""

    at: Path
    lifeline: bool
    foreground: bool
    process: subprocess.Popen[bytes]
    ready: int
    line: int  # the end that cuts its lifeline

    def role(self, pid: int) -> str:
        if pid == self.process.pid:
            return "launcher"
        supervised = self.lifeline and not self.foreground
        if supervised and (os.getpid() == parent(pid) or self.process.pid == parent(pid)):
            return "supervisor"
        return "server"

    def stage(self) -> str:
        if select.select([self.ready], [], [], 0)[0]:
            return "told"
        return "mounted" if machine.mounts_at(self.at) else "starting"


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def calling(at: Path, option: bytes, lifeline: bool, foreground: bool) -> Iterator[Attempt]:
    ready, told = os.pipe()
    line, mine = os.pipe()
    words = [*([f"--lifeline={line}"] if lifeline else []), *(["-f"] if foreground else [])]
    command = [program(), *words, f"--ready-fd={told}", "-o", option, "none", at]
    with subprocess.Popen(command, pass_fds=[told, line], stderr=subprocess.DEVNULL) as process:
        os.close(told)
        os.close(line)
        try:
            yield Attempt(at, lifeline, foreground, process, ready, mine)
        finally:
            os.close(ready)
            with suppress(OSError):
                os.close(mine)


def kill_one(attempt: Attempt, random_: random.Random) -> tuple[str, str] | None:
    """Who was killed, and when."""
    candidates = family()
    if not candidates:
        return None
    victim = random_.choice(candidates)
    try:
        seen = attempt.role(victim), attempt.stage()
        os.kill(victim, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return seen


def serves(at: Path) -> bool:
    try:
        return (at / KERNEL_PATH).read_bytes() == KERNEL
    except OSError:
        return False


def settled(attempt: Attempt) -> bool:
    """Nothing runs, or a live view that may: one that has no lifeline, and is not foreground."""
    machine.bury()
    # Twice: an orphan may be between two parents.
    if not family() and not family():
        return True
    may_live = not attempt.lifeline and not attempt.foreground
    return may_live and len(family()) == 1 and serves(attempt.at)


def clean_up(at: Path) -> None:
    for _ in machine.mounts_at(at):
        namespace.unmount(str(at))
    wait_until(lambda: not machine.bury() and not family(), "the processes of the call to end")


@pytest.mark.parametrize("kills", PARTS)
@pytest.mark.parametrize("lifeline", [False, True], ids=["no-lifeline", "lifeline"])
def test_no_kill_leaves_a_view_that_should_have_ended(
    place: Path, option: bytes, lifeline: bool, kills: int
) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    random_ = random.Random(seed)
    at = place / "view"
    at.mkdir()
    stages: Counter[tuple[str, str]] = Counter()
    whole = time_a_call(at, option)
    # A stranger's mount, onto which the view goes.
    with namespace.tmpfs(str(at)):
        (at / "data").write_text("precious")
        for n in range(kills):
            foreground = n % 5 == 0
            with calling(at, option, lifeline, foreground) as attempt:
                if n % 7 == 3:
                    # However busy the machine is.
                    select.select([attempt.ready], [], [], SECONDS)
                else:
                    pause(random_.uniform(0, 1.6 * whole))
                seen = kill_one(attempt, random_)
                # The death alone must end it, but for that of a call which has done its work.
                launcher_done = not seen or (seen[0] == "launcher" and attempt.stage() == "told")
                if lifeline and (n % 2 or launcher_done):
                    os.close(attempt.line)
                if foreground and not seen:
                    attempt.process.kill()
                wait_until(lambda: settled(attempt), f"call {n}, {seen}, to end or to serve")
                if lifeline:
                    assert not family() and not serves(at), f"call {n}, {seen}"
            if seen:
                stages[seen] += 1
            clean_up(at)
            assert (at / "data").read_text() == "precious", f"call {n}, {seen}"
    print(dict(stages))
    roles = ["launcher", "server", *(["supervisor"] if lifeline else [])]
    for role in roles:
        assert stages[role, "starting"] + stages[role, "mounted"], f"no early kill of a {role}"
    for role in roles[1:]:
        assert stages[role, "told"], f"no late kill of a {role}"


def time_a_call(at: Path, option: bytes) -> float:
    """In seconds; the slowest of some."""
    slowest = 0.0
    for _ in range(5):
        start = time.perf_counter()
        assert subprocess.run([program(), "-o", option, "none", at], check=False).returncode == 0
        slowest = max(slowest, time.perf_counter() - start)
        clean_up(at)
    return slowest


def pause(seconds: float) -> None:
    """Busily: a sleep is not that exact. What happens meanwhile is what is tested."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
