# SPDX-License-Identifier: Apache-2.0
"""--pass-mount: a view that stands nowhere, whose mount goes to another process over a socket."""

from __future__ import annotations

import array
import ctypes
import errno
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import image, machine
from support.control import ID, listed, viewfsctl
from support.image import KERNEL, KERNEL_PATH, lowerdir
from support.view import program, run
from support.waiting import SECONDS, wait_until

HANDOVERS = int(os.environ.get("VIEWFS_HANDOVERS", "30"))
KINDS = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET}

_libc = ctypes.CDLL(None, use_errno=True)
_MOVE_MOUNT, _OPEN_TREE, _MOUNT_SETATTR = 429, 428, 442
_EMPTY_PATH, _FROM_EMPTY = 0x1000, 0x4
_IDMAP = 0x100000


@pytest.fixture
def layers(place: Path) -> list[bytes]:
    return image.usual().build(place / "layers")


@dataclass
class Handed:
    """What came of a call."""

    finished: subprocess.CompletedProcess[bytes]
    line: dict[str, Any]
    mount: int  # -1: none


def receive(end: socket.socket) -> tuple[dict[str, Any], int]:
    """The line, and the descriptor that came with it."""
    rights = array.array("i")
    text = b""
    while not text.endswith(b"\n"):
        data, control, flags, _ = end.recvmsg(1 << 18, socket.CMSG_SPACE(rights.itemsize))
        assert data, f"not a whole line: {text!r}"
        assert not flags & socket.MSG_CTRUNC
        for level, kind, payload in control:
            assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            rights.frombytes(payload)
        text += data
    assert text.count(b"\n") == 1
    assert len(rights) <= 1
    return json.loads(text), rights[0] if rights else -1


def hand_over(*words: str | bytes, kind: int = socket.SOCK_STREAM, wrapper: Any = ()) -> Handed:
    mine, theirs = socket.socketpair(socket.AF_UNIX, kind)
    with mine, theirs:
        finished = subprocess.run(
            [*wrapper, program(), f"--pass-mount={theirs.fileno()}", *words, "none", "-"],
            pass_fds=[theirs.fileno()],
            capture_output=True,
            timeout=SECONDS,
        )
        theirs.close()
        line, mount = receive(mine)
        assert mine.recv(1) == b"", "nothing follows, and no process holds the other end"
    return Handed(finished, line, mount)


@contextmanager
def handed(*words: str | bytes, **how: Any) -> Iterator[Handed]:
    """A view that is held by this process alone."""
    before = {process.pid for process in machine.processes()}
    view = hand_over(*words, **how)
    try:
        assert view.finished.returncode == 0, view
        assert view.line["ready"] is True
        assert view.mount >= 0
        yield view
    finally:
        with suppress(OSError):
            os.close(view.mount)
        wait_until(lambda: {p.pid for p in machine.processes()} <= before, "the view to end")


def read_at(directory: int, path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY, dir_fd=directory)
    with open(fd, "rb") as file:
        return file.read()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", ["", ",resolve=ready", ",survive=on", ",passthrough=off"])
def test_the_receiver_reads_through_the_descriptor(
    layers: list[bytes], kind: str, options: str
) -> None:
    with handed("-o", lowerdir(layers) + options.encode(), kind=KINDS[kind]) as view:
        assert view.line["mountpoint"] is None
        assert view.line["detached"] is True
        assert view.line["connection"] > 0
        assert view.finished.stdout == view.finished.stderr == b""
        assert read_at(view.mount, KERNEL_PATH) == KERNEL
        with pytest.raises(OSError, match="Read-only"):
            os.open(KERNEL_PATH, os.O_WRONLY, dir_fd=view.mount)
        assert machine.mounts() == []


def test_it_is_never_mounted_in_this_namespace(layers: list[bytes]) -> None:
    """Not for a moment: mountinfo is looked at all the time."""
    over = threading.Event()
    found: list[machine.Mount] = []
    polls = 0

    def poll() -> None:
        nonlocal polls
        while not over.is_set():
            found.extend(machine.mounts())
            polls += 1

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        for _ in range(HANDOVERS):
            with handed("-o", lowerdir(layers)) as view:
                assert read_at(view.mount, KERNEL_PATH) == KERNEL
        wait_until(lambda: polls >= 100 * HANDOVERS, "so many polls")
    finally:
        over.set()
        poller.join()
    assert found == []


def test_the_process_ends_with_the_last_holder(layers: list[bytes]) -> None:
    """Within 10 ms, in nine of ten: other work may keep the machine."""
    late = 0
    for _ in range(HANDOVERS):
        with handed("-o", lowerdir(layers) + b",resolve=ready") as view:
            other = os.dup(view.mount)
            (process,) = machine.processes()
            os.close(other)
            assert read_at(view.mount, KERNEL_PATH) == KERNEL
            pidfd = os.pidfd_open(process.pid)
            os.close(view.mount)
            before = time.monotonic()
            wait_until(lambda: not machine.is_alive(process.pid), "it to end")
            late += time.monotonic() - before > 0.010
            os.close(pidfd)
    assert late <= HANDOVERS / 10


