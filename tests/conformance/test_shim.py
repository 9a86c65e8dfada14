# SPDX-License-Identifier: Apache-2.0
"""The contract with urunc's containerd shim (packaging/containerd/README.md), kept from both sides:
the daemon is driven as the shim would, and the view used as urunc would.

Each test runs with a shim that does what the README says, and with the example in Go that lies
beside it. VIEWFS_PROGRAMS names a directory of installed programs, to test a package.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import image, machine, namespace, skipping
from support.helper_process import Gone, HelperProcess
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH
from support.layout import Layout, chain_id, usual_layers
from support.monitor import Monitor, digest
from support.shim import (
    DIRECTORY,
    EXAMPLE,
    Direct,
    Example,
    Shim,
    examples,
    mountpoint,
)
from support.stack import Dir, File, Stack
from support.task import (
    BOX,
    CONTENT,
    NAMESPACES,
    NOBODY,
    assert_serves,
    daemon,
    kill_daemon,
    read_all,
    rootfs,
)
from support.view import Finished, call, program, run, tree
from support.waiting import SECONDS, wait_until

# What a block snapshotter mounts.
BLOCK = [{"Type": "ext4", "Source": "/dev/loop7", "Target": "", "Options": ["rw"]}]
# A caller must be back this soon after the time that it set.
PATIENCE = 4

def request_of(mounts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same as Rootfs of a request to create a task."""
    return [{key.lower(): value for key, value in mount.items() if value} for mount in mounts]


# The whole way


@pytest.mark.parametrize("user", [0, NOBODY])
@pytest.mark.parametrize("spelled", [list, request_of], ids=["mount.Mount", "types.Mount"])
def test_a_container_is_created_booted_and_deleted_with_a_view(
    shim: Shim,
    bundle: Path,
    mounts: list[dict[str, Any]],
    spelled: Callable[[list[dict[str, Any]]], Any],
    user: int,
) -> None:
    before = image.fingerprint(bundle)
    made = shim.make(BOX, spelled(mounts))
    view = mountpoint(BOX)
    assert made.ready
    assert {"ready", "id", "mountpoint", "passthrough", "elapsed_us"} <= made.ready.keys()
    assert (made.ready["id"], made.ready["mountpoint"]) == (BOX, str(view))
    assert image.fingerprint(bundle) == before
    assert tree(view) == {*CONTENT, "unikernel/", "boot/"}
    with Monitor(bundle / "monRootfs", user) as monitor:
        monitor.bind(view, CONTENT)
        monitor.leave()
        assert set(monitor.call(os.listdir, "/")) == {"unikernel", "boot", "urunc.json"}
        for path in CONTENT:
            flags = monitor.call(os.statvfs, f"/{path}").f_flag
            for flag in (os.ST_RDONLY, os.ST_NODEV, os.ST_NOSUID, os.ST_NOEXEC):
                assert flags & flag
        read_all(monitor)
        kernel = monitor.open(f"/{KERNEL_PATH}")
        initrd = monitor.map(monitor.open(f"/{INITRD_PATH}"))
        # While the monitor runs nothing of this touches what it has open.
        shutil.rmtree(bundle)
        with pytest.raises(FileNotFoundError):
            monitor.open(f"/{KERNEL_PATH}")
        shim.delete(BOX)
        assert machine.mounts() == []
        assert monitor.digest(kernel) == digest(KERNEL)
        assert monitor.digest_mapped(initrd) == digest(INITRD)
        assert machine.is_alive(daemon().pid)
    wait_until(lambda: not machine.processes(), "the daemon to end with the monitor")
    shim.delete(BOX)


def test_a_monitor_keeps_what_was_bound_when_the_view_is_deleted_first(
    shim: Shim, bundle: Path, mounts: list[dict[str, Any]]
) -> None:
    """A monitor keeps what was bound for it, until it ends."""
    assert shim.make(BOX, mounts).ready
    with Monitor(bundle / "monRootfs") as monitor:
        monitor.bind(mountpoint(BOX), CONTENT)
        monitor.leave()
        shim.delete(BOX)
        read_all(monitor)
        assert machine.is_alive(daemon().pid)
    wait_until(lambda: not machine.processes(), "the daemon to end with the monitor")


