# SPDX-License-Identifier: Apache-2.0
"""A view with survive=on outlives the process that serves it: no reader sees an error, whenever that
process is killed, and neither of its two processes gains by that."""

from __future__ import annotations

import errno
import json
import mmap
import multiprocessing
import os
import random
import resource
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import image, machine, namespace
from support.control import ID, listed, listed_at, viewfsctl
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.seccomp_deny import deny
from support.view import View, call, program, refused
from support.waiting import SECONDS, wait_until
from test_sandbox import ALL, ATTEMPTS, BEGUN, attempted, attempting, instead, result_of

# At 50 ms, and ten times as many just after a birth. The long form has 1000.
KILLS = int(os.environ.get("VIEWFS_SURVIVAL_KILLS", "60"))
DEATHS_MAX = 5


@pytest.fixture
def layers(place: Path) -> list[bytes]:
    return image.usual().build(place / "layers")


def server_of(view: View, after: int = 0) -> int:
    """The process that serves, once it is another one than AFTER. The daemon stands by."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for pid in machine.children(view.daemon_pid):
            if pid != after:
                return pid
    raise AssertionError("no process serves")


def surviving(place: Path, layers: list[bytes], more: str = "", **how: object) -> View:
    return View(place / "view", "-o", lowerdir(layers) + b",survive=on" + more.encode(), **how)


# Readers. Each makes the view answer requests, and looks at every byte.


def read_whole(root: Path) -> None:
    with open(root / KERNEL_PATH, "rb") as file:
        assert file.read() == KERNEL


def map_whole(root: Path) -> None:
    with open(root / INITRD_PATH, "rb") as file:
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as memory:
            assert memory[:] == INITRD


def look_for_nothing(root: Path) -> None:
    """A name that the kernel was never told of."""
    with pytest.raises(FileNotFoundError):
        os.stat(root / f"none-{random.getrandbits(64):x}")


def look_around(root: Path) -> None:
    os.statvfs(root)
    assert "urunc.json" in os.listdir(root)
    assert os.stat(root / KERNEL_PATH).st_size == len(KERNEL)


READERS: list[Callable[[Path], None]] = [read_whole, map_whole, look_for_nothing, look_around]


def keep_reading(reader: Callable[[Path], None], root: Path, over, rounds) -> None:  # type: ignore[no-untyped-def]
    while not over.is_set():
        reader(root)
        rounds.value += 1


@contextmanager
def read_all_the_time(root: Path) -> Iterator[None]:
    """Readers in processes of their own: none of them sees an error, and none waits for good."""
    over = multiprocessing.Event()
    counts = [multiprocessing.Value("q", 0) for _ in READERS]
    processes = [
        multiprocessing.Process(target=keep_reading, args=(reader, root, over, rounds))
        for reader, rounds in zip(READERS, counts)
    ]
    for process in processes:
        process.start()
    try:
        wait_until(lambda: all(rounds.value for rounds in counts), "all of them to read")
        yield
        before = [rounds.value for rounds in counts]
        wait_until(
            lambda: all(rounds.value > n for rounds, n in zip(counts, before)), "them to go on"
        )
    finally:
        over.set()
        for process in processes:
            process.join(SECONDS)
            if process.is_alive():
                process.kill()
    assert [process.exitcode for process in processes] == [0] * len(READERS)


def kill_while_read(view: View, kills: int, pause: Callable[[], None]) -> None:
    """Kill so many servers, each a PAUSE after it was there: the generation proves it."""
    server = server_of(view)
    with read_all_the_time(view.root):
        for _ in range(kills):
            os.kill(server, signal.SIGKILL)
            server = server_of(view, after=server)
            pause()
    assert listed_at(view.root)["generation"] == kills + 1


def wait_a_moment() -> None:
    """Shorter than any sleep."""
    until = time.perf_counter() + random.uniform(0, 0.0004)
    while time.perf_counter() < until:
        pass


@pytest.mark.parametrize("passthrough", ["on", "off"])
def test_no_reader_sees_an_error_when_the_process_is_killed(
    place: Path, layers: list[bytes], passthrough: str
) -> None:
    with surviving(place, layers, f",passthrough={passthrough}") as view:
        view.wait_sandboxed()
        kill_while_read(view, KILLS, lambda: time.sleep(0.05))
        assert listed_at(view.root)["survives"] is True


@pytest.mark.parametrize("passthrough", ["on", "off"])
def test_no_reader_sees_an_error_when_a_process_is_killed_at_its_birth(
    place: Path, layers: list[bytes], passthrough: str
) -> None:
    with surviving(place, layers, f",passthrough={passthrough}") as view:
        view.wait_sandboxed()
        kill_while_read(view, 10 * KILLS, wait_a_moment)


def test_a_listing_shows_one_view_that_survives(place: Path, layers: list[bytes]) -> None:
    with surviving(place, layers, f",id={ID}") as view:
        assert view.ready["survives"] is True
        assert view.ready["artifacts"], "it implies resolve=ready"
        view.wait_sandboxed()
        (row,) = (row for row in listed("--all") if row["id"] == ID)
        assert (row["survives"], row["generation"], row["pid"]) == (True, 1, server_of(view))
        table = viewfsctl("list", "-o", "ID,SURVIVES,GENERATION", f"--id={ID}").stdout
        assert table.split() == ["ID", "SURVIVES", "GENERATION", ID, "yes", "1"]
        standby = Path("/proc", str(view.daemon_pid), "cmdline")
        wait_until(lambda: standby.read_bytes() == f"urunc-viewfs: standby of {ID}\0".encode(), "a title")
    with View(place / "view", "-o", lowerdir(layers)) as view:
        assert "survives" not in view.ready
        assert listed_at(view.root)["survives"] is False


def test_both_processes_are_sandboxed(place: Path, layers: list[bytes]) -> None:
    with surviving(place, layers) as view:
        standby = view.wait_sandboxed()
        server = machine.Process(server_of(view), "urunc-viewfs", ())
        wait_until(lambda: server.status("Seccomp_filters") == "2", "the child's own filter")
        assert standby.status("Seccomp_filters") == "1"
        for process in standby, server:
            assert int(process.status("CapPrm"), 16) == 0
            assert process.status("NoNewPrivs") == "1"
            assert set(process.descriptors().values()) == machine.SERVING
            assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (0, 0)
        assert listed_at(view.root)["sandbox"] == ALL


@pytest.mark.parametrize("name", ATTEMPTS)
def test_a_forbidden_attempt_of_a_standby_ends_it(
    place: Path, layers: list[bytes], name: str
) -> None:
    (place / "view").mkdir()
    with attempting(place, layers) as env:
        finished = call(
            "-o", lowerdir(layers) + b",survive=on", "none", place / "view",
            wrapper=instead("urunc-viewfs-attempts"), env={**env, "ATTEMPT_STANDBY": name},
        )  # fmt: skip
        assert finished.ready["survives"] is True
        wait_until(lambda: not machine.processes(), "the view's process to end")
        namespace.unmount(os.fsencode(place / "view"))
        assert result_of(place)[0] == BEGUN


@pytest.mark.parametrize("name", ATTEMPTS)
def test_a_request_that_two_processes_died_of_gets_an_error(
    place: Path, layers: list[bytes], name: str
) -> None:
    """And it alone: all others are answered by the third process."""
    with attempted(place, layers, name, "survive=on") as (view, state, _):
        assert state == BEGUN
        with pytest.raises(OSError) as caught:
            os.stat(view.root / f"attempt:{name}")
        # The first one was tried in attempted(): of five deaths four have come by now.
        assert caught.value.errno == errno.EIO
        read_whole(view.root)
        assert listed_at(view.root)["generation"] == 5


def test_the_fifth_death_of_a_fault_ends_the_view(place: Path, layers: list[bytes]) -> None:
    """Where SIGKILL is none, however often."""
    with surviving(place, layers) as view:
        view.wait_sandboxed()
        server = server_of(view)
        for n in range(1, DEATHS_MAX + 1):
            for _ in range(3):
                os.kill(server, signal.SIGKILL)
                server = server_of(view, after=server)
            read_whole(view.root)
            os.kill(server, signal.SIGSEGV)
            if n < DEATHS_MAX:
                server = server_of(view, after=server)
                read_whole(view.root)
        view.status = 128 + signal.SIGSEGV
        view.wait_gone()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_ends_a_view_ends_both(
    place: Path, layers: list[bytes], number: signal.Signals
) -> None:
    with surviving(place, layers) as view:
        view.wait_sandboxed()
        os.kill(server_of(view), number)
        view.status = 128 + number
        view.wait_gone()


def test_a_server_outlives_its_standby(place: Path, layers: list[bytes]) -> None:
    """As a view without one; the listing says so."""
    with surviving(place, layers) as view:
        standby = view.wait_sandboxed()
        server = server_of(view)
        standby.signal(signal.SIGKILL)
        view.status = -signal.SIGKILL
        view.wait_gone()
        read_whole(view.root)
        assert listed_at(view.root)["survives"] is False
        view.unmount()
        wait_until(lambda: not machine.is_alive(server), "the server to end")


def test_a_stopped_server_has_a_successor_when_it_is_killed(
    place: Path, layers: list[bytes]
) -> None:
    with surviving(place, layers) as view:
        view.wait_sandboxed()
        server = server_of(view)
        os.kill(server, signal.SIGSTOP)
        with subprocess.Popen(["cat", view.root / KERNEL_PATH], stdout=subprocess.PIPE) as reader:
            waiting = view.mount.connection / "waiting"
            wait_until(lambda: waiting.read_text() != "0\n", "the reader to wait")
            os.kill(server, signal.SIGKILL)
            assert reader.communicate(timeout=SECONDS)[0] == KERNEL


@pytest.mark.parametrize("command", [["umount"], ["umount", f"--id={ID}"]], ids=" ".join)
def test_viewfsctl_ends_both_processes(
    place: Path, layers: list[bytes], command: list[str]
) -> None:
    with surviving(place, layers, f",id={ID}") as view:
        view.wait_sandboxed()
        server = server_of(view)
        with open(view.root / KERNEL_PATH, "rb"):
            operands = [] if len(command) > 1 else [view.root]
            assert viewfsctl(*command, *operands).status == 0
            wait_until(lambda: not machine.is_alive(server), "the server to end")
        view.wait_gone()


@pytest.mark.parametrize("foreground", [False, True], ids=["lifeline", "foreground"])
@pytest.mark.parametrize("killed", [False, True])
def test_what_holds_a_view_ends_both_processes(
    place: Path, layers: list[bytes], foreground: bool, killed: bool
) -> None:
    """Also where its supervisor is killed: the same signal goes from each to the next."""
    line, mine = os.pipe()
    more = [] if foreground else [f"--lifeline={line}"]
    option = lowerdir(layers) + b",survive=on"
    with View(
        place / "view", *more, "-o", option, foreground=foreground, pass_fds=[line]
    ) as view:
        os.close(line)
        (supervisor,) = (
            p for p in view.processes if "/dev/fuse" not in p.descriptors().values()
        )
        wait_until(lambda: machine.children(view.daemon_pid), "a child")
        server = server_of(view)
        os.kill(server, signal.SIGKILL)
        server = server_of(view, after=server)
        read_whole(view.root)
        if killed:
            supervisor.signal(signal.SIGKILL)
            view.status = -signal.SIGKILL
        elif foreground:
            supervisor.signal(signal.SIGTERM)
        else:
            os.close(mine)
        wait_until(lambda: not machine.is_alive(server), "the server to end")
        view.wait_gone()
        if killed:
            namespace.unmount(os.fsencode(view.root))
    if killed or foreground:
        os.close(mine)


def test_a_lifeline_holds_a_view_of_another_call_that_survives(
    place: Path, layers: list[bytes]
) -> None:
    """Though the process that served it then is long gone."""
    with surviving(place, layers) as view:
        view.wait_sandboxed()
        line, mine = os.pipe()
        option = lowerdir(layers) + b",survive=on"
        finished = call(
            f"--lifeline={line}", "-o", option, "none", view.root, pass_fds=[line]
        )
        os.close(line)
        assert finished.status == 0, finished
        server = server_of(view)
        for _ in range(3):
            os.kill(server, signal.SIGKILL)
            server = server_of(view, after=server)
        read_whole(view.root)
        os.close(mine)
        wait_until(lambda: not machine.is_alive(server), "the server to end")
        view.wait_gone()


@pytest.mark.parametrize("name", ["landlock_create_ruleset", "seccomp"])
def test_no_process_stands_by_a_view_that_cannot_be_sandboxed_whole(
    place: Path, layers: list[bytes], name: str
) -> None:
    with surviving(place, layers, wrapper=deny(name, "ENOSYS")) as view:
        assert view.ready["survives"] is False
        daemon = view.wait_sandboxed()
        read_whole(view.root)
        assert machine.children(daemon.pid) == []
        assert listed_at(view.root)["survives"] is False
        finished = call("-o", lowerdir(layers) + b",survive=on", "none", view.root)
        assert (finished.status, finished.code) == (32, "EMOUNT")


def test_the_same_call_requires_that_the_view_survives(place: Path, layers: list[bytes]) -> None:
    with surviving(place, layers) as view:
        for option in b",survive=on", b",survive=off", b"":
            again = call("-o", lowerdir(layers) + option, "none", view.root)
            assert again.ready == view.ready
    with View(place / "view", "-o", lowerdir(layers) + b",resolve=ready") as view:
        again = call("-o", lowerdir(layers) + b",survive=on", "none", view.root)
        assert (again.status, again.code) == (32, "EMOUNT")


def test_a_missing_artifact_fails_a_view_that_shall_survive(place: Path) -> None:
    (place / "view").mkdir()
    stack = image.usual()
    layers = stack.build(place / "layers")
    finished = call(
        "-o", lowerdir(layers) + b",survive=on,binary=/none", "none", place / "view"
    )
    refused(finished, "ENOARTIFACT", 32, "/none")


def test_doctor_tells_whether_views_can_survive() -> None:
    found = json.loads(viewfsctl("doctor", "--json").stdout)
    (finding,) = (one for one in found["findings"] if one["subject"] == "survive")
    assert finding["severity"] == "ok"
