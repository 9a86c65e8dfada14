# SPDX-License-Identifier: Apache-2.0
"""What is left of a view's process once its artifacts are found: nothing worth taking over.

That it is so is seen from outside, and tried from inside: `urunc-viewfs-attempts` is the same program
but for a name that has it try, when it is looked up, what an attacker would.
"""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support import image, machine, namespace, skipping
from support.control import listed_at
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.mounted import bind
from support.resolver import build_directory
from support.seccomp_deny import deny
from support.stack import File, Stack
from support.view import View, call, program, refused, run
from support.waiting import SECONDS, wait_until
from test_layers import is_stopped, let_go, stop_at, stopped

CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapAmb")
MEMORY_MAX = 64 << 20
LIMITS = {
    resource.RLIMIT_AS: MEMORY_MAX,
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_FSIZE: 0,
    resource.RLIMIT_NOFILE: 0,
    resource.RLIMIT_NPROC: 0,
}

ALL = [
    "no_new_privs", "descriptors", "landlock", "undumpable", "limits", "capabilities", "seccomp",
]  # fmt: skip

# Bits of capabilities(7).
EARLY = 1 << 2 | 1 << 3 | 1 << 21


@pytest.fixture
def layers(place: Path) -> list[bytes]:
    return image.usual().build(place / "layers")


def read_everything(view: View) -> None:
    """As a boot does, and somebody who looks around."""
    for _ in range(3):
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        assert (view.root / INITRD_PATH).read_bytes() == INITRD
        run("ls", "-laR", view.root)
        run("find", view.root, "-ls")
        run("df", view.root)
        run("getfattr", "-d", view.root / KERNEL_PATH)
        assert not (view.root / "none").exists()
        with pytest.raises(OSError):
            os.open(view.root / KERNEL_PATH, os.O_RDWR)


def origins(layers: Sequence[bytes]) -> set[str]:
    """Where the artifacts are."""
    finished = run(program("viewfsctl"), "resolve", "--json", "-o", lowerdir(layers), "none")
    return {artifact["origin"] for artifact in json.loads(finished.stdout)["artifacts"]}


def flags_of(process: machine.Process, descriptor: int) -> int:
    """Those it was opened with."""
    text = (process.proc / f"fdinfo/{descriptor}").read_text()
    return int(re.findall(r"^flags:\s*(\d+)$", text, re.MULTILINE)[0], 8)


# Seen from outside


@pytest.mark.parametrize("passthrough", ["on", "off"])
@pytest.mark.parametrize("foreground", [False, True])
@pytest.mark.parametrize("resolve", ["lazy", "ready"])
def test_a_serving_process_keeps_no_privilege_and_no_descriptor(
    place: Path, layers: list[bytes], resolve: str, foreground: bool, passthrough: str
) -> None:
    options = lowerdir(layers) + f",resolve={resolve},passthrough={passthrough}".encode()
    with View(place / "view", "-o", options, foreground=foreground) as view:
        daemon = view.wait_sandboxed()
        assert {name: int(daemon.status(name), 16) for name in CAPABILITIES} == dict.fromkeys(
            CAPABILITIES, 0
        )
        assert daemon.status("NoNewPrivs") == "1"
        assert (daemon.status("Seccomp"), daemon.status("Seccomp_filters")) == ("2", "1")
        for limit, value in LIMITS.items():
            assert resource.prlimit(daemon.pid, limit) == (value, value)
        assert wait_until(lambda: listed_at(view.root)["sandbox"], "it to be told") == ALL
        assert daemon.status("Threads") == "1"
        assert int(daemon.stat()[3]) == daemon.pid, "a session of its own"
        kept = origins(layers) if passthrough == "off" else set()
        assert set(daemon.descriptors().values()) == machine.SERVING | kept
        for number, what in daemon.descriptors().items():
            reads = flags_of(daemon, number) & os.O_ACCMODE == os.O_RDONLY
            assert reads or what in machine.SERVING
        read_everything(view)


def test_a_supervisor_is_not_sandboxed(place: Path, layers: list[bytes]) -> None:
    """It must be able to unmount."""
    with View(place / "view", "-o", lowerdir(layers), foreground=True) as view:
        daemon = view.wait_sandboxed()
        (supervisor,) = (process for process in view.processes if process != daemon)
        assert int(supervisor.status("CapEff"), 16) == EARLY
        assert supervisor.status("Seccomp") == "0"