def test_a_bind_of_a_view_has_the_flags_of_the_view(
    shim: Shim, bundle: Path, mounts: list[dict[str, Any]]
) -> None:
    """A bind whose flags nobody sets has those of the view."""
    assert shim.make(BOX, mounts).ready
    target = bundle / "kernel"
    target.touch()
    namespace.mount(str(mountpoint(BOX) / KERNEL_PATH), str(target), None, namespace.MS_BIND)
    (mount,) = machine.mounts_at(target)
    assert {"ro", "nodev", "nosuid", "noexec"} <= mount.options
    namespace.unmount(str(target), 0)
    shim.delete(BOX)


@pytest.mark.parametrize("flags", [0, os.O_CREAT], ids=["append", "append-create"])
def test_an_initrd_in_a_view_is_not_appended_to(
    shim: Shim, bundle: Path, mounts: list[dict[str, Any]], flags: int
) -> None:
    """As urunc does for a guest whose root filesystem is its initrd."""
    assert shim.make(BOX, mounts).ready
    with Monitor(bundle / "monRootfs") as monitor:
        monitor.bind(mountpoint(BOX), CONTENT)
        monitor.leave()
        with pytest.raises(OSError) as refused:
            monitor.open(f"/{INITRD_PATH}", os.O_APPEND | os.O_WRONLY | flags)
        assert refused.value.errno == errno.EROFS
    shim.delete(BOX)


@pytest.mark.parametrize(
    ("options", "readable"),
    [([], False), (["mode=0444"], True), ([f"uid={NOBODY}"], True)],
    ids=["the-layers", "mode", "uid"],
)
def test_another_user_reads_a_kernel_of_root_only_with_options(
    shim: Shim, place: Path, bundle: Path, options: list[str], readable: bool
) -> None:
    layers = image.with_file(File(KERNEL, mode=0o600)).build(place / "layers")
    assert shim.make(BOX, rootfs(layers), *options).ready
    with Monitor(bundle / "monRootfs", NOBODY) as monitor:
        monitor.bind(mountpoint(BOX), [KERNEL_PATH])
        monitor.leave()
        if readable:
            assert monitor.digest(monitor.open(f"/{KERNEL_PATH}")) == digest(KERNEL)
        else:
            with pytest.raises(PermissionError):
                monitor.open(f"/{KERNEL_PATH}")
    shim.delete(BOX)


def test_options_given_for_annotations_come_before_urunc_json(shim: Shim, place: Path) -> None:
    """Those of the bundle come before urunc.json, and the mounts do not hold them."""
    layers = Stack([{b"kernel": File(KERNEL), b"initrd": File(INITRD)}]).build(place / "layers")
    assert shim.make(BOX, rootfs(layers), "binary=/kernel", "initrd=/initrd").ready
    assert tree(mountpoint(BOX)) == {"kernel", "initrd"}
    shim.delete(BOX)


def test_resolve_ready_lists_the_artifacts_in_the_ready_line(
    shim: Shim, mounts: list[dict[str, Any]]
) -> None:
    made = shim.make(BOX, mounts, "resolve=ready")
    assert made.ready
    roles = {artifact["role"]: artifact for artifact in made.ready["artifacts"]}
    assert roles.keys() == {"config", "binary", "initrd"}
    assert roles["binary"].keys() == {"role", "path", "layer", "origin", "size"}
    assert (roles["binary"]["path"], roles["binary"]["layer"]) == ("/" + KERNEL_PATH, 1)
    assert roles["binary"]["size"] == len(KERNEL)
    shim.delete(BOX)


