# SPDX-License-Identifier: Apache-2.0
"""What a caller is like is not what its view is like: fuse/process/inherited.h has the table."""

from __future__ import annotations

import os
import re
import resource
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import machine, namespace
from support.image import KERNEL, KERNEL_PATH
from support.view import View, call, program, refused, run
from support.waiting import SECONDS, wait_until

IGNORED = [
    signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
    signal.SIGVTALRM, signal.SIGPROF, signal.SIGPIPE, signal.SIGIO, signal.SIGXFSZ,
    signal.SIGXCPU, *range(32, 65),
]  # fmt: skip


def python(code: str) -> list[str]:
    """A wrapper that is CODE, and becomes the program."""
    return ["/usr/bin/python3", "-c", f"import os, resource, signal, sys; {code};"
            "os.execv(sys.argv[1], sys.argv[1:])"]  # fmt: skip


def prctl(arguments: str) -> str:
    return f"import ctypes; assert ctypes.CDLL(None).prctl({arguments}) == 0"


@contextmanager
def in_background(place: Path, option: bytes, life: bool, *wrapper: str) -> Iterator[View]:
    """A view that WRAPPER starts and that is sandboxed; with LIFE it has a lifeline, which stays."""
    reader, writer = os.pipe()
    words = [f"--lifeline={reader}"] if life else []
    with open(reader), open(writer, "wb"), View(
        place / "view", *words, "-o", option, wrapper=wrapper, pass_fds=[reader]
    ) as view:
        view.wait_sandboxed()
        yield view


def end_by_sigterm(view: View, life: bool) -> None:
    view.status = 0 if life else -signal.SIGTERM
    view.daemon.signal(signal.SIGTERM)
    view.wait_gone()
    if not life:
        namespace.unmount(str(view.root))


@pytest.mark.parametrize("life", [False, True], ids=["background", "lifeline"])
def test_a_background_view_ignores_the_signals_of_the_manual(
    place: Path, option: bytes, life: bool
) -> None:
    with in_background(place, option, life) as view:
        for number in IGNORED:
            for process in view.processes:
                process.signal(number)
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        assert all(machine.is_alive(process.pid) for process in view.processes)
        view.unmount()
        view.wait_gone()


def test_signals_do_not_end_a_view_that_is_not_sandboxed_yet(place: Path, option: bytes) -> None:
    for _ in range(20):
        with View(place / "view", "-o", option) as view:
            for number in IGNORED:
                view.daemon.signal(number)
            assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


STATES = {
    "all ignored": "[signal.signal(n, signal.SIG_IGN) for n in range(1, 65) if n not in (9, 19, 32, 33)]",
    "all blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "umask 0777": "os.umask(0o777)",
    "umask 0": "os.umask(0)",
    "umask 0077": "os.umask(0o077)",
    "nice 19": "os.nice(19)",
    "idle": "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))",
    "no terminal": "os.setsid()",
    "an oom score": "open('/proc/self/oom_score_adj', 'w').write('500')",
    "a root directory as cwd": "os.chdir('/proc/self')",
    "no environment": "os.environ.clear()",
    "one processor": "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])",
    "a pending signal": "signal.pthread_sigmask(signal.SIG_BLOCK, [10]); os.kill(os.getpid(), 10)",
    "a timer of processor time": "signal.setitimer(signal.ITIMER_PROF, 0.01, 0.01)",
    "a process group of another": "os.setpgid(0, 0)",
    "no new privileges": prctl("38, 1, 0, 0, 0"),
    "a death signal": prctl("1, 9, 0, 0, 0"),
    "a subreaper": prctl("36, 1, 0, 0, 0"),
    "not dumpable": prctl("4, 0, 0, 0, 0"),
    "a time slack": prctl("29, 1000000000, 0, 0, 0"),
    "locked securebits": prctl("28, 0x20, 0, 0, 0"),  # KEEP_CAPS_LOCKED
    "a personality": "import ctypes; ctypes.CDLL(None).personality(0x8460000)",  # setarch -R -B -X
    "other namespaces": "import ctypes; assert ctypes.CDLL(None).unshare(0x4e000000) == 0",
}
# Not CPU: with a limit of none, SIGXCPU may come before main() is reached.
LIMITS = ["CORE", "FSIZE", "LOCKS", "MEMLOCK", "MSGQUEUE", "NICE", "NPROC", "RSS", "RTPRIO",
          "SIGPENDING", "RTTIME"]  # fmt: skip