@pytest.mark.parametrize(
    ("passthrough", "calls"),
    [("on", {"read", "writev"}), ("off", {"read", "writev", "pread64"})],
)
def test_serving_makes_only_the_calls_of_the_filter(
    place: Path, layers: list[bytes], passthrough: str, calls: set[str]
) -> None:
    if not shutil.which("strace"):
        skipping.skip("no strace")
    options = lowerdir(layers) + f",passthrough={passthrough}".encode()
    log = place / "log"
    with View(place / "view", "-o", options) as view:
        daemon = view.wait_sandboxed()
        with subprocess.Popen(["strace", "-qq", "-o", log, "-p", str(daemon.pid)]) as strace:
            wait_until(lambda: daemon.status("TracerPid") == str(strace.pid), "strace to attach")
            read_everything(view)
            strace.send_signal(signal.SIGINT)
            strace.wait(SECONDS)
        made = set(re.findall(r"^(\w+)\(", log.read_text(), re.MULTILINE))
        assert calls <= made <= calls | MEMORY


CAPLESS = ["setpriv", "--inh-caps=-all", "--bounding-set=-all", "--"]


def test_a_process_without_privilege_cannot_read_a_views_memory(
    place: Path, layers: list[bytes]
) -> None:
    """Not even the same user, if he has no privilege."""
    with View(place / "view", "-o", lowerdir(layers)) as view:
        daemon = view.wait_sandboxed()
        environment = daemon.proc / "environ"
        assert run("cat", environment).status == 0
        finished = run(*CAPLESS, "cat", environment)
        assert finished.status == 1
        assert "Permission denied" in finished.stderr
    # That it is the process that is not to be looked at, not this one who may not look.
    with subprocess.Popen([*CAPLESS, "sleep", "1000"]) as sleeper:
        environment = Path("/proc", str(sleeper.pid), "environ")
        wait_until(lambda: run("cat", environment.with_name("comm")).stdout == "sleep\n", "it")
        assert run(*CAPLESS, "cat", environment).status == 0
        sleeper.kill()


@pytest.mark.parametrize("words", [["urunc-viewfs"], ["viewfsctl", "resolve"]], ids=" ".join)
def test_untrusted_input_is_read_with_three_capabilities(place: Path, words: list[str]) -> None:
    """While strangers' input is read there are only three capabilities."""
    (place / "view").mkdir()
    name, *more = words
    # Each has a process of its own for what may hang in a layer.
    expected = 2
    operands = ["none", place / "view"] if name == "urunc-viewfs" else ["none"]
    with machine.silent_fuse(place / "silent") as silent:
        command = [program(name), *more, "-o", f"lowerdir={silent}", *operands]
        with subprocess.Popen(command) as process:
            wait_until(lambda: len(machine.processes()) == expected, "all of it to start")
            wait_until(lambda: all(map(is_waiting, machine.processes())), "it to read the layer")
            for reader in machine.processes():
                for name in ("CapInh", "CapPrm", "CapEff"):
                    assert int(reader.status(name), 16) & ~EARLY == 0
                assert int(reader.status("CapEff"), 16) == EARLY
            process.kill()
        wait_until(lambda: not machine.processes(), "the server to go")


def is_waiting(process: machine.Process) -> bool:
    return process.stat()[0] in "SD"


@contextmanager
def asked_all_the_time(root: Path) -> Iterator[None]:
    """A view that there is always some request to."""
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            os.statvfs(root)

    askers = [threading.Thread(target=ask) for _ in range(8)]
    for asker in askers:
        asker.start()
    try:
        yield
    finally:
        over.set()
        for asker in askers:
            asker.join()


@pytest.mark.parametrize("resolve", ["lazy", "ready"])
def test_requests_do_not_delay_the_sandbox(place: Path, layers: list[bytes], resolve: str) -> None:
    """Who comes first is served first; but not for ever."""
    options = lowerdir(layers) + f",resolve={resolve}".encode()
    # It stops at its second writev(2), when it has announced the view.
    where = ["--trace=writev,seccomp", "--inject=writev:signal=SIGSTOP:when=2"]
    with View(
        place / "view", "-o", options, foreground=True, wrapper=stop_at(place, where, 1024)
    ) as view:
        with asked_all_the_time(view.root):
            let_go(view)
            wait_until(lambda: view.daemon.status("Seccomp") == "2", "the daemon to be sandboxed")
    before, sandboxing, _ = (place / "log").read_text().partition(" seccomp(")
    assert sandboxing
    # It waits for so many twice: before it looks for artifacts, and before it sandboxes itself.
    # Its state is the third.
    assert before.count(" writev(") <= 3 + 2 * 64