def test_a_daemon_keeps_nothing_of_its_shims(
    shim: Shim, place: Path, bundle: Path, mounts: list[dict[str, Any]]
) -> None:
    """No descriptor, no directory, no session: the bundle's filesystem can be unmounted."""
    with HelperProcess() as host:
        host.call(os.chdir, bundle)
        assert host.call(shim.make, BOX, mounts).ready
        process = daemon()
        assert os.readlink(process.proc / "cwd") == "/"
        assert int(process.stat()[3]) == process.pid
        # The program's own launcher is let go of when all that is left to find has been found.
        wait_until(lambda: is_its_own(process, place), "the daemon to have nothing but its own")
    shim.delete(BOX)


def is_its_own(process: machine.Process, layers: Path) -> bool:
    """Whether all that a daemon has open is a view's."""
    mine = ("/dev/null", *machine.SERVING, str(layers))
    return all(what.startswith(mine) for what in process.descriptors().values())


def test_removing_a_bundle_fails_inside_a_view_and_spares_the_layers(
    bundle: Path, mounts: list[dict[str, Any]], place: Path
) -> None:
    """Removing everything in it reaches into a view, and fails there; the layers stay."""
    before = image.fingerprint(place)
    (bundle / "view").mkdir()
    words = ["--mounts=-", "urunc-viewfs", bundle / "view"]
    assert run(program(), *words, stdin=json.dumps(mounts).encode()).status == 0
    with pytest.raises(OSError) as refused:
        shutil.rmtree(bundle)
    assert refused.value.errno == errno.EROFS
    assert image.fingerprint(place) == before
    namespace.unmount(str(bundle / "view"))


# Crashes


def outlive_the_daemon(monitor: Monitor) -> tuple[int, int]:
    """The kernel, open, and the initrd, mapped; nothing of them was read before."""
    monitor.bind(mountpoint(BOX), CONTENT)
    monitor.leave()
    kernel = monitor.open(f"/{KERNEL_PATH}")
    initrd = monitor.map(monitor.open(f"/{INITRD_PATH}"))
    kill_daemon()
    return kernel, initrd


def test_what_passes_through_outlives_the_daemon(
    shim: Shim, bundle: Path, mounts: list[dict[str, Any]]
) -> None:
    """What is open goes on, the first time it is read too; nothing else can be opened."""
    made = shim.make(BOX, mounts)
    assert made.ready
    with Monitor(bundle / "monRootfs") as monitor:
        kernel, initrd = outlive_the_daemon(monitor)
        with pytest.raises(OSError) as refused:
            monitor.open(f"/{KERNEL_PATH}")
        assert refused.value.errno == errno.ENOTCONN
        shim.delete(BOX)
        if not made.ready["passthrough"]:
            skipping.skip_kernel("no FUSE passthrough")
        assert monitor.digest(kernel) == digest(KERNEL)
        assert monitor.digest_mapped(initrd) == digest(INITRD)


def test_of_a_dead_view_no_file_can_be_opened_whatever_the_kernel_has_cached(
    shim: Shim, mounts: list[dict[str, Any]]
) -> None:
    """Names and attributes that were looked at before may still be there."""
    assert shim.make(BOX, mounts).ready
    at = mountpoint(BOX)
    assert set(CONTENT) <= tree(at)
    kill_daemon()
    for path in (at / KERNEL_PATH, at / "urunc.json"):
        with pytest.raises(OSError) as refused:
            path.read_bytes()
        assert refused.value.errno == errno.ENOTCONN
    with pytest.raises(OSError) as refused:
        os.lstat(at / "never-looked-up")
    assert refused.value.errno == errno.ENOTCONN
    shim.delete(BOX)


def test_what_does_not_pass_through_ends_with_the_daemon(
    shim: Shim, bundle: Path, mounts: list[dict[str, Any]]
) -> None:
    """Reading fails, and a page of a mapping that was never there kills the monitor."""
    assert shim.make(BOX, mounts, "passthrough=off").ready
    with Monitor(bundle / "monRootfs") as monitor:
        kernel, initrd = outlive_the_daemon(monitor)
        with pytest.raises(OSError) as refused:
            monitor.digest(kernel)
        assert refused.value.errno == errno.ENOTCONN
        with pytest.raises(Gone):
            monitor.digest_mapped(initrd)
        assert monitor.status == -signal.SIGBUS
    shim.delete(BOX)


# The same again