NUMBERS = {"LOCKS": 10, "MSGQUEUE": 12, "NICE": 13, "RTPRIO": 14, "SIGPENDING": 11, "RTTIME": 15}
for _name in LIMITS:
    _number = NUMBERS.get(_name, getattr(resource, f"RLIMIT_{_name}", None))
    STATES[f"limit {_name} 0"] = f"resource.setrlimit({_number}, (0, resource.getrlimit({_number})[1]))"


@pytest.mark.parametrize("state", STATES.values(), ids=STATES.keys())
@pytest.mark.parametrize("life", [False, True], ids=["background", "lifeline"])
def test_a_view_works_whatever_it_inherits(
    place: Path, option: bytes, life: bool, state: str
) -> None:
    with in_background(place, option, life, *python(state)) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        end_by_sigterm(view, life)


# Below some value no program starts: the kernel kills it, or the loader says what it lacks.
BYTES = [0, *(1 << n for n in range(12, 28, 2))]
TIGHT = {"AS": BYTES, "DATA": BYTES, "STACK": BYTES, "NOFILE": [0, 3, 4, 5, 6, 7, 8, 10, 12, 64]}
NOT_STARTED = re.compile(r"error while loading shared libraries|Error relocating|Error loading")


@pytest.mark.parametrize("limit", TIGHT)
def test_a_hard_limit_that_is_too_low_is_a_clear_error(
    place: Path, option: bytes, limit: str
) -> None:
    """From none to enough: a program that does not start, then a sentence, then a view."""
    if limit != "NOFILE" and machine.is_sanitized(program()):
        pytest.skip("a sanitizer requires memory without limit")
    at = place / "view"
    at.mkdir()
    name = f"resource.RLIMIT_{limit}"
    outcomes = []
    for value in TIGHT[limit]:
        wrapper = python(f"resource.setrlimit({name}, ({value}, {value}))")
        options = option + b",resolve=ready,timeout=1"
        finished = run(*wrapper, program(), "-o", options, "none", at, env=machine.NO_LEAK_CHECK)
        assert finished.stdout == ""
        if finished.status == 0:
            outcomes.append("view")
            assert (at / KERNEL_PATH).read_bytes() == KERNEL
            namespace.unmount(str(at), 0)
        elif finished.stderr.startswith("urunc-viewfs: "):
            outcomes.append("error")
            assert finished.status == 2, finished
            assert finished.stderr.count("\n") == 1
        else:
            outcomes.append("not started")
            assert finished.status < 0 or NOT_STARTED.search(finished.stderr), finished
        wait_until(lambda: not machine.processes(), "the processes to end")
        assert machine.mounts_at(at) == []
    assert outcomes == sorted(outcomes, key=["not started", "error", "view"].index)
    assert outcomes[0] == "not started" and outcomes[-1] == "view"


DISPOSITIONS = {
    "ignored": "signal.signal({0}, signal.SIG_IGN)",
    "blocked": "signal.pthread_sigmask(signal.SIG_BLOCK, [{0}])",
    "ignored and blocked": "signal.signal({0}, signal.SIG_IGN);"
    "signal.pthread_sigmask(signal.SIG_BLOCK, [{0}])",
}


@pytest.mark.parametrize("state", DISPOSITIONS.values(), ids=DISPOSITIONS.keys())
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_was_ignored_or_blocked_ends_a_foreground_view(
    place: Path, option: bytes, number: signal.Signals, state: str
) -> None:
    """As a shell without job control ignores INT for what it starts in the background."""
    wrapper = python(state.format(int(number)))
    with View(place / "view", "-o", option, foreground=True, wrapper=wrapper) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        view.process.send_signal(number)
        assert view.process.wait(SECONDS) == 0
        assert machine.mounts_at(view.root) == []


