# SPDX-License-Identifier: Apache-2.0
"""How a view begins and ends, and what becomes of its processes."""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import pty
import re
import signal
import socket
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import filesystems, image, machine, namespace
from support.image import KERNEL, KERNEL_PATH, lowerdir
from support.injection import injecting
from support.stack import File, Stack
from support.view import View, call, program, refused, run
from support.waiting import SECONDS, wait_until

MS_BIND = 0x1000


@pytest.fixture
def option(place: Path) -> bytes:
    """lowerdir= of the usual image."""
    return lowerdir(image.usual().build(place / "layers"))


def state(mountpoint: Path) -> str:
    """What stat(2) says of a mountpoint."""
    try:
        os.statvfs(mountpoint)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "fine"


@contextmanager
def pipe() -> Iterator[tuple[int, list[int]]]:
    """A pipe: its end to read from, and the other one in a list, for close_all()."""
    reader, writer = os.pipe()
    ends = [writer]
    try:
        yield reader, ends
    finally:
        os.close(reader)
        close_all(ends)


def close_all(ends: list[int]) -> None:
    while ends:
        os.close(ends.pop())


def saw_end(reader: int) -> bool:
    """Whether nobody has the other end of a pipe any more."""
    os.set_blocking(reader, False)
    try:
        return os.read(reader, 1) == b""
    except BlockingIOError:
        return False


# The beginning


@pytest.mark.parametrize("foreground", [False, True])
def test_a_view_is_mounted_when_it_is_announced(
    place: Path, option: bytes, foreground: bool
) -> None:
    at = place / "view"
    at.mkdir()
    reader, writer = os.pipe()
    arguments = [f"--ready-fd={writer}", *(["-f"] if foreground else []), "-o", option, "none", at]
    with subprocess.Popen([program(), *arguments], pass_fds=[writer]) as process:
        os.close(writer)
        with os.fdopen(reader) as ready:
            line = ready.readline()
            # Nothing is waited for in between.
            assert (at / KERNEL_PATH).read_bytes() == KERNEL
            assert json.loads(line)["ready"] is True
            assert ready.read() == ""
        if foreground:
            assert process.poll() is None
            namespace.unmount(str(at), 0)
        assert process.wait(SECONDS) == 0
        if not foreground:
            namespace.unmount(str(at), 0)


def test_without_a_ready_fd_its_exit_announces_it(place: Path, option: bytes) -> None:
    at = place / "view"
    at.mkdir()
    for _ in range(10):
        finished = run(program(), "-o", option, "none", at)
        assert (at / KERNEL_PATH).read_bytes() == KERNEL
        assert (finished.status, finished.stdout, finished.stderr) == (0, "", "")
        namespace.unmount(str(at), 0)


def test_a_daemon_keeps_nothing_of_its_callers(place: Path, option: bytes) -> None:
    with pipe() as (reader, ends), pipe() as (other_reader, other_ends):
        # One of them far up, where nobody looks.
        high = os.dup2(other_ends[0], 400)
        other_ends.append(high)
        with View(place / "view", "-o", option, pass_fds=[ends[0], high], cwd=place) as view:
            close_all(ends)
            close_all(other_ends)
            assert saw_end(reader)
            assert saw_end(other_reader)
            assert len(view.processes) == 1
            daemon = view.wait_sandboxed()
            assert os.readlink(daemon.proc / "cwd") == "/"
            stat = daemon.stat()
            assert int(stat[3]) == daemon.pid, "a session of its own"
            assert stat[4] == "0", "no terminal"
            assert os.sched_getaffinity(daemon.pid) == os.sched_getaffinity(0)
            assert set(daemon.descriptors().values()) == machine.SERVING


