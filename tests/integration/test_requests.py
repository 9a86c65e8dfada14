# SPDX-License-Identifier: Apache-2.0
"""How few requests reach the daemon, and so how seldom a reader waits for another process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import image
from support.image import INITRD_PATH, KERNEL_PATH, lowerdir
from support.requests import Requests
from support.view import View

# What the kernel asks a filesystem once, to hear that it has no such thing.
ONCE = {"OPENDIR", "STATX", "GETXATTR", "LISTXATTR"}


@pytest.fixture(params=["lazy", "ready"])
def requests(request: pytest.FixtureRequest, place: Path) -> Iterator[Requests]:
    """Those to a view of the usual image, which nobody has looked at yet."""
    option = lowerdir(image.usual().build(place / "layers"))
    with View(place / "view", "-o", option, "-o", f"resolve={request.param}") as view:
        with Requests(view.root, view.daemon_pid, place) as traced:
            yield traced


def run(requests: Requests, command: str) -> list[str]:
    """The names of the requests that a shell COMMAND makes in the view, sorted."""
    shell = ["sh", "-c", "exec >/dev/null 2>&1; " + command]
    subprocess.run(shell, cwd="/", env={**os.environ, "V": str(requests.root)}, check=False)
    return sorted(request.name for request in requests.take())


def test_a_name_is_looked_up_once(requests: Requests) -> None:
    """A name is asked for once; the root's attributes, and what the filesystem can do, too."""
    names = run(requests, f"stat $V/{KERNEL_PATH}")
    assert names == ["GETATTR", "LOOKUP", "LOOKUP", "STATX"]
    assert run(requests, f"stat $V/{KERNEL_PATH}") == []
    assert run(requests, f"stat $V/{INITRD_PATH}") == ["LOOKUP", "LOOKUP"]


def test_a_listing_answers_all_that_can_be_asked_of_its_entries(requests: Requests) -> None:
    """It tells all that can be asked of what is in it."""
    first = run(requests, "ls -la $V")
    assert [name for name in first if name not in ONCE] == [
        "GETATTR",
        "READDIRPLUS",
        "READDIRPLUS",
    ]
    assert run(requests, "ls -la $V") == []
    assert run(requests, "ls -laR $V") == ["READDIRPLUS"] * 4
    assert run(requests, "ls -laR $V") == []
    looked = run(requests, f"stat $V/{KERNEL_PATH} $V/{INITRD_PATH} $V/urunc.json")
    assert looked == ["STATX"]  # for the time of birth; asked once


@pytest.mark.parametrize("command", ["cat", "md5sum", "cp -t {place}", "head -c 1", "test -x"])
def test_reading_costs_one_open(requests: Requests, place: Path, command: str) -> None:
    """And neither a FLUSH nor a READ, an ACCESS nor a GETXATTR."""
    command = command.format(place=place)
    run(requests, f"ls -laR $V; {command} $V/urunc.json; getfattr -d $V/urunc.json")
    expected = [] if command == "test -x" else ["OPEN", "RELEASE"]
    for path in (KERNEL_PATH, INITRD_PATH, KERNEL_PATH):
        assert run(requests, f"{command} $V/{path}") == expected


@pytest.mark.parametrize("path", ["none", "unikernel/none", "none/none", ".wh.urunc.json"])
def test_a_missing_name_is_looked_up_once(requests: Requests, path: str) -> None:
    """That it is not is known for good."""
    run(requests, "ls -laR $V")
    assert run(requests, f"test -e $V/{path}") == ["LOOKUP"]
    for command in ("test -e", "stat", "cat", "ls -la"):
        assert run(requests, f"{command} $V/{path}") == []


def test_a_walk_lists_each_directory_once(requests: Requests) -> None:
    """Of the whole, and again; find(1) asks statfs(2) once, as df(1) does."""
    run(requests, "ls -la $V")
    assert run(requests, "find $V") == ["READDIRPLUS"] * 4 + ["STATFS"]
    assert run(requests, "find $V -ls") == ["STATFS"]
    assert run(requests, "df $V") == ["STATFS"]


def test_a_usual_life_costs_only_the_counted_requests(requests: Requests) -> None:
    """What a boot and somebody who looks around take, all in all."""
    life = [
        f"stat $V/{KERNEL_PATH}",
        "ls -la $V",
        f"cat $V/{KERNEL_PATH}",
        f"cp $V/{KERNEL_PATH} /dev/null",
        "test -e $V/none",
        "stat $V/none",
        f"md5sum $V/{INITRD_PATH}",
        f"dd if=$V/{KERNEL_PATH} of=/dev/null",
        f"dd if=$V/{INITRD_PATH} of=/dev/null",
        "ls -la $V",
        f"cat $V/{KERNEL_PATH}",
        "find $V",
        "df $V",
    ]
    names = [name for command in life for name in run(requests, command)]
    assert len(names) <= 30, names
    assert names.count("OPEN") == names.count("RELEASE") == 6
    assert not {"READ", "FLUSH", "ACCESS", "READDIR", "RELEASEDIR"} & set(names)
    assert all(names.count(name) <= 1 for name in ONCE)