@pytest.mark.parametrize("state", DISPOSITIONS.values(), ids=DISPOSITIONS.keys())
@pytest.mark.parametrize("life", [False, True], ids=["background", "lifeline"])
def test_sigterm_that_was_ignored_or_blocked_ends_a_background_view(
    place: Path, option: bytes, life: bool, state: str
) -> None:
    wrapper = python(state.format(int(signal.SIGTERM)))
    with in_background(place, option, life, *wrapper) as view:
        end_by_sigterm(view, life)


@pytest.mark.parametrize("mask", [0o777, 0o077, 0])
def test_the_umask_does_not_reach_shared_directories(place: Path, option: bytes, mask: int) -> None:
    index = place / "index"
    wrapper = python(f"os.umask({mask})")
    with View(place / "view", "-o", option + b",cache=%s" % bytes(index), wrapper=wrapper) as view:
        view.wait_sandboxed()
    assert stat.S_IMODE(index.stat().st_mode) == 0o700
    assert os.listdir(index), "the index is used"


# PID namespaces


@pytest.mark.parametrize("life", [[], ["--lifeline=0"]], ids=["background", "lifeline"])
def test_a_background_call_as_process_1_is_rejected(
    place: Path, option: bytes, life: list[str]
) -> None:
    """It would be killed with the namespace, after it said ready."""
    (place / "view").mkdir()
    wrapper = ["unshare", "--pid", "--fork", "--"]
    finished = call(*life, "-o", option, "none", place / "view", wrapper=wrapper)
    refused(finished, "ESYSTEM", 2, "^as process 1 of a PID namespace")


def test_a_foreground_call_may_be_process_1(place: Path, option: bytes) -> None:
    at = place / "view"
    at.mkdir()
    command = ["unshare", "--pid", "--fork", "--kill-child", "--", program(), "-f", "-o", option]
    with subprocess.Popen([*command, "none", at]) as process:
        wait_until(lambda: machine.mounts_at(at), "the view to be mounted")
        assert (at / KERNEL_PATH).read_bytes() == KERNEL
        namespace.unmount(str(at), 0)
        assert process.wait(SECONDS) == 0


@pytest.mark.parametrize("life", [False, True], ids=["background", "lifeline"])
def test_a_call_whose_children_are_in_another_pid_namespace(
    place: Path, option: bytes, life: bool
) -> None:
    """unshare(1) without --fork: the server is process 1 there."""
    at = place / "view"
    at.mkdir()
    reader, writer = os.pipe()
    words = [f"--lifeline={reader}"] if life else []
    finished = call(*words, "-o", option, "none", at, wrapper=["unshare", "--pid", "--"],
                    pass_fds=[reader], env=machine.NO_LEAK_CHECK)  # fmt: skip
    assert finished.ready["ready"] is True
    assert (at / KERNEL_PATH).read_bytes() == KERNEL
    namespace.unmount(str(at), 0)
    wait_until(lambda: not machine.processes(), "the view to end")
    os.close(reader)
    os.close(writer)


def test_a_timer_of_the_caller_does_not_end_a_call(place: Path, option: bytes) -> None:
    wrapper = python("signal.setitimer(signal.ITIMER_REAL, 0.2)")
    with View(place / "view", "-o", option, foreground=True, wrapper=wrapper) as view:
        proc = Path("/proc", str(view.process.pid), "status")
        bit = 1 << (signal.SIGALRM - 1)

        def expired() -> bool:
            pending = [line for line in proc.read_text().splitlines() if line[:6] == "ShdPnd"]
            return bool(int(pending[0].split()[1], 16) & bit)

        wait_until(expired, "the timer to expire")
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_nohup_keeps_a_foreground_view(place: Path, option: bytes) -> None:
    wrapper = python("signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    with View(place / "view", "-o", option, foreground=True, wrapper=wrapper) as view:
        view.process.send_signal(signal.SIGHUP)
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        assert view.process.poll() is None
        view.process.send_signal(signal.SIGQUIT)
        assert view.process.wait(SECONDS) == 0
        assert machine.mounts_at(view.root) == []