def test_the_same_call_twice_gives_the_same_line_and_daemon(
    shim: Shim, mounts: list[dict[str, Any]]
) -> None:
    """It is there already: the same ready line, and the same daemon."""
    first = shim.make(BOX, mounts)
    before = daemon()
    again = shim.make(BOX, mounts)
    assert first.ready and again.ready
    # By then the artifacts may be known, too.
    assert first.ready.items() <= again.ready.items()
    wait_until(lambda: len(machine.processes()) == 1, "the second call's processes to end")
    assert daemon().pid == before.pid
    assert len(machine.mounts_at(mountpoint(BOX))) == 1
    assert_serves(mountpoint(BOX))
    shim.delete(BOX)


def test_another_live_view_at_the_mountpoint_is_rejected(
    place: Path, mounts: list[dict[str, Any]], example: Example
) -> None:
    """Of a container of the same name, whose deletion was skipped."""
    other = rootfs(image.with_file(File(b"other")).build(place / "other"))
    assert Direct().make(BOX, other).ready
    before = daemon()
    refused = Direct().make(BOX, mounts)
    assert (refused.ready, refused.code) == (None, "EMOUNT")
    assert (mountpoint(BOX) / KERNEL_PATH).read_bytes() == b"other"
    # The example deletes it, and tries again.
    assert example.make(BOX, mounts).ready
    wait_until(lambda: not machine.is_alive(before.pid), "the other daemon to end")
    assert_serves(mountpoint(BOX))
    example.delete(BOX)


def test_a_dead_view_is_replaced(shim: Shim, mounts: list[dict[str, Any]]) -> None:
    """Its deletion was skipped, too."""
    assert shim.make(BOX, mounts).ready
    kill_daemon()
    assert shim.make(BOX, mounts).ready
    assert len(machine.mounts_at(mountpoint(BOX))) == 1
    assert_serves(mountpoint(BOX))
    shim.delete(BOX)


def test_two_containers_of_one_image_have_independent_views(
    shim: Shim, bundle: Path, mounts: list[dict[str, Any]]
) -> None:
    boxes = ["web-1", "web-2"]
    with ExitStack() as processes:
        monitors = {}
        for box in boxes:
            assert shim.make(box, mounts).ready
            root = bundle / box
            root.mkdir()
            monitors[box] = processes.enter_context(Monitor(root, NOBODY))
            monitors[box].bind(mountpoint(box), CONTENT)
            monitors[box].leave()
        assert len(machine.processes()) == 2
        shim.delete(boxes[0])
        monitors[boxes[0]].kill()
        wait_until(lambda: len(machine.processes()) == 1, "the first one's daemon to end")
        read_all(monitors[boxes[1]])
        assert_serves(mountpoint(boxes[1]))
        shim.delete(boxes[1])


def test_one_id_in_two_namespaces_is_two_views(shim: Shim, mounts: list[dict[str, Any]]) -> None:
    """containerd's ids are unique only within one."""
    for of in NAMESPACES:
        assert shim.make(BOX, mounts, of=of).ready
    shim.delete(BOX, "default")
    wait_until(lambda: len(machine.processes()) == 1, "the first one's daemon to end")
    assert_serves(mountpoint(BOX, "k8s.io"))
    shim.delete(BOX, "k8s.io")


# Removing


def never_made(shim: Shim, mounts: Any) -> None:
    pass


def dead(shim: Shim, mounts: Any) -> None:
    assert shim.make(BOX, mounts).ready
    kill_daemon()


def unmounted(shim: Shim, mounts: Any) -> None:
    assert shim.make(BOX, mounts).ready
    namespace.unmount(str(mountpoint(BOX)), 0)


def on_top_of_another(shim: Shim, mounts: Any) -> None:
    assert shim.make(BOX, mounts).ready
    at = str(mountpoint(BOX))
    namespace.mount(at, at, None, namespace.MS_BIND)


def stopped(shim: Shim, mounts: Any) -> None:
    """It answers nothing, and is not asked."""
    assert shim.make(BOX, mounts).ready
    daemon().signal(signal.SIGSTOP)