def test_a_view_outlives_its_terminal(place: Path, option: bytes) -> None:
    at = place / "view"
    at.mkdir()
    master, slave = pty.openpty()
    finished = subprocess.run(
        ["setsid", "--ctty", "--wait", program(), "-o", option, "none", at],
        stdin=slave, stdout=slave, stderr=slave, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert finished.returncode == 0
    (daemon,) = machine.processes()
    assert daemon.stat()[4] == "0"
    os.close(slave)
    os.close(master)
    assert (at / KERNEL_PATH).read_bytes() == KERNEL
    namespace.unmount(str(at), 0)


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1], [0, 1, 2]], ids=str)
@pytest.mark.parametrize("lifeline", [False, True])
def test_a_view_starts_with_stdio_closed(
    place: Path, option: bytes, closed: list[int], lifeline: bool
) -> None:
    """What is opened then gets the numbers of stdio."""
    close = " ".join(f"{n}>&-" for n in closed)
    wrapper = ["sh", "-c", f'exec "$@" {close}', "sh"]
    with pipe() as (reader, ends):
        life = [f"--lifeline={reader}"] if lifeline else []
        with View(place / "view", *life, "-o", option, wrapper=wrapper, pass_fds=[reader]) as view:
            assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
            daemon = view.wait_sandboxed()
            assert set(daemon.descriptors().values()) == machine.SERVING
            for supervisor in (process for process in view.processes if process != daemon):
                descriptors = supervisor.descriptors()
                assert [descriptors[n] for n in range(3)] == ["/dev/null"] * 3


@pytest.mark.parametrize("number", [1, 2])
def test_the_ready_line_may_go_to_stdout_or_stderr(place: Path, option: bytes, number: int) -> None:
    at = place / "view"
    at.mkdir()
    finished = run(program(), f"--ready-fd={number}", "-o", option, "none", at)
    assert finished.status == 0
    assert json.loads((finished.stdout, finished.stderr)[number - 1])["ready"] is True
    assert (finished.stderr, finished.stdout)[number - 1] == ""
    namespace.unmount(str(at), 0)


# The end


@pytest.mark.parametrize("foreground", [False, True])
@pytest.mark.parametrize("flags", [0, namespace.MNT_DETACH], ids=["umount", "detach"])
def test_a_view_ends_when_it_is_unmounted(
    place: Path, option: bytes, foreground: bool, flags: int
) -> None:
    with View(place / "view", "-o", option, foreground=foreground) as view:
        namespace.unmount(str(view.root), flags)
        view.wait_gone()


