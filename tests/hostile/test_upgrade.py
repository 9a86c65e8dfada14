# SPDX-License-Identifier: Apache-2.0
"""viewfsctl upgrade: the installed program takes over running views. Nothing is unmounted, no reader
sees an error, and a failure at any step leaves the old process serving."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from support import image, machine, namespace
from support.control import ID, listed_at, viewfsctl
from support.image import INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.seccomp_deny import deny
from support.view import Argument, View, call, program, run
from support.waiting import wait_until
from test_survival import read_all_the_time, read_whole, server_of


@pytest.fixture
def layers(place: Path) -> list[bytes]:
    return image.usual().build(place / "layers")


def serving(place: Path, layers: list[bytes], more: str = "", *words: Argument, **how: Any) -> View:
    option = lowerdir(layers) + more.encode()
    return View(place / "view", f"--id={ID}", *words, "-o", option, **how)


def upgrade(*words: Argument, wrapper: tuple[Argument, ...] = ()) -> list[dict[str, Any]]:
    """What each view came to."""
    finished = run(*wrapper, program("viewfsctl"), "upgrade", "--json", *words, seconds=60)
    views = json.loads(finished.stdout)["views"]
    failed = [view["error"]["message"] for view in views if not view["upgraded"]]
    assert finished.stderr.splitlines() == [f"viewfsctl: {message}" for message in failed]
    assert finished.status == (32 if failed else 0)
    return views


def take_over(view: View, *words: Argument, **how: Any) -> machine.Process:
    """Upgrade VIEW, which is the new process's then. The old ones are gone, without an error."""
    before = view.processes
    (told,) = upgrade(ID, *words, **how)
    assert told == {
        "id": ID, "mountpoint": str(view.root), "upgraded": True, "pid": told["pid"],
    }  # fmt: skip
    wait_until(lambda: not any(machine.is_alive(p.pid) for p in before), "the old processes to end")
    assert machine.exit_status(view.adopted_pid) == -signal.SIGKILL
    view.processes = machine.processes()
    view.daemon_pid = view.adopted_pid = told["pid"]
    return next(p for p in view.processes if p.pid == told["pid"])


def facts(root: Path) -> list[tuple[int, ...]]:
    """What no reader may see change."""
    kernel, initrd = root / KERNEL_PATH, root / INITRD_PATH
    found = [root, root / "urunc.json", kernel, kernel.parent, initrd, initrd.parent]
    return [
        (st.st_dev, st.st_ino, st.st_mode, st.st_uid, st.st_gid, st.st_size, st.st_mtime_ns,
         st.st_ctime_ns, st.st_nlink, st.st_blocks)
        for st in map(os.stat, found)
    ]  # fmt: skip


def drop_what_the_kernel_knows() -> None:
    Path("/proc/sys/vm/drop_caches").write_text("2")


