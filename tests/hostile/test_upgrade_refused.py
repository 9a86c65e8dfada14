# SPDX-License-Identifier: Apache-2.0
"""viewfsctl upgrade changes nothing where it fails: of a process that poses as a view, of a state
that is damaged or strange, and at whichever step a system call fails."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import image, machine
from support.control import ID, listed_at, viewfsctl
from support.image import KERNEL, lowerdir
from support.injection import injecting
from support.view import View, program
from support.view_state import (
    BINARY, CONFIG, FIRST_FILE, INITRD, PASSTHROUGH, artifact, missing, posing, state,
)  # fmt: skip
from support.waiting import wait_until
from test_survival import read_whole

FILE = artifact("/unikernel/kernel", BINARY, len(KERNEL), FIRST_FILE)
GOOD = [missing("/urunc.json", CONFIG), FILE]


def refusal(at: Path) -> str:
    """Why a view was not upgraded. No process is left of it."""
    finished = viewfsctl("upgrade", ID)
    assert (finished.status, finished.stdout) == (32, "")
    wait_until(lambda: not machine.processes({"viewfsctl"}), "its processes to end")
    said = re.fullmatch(rf"viewfsctl: upgrade '{re.escape(str(at))}': (.*)\n", finished.stderr)
    assert said, finished.stderr
    return said[1]


def test_a_state_of_version_1_is_read(place: Path) -> None:
    """Whatever this program's own version is; from a process that is no program of ours."""
    (place / "kernel").write_bytes(KERNEL)
    with posing(place, ID, state(GOOD, view_id=ID), place / "kernel") as (at, process):
        assert f"1 of another version: '{at}'" in viewfsctl("doctor").stdout
        finished = viewfsctl("upgrade", ID)
        assert (finished.status, finished.stderr) == (0, "")
        assert process.wait() == -signal.SIGKILL
        assert (at / "unikernel/kernel").read_bytes() == KERNEL
        assert os.listdir(at) == ["unikernel"]
        st = os.stat(at / "unikernel/kernel")
        assert (st.st_ino, st.st_mode, st.st_size, st.st_mtime_ns) == (
            4, 0o100444, len(KERNEL), 10**18 + 5,
        )  # fmt: skip
        assert "of another version" not in viewfsctl("doctor").stdout
        row = listed_at(at)
        assert (row["id"], row["layers"], row["generation"]) == (ID, 3, 2)
        viewfsctl("umount", at)


DAMAGED = {
    "empty": b"",
    "zeros": bytes(4096),
    "another magic": state(GOOD, magic=1),
    "cut": state(GOOD)[:-1],
    "cut in the middle": state(GOOD)[:200],
    "longer": state(GOOD, more=b"\0"),
    "no artifact": state([]),
    "too many artifacts": state([*GOOD, missing("/a", INITRD), missing("/b", INITRD)]),
    "more than there are": state(GOOD, count=2**63),
    "the same path twice": state([FILE, FILE]),
    "a path that climbs": state([artifact("/../etc/passwd", BINARY, 1, FIRST_FILE)]),
    "a path that is relative": state([artifact("kernel", BINARY, 1, FIRST_FILE)]),
    "a path of an endless length": state([b"\xff" * 8 + b"/a\0"]),
    "a path with a NUL in it": state([missing("/a\0b", BINARY)]),
    "no path": state([missing("", BINARY)]),
    "no role": state([artifact("/a", 0, 1, FIRST_FILE)]),
    "a role that is none": state([artifact("/a", 8, 1, FIRST_FILE)]),
    "an empty file": state([artifact("/a", BINARY, 0, FIRST_FILE)]),
    "a size below 0": state([artifact("/a", BINARY, -1, FIRST_FILE)]),
    "a descriptor that is none": state([artifact("/a", BINARY, 1, 77)]),
    "the connection to be read": state([artifact("/a", BINARY, 1, 39)]),
    "the state to be read": state([artifact("/a", BINARY, 1, 40)]),
    "no backing id": state([artifact("/a", BINARY, 1, 0, reading=PASSTHROUGH)]),
    "a way to read that is none": state([artifact("/a", BINARY, 1, FIRST_FILE, reading=9)]),
    "a fingerprint that is none": state(GOOD, fingerprint="x" * 64),
    "an id that is too long": state(GOOD, view_id="x" * 300),
    "a truth that is none": state(GOOD, resend=2),
}  # fmt: skip


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_state_is_refused(place: Path, how: str) -> None:
    (place / "kernel").write_bytes(KERNEL)
    with posing(place, ID, DAMAGED[how], place / "kernel") as (at, process):
        assert refusal(at) in (
            "the view's state is damaged",
            # Without a byte it is no state at all.
            "not upgraded: its process is starting, or is no view's",
        )
        assert process.poll() is None
        assert not (at / "anything").exists(), "it still answers"