@pytest.mark.parametrize("options", ["", ",survive=on"])
def test_nothing_is_left_when_nobody_receives(layers: list[bytes], options: str) -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    command = [program(), f"--pass-mount={theirs.fileno()}", "-o", lowerdir(layers)]
    command[-1] += options.encode()
    with mine, theirs:
        finished = run(*command, "none", "-", pass_fds=[theirs.fileno()])
        assert finished.status == 0
    wait_until(lambda: not machine.processes(), "the view to end with its descriptor")
    assert machine.mounts() == []


def test_a_receiver_that_is_gone_fails_the_call(layers: list[bytes]) -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with theirs:
        mine.close()
        finished = run(
            program(), f"--pass-mount={theirs.fileno()}", "-o", lowerdir(layers), "none", "-",
            pass_fds=[theirs.fileno()],
        )  # fmt: skip
    assert finished.status == 2
    assert "--pass-mount=" in finished.stderr
    wait_until(lambda: not machine.processes(), "the view to end")


@pytest.mark.parametrize(("size", "seconds"), [(4096, 1)])
def test_a_receiver_that_does_not_read_is_no_reason_to_wait_for_ever(
    layers: list[bytes], size: int, seconds: int
) -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
    theirs.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            theirs.send(b"x" * size)
    with mine, theirs:
        before = time.monotonic()
        finished = run(
            program(), f"--pass-mount={theirs.fileno()}",
            "-o", lowerdir(layers) + f",timeout={seconds}".encode(), "none", "-",
            pass_fds=[theirs.fileno()],
        )  # fmt: skip
        assert time.monotonic() - before < seconds + 2
    assert finished.status == 2
    assert "timed out" in finished.stderr
    wait_until(lambda: not machine.processes(), "the view to end")


def test_a_failure_comes_alone(layers: list[bytes]) -> None:
    view = hand_over("-o", lowerdir(layers) + b",resolve=ready,binary=/none")
    assert (view.finished.returncode, view.mount) == (32, -1)
    assert view.line["ready"] is False
    assert view.line["error"]["code"] == "ENOARTIFACT"
    assert machine.processes() == []


def test_the_ready_line_may_go_to_another_descriptor_as_well(layers: list[bytes]) -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    reader, writer = os.pipe()
    with mine, theirs:
        finished = run(
            program(), f"--pass-mount={theirs.fileno()}", f"--ready-fd={writer}",
            "-o", lowerdir(layers), "none", "-", pass_fds=[theirs.fileno(), writer],
        )  # fmt: skip
        os.close(writer)
        line, mount = receive(mine)
    assert finished.status == 0
    with open(reader) as ready:
        assert json.loads(ready.read()) == line
    os.close(mount)
    wait_until(lambda: not machine.processes(), "the view to end")


def test_both_descriptors_may_be_one(layers: list[bytes]) -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    number = theirs.fileno()
    with mine, theirs:
        finished = run(
            program(), f"--pass-mount={number}", f"--ready-fd={number}",
            "-o", lowerdir(layers), "none", "-", pass_fds=[number],
        )  # fmt: skip
        theirs.close()
        line, mount = receive(mine)
        assert mine.recv(1) == b""
    assert (finished.status, line["ready"]) == (0, True)
    os.close(mount)
    wait_until(lambda: not machine.processes(), "the view to end")


def test_a_lifeline_ends_it(layers: list[bytes]) -> None:
    """The receiver holds a dead mount then."""
    line, mine = os.pipe()
    near, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with near, theirs:
        finished = run(
            program(), f"--pass-mount={theirs.fileno()}", f"--lifeline={line}",
            "-o", lowerdir(layers) + b",survive=on", "none", "-",
            pass_fds=[theirs.fileno(), line],
        )  # fmt: skip
        os.close(line)
        _, mount = receive(near)
    assert finished.status == 0
    assert read_at(mount, KERNEL_PATH) == KERNEL
    os.close(mine)
    wait_until(lambda: not machine.processes(), "all of its processes to end")
    with pytest.raises(OSError) as caught:
        os.stat("other", dir_fd=mount)
    assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    os.close(mount)


def test_it_is_listed_with_all_and_can_be_ended_by_its_id(layers: list[bytes]) -> None:
    with handed("-o", lowerdir(layers) + b",resolve=ready", f"--id={ID}"):
        assert [row for row in listed() if row["id"] == ID] == []
        (row,) = (row for row in listed("--all") if row["id"] == ID)
        assert (row["mountpoint"], row["detached"]) == (None, True)
        assert row["state"] == "alive"
        assert viewfsctl("gc").status == 0
        assert len(machine.processes()) == 1, "gc ends no live view"
        assert viewfsctl("umount", f"--id={ID}").status == 0
        wait_until(lambda: not machine.processes(), "it to end")


# Attached by the receiver

ATTACH = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fd, at = int(sys.argv[1]), sys.argv[2].encode()
if libc.mount(b"none", b"/", None, 0x44000, None) < 0:
    sys.exit(f"private: {os.strerror(ctypes.get_errno())}")