def test_a_lazily_unmounted_view_ends_with_its_last_user(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view:
        with open(view.root / KERNEL_PATH, "rb") as file:
            namespace.unmount(str(view.root))
            assert file.read() == KERNEL
        view.wait_gone()


def test_an_unmount_amid_requests_ends_the_view(place: Path, option: bytes) -> None:
    """Nobody waits for what close(2) sends, so that it is under way when the mount goes."""
    for _ in range(25):
        with View(place / "view", "-o", option, foreground=True) as view:
            path = view.root / KERNEL_PATH
            child = os.fork()
            if child == 0:
                # Its end closes them all at once.
                for _ in range(300):
                    os.open(path, os.O_RDONLY)
                os._exit(0)
            os.waitpid(child, 0)
            view.unmount()


@pytest.mark.parametrize("how", ["leaves", "dies"])
def test_a_view_ends_with_the_last_copy_of_its_mount(place: Path, option: bytes, how: str) -> None:
    """Here, and in another mount namespace, which goes with the last process in it."""
    with View(place / "view", "-o", option) as view:
        with pipe() as (reader, ends):
            copy = subprocess.Popen(
                ["unshare", "--mount", "--", "sh", "-c", "echo; read _"],
                stdin=reader, stdout=subprocess.PIPE,
            )  # fmt: skip
            with copy:
                assert copy.stdout and copy.stdout.readline() == b"\n"
                view.unmount()
                inside = Path(f"/proc/{copy.pid}/root{view.root}")
                assert (inside / KERNEL_PATH).read_bytes() == KERNEL
                assert machine.is_alive(view.daemon.pid)
                if how == "dies":
                    copy.kill()
                close_all(ends)
        view.wait_gone()


def test_a_lifeline_frees_the_namespace_that_a_view_was_made_in(place: Path, option: bytes) -> None:
    """It is in there itself, and would keep it for ever; but for its lifeline."""
    at = place / "view"
    at.mkdir()
    reader, writer = os.pipe()
    script = f'"$@" {writer}>&- && echo made; read _'
    command = ["unshare", "--mount", "--", "bash", "-c", script, "bash"]
    shell = subprocess.Popen(
        [*command, program(), f"--lifeline={reader}", "-o", option, "none", at],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[reader, writer],
    )  # fmt: skip
    close_all([reader, writer])
    with shell:
        assert shell.stdout and shell.stdout.readline() == b"made\n"
        inside = machine.mount_namespace(shell.pid)
        assert machine.mounts_at(at) == []
        wait_until(lambda: len(machine.processes(inside=inside)) == 2, "the two to be alone")
        shell.kill()
    wait_until(lambda: not machine.processes(inside=inside), "the view to end")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("used", [False, True])
def test_a_signal_in_the_foreground_unmounts_and_exits_0(
    place: Path, option: bytes, used: bool, number: signal.Signals
) -> None:
    with View(place / "view", "-o", option, foreground=True) as view:
        files = [open(view.root / KERNEL_PATH, "rb")] if used else []
        view.process.send_signal(number)
        assert view.process.wait(SECONDS) == 0
        assert machine.mounts_at(view.root) == []
        wait_until(lambda: not machine.processes(), "the server to end")
        for file in files:
            file.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("sandboxed", [False, True])
def test_a_signal_in_the_background_ends_the_process(
    place: Path, option: bytes, sandboxed: bool, number: signal.Signals
) -> None:
    """It ends at once. What it leaves is dead, and goes like any mount."""
    with View(place / "view", "-o", option) as view:
        if sandboxed:
            view.wait_sandboxed()
        view.status = -number
        view.daemon.signal(number)
        view.wait_gone()
        assert state(view.root) == "ENOTCONN"
        assert run("umount", view.root).status == 0


@pytest.mark.parametrize("how", ["blocked", "ignored"])
def test_a_caller_that_blocks_signals_does_not_block_a_views(
    place: Path, option: bytes, how: str
) -> None:
    """Its daemon does all the same."""
    code = {
        "blocked": "import os, signal, sys; signal.pthread_sigmask(0, [15, 2]);",
        "ignored": "import os, signal, sys; signal.signal(15, signal.SIG_IGN);",
    }[how]
    wrapper = ["/usr/bin/python3", "-c", code + "os.execv(sys.argv[1], sys.argv[1:])"]
    with View(place / "view", "-o", option, wrapper=wrapper) as view:
        view.status = -signal.SIGTERM
        view.daemon.signal(signal.SIGTERM)
        view.wait_gone()


def test_a_killed_foreground_process_ends_the_view(place: Path, option: bytes) -> None:
    """Its server does not go on alone."""
    with View(place / "view", "-o", option, foreground=True) as view:
        view.status = -signal.SIGKILL
        view.process.kill()
        view.wait_gone()
        assert state(view.root) == "ENOTCONN"


# What was there before


def kill(view: View) -> None:
    view.status = -signal.SIGKILL
    view.daemon.signal(signal.SIGKILL)
    view.wait_gone()


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_dead_view_is_replaced(place: Path, option: bytes, slash: str) -> None:
    with View(place / "view", "-o", option) as dead:
        kill(dead)
        finished = call("-o", option, "none", f"{dead.root}{slash}")
        assert finished.ready["ready"] is True
        assert finished.stderr == ""
        assert len(machine.mounts_at(dead.root)) == 1
        assert (dead.root / KERNEL_PATH).read_bytes() == KERNEL


def test_a_stack_of_dead_views_is_replaced(place: Path, option: bytes) -> None:
    first = View(place / "first", "-o", option)
    second = View(place / "second", "-o", option)
    with first, second:
        for _ in range(3):
            namespace.mount(str(first.root), str(second.root), None, MS_BIND)
        kill(first)
        kill(second)
        assert call("-o", option, "none", second.root).status == 0
        assert len(machine.mounts_at(second.root)) == 1
        assert (second.root / KERNEL_PATH).read_bytes() == KERNEL


def test_a_failing_call_names_its_error_over_a_dead_view(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as dead:
        kill(dead)
        finished = call("-o", option + b",resolve=ready,binary=/gone", "none", dead.root)
        assert finished.code == "ENOARTIFACT"


def test_another_filesystem_is_covered(place: Path, option: bytes) -> None:
    (place / "view").mkdir()
    with namespace.tmpfs(str(place / "view")):
        (place / "view/file").touch()
        finished = call("-o", option, "none", place / "view")
        assert finished.status == 0
        assert (place / "view" / KERNEL_PATH).read_bytes() == KERNEL
        namespace.unmount(str(place / "view"), 0)
        assert os.listdir(place / "view") == ["file"]


# --lifeline


@pytest.mark.parametrize("foreground", [False, True])
def test_a_view_ends_with_its_lifeline(place: Path, option: bytes, foreground: bool) -> None:
    with pipe() as (reader, ends):
        life = f"--lifeline={reader}"
        with View(
            place / "view", life, "-o", option, foreground=foreground, pass_fds=[reader]
        ) as view:
            # What is written into it does not matter.
            os.write(ends[0], b"still here")
            wait_until(lambda: os.get_blocking(reader) and not unread(reader), "it to be read")
            assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
            view.wait_sandboxed()
            close_all(ends)
            view.wait_gone()
            assert machine.mounts_at(view.root) == []


def unread(reader: int) -> int:
    """The bytes in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(reader, termios.FIONREAD, count)
    return count[0]


@pytest.mark.parametrize("foreground", [False, True])
def test_a_cut_lifeline_ends_a_view_in_use(place: Path, option: bytes, foreground: bool) -> None:
    with pipe() as (reader, ends):
        with View(
            place / "view", f"--lifeline={reader}", "-o", option, foreground=foreground,
            pass_fds=[reader],
        ) as view:  # fmt: skip
            with open(view.root / KERNEL_PATH, "rb"):
                close_all(ends)
                view.wait_gone()
            assert machine.mounts_at(view.root) == []


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_lifeline_may_be_stdin(place: Path, option: bytes, kind: str) -> None:
    at = place / "view"
    at.mkdir()
    if kind == "pipe":
        mine, theirs = reversed(os.pipe())
    else:
        mine, theirs = (end.detach() for end in socket.socketpair())
    finished = subprocess.run(
        [program(), "--lifeline=0", "-o", option, "none", at],
        stdin=theirs, capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    os.close(theirs)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, b"", b"")
    assert (at / KERNEL_PATH).read_bytes() == KERNEL
    assert (at / KERNEL_PATH).read_bytes() == KERNEL
    assert len(machine.processes()) == 2
    os.close(mine)
    wait_until(lambda: not machine.processes(), "the view to end")
    assert machine.mounts_at(at) == []


def test_a_lifeline_that_is_cut_already_makes_no_view(place: Path, option: bytes) -> None:
    at = place / "view"
    at.mkdir()
    with pipe() as (reader, ends):
        close_all(ends)
        finished = call(f"--lifeline={reader}", "-o", option, "none", at, pass_fds=[reader])
    refused(finished, "ESYSTEM", 2, rf"^--lifeline={reader}: closed before the view was ready$")


@pytest.mark.parametrize(
    ("fault", "foreground", "reason"),
    [("clone:error=EAGAIN", False, "fork: Resource temporarily unavailable"),
     ("pipe2:error=EMFILE:when=2", False, "pipe: Too many open files"),
     ("pipe2:error=EMFILE:when=3", False, "the view cannot be watched: Too many open files"),
     ("signalfd4:error=EMFILE:when=2", True, "the view cannot be watched: Too many open files")],
    ids=["no-process", "no-pipe", "no-descriptor", "no-descriptor-in-the-foreground"],
)  # fmt: skip
def test_a_lifeline_that_cannot_be_watched_makes_no_view(
    place: Path, option: bytes, fault: str, foreground: bool, reason: str
) -> None:
    """It is as good as cut: no view stays for ever that its caller believes to end with him."""
    at = place / "view"
    at.mkdir()
    wrapper = injecting(place / "log", fault)
    with pipe() as (reader, _):
        words = [*(["-f"] if foreground else []), f"--lifeline={reader}", "-o", option, "none", at]
        finished = call(*words, wrapper=wrapper, pass_fds=[reader])
        assert "INJECTED" in (place / "log").read_text()
        assert finished.status == 2
        assert finished.stderr == f"urunc-viewfs: {reason}\n"
        wait_until(lambda: not machine.processes(), "the view to end")
        assert machine.mounts_at(at) == []


def test_the_supervisor_of_a_lifeline_keeps_nothing_else(place: Path, option: bytes) -> None:
    with pipe() as (reader, ends), pipe() as (other_reader, other_ends):
        high = os.dup2(other_ends[0], 400)
        other_ends.append(high)
        passed = [reader, high, other_ends[0]]
        with View(
            place / "view", f"--lifeline={reader}", "-o", option, pass_fds=passed, cwd=place
        ) as view:
            close_all(other_ends)
            assert len(view.processes) == 2
            # The call comes back before the one who stays has let go of everything.
            wait_until(lambda: saw_end(other_reader), "both processes to let go")
            for process in view.processes:
                wait_until(lambda: os.readlink(process.proc / "cwd") == "/", "it to leave")
                assert int(process.stat()[3]) == process.pid
            view.unmount()
            view.wait_gone()


# The log


def test_log_lines_are_json(place: Path) -> None:
    layers = Stack([{b"urunc.json": image.urunc_json()}]).build(place / "layers")
    arguments = ["--log-format=json", "--id=web-1", "-o", lowerdir(layers)]
    expected = [r'"msg": *"binary \'/unikernel/kernel\': not in any of 1 layers"']
    with View(place / "view", *arguments, foreground=True, expected=expected) as view:
        assert os.listdir(view.root / "unikernel") == []
        view.wait_sandboxed()
        lines = list(map(json.loads, view.stderr().splitlines()))
        # The first requests do not wait for the line that it is ready.
        line, ready = sorted(lines, key=lambda logged: logged["level"])
        for logged in lines:
            assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", logged["time"])
            assert set(logged) == {"time", "level", "msg", "subsystem", "containerID"}
            assert logged["containerID"] == "web-1"
        assert (ready["level"], line["level"]) == ("info", "error")
        view.unmount()
        view.wait_gone()
        ended = json.loads(view.stderr().splitlines()[-1])
        assert ready["msg"].startswith(f"view ready on '{view.root}' after ")
        assert (ended["level"], ended["msg"]) == ("info", f"view on '{view.root}' ended: unmounted")


@pytest.mark.parametrize("how", ["signal", "lifeline", "terminated", "killed"])
def test_the_end_of_a_view_is_logged_with_its_reason(place: Path, option: bytes, how: str) -> None:
    """Once, by the process that watches it."""
    reader, writer = os.pipe()
    arguments = [f"--lifeline={reader}", "-o", option]
    view = View(place / "view", *arguments, foreground=True, pass_fds=[reader],
                expected=["the view's process ended: Killed"] if how == "killed" else [])  # fmt: skip
    view.status = 2 if how == "killed" else 0
    with view:
        os.close(reader)
        if how == "signal":
            view.process.terminate()
        elif how == "lifeline":
            os.close(writer)
        else:
            view.daemon.signal(signal.SIGTERM if how == "terminated" else signal.SIGKILL)
        view.wait_gone()
        told = [line for line in view.stderr().splitlines() if " ended: " in line]
        said = {
            "signal": "a signal to this process", "lifeline": "the lifeline closed",
            "terminated": "its process was terminated", "killed": "Killed",
        }[how]  # fmt: skip
        assert len(told) == 1 and told[0].endswith(f" ended: {said}"), told
    if how != "lifeline":
        os.close(writer)


@pytest.mark.parametrize("level", ["error", "warn", "info", "debug"])
def test_log_lines_below_the_level_are_left_out(place: Path, level: str) -> None:
    """A urunc.json that only might name an initrd is worth a warning when it cannot be read."""
    stack = Stack([{b"urunc.json": File(b"x"), b"k": File(KERNEL)}])
    options = lowerdir(stack.build(place / "layers")) + b",binary=/k"
    expected = [] if level == "error" else ["^urunc-viewfs: /urunc.json is not JSON"]
    of_its_life = 1 if level in ("info", "debug") else 0
    with View(
        place / "view", f"--log-level={level}", "-o", options, foreground=True, expected=expected
    ) as view:
        assert (view.root / "k").read_bytes() == KERNEL
        view.wait_sandboxed()
        assert view.stderr().count("view ready on") == of_its_life
        view.unmount()
        view.wait_gone()
        assert view.stderr().count(" ended: unmounted") == of_its_life


# Nothing is left


def test_nothing_is_left_when_a_waiting_caller_is_killed(place: Path) -> None:
    (place / "view").mkdir()
    with machine.silent_fuse(place / "silent") as silent:
        for foreground in ([], ["-f"]):
            command = [program(), *foreground, "-o", f"lowerdir={silent}", "none", place / "view"]
            with subprocess.Popen(command) as process:
                wait_until(lambda: len(machine.processes()) == 2, "the server to start")
                process.kill()
            wait_until(lambda: not machine.processes(), "the server to go")
            assert machine.mounts() == []


def test_a_caller_killed_at_any_moment_leaves_a_live_view_or_nothing(
    place: Path, option: bytes
) -> None:
    """Either there is no view then, or a live one: never a process or a mount without the other."""
    at = place / "view"
    at.mkdir()
    outcomes: dict[str, int] = {"nothing": 0, "a live view": 0}
    whole = int(max(time_a_mount(option, at) for _ in range(5)) * 1e6)
    for microseconds in range(0, 2 * whole, max(1, whole // 100)):
        with subprocess.Popen([program(), "-o", option, "none", at]) as process:
            pause(microseconds)
            process.kill()
        wait_until(lambda: settled(at), "either a live view or nothing")
        if machine.mounts_at(at):
            assert state(at) == "fine", f"killed after {microseconds} µs"
            outcomes["a live view"] += 1
            namespace.unmount(str(at), 0)
            wait_until(lambda: not machine.processes(), "the daemon to end")
        else:
            outcomes["nothing"] += 1
        machine.bury()
    assert all(outcomes.values()), outcomes


def test_a_caller_interrupted_at_any_moment_reports_what_is_there(
    place: Path, option: bytes
) -> None:
    """When the call is back there is a view, or nothing, and its status says which."""
    at = place / "view"
    at.mkdir()
    whole = int(max(time_a_mount(option, at) for _ in range(5)) * 1e6)
    statuses = set()
    for microseconds in range(0, 2 * whole, max(1, whole // 100)):
        command = [program(), "-o", option, "none", at]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            pause(microseconds)
            process.terminate()
        statuses.add(process.returncode)
        assert len(machine.mounts_at(at)) == (process.returncode == 0), microseconds
        if process.returncode == 0:
            assert state(at) == "fine"
            namespace.unmount(str(at), 0)
        wait_until(lambda: not machine.processes(), "its processes to end")
        machine.bury()
    # Before it could see the signal it ends of that.
    assert {0, 2} <= statuses <= {0, 2, -signal.SIGTERM}


def time_a_mount(option: bytes, at: Path) -> float:
    """From the start to the end of the call, in seconds."""
    start = time.perf_counter()
    assert subprocess.run([program(), "-o", option, "none", at], check=False).returncode == 0
    took = time.perf_counter() - start
    namespace.unmount(str(at), 0)
    wait_until(lambda: not machine.processes(), "the daemon to end")
    return took


def pause(microseconds: int) -> None:
    """Busily: a sleep is not that exact. What happens meanwhile is what is tested."""
    end = time.perf_counter() + microseconds / 1e6
    while time.perf_counter() < end:
        pass


def settled(at: Path) -> bool:
    """No process that could still mount, or a daemon that serves."""
    running = machine.processes()
    if not running:
        return True
    if len(running) > 1 or not machine.mounts_at(at):
        return False
    return state(at) == "fine"


def test_two_hundred_views_in_a_row_leave_nothing(place: Path, option: bytes) -> None:
    at = place / "view"
    at.mkdir()
    descriptors = os.listdir("/proc/self/fd")
    every = len(machine.mounts(None))
    for n in range(200):
        finished = call("-o", option, f"--id=box-{n}", "none", at)
        assert finished.ready["id"] == f"box-{n}"
        assert (at / KERNEL_PATH).stat().st_size == len(KERNEL)
        namespace.unmount(str(at), 0)
    wait_until(lambda: not machine.processes(), "the last daemon to end")
    assert len(machine.mounts(None)) == every
    assert os.listdir("/proc/self/fd") == descriptors
    assert os.listdir(at) == []


def test_views_started_at_once_end_in_any_order(place: Path, option: bytes) -> None:
    """Each ends alone, in any order."""
    mountpoints = [place / f"view-{n}" for n in range(40)]
    for at in mountpoints:
        at.mkdir()
    starting = [
        subprocess.Popen([program(), "-o", option, "none", at]) for at in mountpoints
    ]
    assert [process.wait(SECONDS) for process in starting] == [0] * 40
    assert len(machine.processes()) == 40
    for at in mountpoints:
        assert (at / KERNEL_PATH).read_bytes() == KERNEL
    for at in [*mountpoints[::2], *mountpoints[1::2]]:
        namespace.unmount(str(at), 0)
    wait_until(lambda: not machine.processes(), "all daemons to end")


# The same call again


def served(view: View) -> dict:
    """What a view's process says in its title."""
    prefix = b"urunc-viewfs: "
    # By one call: between two it may have been replaced by a longer one.
    with open(view.daemon.proc / "cmdline", "rb", buffering=0) as file:
        text = file.read(1 << 16)
    assert text.startswith(prefix) and text.index(b"\0") == len(text) - 1, text
    return json.loads(text[len(prefix) : -1])


def test_the_title_says_what_it_serves(place: Path, option: bytes) -> None:
    with View(place / "view", "--id=web-1", "-o", option) as view:
        wait_until(lambda: "artifacts" in served(view), "the view to be settled")
        told = served(view)
        assert [artifact["role"] for artifact in told.pop("artifacts")] == [
            "config", "binary", "initrd",
        ]  # fmt: skip
        assert told == view.ready
        assert (view.daemon.proc / "comm").read_text() == "urunc-viewfs\n"


def test_the_title_is_set_before_the_view_is_announced(place: Path, option: bytes) -> None:
    for _ in range(20):
        with View(place / "view", "-o", option) as view:
            assert served(view)["mountpoint"] == str(view.root)


def test_the_title_says_whether_reads_pass_through(place: Path) -> None:
    """The kernel offers passthrough before it is known of which files."""
    layer = {b"urunc.json": image.urunc_json(), KERNEL_PATH.encode(): File(KERNEL)}
    with filesystems.filesystem("overlay-on-overlay", place, layer, "deep") as deep:
        with View(place / "view", "-o", lowerdir([os.fsencode(deep)])) as view:
            wait_until(lambda: "artifacts" in served(view), "the view to be settled")
            assert view.ready["passthrough"] is True
            assert served(view)["passthrough"] is False


@pytest.mark.parametrize("name", [[], ["--id=web-1"], ["--id=\x1b["]], ids=str)
def test_the_same_call_finds_the_view(place: Path, option: bytes, name: list[str]) -> None:
    arguments = [*name, "-o", option, "none", place / "view"]
    with View(place / "view", *arguments[:-2]) as view:
        wait_until(lambda: "artifacts" in served(view), "the view to be settled")
        for resolve in (b"", b",resolve=ready"):
            again = call(*name, "-o", option + resolve, "none", place / "view")
            assert (again.status, again.stderr) == (0, "")
            told = again.ready
            assert len(told.pop("artifacts")) == 3
            assert told == view.ready
        assert [process.pid for process in machine.processes()] == [view.daemon.pid]
        assert len(machine.mounts_at(view.root)) == 1


OTHERS: dict[str, tuple[list[str], bytes]] = {
    "id": (["--id=web-2"], b""),
    "no-id": ([], b""),
    "binary": (["--id=web-1"], b",binary=/urunc.json"),
    "mode": (["--id=web-1"], b",mode=0400"),
    "userxattr": (["--id=web-1"], b",userxattr"),
    "decode": (["--id=web-1"], b",decode=auto"),
}


@pytest.mark.parametrize("arguments, options", OTHERS.values(), ids=OTHERS.keys())
def test_a_call_with_other_options_is_emount(
    place: Path, option: bytes, arguments: list[str], options: bytes
) -> None:
    with View(place / "view", "--id=web-1", "-o", option) as view:
        finished = call(*arguments, "-o", option + options, "none", view.root)
        assert (finished.status, finished.code) == (32, "EMOUNT")
        assert len(machine.mounts_at(view.root)) == 1


def test_a_call_with_other_layers_is_emount(place: Path, option: bytes) -> None:
    """Also where they have come to lie at the same paths."""
    with View(place / "view", "-o", option) as view:
        os.rename(place / "layers", place / "old")
        image.usual().build(place / "layers")
        finished = call("-o", option, "none", view.root)
        assert (finished.status, finished.code) == (32, "EMOUNT")


def test_a_second_foreground_call_can_end_the_view(place: Path, option: bytes) -> None:
    """In the foreground: the second call's signal ends the view that the first one made."""
    with View(place / "view", "-o", option) as view:
        reader, writer = os.pipe()
        command = [program(), "-f", f"--ready-fd={writer}", "-o", option, "none", view.root]
        with subprocess.Popen(command, pass_fds=[writer]) as second:
            os.close(writer)
            with os.fdopen(reader) as ready:
                assert json.loads(ready.readline())["ready"] is True
            second.send_signal(signal.SIGTERM)
            assert second.wait(SECONDS) == 0
        view.wait_gone()
        assert machine.mounts_at(view.root) == []


def test_a_second_call_can_bind_the_view_to_a_lifeline(place: Path, option: bytes) -> None:
    with pipe() as (reader, ends), View(place / "view", "-o", option) as view:
        life = f"--lifeline={reader}"
        assert call(life, "-o", option, "none", view.root, pass_fds=[reader]).status == 0
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        close_all(ends)
        view.wait_gone()
        wait_until(lambda: not machine.processes(), "who held the lifeline to end")
        assert machine.mounts_at(view.root) == []


def racing(at: Path, *calls: list[str | bytes]) -> list[int]:
    """The statuses of calls that are made at once."""
    started = [
        subprocess.Popen([program(), *words, "none", at], stderr=subprocess.DEVNULL)
        for words in calls
    ]
    return [process.wait(SECONDS) for process in started]


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("same", [False, True])
def test_of_two_callers_for_one_mountpoint_one_makes_the_view(
    place: Path, option: bytes, same: bool, dead: bool
) -> None:
    """One makes the view; the other finds it, or finds it in its way."""
    at = place / "view"
    at.mkdir()
    for _ in range(20):
        if dead:
            assert call("-o", option, "none", at).status == 0
            (daemon,) = machine.processes()
            daemon.signal(signal.SIGKILL)
            wait_until(lambda: not machine.processes(), "it to die")
        ids = ["--id=a", "--id=a" if same else "--id=b"]
        statuses = racing(at, *([name, "-o", option] for name in ids))
        assert sorted(statuses) == ([0, 0] if same else [0, 32])
        assert len(machine.mounts_at(at)) == 1
        assert state(at) == "fine"
        wait_until(lambda: len(machine.processes()) == 1, "only the view to be left")
        namespace.unmount(str(at), 0)
        wait_until(lambda: not machine.processes(), "the daemon to end")
        machine.bury()


def test_a_locked_mountpoint_delays_a_call_only(place: Path, option: bytes) -> None:
    """Whoever may read the directory may lock it. That costs a caller a second, not the view."""
    at = place / "view"
    at.mkdir()
    fd = os.open(at, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert call("-o", option + b",timeout=5", "none", at).status == 0
    finally:
        os.close(fd)
    namespace.unmount(str(at), 0)
