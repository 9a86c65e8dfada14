# SPDX-License-Identifier: Apache-2.0
"""What a view says of itself, to whoever asks its mount."""

from __future__ import annotations

import errno
import os
import pwd
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from support import image, machine, namespace
from support.answer import ask, ask_text, request, settled
from support.control import kill
from support.image import INITRD_PATH, KERNEL_PATH, lowerdir
from support.stack import File, Stack
from support.view import View

NOBODY = pwd.getpwnam("nobody")
EVERY_INODE = ["", "urunc.json", "unikernel", KERNEL_PATH, "boot", INITRD_PATH]


@pytest.fixture
def option(place: Path) -> bytes:
    """lowerdir= of the usual image."""
    return lowerdir(image.usual().build(place / "layers"))


def ready_line(told: dict[str, Any]) -> dict[str, Any]:
    """The answer without what is not in a ready line."""
    later = ("sandbox", "version", "pid", "fingerprint", "cut")
    return {key: value for key, value in told.items() if key not in later}


@pytest.mark.parametrize("passthrough", [b"auto", b"off"])
def test_every_inode_answers_the_ready_line(place: Path, option: bytes, passthrough: bytes) -> None:
    """From memory, sandboxed as it is."""
    options = option + b",resolve=ready,passthrough=" + passthrough
    with View(place / "view", "--id=web-1", "-o", options) as view:
        for name in EVERY_INODE:
            assert ready_line(ask(view.root / name)) == view.ready
        told = settled(view)
        view.wait_sandboxed()
        for name in EVERY_INODE:
            assert ask(view.root / name) == told
        assert ready_line(told) == view.ready
        assert told["pid"] == view.daemon.pid
        assert re.fullmatch(r"[0-9a-f]{64}", told["fingerprint"])
        assert told["version"]
        assert f"0:{told['connection']}" == view.mount.device
        assert told["image"] == {"layers": 3}
        assert "missing" not in told and "cut" not in told


def test_a_bound_file_answers(place: Path, option: bytes) -> None:
    """A shim may bind single files, also where nothing else of the view is mounted."""
    with View(place / "view", "-o", option) as view:
        told = settled(view)
        (place / "kernel").touch()
        namespace.mount(str(view.root / KERNEL_PATH), str(place / "kernel"), None, namespace.MS_BIND)
        try:
            namespace.unmount(str(view.root))
            assert ask(place / "kernel") == told
        finally:
            namespace.unmount(str(place / "kernel"))


def test_what_is_missing_is_said(place: Path) -> None:
    layers = Stack([{b"urunc.json": image.urunc_json(initrd="/boot/none"), KERNEL_PATH.encode(): File(b"k")}])
    with View(place / "view", "-o", lowerdir(layers.build(place / "layers"))) as view:
        told = settled(view)
        assert told["missing"] == ["/boot/none"]
        assert [artifact["path"] for artifact in told["artifacts"]] == ["/urunc.json", "/" + KERNEL_PATH]


def test_the_sandbox_that_is_said_is_in_force(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view:
        sandbox = settled(view)["sandbox"]
        daemon = view.daemon
        assert ("no_new_privs" in sandbox) == (daemon.status("NoNewPrivs") == "1")
        assert ("capabilities" in sandbox) == (int(daemon.status("CapEff"), 16) == 0)
        assert ("seccomp" in sandbox) == (daemon.status("Seccomp") == "2")


def as_user(path: Path, uid: int) -> dict[str, Any] | int:
    """What a user is answered, or the errno."""

    def question() -> dict[str, Any] | int:
        os.setgroups([])
        os.setresgid(NOBODY.pw_gid, NOBODY.pw_gid, NOBODY.pw_gid)
        os.setresuid(uid, uid, uid)
        try:
            return ask(path)
        except OSError as error:
            assert error.errno
            return error.errno

    return namespace.in_child(question)


def test_others_are_not_answered(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view:
        os.chmod(place, 0o755)
        assert as_user(view.root, NOBODY.pw_uid) == errno.EACCES
        assert as_user(view.root / KERNEL_PATH, NOBODY.pw_uid) == errno.EACCES
        assert isinstance(as_user(view.root, 0), dict)


@pytest.mark.parametrize(
    "command", [request(kind=ord("W")), request(number=1), 0x5401, 0x80086601], ids=hex
)
def test_other_requests_are_enotty(place: Path, option: bytes, command: int) -> None:
    """A view has none of them: neither another type, nor another number, nor those of files."""
    with View(place / "view", "-o", option) as view:
        with pytest.raises(OSError) as caught:
            ask_text(view.root / KERNEL_PATH, command)
        assert caught.value.errno in (errno.ENOTTY, errno.EINVAL)


@pytest.mark.parametrize("room", [16, 100, 16383])
def test_the_answer_fits_the_room_that_there_is(place: Path, option: bytes, room: int) -> None:
    with View(place / "view", "-o", option) as view:
        settled(view)
        text = ask_text(view.root)
        assert ask_text(view.root, room=room) == text[:room]


def test_a_dead_view_is_enotconn(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view:
        kill(view)
        with pytest.raises(OSError) as caught:
            ask_text(view.root)
        assert caught.value.errno == errno.ENOTCONN


def test_an_answer_is_bounded_whatever_the_names_are(place: Path) -> None:
    """And what a terminal would obey is not in it."""
    path, other = ("/".join([letter * 250] * 14) for letter in "ab")
    layer = {b"urunc.json": image.urunc_json("/" + path, "/" + other)}
    layer |= {name.encode(): File(b"content") for name in (path, other)}
    below = place / "\u202e\x9b"
    option = lowerdir(Stack([layer]).build(below))
    with View(place / "view", "--id=" + "\x9b" * 120, "-o", option) as view:
        told = settled(view)
        assert told["cut"] is True
        (binary,) = (a for a in told["artifacts"] if a["role"] == "binary")
        assert binary["path"].startswith("/aaa") and binary["path"].endswith("\u2026")
        assert r"/\342\200\256\302\233/" in binary["origin"]
        assert told["id"] == r"\302\233" * 120


def test_asking_opens_no_system_call(place: Path, option: bytes) -> None:
    """A sandboxed view that was asked goes on: the filter did not grow, and does not kill it."""
    with View(place / "view", "-o", option) as view:
        view.wait_sandboxed()
        for _ in range(100):
            assert ask(view.root)["pid"] == view.daemon.pid
        assert stat.S_ISDIR((view.root / "unikernel").stat().st_mode)
        assert machine.is_alive(view.daemon.pid)