if libc.syscall(429, fd, b"", -100, at, 4) < 0:
    sys.exit(f"move_mount: {os.strerror(ctypes.get_errno())}")
os.close(fd)
print(open("/proc/self/mountinfo").read().count("fuse.urunc-viewfs"))
print(sys.stdin.readline(), end="")
print(len(open(sys.argv[2] + "/" + sys.argv[3], "rb").read()))
"""


@pytest.mark.parametrize("namespaces", ["-m", "-Urm"], ids=["mount", "user and mount"])
def test_the_receiver_attaches_it_in_a_namespace_of_its_own(
    place: Path, layers: list[bytes], namespaces: str
) -> None:
    (place / "at").mkdir()
    with handed("-o", lowerdir(layers)) as view:
        command = ["unshare", namespaces, "/usr/bin/python3", "-c", ATTACH]
        command += [str(view.mount), str(place / "at"), KERNEL_PATH]
        with subprocess.Popen(
            command, pass_fds=[view.mount], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "1\n"
            os.close(view.mount)
            assert machine.mounts() == []
            stdout, _ = child.communicate("go on\n", timeout=SECONDS)
            assert stdout.splitlines() == ["go on", str(len(KERNEL))]


def test_the_receiver_may_idmap_it(place: Path, layers: list[bytes]) -> None:
    """Owners are mapped then, and reading is the same."""
    with handed("-o", lowerdir(layers)) as view:
        with subprocess.Popen(["unshare", "-U", "sleep", "1000"]) as child:
            own = os.readlink("/proc/self/ns/user")
            space = Path(f"/proc/{child.pid}/ns/user")
            wait_until(lambda: os.readlink(space) != own, "a user namespace")
            for name in "uid_map", "gid_map":
                Path(f"/proc/{child.pid}/{name}").write_text("0 100000 65536")
            user = os.open(space, os.O_RDONLY)
            child.kill()
        attributes = (ctypes.c_uint64 * 4)(_IDMAP, 0, 0, user)
        if _libc.syscall(
            _MOUNT_SETATTR, view.mount, b"", _EMPTY_PATH, ctypes.byref(attributes), 32
        ):
            raise AssertionError(os.strerror(ctypes.get_errno()))
        os.close(user)
        assert os.stat(KERNEL_PATH, dir_fd=view.mount).st_uid == 100000
        assert read_at(view.mount, KERNEL_PATH) == KERNEL


def test_a_clone_stands_at_a_second_place(layers: list[bytes]) -> None:
    with handed("-o", lowerdir(layers)) as view:
        clone = _libc.syscall(_OPEN_TREE, view.mount, b"", 1 | _EMPTY_PATH | os.O_CLOEXEC)
        if clone < 0 and ctypes.get_errno() == errno.EINVAL:
            pytest.skip("this kernel cannot clone a detached mount")
        assert clone >= 0
        os.close(view.mount)
        assert read_at(clone, KERNEL_PATH) == KERNEL
        os.close(clone)


# What is no socket, and no place


@pytest.mark.parametrize("what", ["pipe", "datagram", "inet"])
def test_only_a_unix_socket_that_keeps_order_is_accepted(
    place: Path, layers: list[bytes], what: str
) -> None:
    if what == "pipe":
        fds = os.pipe()
    elif what == "datagram":
        fds = tuple(s.detach() for s in socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
    else:
        fds = (socket.socket(socket.AF_INET, socket.SOCK_STREAM).detach(), os.dup(0))
    finished = run(
        program(), f"--pass-mount={fds[0]}", "-o", lowerdir(layers), "none", "-", pass_fds=fds
    )
    for fd in fds:
        os.close(fd)
    assert finished.status == 1
    assert f"--pass-mount={fds[0]}: not a UNIX stream or seqpacket socket" in finished.stderr


def test_a_mountpoint_is_refused(place: Path, layers: list[bytes]) -> None:
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with mine, theirs:
        finished = run(
            program(), f"--pass-mount={theirs.fileno()}", "-o", lowerdir(layers), "none", place,
            pass_fds=[theirs.fileno()],
        )  # fmt: skip
        theirs.close()
        line, mount = receive(mine)
    assert (finished.status, mount) == (1, -1)
    assert "MOUNTPOINT must be '-'" in line["error"]["message"]


def test_without_privilege_it_fails_and_says_why(layers: list[bytes]) -> None:
    wrapper = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--"]
    view = hand_over("-o", lowerdir(layers) + b",userxattr", wrapper=wrapper)
    assert (view.finished.returncode, view.mount) == (2, -1)
    assert view.line["error"]["code"] == "ESYSTEM"
    assert "CAP_SYS_ADMIN" in view.line["error"]["message"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_receivers_mount_is_dead_when_its_process_is(
    layers: list[bytes], number: signal.Signals
) -> None:
    with handed("-o", lowerdir(layers) + b",resolve=ready") as view:
        (process,) = machine.processes()
        wait_until(process.is_sandboxed, "it to be sandboxed")
        process.signal(number)
        wait_until(lambda: not machine.processes(), "it to end")
        with pytest.raises(OSError):
            os.stat("other", dir_fd=view.mount)