@pytest.mark.parametrize("state", [never_made, dead, unmounted, on_top_of_another, stopped])
def test_delete_succeeds_twice_in_any_state_of_the_view(
    shim: Shim, mounts: list[dict[str, Any]], state: Callable[[Shim, Any], None]
) -> None:
    state(shim, mounts)
    for _ in range(2):
        shim.delete(BOX)
        assert not mountpoint(BOX).exists()
        assert machine.mounts() == []
    for process in machine.processes():
        process.signal(signal.SIGCONT)


def test_delete_succeeds_while_another_call_mounts(
    example: Example, mounts: list[dict[str, Any]]
) -> None:
    """Between what is unmounted and what is removed there."""
    if not shutil.which("strace"):
        skipping.skip("no strace")
    assert example.make(BOX, mounts).ready
    busy = ["-e", "trace=rmdir,unlinkat", "-e", "inject=rmdir,unlinkat:error=EBUSY:when=1"]
    wrapper = ["strace", "-f", "-o", "/dev/null", *busy]
    with example.command("delete", "default", BOX, wrapper=wrapper) as process:
        _, stderr = process.communicate(timeout=SECONDS)
    assert (process.returncode, stderr) == (0, b"")
    assert not mountpoint(BOX).exists()


def test_two_deletes_at_once_both_succeed(shim: Shim, mounts: list[dict[str, Any]]) -> None:
    with HelperProcess() as one, HelperProcess() as other:
        for _ in range(10):
            assert shim.make(BOX, mounts).ready
            for host in (one, other):
                host.tell(shim.delete, BOX)
            for host in (one, other):
                host.outcome()
            assert machine.mounts() == []


def test_delete_during_creation_leaves_a_view_or_a_failed_call(
    shim: Shim, mounts: list[dict[str, Any]]
) -> None:
    """Either there is a view then, or a call that failed."""
    with HelperProcess() as one, HelperProcess() as other:
        for _ in range(10):
            one.tell(shim.make, BOX, mounts)
            other.tell(shim.delete, BOX)
            made = one.outcome()
            other.outcome()
            assert made.ready or made.code == "EMOUNT", made
            shim.delete(BOX)
            wait_until(lambda: not machine.processes(), "the daemon to end")


@pytest.mark.parametrize("state", [dead, unmounted, stopped])
def test_viewfsctl_unmounts_in_any_state_of_the_view(
    mounts: list[dict[str, Any]], state: Callable[[Shim, Any], None]
) -> None:
    state(Direct(), mounts)
    for _ in range(2):
        finished = run(program("viewfsctl"), "umount", mountpoint(BOX))
        assert (finished.status, finished.stderr) == (0, "")
        assert machine.mounts() == []
    for process in machine.processes():
        process.signal(signal.SIGCONT)
    mountpoint(BOX).rmdir()


def test_viewfsctl_umount_ends_the_daemon_under_a_monitor(
    bundle: Path, mounts: list[dict[str, Any]]
) -> None:
    """It ends the daemon, whoever still has a copy."""
    assert Direct().make(BOX, mounts).ready
    with Monitor(bundle / "monRootfs") as monitor:
        monitor.bind(mountpoint(BOX), CONTENT)
        monitor.leave()
        assert run(program("viewfsctl"), "umount", mountpoint(BOX)).status == 0
        wait_until(lambda: not machine.processes(), "the daemon to end")
        with pytest.raises(OSError) as refused:
            monitor.open(f"/{KERNEL_PATH}")
        assert refused.value.errno == errno.ENOTCONN
    mountpoint(BOX).rmdir()


def test_a_dead_view_is_collected_by_gc(mounts: list[dict[str, Any]]) -> None:
    dead(Direct(), mounts)
    assert Direct().make("web-2", mounts).ready
    assert run(program("viewfsctl"), "gc").status == 0
    assert [Path(os.fsdecode(m.mountpoint)) for m in machine.mounts()] == [mountpoint("web-2")]
    for box in (BOX, "web-2"):
        Direct().delete(box)


# No view


