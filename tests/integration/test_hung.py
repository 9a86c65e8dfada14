# SPDX-License-Identifier: Apache-2.0
"""A caller that reads what a command prints to the end, as a shell's $(...) does, has it within the
time limit, although a process of the command waits for a filesystem and cannot even be killed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import machine
from support.deaf import deaf_fuse
from support.machine import VIEW_TYPE
from support.mounted import bind
from support.view import Finished, View, program, run

CHAIN = "sha256:" + "0" * 64
# Beside the time limit of one second.
PATIENCE = 5
LIMIT = "timeout=1"

# DEAF stands for a filesystem that answers nothing, IMAGE for lowerdir= of an image, PLACE for a
# directory.
SOURCES = {
    "a layer": "-o lowerdir=DEAF",
    "a lower layer": "-o IMAGE:DEAF/layer,resolve=ready",
    "a directory": "DEAF",
    "a bundle": "--bundle=DEAF/bundle",
    "mounts": "--mounts=DEAF/mounts.json",
    "a store": f"-o store=DEAF --chain={CHAIN}",
    "a directory of a store": f"-o store=DEAF/store --chain={CHAIN}",
    "an index": "-o cache=DEAF,IMAGE",
}
CALLS = {
    **SOURCES,
    "a layer, in the foreground": "-f -o lowerdir=DEAF",
    "a layer, with a lifeline": "--lifeline=0 -o lowerdir=DEAF",
}
COMMANDS = {
    "resolve --json": "resolve --json -o lowerdir=DEAF",
    "store add a tree": f"store add --chain={CHAIN} --tree=DEAF -o store=PLACE/store",
    "store add --json": f"store add --json --chain={CHAIN} --tree=DEAF -o store=PLACE/store",
    "store add a layout": "store add --oci=DEAF -o store=PLACE/store",
    "store add content": f"store add --content=DEAF --manifest={CHAIN} -o store=PLACE/store",
    "store add there": f"store add --chain={CHAIN} --tree=PLACE/tree -o store=DEAF/store",
    "store list": "store list -o store=DEAF",
    "store verify": "store verify -o store=DEAF/store",
    "store clear": "store clear -o store=DEAF",
    "index list": "index list DEAF",
    "index verify": "index verify DEAF/index",
    "index clear": "index clear DEAF",
    "gc": "gc -o store=DEAF",
}


@pytest.fixture
def deaf(place: Path) -> Iterator[Path]:
    with deaf_fuse(place / "deaf") as at:
        yield at


def in_time(place: Path, option: bytes, *command: str | Path) -> Finished:
    """COMMAND with its words filled in, which ends within the limit."""
    (place / "view").mkdir(exist_ok=True)
    (place / "store").mkdir(mode=0o700, exist_ok=True)
    texts = {"DEAF": str(place / "deaf"), "IMAGE": os.fsdecode(option), "PLACE": str(place)}
    words = list(map(str, command))
    for name, text in texts.items():
        words = [word.replace(name, text) for word in words]
    start = time.monotonic()
    finished = run(*words)
    assert time.monotonic() - start < 1 + PATIENCE, finished
    return finished


@pytest.mark.parametrize("source", CALLS.values(), ids=CALLS.keys())
def test_a_mount_of_what_never_answers_ends_in_time(
    place: Path, option: bytes, deaf: Path, source: str
) -> None:
    words = f"{source} -o {LIMIT}".split()
    operands = ["PLACE/view"] if source == "DEAF" else ["none", "PLACE/view"]
    finished = in_time(place, option, program(), *words, *operands)
    assert finished.status == 2, finished
    assert machine.mounts() == []


@pytest.mark.parametrize("at", ["DEAF", "DEAF/view"])
def test_a_mount_where_no_answer_comes_ends_in_time(
    place: Path, option: bytes, deaf: Path, at: str
) -> None:
    finished = in_time(place, option, program(), "-o", f"IMAGE,{LIMIT}", "none", at)
    assert finished.status == 2, finished


def test_the_helper_ends_in_time_where_its_namespace_never_answers(
    place: Path, option: bytes, deaf: Path
) -> None:
    words = ["none", "PLACE/view", "-N", "DEAF/namespace", "-o", f"IMAGE,{LIMIT}"]
    finished = in_time(place, option, program("mount.urunc-viewfs"), *words)
    assert finished.status == 2 and "not ready after 1 s" in finished.stderr, finished
    assert machine.mounts() == []


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_resolve_ends_in_time(place: Path, option: bytes, deaf: Path, source: str) -> None:
    words = f"resolve {source} -o {LIMIT}".split()
    assert in_time(place, option, program("viewfsctl"), *words).status == 2


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_that_looks_at_what_never_answers_ends_in_time(
    place: Path, option: bytes, deaf: Path, command: str
) -> None:
    (place / "tree").mkdir()
    words = f"{command} -o {LIMIT}".split()
    with bind(bytes(place / "tree"), place / "tree", read_only=True):
        finished = in_time(place, option, program("viewfsctl"), *words)
    assert finished.status == 2, finished
    assert "--json" not in words or json.loads(finished.stdout)["error"]["code"] == "ESYSTEM"


def test_commands_beside_views_that_never_answer_end_in_time(place: Path, option: bytes) -> None:
    """Of the one that takes views away, too."""
    at = place / "deaf"
    ctl = program("viewfsctl")
    with ExitStack() as stack:
        stack.enter_context(View(place / "live", "-o", option))
        stack.enter_context(deaf_fuse(at, VIEW_TYPE))
        listed = in_time(place, option, ctl, "list", "--json")
        states = {view["mountpoint"]: view["state"] for view in json.loads(listed.stdout)["views"]}
        assert states == {str(place / "live"): "alive", str(at): "not answering"}
        for command in ("list", "list --prometheus", "list --all", "gc", "doctor --json"):
            in_time(place, option, ctl, *command.split())
        assert in_time(place, option, program(), "-o", f"IMAGE,{LIMIT}", "none", at).status == 32
        assert in_time(place, option, ctl, "umount", at).status == 0
        assert {mount.mountpoint for mount in machine.mounts()} == {os.fsencode(place / "live")}


def test_doctor_ends_in_time_where_the_index_never_answers(place: Path, option: bytes) -> None:
    run_directory = Path("/run/urunc-viewfs")
    try:
        with deaf_fuse(run_directory):
            in_time(place, option, program("viewfsctl"), "doctor")
            in_time(place, option, program("viewfsctl"), "index", "list", "-o", LIMIT)
            in_time(place, option, program("viewfsctl"), "gc", "-o", LIMIT)
    finally:
        run_directory.rmdir()