@pytest.mark.parametrize(("passthrough", "count"), [("on", 0), ("off", 3)])
def test_artifacts_that_stay_open_are_logged(
    place: Path, layers: list[bytes], passthrough: str, count: int
) -> None:
    options = lowerdir(layers) + f",passthrough={passthrough}".encode()
    expected = ["^urunc-viewfs: '/.*' stays open"] * count
    with View(
        place / "view", "--log-level=debug", "-o", options, foreground=True, expected=expected
    ) as view:
        view.wait_sandboxed()


# Tried from inside

ATTEMPTS = (
    "open-shadow", "read-proc", "write-layer", "truncate-layer", "unlink-layer", "chmod-layer",
    "socket", "execute", "start-process", "trace-neighbour", "read-neighbour",
    "signal-neighbour", "mount", "enter-user-namespace", "regain-capabilities", "set-time",
    "map-code", "change-code", "call-otherwise", "become-dumpable", "start-thread",
)  # fmt: skip

# What the other measures say where there is no filter; chmod(2), making processes and user
# namespaces are the filter's alone.
UNFILTERED = {
    "open-shadow": "EMFILE",
    "read-proc": "EMFILE",
    "write-layer": "EMFILE",
    "truncate-layer": "EACCES",
    "unlink-layer": "EACCES",
    "socket": "EMFILE",
    "execute": "EACCES",
    "trace-neighbour": "EPERM",
    "read-neighbour": "EPERM",
    "signal-neighbour": "EPERM",
    "mount": "EPERM",
    "regain-capabilities": "EPERM",
    "set-time": "EPERM",
}
BEGUN, CAME_BACK = 1, 2

# What allocating may take, once or twice.
MEMORY = {"brk", "mmap"}


@contextmanager
def neighbour() -> Iterator[int]:
    """A process of root's without privilege, so that none is needed to get at it."""
    with subprocess.Popen([*CAPLESS, "sleep", "1000"]) as process:
        comm = Path("/proc", str(process.pid), "comm")
        wait_until(lambda: comm.read_text() == "sleep\n", "the neighbour to sleep")
        try:
            yield process.pid
            assert process.poll() is None
        finally:
            process.kill()


def instead(name: str) -> list[str | Path]:
    """The wrapper that runs a program of the tests' in place of urunc-viewfs."""
    return ["sh", "-c", 'shift; exec "$0" "$@"', build_directory() / "tests" / name]


def result_of(place: Path) -> tuple[int, int]:
    """The state of the last attempt, and its errno value."""
    state, error = struct.unpack("=ii", (place / "result").read_bytes())
    return state, error


@contextmanager
def attempting(place: Path, layers: list[bytes]) -> Iterator[dict[str, str]]:
    """The environment of a program that tries something. No layer has changed at the end."""
    before = image.fingerprint(place / "layers")
    (place / "result").write_bytes(bytes(8))
    with neighbour() as pid:
        yield {
            "ATTEMPT_FILE": f"{os.fsdecode(layers[1])}/{KERNEL_PATH}",
            "ATTEMPT_PID": str(pid),
            "ATTEMPT_RESULT": str(place / "result"),
        }
    assert image.fingerprint(place / "layers") == before


@contextmanager
def attempted(
    place: Path, layers: list[bytes], name: str, *options: str, wrapper: Sequence[str | Path] = ()
) -> Iterator[tuple[View, int, int]]:
    """A view whose sandboxed process has tried NAME; what it wrote about that."""
    arguments = [part for option in options for part in ("-o", option)]
    with attempting(place, layers) as env:
        with View(
            place / "view", "-o", lowerdir(layers), *arguments,
            wrapper=[*wrapper, *instead("urunc-viewfs-attempts")], env=env,
        ) as view:  # fmt: skip
            view.wait_sandboxed()
            with suppress(OSError):
                os.stat(view.root / f"attempt:{name}")
            yield view, *result_of(place)