NOT_APPLICABLE: dict[str, Any] = {
    "null": None,
    "nothing": [],
    "block": [{"Type": "ext4", "Source": "/dev/mapper/pool-snap-1", "Options": ["ro"]}],
    "several": [{"Type": "bind", "Source": "/a"}, {"Type": "bind", "Source": "/b"}],
    "relative": [{"Type": "overlay", "Options": ["lowerdir=2/fs:1/fs"]}],
}


@pytest.mark.parametrize("mounts", NOT_APPLICABLE.values(), ids=NOT_APPLICABLE.keys())
def test_mounts_without_layers_are_not_applicable(shim: Shim, mounts: Any) -> None:
    made = shim.make(BOX, mounts)
    assert (made.ready, made.code) == (None, "ENOTAPPLICABLE")
    assert made.message
    assert not mountpoint(BOX).exists()


def test_an_image_without_urunc_json_is_not_applicable(shim: Shim, place: Path) -> None:
    layers = Stack([{b"bin": Dir()}, {b"etc/hostname": File(b"a")}]).build(place / "layers")
    made = shim.make(BOX, rootfs(layers))
    assert (made.ready, made.code) == (None, "ENOTAPPLICABLE")
    assert not mountpoint(BOX).exists()


WRONG: dict[str, tuple[Stack, list[str], str]] = {
    "an-option": (image.usual(), ["colour=red"], "EUSAGE"),
    "a-configuration": (Stack([{b"urunc.json": File(b"{")}]), [], "ECONFIG"),
    "a-file-that-is-missing": (
        Stack([{b"urunc.json": image.urunc_json()}]), ["resolve=ready"], "ENOARTIFACT",
    ),
    "a-path-that-is-not-allowed": (
        Stack([{b"urunc.json": image.urunc_json("a b")}]), [], "EARTIFACT",
    ),
    "a-directory": (image.with_file(Dir()), ["resolve=ready"], "EARTIFACT"),
}  # fmt: skip


@pytest.mark.parametrize(("stack", "options", "code"), WRONG.values(), ids=WRONG.keys())
def test_a_bad_image_fails_with_its_code_and_leaves_nothing(
    shim: Shim, place: Path, stack: Stack, options: list[str], code: str
) -> None:
    made = shim.make(BOX, rootfs(stack.build(place / "layers")), *options)
    assert (made.ready, made.code) == (None, code), made
    assert not mountpoint(BOX).exists()


def test_a_missing_layer_is_elayer(shim: Shim) -> None:
    made = shim.make(BOX, rootfs([b"/nowhere/1/fs"]))
    assert (made.ready, made.code) == (None, "ELAYER")
    assert not mountpoint(BOX).exists()


def test_mounts_that_are_not_json_are_a_usage_error() -> None:
    mountpoint(BOX).mkdir(parents=True)
    words = ["--mounts=-", f"--id={BOX}", "urunc-viewfs", mountpoint(BOX)]
    assert run(program(), *words, stdin=b'[{"Type":').status == 1
    mountpoint(BOX).rmdir()


@pytest.mark.parametrize(
    ("of", "name"),
    [("default", name) for name in ("", ".", "..", "a/b")] + [("..", BOX), (".index", BOX)],
)
def test_a_name_that_is_not_one_directory_is_rejected(example: Example, of: str, name: str) -> None:
    assert example.make(name, [], of=of).ready is None
    with example.command("delete", of, name) as process:
        _, stderr = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert re.search(b"is no name for a directory", stderr)
    assert not DIRECTORY.exists()


# A layer that never answers


def silent_rootfs(silent: Path) -> list[dict[str, Any]]:
    return [{"Type": "bind", "Source": str(silent), "Options": ["rbind", "ro"]}]


def test_a_call_ends_at_its_timeout_and_leaves_nothing(shim: Shim, place: Path) -> None:
    with machine.silent_fuse(place / "silent") as silent:
        start = time.monotonic()
        made = shim.make(BOX, silent_rootfs(silent), seconds=1)
        assert 0.9 < time.monotonic() - start < PATIENCE
        assert made.ready is None
        assert made.code == ("ESYSTEM" if isinstance(shim, Direct) else "")
        assert machine.mounts() == []
        assert not mountpoint(BOX).exists()
        wait_until(lambda: not machine.processes(), "its processes to go")


