# SPDX-License-Identifier: Apache-2.0
"""Views that no mount of this namespace leads to: they are found by their processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import image, machine, namespace
from support.control import ID, listed, viewfsctl
from support.image import lowerdir
from support.view import View, call, program
from support.waiting import SECONDS, wait_until

HELPER = """
import os, subprocess, sys
os.makedirs(sys.argv[3], exist_ok=True)
subprocess.run([sys.argv[1], "--id=" + sys.argv[4], "-o", sys.argv[2], "none", sys.argv[3]], check=True)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def option(place: Path) -> bytes:
    """lowerdir= of the usual image."""
    return lowerdir(image.usual().build(place / "layers"))


@contextmanager
def in_another_namespace(place: Path, option: bytes) -> Iterator[None]:
    """A view in a mount namespace of its own, whose other processes are gone then."""
    command = ["unshare", "-m", "--propagation", "private", sys.executable, "-c", HELPER]
    with subprocess.Popen(
        [*command, program(), option, place / "there", ID],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as helper:  # fmt: skip
        assert helper.stdin and helper.stdout
        assert helper.stdout.readline() == b"ready\n"
        helper.stdin.close()
        assert helper.wait(SECONDS) == 0
    try:
        yield
    finally:
        viewfsctl("umount", f"--id={ID}")


def found() -> list[dict[str, Any]]:
    return [view for view in listed("--all") if view["id"] == ID]


def test_a_view_of_another_namespace_is_listed_and_ended(place: Path, option: bytes) -> None:
    with in_another_namespace(place, option):
        assert not [view for view in listed() if view["id"] == ID]
        (told,) = found()
        assert (told["verified"], told["root"], told["label"]) == (False, None, None)
        assert (told["state"], told["mountpoint"]) == ("alive", str(place / "there"))
        table = viewfsctl("list", "--all", f"--id={ID}", "-o", "ID,STATE").stdout
        assert table.splitlines()[1].split("  ", 1) == [ID, "alive, unverified"]
        assert machine.is_alive(told["pid"])
        assert viewfsctl("umount", f"--id={ID}").status == 0
        assert found() == []
        assert not machine.is_alive(told["pid"])


@pytest.mark.parametrize("words", [["gc"], ["doctor"]], ids=" ".join)
def test_views_of_other_namespaces_are_told(place: Path, option: bytes, words: list[str]) -> None:
    with in_another_namespace(place, option):
        assert "no mount of this namespace leads to" in viewfsctl(*words).stdout


def test_a_detached_view_is_listed_and_ended(place: Path, option: bytes) -> None:
    """Also a stopped one, which takes no other signal."""
    with View(place / "view", f"--id={ID}", "-o", option) as view:
        with open(view.root / "urunc.json", "rb"):
            namespace.unmount(str(view.root))
            (told,) = found()
            assert (told["pid"], told["verified"]) == (view.daemon.pid, False)
            view.daemon.signal(signal.SIGSTOP)
            wait_until(lambda: view.daemon.stat()[0] == "T", "it to stop")
            assert found()[0]["state"] == "not answering"
            assert viewfsctl("umount", f"--id={ID}").status == 0
            assert not machine.is_alive(view.daemon_pid)
        view.status = -signal.SIGTERM


def test_umount_by_id_takes_every_mount_of_the_id(place: Path, option: bytes) -> None:
    """And of no other one."""
    (place / "copy").mkdir()
    with View(place / "view", f"--id={ID}", "-o", option) as view:
        with View(place / "other", f"--id={ID}0", "-o", option) as other:
            namespace.mount(str(view.root), str(place / "copy"), None, namespace.MS_BIND)
            assert viewfsctl("umount", f"--id={ID}2").status == 0
            assert len(machine.mounts()) == 3
            assert viewfsctl("umount", f"--id={ID}").status == 0
            assert [mount.mountpoint for mount in machine.mounts()] == [os.fsencode(other.root)]
            view.status = machine.exit_status(view.daemon_pid)
            view._waited = True


# A uid-0 process that says what it likes: no view's, for it holds no connection.
FORGER = b"""
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(15, b"urunc-viewfs", 0, 0, 0)
fuse = os.open("/dev/fuse", os.O_RDWR)
print("ready", flush=True)
signal.pause()
"""


@contextmanager
def forged(title: dict[str, Any]) -> Iterator[int]:
    with subprocess.Popen(
        [b"urunc-viewfs: " + json.dumps(title).encode()], executable=sys.executable,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as forger:  # fmt: skip
        try:
            assert forger.stdin and forger.stdout
            forger.stdin.write(FORGER)
            forger.stdin.close()
            assert forger.stdout.readline() == b"ready\n"
            yield forger.pid
        finally:
            forger.kill()


def test_a_forged_title_keeps_no_dead_view_and_makes_none_ready(place: Path, option: bytes) -> None:
    """It names the device, the fingerprint and all else of a view that is dead."""
    with View(place / "view", f"--id={ID}", "-o", option) as view:
        view.wait_sandboxed()
        title = json.loads((view.daemon.proc / "cmdline").read_bytes()[len("urunc-viewfs: ") : -1])
        title["view"] = {"device": view.mount.device, "layers": 3, "sandboxed": "7f",
                         "fingerprint": "0" * 16}  # fmt: skip
        view.status = -signal.SIGKILL
        view.daemon.signal(signal.SIGKILL)
        view.wait_gone()
        with forged(title):
            (told,) = listed()
            assert (told["state"], told["id"], told["pid"]) == ("dead", None, None)
            # The same call replaces it.
            assert call(f"--id={ID}", "-o", option, "none", view.root).status == 0
            assert (view.root / "urunc.json").read_bytes()
            namespace.unmount(str(view.root), 0)
            wait_until(lambda: not machine.processes(), "the daemon to end")
            machine.bury()


def test_what_a_title_says_is_shown_without_what_a_terminal_obeys() -> None:
    title = {"ready": True, "id": f"evil-{os.getpid()}\x1b[31m\u202e\x9b", "mountpoint": "\u2028/x"}
    with forged(title) as pid:
        finished = viewfsctl("list", "--json", "--all")
        (told,) = [view for view in json.loads(finished.stdout)["views"] if view["pid"] == pid]
        assert told["id"].endswith(r"\033[31m\342\200\256\302\233")
        assert told["mountpoint"] == r"\342\200\250/x"
        for text in (finished.stdout, viewfsctl("list", "--all").stdout):
            assert not set(text) & set("\x1b\u202e\x9b\u2028")
