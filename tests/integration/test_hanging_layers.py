# SPDX-License-Identifier: Apache-2.0
"""Commands that look at layers, index and store, where one of these never answers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from support import image, machine
from support.control import stopped, viewfsctl, without_note
from support.image import lowerdir
from support.view import View, program
from support.waiting import SECONDS, wait_until

OWN = Path("/run/urunc-viewfs/.index")
TIMEOUT = ("-o", "timeout=1")
PATIENCE = 6

# By its number in <linux/capability.h>: CAP_DAC_READ_SEARCH.
READING = 1 << 2


@pytest.fixture
def layers(place: Path) -> Iterator[Path]:
    """The directory of layers that root's own index describes; one entry is useless."""
    OWN.parent.mkdir(mode=0o755)
    layers = image.usual().build(place / "layers")
    options = lowerdir(layers) + b",cache=" + os.fsencode(OWN)
    with View(place / "view", "-o", options):
        wait_until(lambda: OWN.exists() and len(os.listdir(OWN)) >= 3, "the layers to be filed")
    (OWN / ("d" * 32)).write_bytes(b"damaged")
    yield place / "layers"
    shutil.rmtree(OWN.parent, ignore_errors=True)


@contextmanager
def silent(layers: Path) -> Iterator[None]:
    """A filesystem above the layers whose server is there and answers nothing."""
    with machine.silent_fuse(layers):
        yield
    wait_until(lambda: not machine.processes({"viewfsctl"}), "the child to end")


@contextmanager
def stopped_view(layers: Path) -> Iterator[None]:
    """A view above the layers whose process is stopped."""
    option = lowerdir(image.usual().build(layers.parent / "others"))
    at = layers.with_name("aside")
    layers.rename(at)
    with View(layers, "-o", option) as view:
        view.wait_sandboxed()
        with stopped(view):
            yield
    at.rename(layers)


@contextmanager
def frozen(layers: Path) -> Iterator[None]:
    """The same, whose cgroup is frozen."""
    with ExitStack() as stack:
        group = Path("/sys/fs/cgroup/freezer")
        group = (group if group.is_dir() else group.parent) / f"viewfs-test-{os.getpid()}"
        group.mkdir()
        stack.callback(machine.remove_group, group)
        option = lowerdir(image.usual().build(layers.parent / "others"))
        at = layers.with_name("aside")
        layers.rename(at)
        stack.callback(at.rename, layers)
        view = stack.enter_context(View(layers, "-o", option))
        view.wait_sandboxed()
        v1 = (group / "freezer.state").exists()
        state, words = ("freezer.state", ("FROZEN", "THAWED")) if v1 else ("cgroup.freeze", "10")
        (group / "cgroup.procs").write_text(str(view.daemon_pid))
        (group / state).write_text(words[0])
        # A command's child that looked at the view was killed, and can end then.
        stack.callback(wait_until, lambda: not machine.processes({"viewfsctl"}), "the child to end")
        stack.callback((group / state).write_text, words[1])
        yield


FORMS: list[Callable[[Path], AbstractContextManager[None]]] = [silent, stopped_view, frozen]
COMMANDS = [["index", "list"], ["index", "verify"], ["gc", "--dry-run"], ["gc"]]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_ends_where_a_layer_of_the_index_does_not_answer(
    layers: Path, words: list[str], form: Callable[[Path], AbstractContextManager[None]]
) -> None:
    """And its caller is not kept by a pipe that the waiting process holds."""
    with form(layers):
        start = time.monotonic()
        finished = without_note(viewfsctl(*words, *TIMEOUT))
        assert time.monotonic() - start < PATIENCE
        assert finished.status == 2
        assert finished.stderr == "viewfsctl: not done after 1 s (-o timeout=…)\n"
        assert "index entry" not in finished.stdout
    # As soon as it answers all is as it was.
    told = json.loads(viewfsctl("index", "list", "--json").stdout)
    states = [entry["state"] for entry in told["entries"]]
    assert sorted(states) == ["current"] * (len(states) - 1) + ["damaged"]


def test_the_default_time_limit_is_ten_seconds(layers: Path) -> None:
    """Of each command; all of them at once."""
    with silent(layers), ThreadPoolExecutor(len(COMMANDS)) as pool:
        for finished in pool.map(lambda words: viewfsctl(*words), COMMANDS):
            assert (finished.status, "not done after" in finished.stderr) == (2, True)


def test_gc_ends_in_the_time_that_it_was_given(layers: Path) -> None:
    """In all, whatever its parts have taken of it."""
    with silent(layers):
        finished = without_note(viewfsctl("gc", "--dry-run", "-o", "timeout=2"))
        assert finished.stderr == "viewfsctl: not done after 2 s (-o timeout=…)\n"


@pytest.mark.parametrize("form", FORMS)
def test_an_index_is_cleared_though_a_layer_does_not_answer(
    layers: Path, form: Callable[[Path], AbstractContextManager[None]]
) -> None:
    with form(layers):
        count = len(os.listdir(OWN))
        finished = viewfsctl("index", "clear", *TIMEOUT)
        assert (finished.status, finished.stdout) == (0, f"removed {count} entries\n")
        assert os.listdir(OWN) == []


@pytest.mark.parametrize("words", [["list"], ["verify"], ["clear"]], ids=" ".join)
@pytest.mark.parametrize("kind", ["silent", "fifo"])
def test_an_index_that_does_not_answer_is_a_timeout(
    place: Path, words: list[str], kind: str
) -> None:
    """A FIFO in it is an entry like others, which are no entries."""
    if kind == "silent":
        with machine.silent_fuse(place / "index") as index:
            start = time.monotonic()
            assert viewfsctl("index", *words, *TIMEOUT, index).status == 2
            assert time.monotonic() - start < PATIENCE
        return
    (place / "index").mkdir(mode=0o700)
    os.mkfifo(place / "index" / ("f" * 32))
    assert viewfsctl("index", *words, *TIMEOUT, place / "index").status in (0, 32)


def held(process: subprocess.Popen[bytes]) -> list[int]:
    """The capabilities of a command's processes that are there."""
    found = []
    for pid in machine.family(process.pid):
        with suppress(OSError):
            text = Path(f"/proc/{pid}/status").read_text()
            found += [int(held, 16) for held in re.findall(r"^CapPrm:\t(\w+)$", text, re.M)]
    return found


INDEX = [["index", "list"], ["index", "verify"], ["index", "clear", "{silent}"]]
STORE = [["store", action, "-o", "store={silent}"] for action in ("list", "verify", "clear")]


@pytest.mark.parametrize(
    "words", [*INDEX, *STORE, ["gc"], ["gc", "-o", "store={silent}"]], ids=" ".join
)
def test_files_are_read_with_one_capability(layers: Path, words: list[str]) -> None:
    """By the process that waits for what does not answer; for index and store there is no other
    one that has more."""
    aside = layers.with_name("silent")
    with ExitStack() as stack:
        at = aside if words[-1].endswith("{silent}") else layers
        stack.enter_context(machine.silent_fuse(at))
        command = [program("viewfsctl"), *(word.format(silent=aside) for word in words)]
        process = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        try:
            # The child, and the command that waits for it.
            kept = wait_until(
                lambda: found if len(found := held(process)) > 1 and found[-1] == READING else None,
                "a child that waits with one capability",
            )
            assert words[0] == "gc" or kept == [READING] * len(kept)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(SECONDS)