def test_a_call_ends_where_the_program_cannot_be_killed(
    example: Example, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second after its time, as for a program that ignores SIGTERM."""
    programs = place / "bin"
    programs.mkdir()
    (programs / "urunc-viewfs").write_text(f"#!/bin/sh\nread line <{place}/stuck/file\n")
    (programs / "urunc-viewfs").chmod(0o755)
    monkeypatch.setenv("VIEWFS_PROGRAMS", str(programs))
    with machine.stuck_fuse(place / "stuck") as connection:
        start = time.monotonic()
        with example.command("-timeout=500ms", "create", "default", BOX) as process:
            assert process.stdin
            process.stdin.write(b"[]")
            process.stdin.close()
            os.read(connection, machine.FUSE_READ_MIN)
            assert process.stdout
            made = json.loads(process.stdout.read())
        assert 1.4 < time.monotonic() - start < PATIENCE
        assert "deadline exceeded" in made["reason"]
        assert not mountpoint(BOX).exists()


def test_a_timeout_at_any_moment_leaves_a_view_or_nothing(
    example: Example, mounts: list[dict[str, Any]]
) -> None:
    """When the call is back there is a view, or none that could still come."""
    start = time.monotonic()
    assert example.make(BOX, mounts).ready
    whole = time.monotonic() - start
    example.delete(BOX)
    outcomes: dict[bool, int] = {True: 0, False: 0}
    for n in range(60):
        made = example.make(BOX, mounts, seconds=whole * n / 60)
        outcomes[made.ready is not None] += 1
        if made.ready:
            assert_serves(mountpoint(BOX))
        else:
            assert machine.mounts() == []
            assert not mountpoint(BOX).exists()
            wait_until(lambda: not machine.processes(), "its processes to go")
            assert machine.mounts() == []
        example.delete(BOX)
    assert all(outcomes.values()), outcomes


def test_nothing_is_left_when_a_waiting_shim_dies_with_its_processes(
    shim: Shim, place: Path
) -> None:
    with machine.silent_fuse(place / "silent") as silent:
        with HelperProcess() as host:
            host.tell(shim.make, BOX, silent_rootfs(silent))
            wait_until(lambda: len(machine.processes()) == 2, "the server to start")
        wait_until(lambda: not machine.processes(), "its processes to go")
        assert machine.mounts() == []
    shim.delete(BOX)


def test_nothing_is_left_when_a_waiting_shim_dies_alone(example: Example, place: Path) -> None:
    with machine.silent_fuse(place / "silent") as silent:
        # Longer than anybody here waits.
        with example.command("create", "default", BOX, "timeout=600") as process:
            assert process.stdin
            process.stdin.write(json.dumps(silent_rootfs(silent)).encode())
            process.stdin.close()
            wait_until(lambda: len(machine.processes()) == 2, "the server to start")
            process.kill()
        wait_until(lambda: not machine.processes(), "its processes to go")
        assert machine.mounts() == []
    example.delete(BOX)


# What is written


def test_the_commands_of_the_readme_make_and_remove_a_view(
    tmp_path: Path, mounts: list[dict[str, Any]]
) -> None:
    make, _, _, remove = examples("sh")
    (tmp_path / "mounts.json").write_text(json.dumps(mounts))
    path = f"{program().parent}:{os.environ['PATH']}"
    env = {"PATH": path, "namespace": "default", "id": BOX}
    assert run("sh", "-eu", "-c", make, cwd=tmp_path, env=env) == Finished(0, "", "")
    ready = json.loads((tmp_path / "ready.json").read_text())
    assert ready["mountpoint"] == str(mountpoint(BOX))
    assert_serves(mountpoint(BOX))
    assert run("sh", "-eu", "-c", remove, env=env) == Finished(0, "", "")
    assert not mountpoint(BOX).exists()


def test_the_command_of_the_readme_for_blobs_has_the_image_added_and_then_makes_a_view(
    tmp_path: Path, place: Path
) -> None:
    """The second container of an image that a block snapshotter keeps has a view."""
    content = Layout(place / "content")
    manifest = content.image(usual_layers())["digest"]
    _, make, _, remove = examples("sh")
    (tmp_path / "mounts.json").write_text(json.dumps(BLOCK))
    make = make.replace("/var/lib/containerd/io.containerd.content.v1.content", "$content")
    env = {
        "PATH": f"{program().parent}:{os.environ['PATH']}",
        "namespace": "default", "id": BOX, "content": str(content.directory),
        "chain": chain_id(usual_layers()), "manifest": manifest,
    }  # fmt: skip
    with namespace.tmpfs("/var/cache"):
        mountpoint(BOX).mkdir(parents=True)
        missed = run("sh", "-eu", "-c", make, cwd=tmp_path, env=env)
        assert (missed.status, missed.stdout, missed.stderr) == (32, "", "")
        told = json.loads((tmp_path / "ready.json").read_text())
        assert told["error"]["code"] == "ENOTAPPLICABLE"
        wait_until(lambda: any(Path("/var/cache").glob("urunc-viewfs/chains/*")), "the image")
        wait_until(lambda: not machine.processes(["viewfsctl"]), "the process that adds it to end")
        shutil.rmtree(content.directory)
        assert run("sh", "-eu", "-c", make, cwd=tmp_path, env=env) == Finished(0, "", "")
        ready = json.loads((tmp_path / "ready.json").read_text())
        assert ready["image"] == {"chain": env["chain"]}
        assert_serves(mountpoint(BOX))
        assert run("sh", "-eu", "-c", remove, env=env) == Finished(0, "", "")


def test_the_lines_of_the_readme_have_the_programs_keys(
    mounts: list[dict[str, Any]], place: Path
) -> None:
    """They have the keys that the program writes."""
    lines, (log,) = (list(map(json.loads, text.splitlines())) for text in examples("json"))
    ready, failed = lines
    mountpoint(BOX).mkdir(parents=True)
    words = ["--mounts=-", f"--id={BOX}", "--log-format=json", "urunc-viewfs", mountpoint(BOX)]
    assert call(*words, stdin=json.dumps(mounts).encode()).ready.keys() == ready.keys()
    Direct().delete(BOX)
    mountpoint(BOX).mkdir()
    layers = [{}] * 19 + [{b"urunc.json": image.urunc_json()}]
    stdin = json.dumps(rootfs(Stack(layers).build(place / "twenty"))).encode()
    finished = call("-o", "resolve=ready", *words, stdin=stdin)
    assert finished.ready == failed
    said = json.loads(finished.stderr)
    assert {**said, "time": log["time"]} == log
    mountpoint(BOX).rmdir()


# Another version


def test_running_views_outlive_a_replaced_program(
    shim: Shim, tmp_path: Path, mounts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views that are there go on with the old one; new ones have the new one."""
    original = program()
    for name in ("urunc-viewfs", "new"):
        shutil.copy(original, tmp_path / name)
    monkeypatch.setenv("VIEWFS_PROGRAMS", str(tmp_path))
    assert shim.make("web-1", mounts).ready
    old = daemon()
    os.replace(tmp_path / "new", tmp_path / "urunc-viewfs")
    assert shim.make("web-2", mounts).ready
    assert machine.is_alive(old.pid)
    assert os.readlink(old.proc / "exe").endswith(" (deleted)")
    for box in ("web-1", "web-2"):
        assert_serves(mountpoint(box))
        shim.delete(box)


# The example itself


def test_the_example_needs_the_module_only() -> None:
    """The standard library, and the language that Debian 12 has."""
    lines = (EXAMPLE / "go.mod").read_text().splitlines()
    required = [line.split()[1] for line in lines if line.startswith("require ")]
    assert ("go 1.19" in lines, required) == (True, ["urunc-viewfs.invalid/viewfs"])
    assert not (EXAMPLE / "go.sum").exists()
