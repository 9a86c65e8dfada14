# SPDX-License-Identifier: Apache-2.0
"""Processes that fill a store from blobs are killed, any of them at any moment.

Nothing wrong is filed, no process and no file is left, and the next caller need not wait.
"""

from __future__ import annotations

import collections
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from support import machine, stored
from support.archive import END, directory, file
from support.control import viewfsctl
from support.image import INITRD_PATH, KERNEL_PATH, noise, urunc_json
from support.layout import Layout
from support.stored import Store, arguments
from support.view import View, program
from support.waiting import wait_until

EACH = 100
KILLS = int(os.environ.get("VIEWFS_FILL_KILLS") or 2 * EACH)

KERNEL, INITRD = noise(3_000_000, "kernel"), noise(1_000_000, "initrd")
FILES = {KERNEL_PATH: KERNEL, INITRD_PATH: INITRD}


def made(place: Path) -> Layout:
    """An image of some layers, each of which takes a while."""
    layout = Layout(place / "layout")
    many = b"".join(file(f"etc/{number}", b"x" * 600) for number in range(2000))
    layout.list(
        layout.image(
            [
                many + END,
                directory("unikernel") + file(KERNEL_PATH, KERNEL) + END,
                file(INITRD_PATH, INITRD) + END,
                file("urunc.json", urunc_json(initrd="/" + INITRD_PATH).content) + END,
            ]
        )
    )
    return layout


def stage(pids: list[int]) -> str:
    """How many there are says how far they are: the call, its worker, an unpacker, a decoder."""
    return ("starting", "working", "unpacking", "decoding")[min(len(pids), 4) - 1]


def kill(call: subprocess.Popen[bytes], source: random.Random) -> str | None:
    """One process of it; None: it had ended."""
    with suppress(ProcessLookupError):
        os.kill(call.pid, signal.SIGSTOP)
    pids = machine.family(call.pid)
    at = stage(pids)
    with suppress(ProcessLookupError):
        os.kill(source.choice(pids), signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(call.pid, signal.SIGCONT)
    status = call.wait(60)
    wait_until(lambda: not any(map(machine.is_alive, pids)), "its processes to end")
    return at if status != 0 else None


@pytest.mark.takes_up_to(600)
@pytest.mark.parametrize("seed", range(-(-KILLS // EACH)))
def test_processes_of_a_fill_that_are_killed_leave_nothing(place: Path, seed: int) -> None:
    layout, store = made(place), Store(place / "store")
    source = random.Random(seed)
    stages: collections.Counter[str] = collections.Counter()
    words = "store", "add", "--json", f"--oci={layout.directory}", "-o", store.option
    begin = time.perf_counter()
    assert viewfsctl(*words).status == 0
    whole = time.perf_counter() - begin
    complete = stored.all_files(store.directory)
    while sum(stages.values()) < EACH:
        assert viewfsctl("store", "clear", "-o", store.option).status == 0
        call = subprocess.Popen(
            [str(program("viewfsctl")), *words],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        end = time.perf_counter() + source.random() * whole
        while time.perf_counter() < end and call.poll() is None:
            pass
        at = kill(call, source)
        if at is not None:
            stages[at] += 1
        assert stored.wrong_objects(store.directory) == []
        # Not even what a broken image leaves: it was none.
        assert not store.files("failed")
        left = set(stored.all_files(store.directory))
        assert not any("/.new-" in name for name in left), left
        assert left <= set(complete), left
    print(dict(stages))
    assert all(stages[name] > 0 for name in ("unpacking", "decoding")), stages
    finished = viewfsctl(*words)
    assert finished.status == 0, finished
    assert stored.all_files(store.directory) == complete
    assert stored.ctl(store.directory, "verify").status == 0
    chain = f"sha256:{store.files('chains')[0].name}"
    with View(place / "view", *arguments(store, image=chain)) as view:
        for path, content in FILES.items():
            assert (view.root / path).read_bytes() == content
