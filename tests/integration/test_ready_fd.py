# SPDX-License-Identifier: Apache-2.0
"""The outcome is part of the call: it is told whole in time, or the call is undone and fails."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import image, machine, namespace
from support.image import KERNEL, KERNEL_PATH, lowerdir
from support.stack import Stack
from support.view import View, program
from support.waiting import SECONDS, wait_until

# A time limit of 1 s, and what comes after it.
PATIENCE = 6


@contextmanager
def full(kind: str) -> Iterator[tuple[int, int]]:
    """A pipe or a socket that has no room: the end to read from, and the other one."""
    if kind == "pipe":
        reader, writer = os.pipe()
    else:
        reader, writer = (end.detach() for end in socket.socketpair())
    flags = fcntl.fcntl(writer, fcntl.F_GETFL)
    fcntl.fcntl(writer, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        pass
    fcntl.fcntl(writer, fcntl.F_SETFL, flags)
    try:
        yield reader, writer
    finally:
        os.close(reader)
        os.close(writer)


def nothing_is_left() -> None:
    wait_until(lambda: not machine.processes(), "the processes of the call to end")
    assert machine.mounts() == []


FORMS = pytest.mark.parametrize(
    "form", [[], ["-f"], ["--lifeline=0"]], ids=["background", "foreground", "lifeline"]
)


def attempt(
    place: Path, option: bytes, form: list[str], writer: int, wrapper: Sequence[str] = ()
) -> tuple[int, str]:
    """A call's status, and what it says; a lifeline is stdin, and is not cut."""
    (place / "view").mkdir(exist_ok=True)
    words = [*form, f"--ready-fd={writer}", "-o", option, "none", place / "view"]
    with subprocess.Popen(
        [*wrapper, program(), *words], pass_fds=[writer], stdin=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        status = process.wait(PATIENCE)
        assert process.stderr
        return status, process.stderr.read()


@FORMS
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_full_ready_fd_fails_the_call_in_time(
    place: Path, option: bytes, kind: str, form: list[str]
) -> None:
    with full(kind) as (_, writer):
        outcome = attempt(place, option + b",timeout=1", form, writer)
    said = f"urunc-viewfs: --ready-fd={writer}: the line cannot be written: timed out\n"
    assert outcome == (2, said)
    nothing_is_left()


@FORMS
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_ready_fd_that_is_read_late_gets_the_whole_line(
    place: Path, option: bytes, kind: str, form: list[str]
) -> None:
    at = place / "view"
    at.mkdir()
    with full(kind) as (reader, writer):
        command = [program(), *form, f"--ready-fd={writer}", "-o", option, "none", at]
        with subprocess.Popen(command, pass_fds=[writer], stdin=subprocess.PIPE) as process:
            wait_until(lambda: machine.mounts_at(at), "the view to be mounted")
            text = b""
            while not text.endswith(b"\n"):
                text += os.read(reader, 1 << 16)
            assert json.loads(text.lstrip(b"x"))["ready"] is True
            assert (at / KERNEL_PATH).read_bytes() == KERNEL
            namespace.unmount(str(at), 0)
            assert process.wait(SECONDS) == 0
    nothing_is_left()


@FORMS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_call_that_cannot_tell(
    place: Path, option: bytes, form: list[str], number: signal.Signals
) -> None:
    at = place / "view"
    at.mkdir()
    with full("pipe") as (_, writer):
        command = [program(), *form, f"--ready-fd={writer}", "-o", option, "none", at]
        with subprocess.Popen(
            command, pass_fds=[writer], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            wait_until(lambda: machine.mounts_at(at), "the view to be mounted")
            process.send_signal(number)
            _, stderr = process.communicate(timeout=SECONDS)
            assert (process.returncode, stderr) == (2, "urunc-viewfs: interrupted\n")
    nothing_is_left()


UNFIT = {
    "that no process reads": "Broken pipe",
    "that is read-only": "Bad file descriptor",
    "on a full device": "No space left on device",
    "over the file size limit": "File too large",
}


@FORMS
@pytest.mark.parametrize("what", UNFIT)
def test_a_ready_fd_that_cannot_take_the_line_fails_the_call(
    place: Path, option: bytes, what: str, form: list[str]
) -> None:
    wrapper: list[str] = []
    if what == "that no process reads":
        reader, writer = os.pipe()
        os.close(reader)
    elif what == "that is read-only":
        writer = os.open(place, os.O_RDONLY)
    elif what == "on a full device":
        writer = os.open("/dev/full", os.O_WRONLY)
    else:
        writer = os.open(place / "outcome", os.O_WRONLY | os.O_CREAT)
        wrapper = ["prlimit", "--fsize=0:0", "--"]
    try:
        outcome = attempt(place, option, form, writer, wrapper)
    finally:
        os.close(writer)
    said = f"urunc-viewfs: --ready-fd={writer}: the line cannot be written: {UNFIT[what]}\n"
    assert outcome == (2, said)
    nothing_is_left()


@pytest.mark.parametrize("kind", ["file", "fifo", "terminal"])
def test_a_ready_fd_of_any_kind_gets_the_line(place: Path, option: bytes, kind: str) -> None:
    (place / "view").mkdir()
    if kind == "file":
        writer = os.open(place / "outcome", os.O_RDWR | os.O_CREAT)
        reader = os.open(place / "outcome", os.O_RDONLY)
    elif kind == "fifo":
        os.mkfifo(place / "outcome")
        reader = os.open(place / "outcome", os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(place / "outcome", os.O_WRONLY)
    else:
        reader, writer = os.openpty()
    try:
        assert attempt(place, option, [], writer) == (0, "")
        assert json.loads(os.read(reader, 1 << 16))["ready"] is True
    finally:
        os.close(reader)
        os.close(writer)
    namespace.unmount(str(place / "view"), 0)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_full_stderr_does_not_hold_a_call_that_fails(place: Path, kind: str) -> None:
    (place / "view").mkdir()
    with full(kind) as (_, writer):
        command = [program(), "-o", "lowerdir=/nowhere,timeout=1", "none", place / "view"]
        with subprocess.Popen(command, stderr=writer) as process:
            assert process.wait(PATIENCE) == 32


def test_a_full_stderr_does_not_hold_a_view(place: Path) -> None:
    """In the foreground, where it logs as long as it resolves."""
    at = place / "view"
    at.mkdir()
    layers = Stack([{b"urunc.json": image.urunc_json()}]).build(place / "layers")
    with full("pipe") as (_, writer):
        ready, told = os.pipe()
        command = [program(), "-f", f"--ready-fd={told}", "-o", lowerdir(layers), "none", at]
        with subprocess.Popen(command, stderr=writer, pass_fds=[told]) as process:
            os.close(told)
            with os.fdopen(ready) as line:
                assert json.loads(line.readline())["ready"] is True
            start = time.monotonic()
            assert os.listdir(at / "unikernel") == []
            assert time.monotonic() - start < PATIENCE
            namespace.unmount(str(at), 0)
            assert process.wait(SECONDS) == 0


# Descriptors on stdio's numbers


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("foreground", [False, True])
def test_a_lifeline_is_watched_whatever_number_the_ready_fd_has(
    place: Path, option: bytes, number: int, foreground: bool
) -> None:
    at = place / "view"
    at.mkdir()
    ready, told = os.pipe()
    line, cut = os.pipe()
    words = ["-f"] if foreground else []
    stdio = {0: "stdin", 1: "stdout", 2: "stderr"}[number]
    command = [program(), *words, f"--lifeline={line}", f"--ready-fd={number}", "-o", option,
               "none", at]  # fmt: skip
    with subprocess.Popen(command, pass_fds=[line], **{stdio: told}) as process:
        os.close(told)
        os.close(line)
        with os.fdopen(ready) as text:
            assert json.loads(text.readline())["ready"] is True
            assert text.read() == "", "the descriptor is closed then"
        assert (at / KERNEL_PATH).read_bytes() == KERNEL
        os.close(cut)
        assert process.wait(SECONDS) == 0
    nothing_is_left()


@pytest.mark.parametrize("foreground", [False, True])
def test_one_socket_may_be_lifeline_and_ready_fd(
    place: Path, option: bytes, foreground: bool
) -> None:
    at = place / "view"
    at.mkdir()
    mine, theirs = socket.socketpair()
    words = ["-f"] if foreground else []
    command = [program(), *words, "--lifeline=0", "--ready-fd=0", "-o", option, "none", at]
    with mine, subprocess.Popen(command, stdin=theirs) as process:
        theirs.close()
        assert re.match(rb'{"ready":true,', mine.recv(1 << 16))
        assert (at / KERNEL_PATH).read_bytes() == KERNEL
        mine.close()
        assert process.wait(SECONDS) == 0
    nothing_is_left()


def test_a_ready_fd_on_a_view_that_is_found_undoes_nothing(place: Path, option: bytes) -> None:
    """A call that fails ends no view that another one has made."""
    with View(place / "view", "-o", option) as view, full("pipe") as (_, writer):
        status, _ = attempt(place, option + b",timeout=1", [], writer)
        assert status == 2
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