@pytest.mark.parametrize("passthrough", ["on", "off"])
@pytest.mark.parametrize("name", ATTEMPTS)
def test_a_forbidden_attempt_ends_the_process(
    place: Path, layers: list[bytes], name: str, passthrough: str
) -> None:
    with attempted(place, layers, name, f"passthrough={passthrough}") as (view, state, _):
        assert state == BEGUN
        view.status = -signal.SIGSYS
        view.wait_gone()


def test_a_reader_with_passthrough_outlives_a_view_that_was_taken_over(
    place: Path, layers: list[bytes]
) -> None:
    """That a view was taken over and is at its end."""
    with attempted(place, layers, "none") as (view, state, _):
        assert state == 0
        with open(view.root / KERNEL_PATH, "rb", buffering=0) as file:
            with pytest.raises(OSError):
                os.stat(view.root / "attempt:execute")
            view.status = -signal.SIGSYS
            view.wait_gone()
            assert file.read(len(KERNEL) + 1) == KERNEL


@contextmanager
def another_namespace() -> Iterator[Callable[[], str]]:
    """What is mounted in a copy of this mount namespace."""
    command = ["unshare", "--mount", "sh", "-c", "echo && exec sleep 1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"\n"
            yield Path(f"/proc/{process.pid}/mountinfo").read_text
        finally:
            process.kill()


def test_a_view_that_was_taken_over_can_unmount_what_stands_on_it(
    place: Path, layers: list[bytes]
) -> None:
    """As SECURITY.md says: in every mount namespace, and no more than that."""
    with attempting(place, layers) as env, View(
        place / "view", "-o", lowerdir(layers), wrapper=instead("urunc-viewfs-attempts"), env=env
    ) as view:
        view.wait_sandboxed()
        boot = view.root / "boot"
        (place / "other").mkdir()
        namespace.mount("tmpfs", str(boot), "tmpfs")
        with bind(bytes(boot), place / "other"), another_namespace() as mounts:
            assert str(boot) in mounts()
            (place / "other/file").write_text("")
            with suppress(OSError):
                os.stat(view.root / "unikernel/attempt:drop-name")
            assert result_of(place) == (CAME_BACK, 0)
            assert bytes(boot) not in [mount.mountpoint for mount in machine.mounts("tmpfs")]
            assert str(boot) not in mounts()
            # Elsewhere what stood there goes on, and so does the view.
            assert os.listdir(place / "other") == ["file"]
        assert os.listdir(boot) != []
        read_everything(view)


@pytest.mark.parametrize(("name", "error"), UNFILTERED.items())
def test_an_attempt_fails_without_the_filter_too(
    place: Path, layers: list[bytes], name: str, error: str
) -> None:
    """Each is refused by another measure too."""
    need_landlock(6)
    wrapper = deny("seccomp", "ENOSYS")
    with attempted(place, layers, name, wrapper=wrapper) as (view, state, found):
        assert (state, errno.errorcode.get(found)) == (CAME_BACK, error)
        read_everything(view)


def need_landlock(version: int) -> None:
    found = re.search(r"landlock +version (\d+)", run(program(), "--version").stdout)
    if not found or int(found[1]) < version:
        skipping.skip_kernel(f"Landlock {version}")


# What cannot be had

MEASURES = {
    "landlock_create_ruleset": "landlock",
    "seccomp": "seccomp",
}


def test_sandbox_require_resolves_and_contains_before_it_is_ready(
    place: Path, layers: list[bytes]
) -> None:
    """All is resolved then, and in force."""
    with View(place / "view", "-o", lowerdir(layers) + b",sandbox=require") as view:
        roles = [artifact["role"] for artifact in view.ready["artifacts"]]
        assert roles == ["config", "binary", "initrd"]
        assert view.wait_sandboxed().status("Seccomp") == "2"
        read_everything(view)


def test_sandbox_require_works_without_passthrough(place: Path, layers: list[bytes]) -> None:
    """The artifacts stay open, and show no more than the view does."""
    options = lowerdir(layers) + b",sandbox=require,passthrough=off"
    with View(place / "view", "-o", options) as view:
        view.wait_sandboxed()
        read_everything(view)


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
@pytest.mark.parametrize(("name", "measure"), MEASURES.items())
def test_a_missing_measure_fails_sandbox_require_only(
    place: Path, layers: list[bytes], name: str, measure: str, error: str
) -> None:
    (place / "view").mkdir()
    wrapper = deny(name, error)
    finished = call(
        "-o", lowerdir(layers) + b",sandbox=require", "none", place / "view", wrapper=wrapper
    )
    refused(finished, "ESYSTEM", 2, f"sandbox=require.*{measure} is not available")
    assert f"without {measure}" in run(*wrapper, program(), "--version").stdout
    with View(place / "view", "-o", lowerdir(layers), wrapper=wrapper) as view:
        daemon = view.wait_sandboxed()
        read_everything(view)
        # The tool that takes the call away has a filter of its own.
        assert daemon.status("Seccomp_filters") == ("1" if name == "seccomp" else "2")
        told = wait_until(lambda: listed_at(view.root)["sandbox"], "it to be told")
        assert told == [known for known in ALL if known != measure]


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
def test_descriptors_are_closed_without_close_range(
    place: Path, layers: list[bytes], error: str
) -> None:
    """It is done in another way."""
    options = lowerdir(layers) + b",sandbox=require"
    reader, writer = os.pipe()
    with View(
        place / "view", "-o", options, wrapper=deny("close_range", error), pass_fds=[writer]
    ) as view:
        os.close(writer)
        assert os.read(reader, 1) == b""
        assert set(view.wait_sandboxed().descriptors().values()) == machine.SERVING
    os.close(reader)


def test_the_version_says_which_measures_are_available() -> None:
    text = run(program(), "--version").stdout
    assert re.search(r"^  sandbox +full$", text, re.MULTILINE)
    assert re.search(r"^  landlock +version \d+$", text, re.MULTILINE)


def failing(place: Path, call_number: int) -> list[str | Path]:
    """The wrapper in which a process's call of that number to seccomp(2) fails."""
    if not shutil.which("strace"):
        skipping.skip("no strace")
    inject = f"--inject=seccomp:error=ENOMEM:when={call_number}"
    return ["strace", "-f", "-qq", "-o", place / "log", "--trace=seccomp", inject, "--"]


def test_a_view_serves_when_a_measure_fails_late(place: Path, layers: list[bytes]) -> None:
    """The first call asks whether there are filters."""
    wrapper = failing(place, 2)
    with View(place / "view", "-o", lowerdir(layers), foreground=True, wrapper=wrapper) as view:
        assert view.wait_sandboxed().status("Seccomp") == "0"
        read_everything(view)
    assert "INJECTED" in (place / "log").read_text()


def test_a_required_measure_that_fails_late_ends_the_view(place: Path, layers: list[bytes]) -> None:
    """Then there is no view."""
    (place / "view").mkdir()
    options = lowerdir(layers) + b",sandbox=require"
    # It asks once more before it mounts.
    finished = run(*failing(place, 3), program(), "-f", "-o", options, "none", place / "view")
    assert (finished.status, finished.stdout) == (2, "")
    assert re.fullmatch(r"urunc-viewfs: view ready on '.*\n", finished.stderr)
    assert "INJECTED" in (place / "log").read_text()
    assert machine.mounts() == []


def test_an_artifact_that_could_not_be_found_stays_missing_in_the_sandbox(place: Path) -> None:
    """A lack that lasts: the view looks again at so many requests, and then no more."""
    stack = Stack([{b"urunc.json": image.urunc_json(), KERNEL_PATH.encode(): File(KERNEL)}])
    layers = stack.build(place / "layers")
    expected = [f"^urunc-viewfs: .*{KERNEL_PATH}.*Too many open files"]
    with stopped(place, lowerdir(layers), expected=expected) as view:
        wait_until(lambda: is_stopped(view.daemon), "the daemon to stop")
        usual = resource.prlimit(view.daemon.pid, resource.RLIMIT_NOFILE, (3, 1024))
        let_go(view)
        assert usual == (1024, 1024)
        for _ in range(80):
            with pytest.raises(OSError, match="Input/output error|No such file"):
                (view.root / KERNEL_PATH).read_bytes()
        view.wait_sandboxed()
        with pytest.raises(FileNotFoundError):
            (view.root / KERNEL_PATH).read_bytes()
        assert (view.root / "urunc.json").exists()