def test_what_cannot_be_taken_over_is_told(place: Path) -> None:
    (place / "kernel").write_bytes(KERNEL)
    told = {
        state(GOOD, version=2): r"version 2, and the program knows versions 1 to 1: mount",
        state(GOOD, version=0): r"version 0, and the program knows",
        state(GOOD, connection=7777): r"that of another connection",
        state(GOOD, resend=0): r"cannot send requests again .*: Linux 6\.9 can",
        state(GOOD, supervised=1): r"its supervisor does not answer",
        state([missing("/a", CONFIG), missing("/a/b", BINARY)]): r"'/a/b' lies below '/a'",
    }
    for text, message in told.items():
        with posing(place, ID, text, place / "kernel") as (at, process):
            assert re.search(message, refusal(at))
            assert process.poll() is None


@pytest.mark.parametrize(
    ("options", "name", "message"),
    [
        (["open"], "urunc-viewfs", "is starting, or is no view's"),
        (["more"], "urunc-viewfs", "is starting, or is no view's"),
        (["stateless"], "urunc-viewfs", "by a version that cannot be upgraded, or is starting"),
        ([], "other-program", "cannot be found from here"),
    ],
    ids=["a state that can change", "another descriptor", "no state", "another name"],
)
def test_a_process_that_is_not_as_a_views_is_left_alone(
    place: Path, options: list[str], name: str, message: str
) -> None:
    with posing(place, ID, state(GOOD), *options, name=name) as (at, process):
        assert refusal(at).endswith(message)
        assert process.poll() is None


def test_a_process_of_another_program_or_user_is_left_alone(place: Path) -> None:
    text = state(GOOD)
    with posing(place, ID, text, "named", name="other-program") as (at, process):
        assert refusal(at).endswith("its process runs another program")
        assert process.poll() is None
    wrapper = ["setpriv", "--ruid=1", "--"]
    with posing(place, ID, text, wrapper=wrapper) as (at, process):
        assert refusal(at).endswith("cannot be found from here")
        assert process.poll() is None


def processes() -> set[int]:
    return {p.pid for p in machine.processes()}


def upgrade_traced(wrapper: list[Any], log: Path) -> tuple[int, str]:
    """The tracer stays with the new process, and keeps what it has of stdio."""
    with open(log.with_name("said"), "w+") as said:
        command = [*wrapper, program("viewfsctl"), "upgrade", ID]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=60, check=False
        )
        said.seek(0)
        return done.returncode, said.read()


# In the order in which they are made, of the upgrade and of the process that it starts. The long form
# has more of them fail.
FAULTS = [
    *(f"{name}:error=EPERM" for name in (
        "pidfd_open", "pidfd_getfd", "socketpair", "sendto", "sendmsg", "execveat", "recvfrom",
        "recvmsg", "dup3", "setsid", "fcntl", "pidfd_send_signal",
    )),
    *(f"{name}:signal=KILL" for name in (
        "sendto", "recvmsg", "setsid", "pidfd_send_signal", "prctl", "writev",
    )),
]  # fmt: skip
WHEN = range(1, 20) if os.environ.get("VIEWFS_FAULTS") == "all" else (1, 2)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_call_that_fails_leaves_the_old_process_serving_or_the_new(
    place: Path, fault: str
) -> None:
    """Also where it is the last one, because its process is killed there."""
    layers = image.usual().build(place / "layers")
    more = ",survive=on,passthrough=off" if "signal" in fault else ""
    with View(place / "view", f"--id={ID}", "-o", lowerdir(layers) + more.encode()) as view:
        view.wait_sandboxed()
        # Killed at a later one each new process dies where the view is its own already.
        for when in WHEN if "error" in fault else (1, 2):
            log = place / "log"
            wrapper = injecting(log, f"{fault}:when={when}")
            wrapper.insert(wrapper.index("strace") + 1, "-D")
            before = processes()
            status, said = upgrade_traced(wrapper, log)
            read_whole(view.root)
            with pytest.raises(FileNotFoundError):
                os.stat(view.root / f"none-{when}")
            assert listed_at(view.root)["id"] == ID
            if "not upgraded" in said:
                assert status in (2, 32)
                wait_until(lambda: processes() <= before, "no other process")
        viewfsctl("umount", view.root)
        wait_until(lambda: not machine.processes(), "the view to end")
        view._waited = True
