# SPDX-License-Identifier: Apache-2.0
"""viewfsctl list: the views that are mounted here."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import answer, image, machine, namespace, skipping
from support.control import kill, listed, listed_at, stopped, viewfsctl
from support.image import INITRD_PATH, KERNEL_PATH, lowerdir
from support.stack import File, Stack
from support.view import View, call, program
from support.waiting import SECONDS, wait_until

MS_BIND = 0x1000
TITLES = "MOUNTPOINT ID PID STATE PASSTHROUGH LAYERS MEMORY SANDBOX SURVIVES MISSING ARTIFACTS".split()


@pytest.fixture
def option(place: Path) -> bytes:
    """lowerdir= of the usual image."""
    return lowerdir(image.usual().build(place / "layers"))


def settled(view: View) -> dict[str, Any]:
    """What is listed of a view once all of it is known."""
    return wait_until(
        lambda: listed_at(view.root)["sandbox"] and listed_at(view.root), "it to be settled"
    )


def test_no_views_are_an_empty_table() -> None:
    finished = viewfsctl("list")
    assert (finished.status, finished.stderr) == (0, "")
    assert finished.stdout.split() == TITLES
    assert listed() == []


def test_json_describes_a_view(place: Path, option: bytes) -> None:
    with View(place / "view", "--id=web-1", "-o", option, source="label") as view:
        told = settled(view)
        assert 50_000 < told.pop("private_dirty") < 100_000_000
        artifacts = told.pop("artifacts")
        sandbox = told.pop("sandbox")
        status = dict(
            line.split(":\t", 1) for line in (view.daemon.proc / "status").read_text().splitlines()
        )
        assert ("no_new_privs" in sandbox) == (status["NoNewPrivs"] == "1")
        assert ("capabilities" in sandbox) == (int(status["CapEff"], 16) == 0)
        assert ("seccomp" in sandbox) == (status["Seccomp"] == "2")
        assert told == {
            "mountpoint": str(view.root),
            "root": "/",
            "label": "label",
            "device": view.mount.device,
            "state": "alive",
            "detached": False,
            "pid": view.daemon.pid,
            "id": "web-1",
            "passthrough": view.ready["passthrough"],
            "layers": 3,
            "image": {"layers": 3},
            "missing": [],
            "survives": False,
            "generation": None,
            "version": answer.ask(view.root)["version"],
            "owner": 0,
            "verified": True,
        }
        with View(place / "other", "-o", option + b",resolve=ready") as other:
            assert artifacts == other.ready["artifacts"]


def test_a_table_lines_up(place: Path, option: bytes) -> None:
    names = ["view", "vüéw-" + "x" * 60, "a b"]
    views = [View(place / name, f"--id={'i' * n}1", "-o", option) for n, name in enumerate(names)]
    with views[0], views[1], views[2]:
        for view in views:
            settled(view)
        lines = viewfsctl("list").stdout.splitlines()
        assert lines[0].split() == TITLES
        assert len(lines) == 4
        starts = [lines[0].index(title) for title in TITLES if title not in ("PID", "LAYERS", "MEMORY")]
        for line, view in zip(lines[1:], views):
            assert line.startswith(str(view.root) + " ")
            for start in starts:
                assert line[start] != " " and (start == 0 or line[start - 2 : start] == "  "), line
            assert line.endswith(f"/urunc.json /{KERNEL_PATH} /{INITRD_PATH}")
            assert f" {view.daemon.pid}  alive" in line


def on_terminal(**env: str) -> str:
    """What `viewfsctl list` writes to a terminal."""
    master, slave = pty.openpty()
    try:
        clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        finished = subprocess.run(
            [program("viewfsctl"), "list"], stdin=slave, stdout=slave, env={**clean, **env},
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert finished.returncode == 0
        return os.read(master, 1 << 16).decode()
    finally:
        os.close(master)
        os.close(slave)


def test_colours_are_for_terminals_only(place: Path, option: bytes) -> None:
    """Only on a terminal, and where nobody objects."""
    with View(place / "view", "-o", option) as view:
        assert "\x1b[32malive\x1b[0m" in on_terminal()
        assert "\x1b[32malive\x1b[0m" in on_terminal(NO_COLOR="")
        assert "\x1b" not in on_terminal(NO_COLOR="1")
        assert "\x1b" not in viewfsctl("list").stdout
        kill(view)
        assert "\x1b[31mdead\x1b[0m" in on_terminal()


def test_a_view_is_listed_as_soon_as_it_is_announced(place: Path, option: bytes) -> None:
    """It is listed as soon as its caller is told, and what is not known yet is null."""
    for _ in range(10):
        with View(place / "view", "-o", option) as view:
            told = listed_at(view.root)
            assert (told["state"], told["pid"]) == ("alive", view.daemon.pid)
            assert told["passthrough"] is view.ready["passthrough"]
            assert told["sandbox"] is None or "descriptors" in told["sandbox"]


def test_dead_and_stopped_views_are_told_apart(place: Path, option: bytes) -> None:
    with View(place / "dead", "-o", option) as dead, View(place / "view", "-o", option) as view:
        kill(dead)
        told = listed_at(dead.root)
        assert told["state"] == "dead"
        known = {"mountpoint", "root", "label", "device", "state", "owner", "verified"}
        assert all(value is None for key, value in told.items() if key not in known)
        settled(view)
        with stopped(view):
            told = listed_at(view.root)
            assert (told["state"], told["pid"], told["id"]) == (
                "not answering", view.daemon.pid, None,
            )  # fmt: skip
        assert listed_at(view.root)["state"] == "alive"


@pytest.mark.parametrize("how", ["foreground", "lifeline"])
def test_the_pid_is_that_of_the_serving_process(place: Path, option: bytes, how: str) -> None:
    reader, writer = os.pipe()
    words = [f"--lifeline={reader}"] if how == "lifeline" else []
    try:
        with View(
            place / "view", *words, "-o", option, foreground=how == "foreground", pass_fds=[reader]
        ) as view:
            assert len(view.processes) == 2
            assert listed_at(view.root)["pid"] == view.daemon.pid
            (supervisor,) = (p for p in view.processes if p.pid != view.daemon.pid)
            assert not (supervisor.proc / "cmdline").read_bytes().startswith(b"urunc-viewfs: ")
    finally:
        os.close(reader)
        os.close(writer)


def test_a_bound_view_has_a_line_for_each_mount(place: Path, option: bytes) -> None:
    """A line each, as in mountinfo, and one process."""
    with View(place / "view", "-o", option) as view:
        (place / "copy").mkdir()
        (place / "file").touch()
        namespace.mount(str(view.root), str(place / "copy"), None, MS_BIND)
        namespace.mount(str(view.root / KERNEL_PATH), str(place / "file"), None, MS_BIND)
        try:
            lines = [(told["mountpoint"], told["root"], told["pid"]) for told in listed()]
            assert lines == [
                (str(view.root), "/", view.daemon.pid),
                (str(place / "copy"), "/", view.daemon.pid),
                (str(place / "file"), "/" + KERNEL_PATH, view.daemon.pid),
            ]
        finally:
            namespace.unmount(str(place / "file"))
            namespace.unmount(str(place / "copy"))


def test_another_user_sees_a_view_without_its_memory(place: Path, option: bytes) -> None:
    """The view answers root and its owner; others see that it is there."""
    with View(place / "view", "--id=web-1", "-o", option) as view:
        settled(view)
        told = viewfsctl("list", "--json", user="nobody").stdout
        (told,) = json.loads(told)["views"]
        assert (told["state"], told["pid"], told["id"]) == ("alive", None, None)
        assert told["private_dirty"] is None


# Read from stdin: the title is all that stands in its command line.
IMPOSTOR = b"""
import ctypes, signal
ctypes.CDLL(None).prctl(15, b"urunc-viewfs", 0, 0, 0)
print("ready", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("user, reader", [("nobody", None), (None, None), ("daemon", "nobody")])
def test_a_process_that_only_claims_a_view_is_not_listed(
    place: Path, option: bytes, user: str | None, reader: str | None
) -> None:
    """A title decides nothing: the view itself is asked."""
    with View(place / "view", "--id=web-1", "-o", option) as view:
        settled(view)
        title = (view.daemon.proc / "cmdline").read_bytes()[:-1].replace(b"web-1", b"evil!")
        with subprocess.Popen(
            [title], executable="/usr/bin/python3", user=user, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as impostor:  # fmt: skip
            try:
                assert impostor.stdin and impostor.stdout
                impostor.stdin.write(IMPOSTOR)
                impostor.stdin.close()
                assert impostor.stdout.readline() == b"ready\n"
                proc = Path("/proc", str(impostor.pid))
                assert (proc / "comm").read_text() == "urunc-viewfs\n"
                assert (proc / "cmdline").read_bytes() == title + b"\0"
                (told,) = json.loads(viewfsctl("list", "--json", user=reader).stdout)["views"]
                asked = (view.daemon.pid, "web-1") if reader is None else (None, None)
                assert (told["pid"], told["id"]) == asked
            finally:
                impostor.terminate()


def test_a_view_whose_process_is_not_seen_answers(place: Path, option: bytes) -> None:
    """In another pid namespace. It is asked, and answers; stopped, it is not taken for dead."""
    with View(place / "view", "-o", option) as view:
        settled(view)
        wrapper = ["unshare", "--pid", "--fork", "--mount-proc", "--"]

        def told() -> dict[str, Any]:
            finished = machine_run(*wrapper, program("viewfsctl"), "list", "--json")
            return json.loads(finished)["views"][0]

        assert (told()["state"], told()["pid"]) == ("alive", None)
        with stopped(view):
            assert (told()["state"], told()["pid"]) == ("not answering", None)


def machine_run(*command: Any) -> str:
    finished = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def test_thirty_views_are_listed_in_order(place: Path, option: bytes) -> None:
    mountpoints = [place / f"view-{n:02}" for n in range(30)]
    for at in mountpoints:
        at.mkdir()
        assert call("-o", option, "--id=" + at.name, "none", at).status == 0
    assert [(told["mountpoint"], told["id"]) for told in listed()] == [
        (str(at), at.name) for at in mountpoints
    ]
    assert {told["pid"] for told in listed()} == {p.pid for p in machine.processes()}
    for at in mountpoints:
        namespace.unmount(str(at), 0)
    wait_until(lambda: not machine.processes(), "the daemons to end")


def test_names_are_shown_without_control_characters(place: Path, option: bytes) -> None:
    """What a terminal would obey is shown, in both forms."""
    with View(place / "a\x1b[31m\n", "--id=\x07id", "-o", option, source="l\x1bx") as view:
        settled_line = viewfsctl("list").stdout
        assert "\x1b" not in settled_line and "\x07" not in settled_line
        assert r"a\033[31m\012" in settled_line
        (told,) = listed()
        assert told["mountpoint"].endswith(r"a\033[31m\012")
        assert (told["id"], told["label"]) == (r"\007id", r"l\033x")
        assert len(settled_line.splitlines()) == 2
        del view


@pytest.mark.parametrize("words", [["list"], ["umount"], ["gc"]], ids=" ".join)
def test_help_and_version_go_to_stdout(words: list[str]) -> None:
    finished = viewfsctl(*words, "--help")
    assert (finished.status, finished.stderr) == (0, "")
    assert finished.stdout.startswith(f"Usage: viewfsctl {words[0]}")
    assert all(len(line) <= 90 for line in finished.stdout.splitlines())
    assert viewfsctl(*words, "-V").stdout.startswith("viewfsctl ")


@pytest.mark.parametrize(
    "words, naming",
    [
        (["list", "x"], "unexpected argument 'x'"),
        (["list", "--dry-run"], "unknown argument '--dry-run'"),
        (["list", "-x"], "unknown argument '-x'"),
        (["list", "--json=1"], "'--json' does not accept a value"),
        (["list", "--jsno"], "unknown argument '--jsno': did you mean '--json'?"),
        # An option of other commands is no suggestion.
        (["list", "--dry-rum"], "unknown argument '--dry-rum'"),
        (["gc", "--json"], "unknown argument '--json'"),
        (["gc", "--id=x"], "unknown argument '--id=x'"),
        (["list", "--id="], "--id must not be empty"),
        (["list", "--id"], "'--id' requires a value"),
        (["list", "-o"], "'-o' requires a value"),
        (["list", "-o", "STATS"], "unknown column 'STATS': did you mean 'STATE'?"),
        (["list", "-o", "ID,,PID"], "unknown column ''"),
        (["list", "-o", "ID,"], "unknown column ''"),
        (["list", "-o", ",".join(["ID"] * 33)], "more than 32 columns"),
        (["list", "--json", "--prometheus"], "only one of --json, --prometheus and -o may be given"),
        (["list", "--json", "-o", "ID"], "only one of --json, --prometheus and -o may be given"),
        (["umount"], "DIR is missing"),
        (["umount", "--json", "/x"], "unknown argument '--json'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_usage_error_is_one_line_and_a_hint(words: list[str], naming: str) -> None:
    finished = viewfsctl(*words)
    assert (finished.status, finished.stdout) == (1, "")
    assert finished.stderr.splitlines() == [
        f"viewfsctl: {naming}",
        f"Try 'viewfsctl {words[0]} --help' for more information.",
    ]


def test_json_keys_are_documented(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view:
        keys = list(listed_at(view.root))
    text = viewfsctl("list", "--help").stdout
    assert re.findall(r'"(\w+)"', text) == ["views", *keys]


def test_columns_are_chosen_and_ordered(place: Path, option: bytes) -> None:
    with View(place / "view", "--id=web-1", "-o", option, source="label") as view:
        settled(view)
        version = answer.ask(view.root)["version"]
        lines = viewfsctl("list", "-o", "version,LABEL,Id,DEVICE,owner,ROOT").stdout.splitlines()
        assert [line.split() for line in lines] == [
            ["VERSION", "LABEL", "ID", "DEVICE", "OWNER", "ROOT"],
            [version, "label", "web-1", view.mount.device, "0", "/"],
        ]


def test_every_column_of_help_can_be_chosen(place: Path, option: bytes) -> None:
    columns = re.search(r"in this order:\n((?: +[A-Z, ]+\n)+)", viewfsctl("list", "--help").stdout)
    assert columns
    names = re.findall(r"[A-Z]+", columns[1])
    assert set(TITLES) < set(names)
    assert viewfsctl("list", "-o", ",".join(names)).stdout.split() == names


@pytest.mark.parametrize("length", [12, 30, 64])
def test_views_of_an_id_are_listed(place: Path, option: bytes, length: int) -> None:
    """Of a long one the beginning is enough; of a short one it is another id."""
    name = "0123456789abcdef" * 4
    with View(place / "view", f"--id={name}", "-o", option) as view:
        with View(place / "other", "--id=web-10", "-o", option):
            (told,) = listed(f"--id={name[:length]}")
            assert told["mountpoint"] == str(view.root)
            assert listed("--id=web-1") == listed(f"--id={name[:11]}") == []
            assert len(listed("--id=web-10")) == 1


def test_on_a_terminal_an_id_is_short_and_shown_once(place: Path, option: bytes) -> None:
    name = "0123456789abcdef" * 4
    with View(place / name, f"--id={name}", "-o", option) as view:
        settled(view)
        shown = on_terminal(NO_COLOR="1")
        assert shown.count(name[:12]) == 1 and name[:13] not in shown
        assert f"{place}/\u2026" in shown
        assert viewfsctl("list").stdout.count(name) == 2


def test_missing_artifacts_are_listed(place: Path) -> None:
    layer = {b"urunc.json": image.urunc_json(initrd="/none"), KERNEL_PATH.encode(): File(b"k")}
    with View(place / "view", "-o", lowerdir(Stack([layer]).build(place / "layers"))) as view:
        answer.settled(view)
        assert listed_at(view.root)["missing"] == ["/none"]
        assert viewfsctl("list", "-o", "MISSING").stdout == "MISSING\n/none\n"


def metrics(text: str) -> dict[str, float]:
    """What node_exporter would read."""
    types = re.findall(r"^# TYPE (\w+) gauge$", text, re.M)
    found = re.findall(r'^(\w+)(\{\w+="\w+"\})? (\d+)$', text, re.M)
    assert len(found) + 2 * len(types) == len(text.splitlines())
    assert {name for name, _, _ in found} == set(types)
    return {name + labels: int(number) for name, labels, number in found}


def test_metrics_sum_up_the_views(place: Path, option: bytes) -> None:
    layer = {b"urunc.json": image.urunc_json(initrd="/none"), KERNEL_PATH.encode(): File(b"k")}
    lacking = lowerdir(Stack([layer]).build(place / "lacking"))
    views = [View(place / f"v{n}", "-o", lacking if n == 0 else option) for n in range(4)]
    with views[0], views[1], views[2], views[3]:
        for view in views:
            settled(view)
        kill(views[2])
        (place / "file").touch()
        namespace.mount(str(views[1].root / KERNEL_PATH), str(place / "file"), None, MS_BIND)
        with stopped(views[3]):
            finished = viewfsctl("list", "--prometheus")
        namespace.unmount(str(place / "file"))
        assert (finished.status, finished.stderr) == (0, "")
        told = metrics(finished.stdout)
        states = {"alive": 2, "not_answering": 1, "dead": 1, "unknown": 0}
        for state, number in states.items():
            assert told[f'urunc_viewfs_views{{state="{state}"}}'] == number
        assert told["urunc_viewfs_missing_artifacts"] == 1
        assert told["urunc_viewfs_private_dirty_bytes"] > 100_000
        passed = "yes" if views[1].ready["passthrough"] else "no"
        assert told[f'urunc_viewfs_passthrough_views{{passthrough="{passed}"}}'] == 2
        assert told['urunc_viewfs_sandbox_views{sandbox="unknown"}'] == 2


@pytest.mark.parametrize("signals", [[signal.SIGCHLD], [signal.SIGPIPE, signal.SIGCHLD]], ids=str)
def test_signals_that_the_caller_ignores_or_blocks_do_not_matter(
    place: Path, option: bytes, signals: list[signal.Signals]
) -> None:
    def prepare() -> None:
        for number in signals:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))

    with View(place / "view", "-o", option) as view, View(place / "dead", "-o", option) as dead:
        kill(dead)
        finished = subprocess.run(
            [program("viewfsctl"), "list", "--json"], capture_output=True, text=True,
            preexec_fn=prepare, timeout=SECONDS, check=False,
        )  # fmt: skip
        told = json.loads(finished.stdout)["views"]
        assert [shown["state"] for shown in told] == ["alive", "dead"]
        finished = subprocess.run(
            [program("viewfsctl"), "gc"], capture_output=True, text=True, preexec_fn=prepare,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert f"removed dead view '{dead.root}'\n" in finished.stdout
        assert machine.is_alive(view.daemon_pid)


# By their numbers in <linux/capability.h>.
LOOKING = sum(1 << number for number in (2, 6, 7, 19, 21))
ENDING = LOOKING | 1 << 1 | 1 << 5


@pytest.mark.parametrize("words, kept", [(["list"], LOOKING), (["gc"], ENDING), (["doctor"], ENDING)])
def test_what_strangers_wrote_is_read_with_few_capabilities(
    place: Path, option: bytes, words: list[str], kept: int
) -> None:
    """While it waits for a view that does not answer."""
    with View(place / "view", "-o", option) as view, stopped(view):
        command = [program("viewfsctl"), *words]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            status = Path("/proc", str(process.pid), "status")

            def held() -> int:
                return int(re.search(r"^CapEff:\t(\w+)$", status.read_text(), re.M)[1], 16)

            assert wait_until(lambda: held() & ~kept == 0 and held(), "it to give up the others")
            assert process.wait(SECONDS) in (0, 64)


def test_a_view_that_is_asked_is_not_busy(place: Path, option: bytes) -> None:
    """umount(8) unmounts a view while commands wait for its answer: they ask a copy of the mount."""
    with View(place / "view", "-o", option) as view, ExitStack() as asking:
        view.wait_sandboxed()
        with stopped(view):
            process = asking.enter_context(
                subprocess.Popen([program("viewfsctl"), "list"], stdout=subprocess.DEVNULL)
            )
            waiting = view.mount.connection / "waiting"
            wait_until(lambda: waiting.read_text() != "0\n", "the view to be asked")
            view.unmount()
            assert machine.mounts_at(view.root) == []
        assert process.wait(SECONDS) == 0


def test_umount_keeps_few_capabilities(place: Path) -> None:
    """While the way to a place does not answer."""
    with machine.silent_fuse(place / "silent") as silent:
        with subprocess.Popen(
            [program("viewfsctl"), "umount", silent / "view"], stderr=subprocess.DEVNULL
        ) as process:
            wait_until(lambda: machine.children(process.pid), "a child")
            for pid in machine.family(process.pid):
                text = Path(f"/proc/{pid}/status").read_text()
                assert int(re.search(r"^CapPrm:\t(\w+)$", text, re.M)[1], 16) == ENDING
            assert process.wait(SECONDS) == 32


def test_lists_beside_a_hung_view_leave_one_process(place: Path, option: bytes) -> None:
    """Where a request waits already, no other one is added."""
    with View(place / "view", "-o", option) as view:
        view.wait_sandboxed()
        with stopped(view):
            for _ in range(3):
                assert listed_at(view.root)["state"] == "not answering"
                assert len(machine.processes({"viewfsctl"})) <= 1


USER = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
STRANGER = """
import ctypes, os, subprocess, sys
ctypes.CDLL(None).prctl(15, b"urunc-viewfs", 0, 0, 0)
for _ in range(int(sys.argv[1])):
    os.open("/dev/null", os.O_RDONLY)
print("ready", flush=True)
sys.stdin.read()
"""


def test_strangers_processes_and_descriptors_cost_nothing(place: Path, option: bytes) -> None:
    """They have the name, and as many descriptors as they like: none is looked at."""
    with View(place / "view", "-o", option) as view, ExitStack() as strangers:
        view.wait_sandboxed()
        for _ in range(20):
            stranger = strangers.enter_context(
                subprocess.Popen(
                    [*USER, sys.executable, "-c", STRANGER, "900"],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )
            )  # fmt: skip
            assert stranger.stdout and stranger.stdout.readline() == b"ready\n"
        if not shutil.which("strace"):
            skipping.skip("no strace")
        log = place / "calls"
        for words in (["list"], ["list", "--all"], ["gc"]):
            # A sanitizer cannot search for leaks below strace.
            wrapper = ["env", "LSAN_OPTIONS=detect_leaks=0",
                       "strace", "-qq", "-o", log, "-e", "trace=readlinkat,getdents64"]  # fmt: skip
            finished = subprocess.run([*wrapper, program("viewfsctl"), *words], capture_output=True)
            assert finished.returncode == 0
            assert log.read_text().count("readlinkat(") < 1000