KINDS = ["passthrough=on", "passthrough=off", "survive=on", "survive=on,passthrough=off"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_that_was_upgraded_shows_the_same(
    place: Path, layers: list[bytes], kind: str
) -> None:
    """Twice: what took it over can be upgraded, too."""
    with serving(place, layers, f",{kind}") as view:
        view.wait_sandboxed()
        before = facts(view.root)
        said = listed_at(view.root)
        with open(view.root / KERNEL_PATH, "rb") as file:
            for n in range(1, 3):
                daemon = take_over(view)
                wait_until(daemon.is_sandboxed, "the new process to wait")
                drop_what_the_kernel_knows()
                assert facts(view.root) == before
                file.seek(0)
                assert file.read() == KERNEL
                read_whole(view.root)
                with pytest.raises(FileNotFoundError):
                    os.stat(view.root / f"none-{n}")
                now = listed_at(view.root)
                assert now["generation"] == n + 1
                assert now["pid"] == (server_of(view) if "survive" in kind else daemon.pid)
                for key in ("pid", "generation", "private_dirty"):
                    now[key] = said[key]
                assert now == said


def test_a_process_that_took_over_is_sandboxed_as_any(place: Path, layers: list[bytes]) -> None:
    with serving(place, layers) as view:
        old = view.wait_sandboxed()
        kept = old.descriptors()
        new = take_over(view)
        wait_until(lambda: new.descriptors() == kept, "it to have what the old one had")
        assert int(new.status("CapPrm"), 16) == 0
        assert new.status("NoNewPrivs") == "1"
        assert new.stat()[3] == str(new.pid), "a session of its own"
        for number in range(3):
            assert number not in kept
        title = (new.proc / "cmdline").read_bytes()
        assert title.startswith(f'urunc-viewfs: {{"ready":true,"id":"{ID}"'.encode())
        assert (new.proc / "comm").read_text() == "urunc-viewfs\n"


@pytest.mark.parametrize("kind", KINDS)
def test_no_reader_sees_an_error_of_an_upgrade(
    place: Path, layers: list[bytes], kind: str
) -> None:
    with serving(place, layers, f",{kind}") as view:
        view.wait_sandboxed()
        with read_all_the_time(view.root):
            for _ in range(5):
                take_over(view)
                if "survive" in kind:
                    server = server_of(view)
                    os.kill(server, signal.SIGKILL)
                    server_of(view, after=server)
        assert listed_at(view.root)["generation"] == (11 if "survive" in kind else 6)


def test_a_view_survives_after_an_upgrade(place: Path, layers: list[bytes]) -> None:
    with serving(place, layers, ",survive=on") as view:
        view.wait_sandboxed()
        standby = take_over(view)
        assert (standby.proc / "comm").read_text() == "viewfs-standby\n"
        assert (standby.proc / "cmdline").read_text() == f"urunc-viewfs: standby of {ID}\0"
        assert listed_at(view.root)["survives"] is True
        server = server_of(view)
        assert b'"ready":true' in Path(f"/proc/{server}/cmdline").read_bytes()
        os.kill(server, signal.SIGKILL)
        server_of(view, after=server)
        read_whole(view.root)


@pytest.mark.parametrize("survives", ["off", "on"])
@pytest.mark.parametrize("end", ["umount", "released", "killed"])
@pytest.mark.parametrize("kind", ["lifeline", "foreground"])
def test_what_holds_a_view_holds_it_after_an_upgrade(
    place: Path, layers: list[bytes], kind: str, end: str, survives: str
) -> None:
    """It waits for the new process as its own child."""
    line, mine = os.pipe()
    foreground = kind == "foreground"
    words = [] if foreground else [f"--lifeline={line}"]
    with serving(
        place, layers, f",survive={survives}", *words, foreground=foreground, pass_fds=[line]
    ) as view:
        os.close(line)
        daemon = view.wait_sandboxed()
        supervisor = int(daemon.stat()[1])
        kept = machine.Process(supervisor, "", ()).descriptors()
        with read_all_the_time(view.root):
            for _ in range(3):
                before = {p.pid for p in machine.processes()} - {supervisor}
                (told,) = upgrade(ID)
                assert told["pid"] not in before
                wait_until(lambda: not any(map(machine.is_alive, before)), "the old ones to end")
                child = [told["pid"]]
                wait_until(lambda: machine.children(supervisor) == child, "its new child")
        assert machine.Process(supervisor, "", ()).descriptors() == kept
        view.processes = machine.processes()
        if end == "umount":
            view.unmount()
        elif end == "killed":
            os.kill(supervisor, signal.SIGKILL)
            view.status = -signal.SIGKILL
        elif foreground:
            os.kill(supervisor, signal.SIGTERM)
        else:
            os.close(mine)
        view.wait_gone()
        if end == "killed":
            namespace.unmount(os.fsencode(view.root))
        assert machine.mounts_at(view.root) == []
    if foreground or end != "released":
        os.close(mine)


def test_a_lifeline_holds_a_view_of_another_call_after_an_upgrade(
    place: Path, layers: list[bytes]
) -> None:
    with serving(place, layers, ",survive=on") as view:
        view.wait_sandboxed()
        line, mine = os.pipe()
        option = lowerdir(layers) + b",survive=on"
        finished = call(
            f"--lifeline={line}", f"--id={ID}", "-o", option, "none", view.root, pass_fds=[line]
        )
        os.close(line)
        assert finished.status == 0, finished
        watchers = {p.pid for p in machine.processes()} - {p.pid for p in view.processes}
        watchers -= set(machine.children(view.daemon_pid))
        for _ in range(3):
            (told,) = upgrade(ID)
        assert machine.exit_status(view.adopted_pid) == -signal.SIGKILL
        read_whole(view.root)
        (watcher,) = (p for p in watchers if machine.is_alive(p))
        os.close(mine)
        wait_until(lambda: not machine.processes(), "the view to end")
        view._waited = True


def test_a_program_that_was_replaced_is_upgraded(place: Path, layers: list[bytes]) -> None:
    """As a package does it: the running one's file is gone."""
    old = place / "urunc-viewfs"
    shutil.copy(program(), old)
    (place / "view").mkdir()
    finished = run(old, f"--id={ID}", "-o", lowerdir(layers), "none", place / "view")
    assert finished.status == 0, finished
    (process,) = machine.processes()
    wait_until(process.is_sandboxed, "it")
    os.rename(shutil.copy(program(), place / "new"), old)
    (told,) = upgrade(ID, f"--binary={old}")
    assert told["upgraded"] is True
    assert os.readlink(f"/proc/{told['pid']}/exe") == str(old)
    read_whole(place / "view")
    viewfsctl("umount", place / "view")


def refused_upgrade(view: View, *words: Argument, **how: Any) -> str:
    """Why it was not done. The process goes on as it was."""
    before = [p.pid for p in machine.processes()]
    (told,) = upgrade(ID, *words, **how)
    assert told["upgraded"] is False and "pid" not in told
    wait_until(
        lambda: [p.pid for p in machine.processes()] == before, "the new process to end"
    )
    drop_what_the_kernel_knows()
    read_whole(view.root)
    assert listed_at(view.root)["generation"] in (None, 1)
    return told["error"]["message"]


def test_a_program_that_cannot_take_over_leaves_the_view(
    place: Path, layers: list[bytes]
) -> None:
    with serving(place, layers) as view:
        view.wait_sandboxed()
        said = refused_upgrade(view, "--binary=/bin/true")
        assert said == (
            f"upgrade '{view.root}': not upgraded: the new process ended without reporting an error"
        )


def test_a_call_names_its_views_and_a_program() -> None:
    finished = viewfsctl("upgrade")
    assert (finished.status, finished.stderr.splitlines()[0]) == (1, "viewfsctl: ID is missing")
    finished = viewfsctl("upgrade", "none-of-this-name")
    assert finished.status == 32
    assert finished.stderr == (
        "viewfsctl: upgrade 'none-of-this-name': no view has that id\n"
    )
    finished = viewfsctl("upgrade", "--binary=/none", "x")
    assert finished.status == 2 and "--binary=/none: No such file" in finished.stderr
