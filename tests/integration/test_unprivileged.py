# SPDX-License-Identifier: Apache-2.0
"""A view that a user mounts, who may not: by fusermount3, or in a user namespace."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support import image, machine, namespace, skipping
from support.image import KERNEL, KERNEL_PATH, lowerdir
from support.injection import injecting
from support.stored import Store, arguments, chain, tree
from support.view import Argument, Finished, View, call, program, refused, run
from support.waiting import wait_until

NOBODY = pwd.getpwnam("nobody")

USER = [
    *(shutil.which("setpriv") or "setpriv", f"--reuid={NOBODY.pw_uid}"),
    *(f"--regid={NOBODY.pw_gid}", "--clear-groups", "--"),
]


@pytest.fixture(autouse=True)
def _device() -> Iterator[None]:
    """/dev/fuse as udev makes it: for everybody."""
    with machine.private_dev("fuse") as dev:
        (dev / "fuse").chmod(0o666)
        yield


@pytest.fixture(autouse=True)
def _programs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a user can reach them."""
    reachable = place / "build" / "fuse"
    reachable.mkdir(parents=True)
    for name in ("urunc-viewfs", "mount.urunc-viewfs", "viewfsctl"):
        shutil.copy(program(name), reachable)
    monkeypatch.setenv("VIEWFS_BUILD", str(place / "build"))


@pytest.fixture
def fusermount3() -> str:
    path = shutil.which("fusermount3")
    if not path:
        skipping.skip("no fusermount3")
    if not os.stat(path).st_mode & 0o4000:
        skipping.skip(f"{path} is not set-user-ID")
    return path


@pytest.fixture
def option(place: Path, fusermount3: str) -> bytes:
    return lowerdir(image.usual().build(place / "layers")) + b",userxattr"


@pytest.fixture
def at(place: Path) -> Path:
    """A mountpoint of the user's."""
    mountpoint = place / "view"
    mountpoint.mkdir()
    os.chown(mountpoint, NOBODY.pw_uid, NOBODY.pw_gid)
    return mountpoint


def mounted(at: Path, option: bytes, **how: Any) -> View:
    return View(at, "-o", option, wrapper=USER, **how)


def attempt(at: Path, option: bytes, **how: Any) -> Finished:
    return call("-o", option, "--", "none", at, wrapper=USER, **how)


def as_user(*command: Argument) -> Finished:
    return run(*USER, *command)


def same_as_the_kernel(at: Path, place: Path) -> Finished:
    """Compares as the user."""
    (place / "kernel").write_bytes(KERNEL)
    return as_user("cmp", place / "kernel", at / KERNEL_PATH)


SILENCE = Finished(0, "", "")


def test_a_user_mounts_a_view(place: Path, at: Path, option: bytes) -> None:
    with mounted(at, option, source="label") as view:
        assert view.ready["passthrough"] is False
        assert view.mount.type == "fuse.urunc-viewfs"
        assert view.mount.source == b"label"
        assert {"ro", "nosuid", "nodev", "noexec"} <= view.mount.options
        assert b"user_id=%d" % NOBODY.pw_uid in view.mount.super_options
        assert b"default_permissions" in view.mount.super_options
        assert view.daemon.proc.stat().st_uid == NOBODY.pw_uid
        assert same_as_the_kernel(at, place) == SILENCE
        written = as_user("touch", at / KERNEL_PATH)
        assert "Read-only file system" in written.stderr


def wait_confined(at: Path) -> None:
    """Only the user may ask the view. A build with sanitizers confines it as far as it can."""

    def is_confined() -> bool:
        listed = json.loads(as_user(program("viewfsctl"), "list", "--json").stdout)["views"]
        return any(view["sandbox"] for view in listed if view["mountpoint"] == str(at))

    wait_until(is_confined, "the view to be sandboxed")


def test_root_upgrades_a_users_view(place: Path, at: Path, option: bytes) -> None:
    """The user may not look at its process, which is in its sandbox."""
    name = f"user-{os.getpid()}"
    with View(at, f"--id={name}", "-o", option, wrapper=USER) as view:
        wait_confined(at)
        refused = as_user(program("viewfsctl"), "upgrade", name)
        assert refused.status == 32
        assert "not upgraded: it requires CAP_SYS_PTRACE: run it as root" in refused.stderr
        done = run(program("viewfsctl"), "upgrade", name)
        assert (done.status, done.stderr) == (0, "")
        (daemon,) = machine.processes()
        assert done.stdout == f"upgraded '{at}': process {daemon.pid}\n"
        for field in ("Uid", "Gid"):
            assert daemon.status(field).split() == [str(NOBODY.pw_uid)] * 4
        assert re.search(r"^Groups:[\t ]*$", (daemon.proc / "status").read_text(), re.MULTILINE)
        assert same_as_the_kernel(at, place) == SILENCE
        assert machine.exit_status(view.daemon_pid) == -signal.SIGKILL
        view.processes, view.adopted_pid = [daemon], daemon.pid


@pytest.mark.parametrize("label", ["a,b", "a\\,ro,suid", "\\", ",", 'it\'s "my"\n label', "x" * 900])
def test_a_label_is_not_taken_for_options(at: Path, option: bytes, label: str) -> None:
    """Which must not be taken for options."""
    with mounted(at, option, source=label) as view:
        assert view.mount.source == label.encode()
        assert "nosuid" in view.mount.options


def others_may(place: Path, text: str) -> None:
    """/etc/fuse.conf, for this process and those that it starts."""
    (place / "fuse.conf").write_text(text)
    namespace.mount(str(place / "fuse.conf"), "/etc/fuse.conf", None, namespace.MS_BIND)


@pytest.mark.parametrize("permitted", [True, False])
def test_other_users_read_only_where_fuse_conf_permits_it(
    place: Path, at: Path, option: bytes, permitted: bool
) -> None:
    others_may(place, "user_allow_other\n" if permitted else "")
    try:
        with mounted(at, option) as view:
            assert (b"allow_other" in view.mount.super_options) == permitted
            assert same_as_the_kernel(at, place) == SILENCE
            if permitted:
                assert (at / KERNEL_PATH).read_bytes() == KERNEL
            else:
                with pytest.raises(PermissionError):
                    os.listdir(at)
    finally:
        namespace.unmount("/etc/fuse.conf")


@pytest.mark.parametrize("command", [["umount"], ["fusermount3", "-u"]])
def test_a_user_unmounts_by_fusermount3(at: Path, option: bytes, command: list[str]) -> None:
    with mounted(at, option):
        assert as_user(*command, at) == SILENCE


@pytest.mark.parametrize("alive", [True, False])
def test_a_user_unmounts_by_viewfsctl(at: Path, option: bytes, alive: bool) -> None:
    assert attempt(at, option).status == 0
    if not alive:
        machine.processes()[0].signal(signal.SIGKILL)
        wait_until(lambda: not machine.processes(), "the view to die")
    assert as_user(program("viewfsctl"), "umount", at).status == 0
    assert machine.mounts() == []


@pytest.mark.parametrize("by_root", [False, True])
def test_a_users_stopped_view_is_unmounted_and_ended(
    at: Path, option: bytes, by_root: bool
) -> None:
    """It cannot be asked which process is its own."""
    with mounted(at, option) as view:
        view.status = -signal.SIGTERM
        view.daemon.signal(signal.SIGSTOP)
        command = [program("viewfsctl"), "umount", at]
        assert (run(*command) if by_root else as_user(*command)) == SILENCE
        assert machine.mounts_at(at) == []
        assert not machine.is_alive(view.daemon_pid)


def test_a_user_sees_each_view_once(place: Path, at: Path, option: bytes) -> None:
    """Of a view that is mounted here a user does not see that its process serves it."""
    with mounted(at, option + b",id=own"), View(place / "roots", "-o", option + b",id=root") as view:
        view.wait_sandboxed()
        words = [program("viewfsctl"), "list", "--all", "--json"]
        listed = json.loads(as_user(*words).stdout)["views"]
        ours = [listing for listing in listed if str(listing["mountpoint"]).startswith(f"{place}/")]
        assert sorted(listing["mountpoint"] for listing in ours) == [str(place / "roots"), str(at)]
        assert all(listing["verified"] for listing in ours)
        # It ends only the user's own.
        finished = as_user(program("viewfsctl"), "umount", place / "roots")
        assert finished.status == 32 and machine.mounts_at(place / "roots")


def test_a_user_finds_the_same_view_again(place: Path, at: Path, option: bytes) -> None:
    for _ in range(2):
        assert attempt(at, option + b",id=one").status == 0
        assert len(machine.mounts()) == 1
    assert same_as_the_kernel(at, place) == SILENCE
    assert as_user("fusermount3", "-u", at) == SILENCE


def test_a_user_mounts_by_the_mount_helper(place: Path, at: Path, option: bytes) -> None:
    assert as_user(program("mount.urunc-viewfs"), "label", at, "-o", option) == SILENCE
    assert same_as_the_kernel(at, place) == SILENCE
    assert as_user("fusermount3", "-u", at) == SILENCE


def test_a_dead_view_is_replaced(place: Path, at: Path, option: bytes) -> None:
    assert attempt(at, option).status == 0
    (daemon,) = machine.processes()
    daemon.signal(signal.SIGKILL)
    wait_until(lambda: not machine.processes(), "the view to die")
    assert attempt(at, option).status == 0
    assert len(machine.mounts()) == 1
    assert same_as_the_kernel(at, place) == SILENCE
    assert as_user("fusermount3", "-u", at) == SILENCE


# Its end in other ways: none may be unmounted without fusermount3


def test_a_signal_ends_a_users_view(at: Path, option: bytes) -> None:
    with mounted(at, option, foreground=True, expected=["CAP_SYS_ADMIN"]) as view:
        wait_confined(at)
        view.process.send_signal(signal.SIGINT)
        view.wait_gone()
        assert machine.mounts() == []


def test_a_lifeline_ends_a_users_view(at: Path, option: bytes) -> None:
    reader, writer = os.pipe()
    words = [f"--lifeline={reader}", "-o", option, "none", at]
    assert call(*words, wrapper=USER, pass_fds=[reader]).status == 0
    os.close(reader)
    os.close(writer)
    wait_until(lambda: not machine.processes(), "the view's processes to end")
    assert machine.mounts() == []


def test_a_failure_after_the_mount_leaves_nothing(at: Path, option: bytes) -> None:
    refused(attempt(at, option + b",passthrough=on"), "EMOUNT", 32, "CAP_SYS_ADMIN")


@pytest.mark.parametrize("written", ["link", "view/"])
def test_a_mount_that_a_dead_server_left_is_removed(
    place: Path, at: Path, option: bytes, written: str
) -> None:
    (place / "link").symlink_to("view")
    wrapper = [*injecting(place / "log", "setsid:signal=SIGKILL"), *USER]
    finished = call("-o", option, "none", written, wrapper=wrapper, cwd=place)
    refused(finished, "ESYSTEM", 4, "^the view's process exited before it was ready")


# Refused


def test_a_user_must_give_userxattr(at: Path, option: bytes) -> None:
    finished = attempt(at, option.removesuffix(b",userxattr"))
    refused(finished, "ESYSTEM", 2, "trusted.overlay.* marks cannot be read.*userxattr")


def test_a_mountpoint_of_another_user_is_rejected(at: Path, option: bytes) -> None:
    os.chown(at, 0, 0)
    naming = f"^mount on '{at}': .*fusermount3, which failed: user has no write access"
    refused(attempt(at, option), "ESYSTEM", 2, naming)


def test_a_missing_fusermount3_is_reported(at: Path, option: bytes) -> None:
    finished = attempt(at, option, env={"PATH": "/nowhere"})
    refused(finished, "ESYSTEM", 2, "fusermount3, which failed: No such file or directory$")


def test_a_fusermount3_without_privilege_is_reported(at: Path, option: bytes) -> None:
    """As in a container, which runs without new privileges."""
    wrapper = [USER[0], "--no-new-privs", *USER[1:]]
    finished = call("-o", option, "--", "none", at, wrapper=wrapper)
    refused(finished, "ESYSTEM", 2, "fusermount3, which failed: mount failed: Operation not permitted")


def test_a_device_that_the_user_cannot_open_is_reported(at: Path, option: bytes) -> None:
    os.chmod("/dev/fuse", 0o600)
    refused(attempt(at, option), "ESYSTEM", 2, "^/dev/fuse: Permission denied$")


# In a user namespace


def test_a_user_namespace_mounts_without_fusermount3(place: Path, at: Path, option: bytes) -> None:
    """There mount(2) itself is enough; for the outside the view does not exist."""
    (place / "kernel").write_bytes(KERNEL)
    script = """
        cd "$1" || exit
        build/fuse/urunc-viewfs -f -o "$2" --ready-fd=3 label view 3>ready & view=$!
        read -r ready <ready || exit
        echo "$ready"
        grep " - fuse.urunc-viewfs label " /proc/self/mountinfo
        cmp kernel "view/$3" && umount view && wait $view
    """
    os.mkfifo(place / "ready")
    os.chown(place / "ready", NOBODY.pw_uid, NOBODY.pw_gid)
    words = ["sh", "-c", script, "sh", place, option, KERNEL_PATH]
    finished = as_user("unshare", "--user", "--map-root-user", "--mount", "--", *words)
    assert finished.status == 0, finished
    ready, line = finished.stdout.splitlines()
    assert '"ready":true' in ready and '"passthrough":false' in ready
    assert re.search(r" ro,.*user_id=0,.*allow_other", line)
    assert machine.mounts() == []


def test_a_user_has_a_store_of_their_own_and_views_of_it(
    place: Path, at: Path, fusermount3: str
) -> None:
    """Without userxattr: there are no layers whose marks count. Root's store is not theirs."""
    home = place / "home"
    home.mkdir()
    os.chown(home, NOBODY.pw_uid, NOBODY.pw_gid)
    store = Store(home / "store")
    with tree(place / "tree") as unpacked:
        words = ("store", "add", f"--chain={chain()}", f"--tree={unpacked}")
        options = ("-o", f"{store.option},userxattr")
        added = run(*USER, program("viewfsctl"), *words, *options)
        # The kernel of the usual image is readable for its owner and group only.
        assert (added.status, "Permission denied" in added.stderr) == (32, True), added
        namespace.mount("none", str(unpacked), None, namespace.MS_REMOUNT)
        (unpacked / KERNEL_PATH).chmod(0o755)
        flags = namespace.MS_REMOUNT | namespace.MS_RDONLY
        namespace.mount("none", str(unpacked), None, flags)
        added = run(*USER, program("viewfsctl"), *words, *options)
        assert (added.status, added.stderr) == (0, ""), added
    assert store.directory.stat().st_uid == NOBODY.pw_uid
    with View(at, *arguments(store), wrapper=USER) as view:
        assert view.ready["image"] == {"chain": chain()}
        assert run(*USER, "cat", view.root / KERNEL_PATH).status == 0
    # Nor is a user's store root's.
    finished = call(*arguments(store), "label", place)
    assert finished.code == "ENOTAPPLICABLE" and "is not used" in finished.stderr, finished


def without_allow_other(at: Path) -> bool:
    """Whether root is a stranger to the view."""
    (mount,) = machine.mounts_at(at)
    return b"allow_other" not in mount.super_options


def test_root_ends_a_users_view(at: Path, option: bytes) -> None:
    """Also where the kernel tells root nothing of it."""
    with mounted(at, option) as view:
        assert without_allow_other(at)
        finished = run(program("viewfsctl"), "umount", at)
        assert finished == SILENCE
        assert not machine.is_alive(view.daemon_pid)


def test_root_removes_a_users_dead_view(at: Path, option: bytes) -> None:
    with mounted(at, option) as view:
        view.status = -signal.SIGKILL
        view.daemon.signal(signal.SIGKILL)
        view.wait_gone()
        assert f"removed dead view '{at}'\n" in run(program("viewfsctl"), "gc").stdout
        assert machine.mounts_at(at) == []


def dead_of_the_user(stack: ExitStack, at: Path, option: bytes) -> View:
    """A view whose process was killed; without allow_other root is told nothing of it."""
    view = stack.enter_context(mounted(at, option))
    assert without_allow_other(at)
    view.status = -signal.SIGKILL
    view.daemon.signal(signal.SIGKILL)
    view.wait_gone()
    return view


@pytest.mark.parametrize("life", [False, True], ids=["background", "lifeline"])
def test_root_replaces_a_users_dead_view(at: Path, option: bytes, life: bool) -> None:
    with ExitStack() as stack:
        dead_of_the_user(stack, at, option)
        reader, writer = os.pipe()
        more = [f"--lifeline={reader}"] if life else []
        finished = call(*more, "-o", option, "none", at, pass_fds=(reader,))
        os.close(reader)
        assert (finished.status, finished.stderr) == (0, "")
        (mount,) = machine.mounts_at(at)
        assert b"user_id=0" in mount.super_options
        assert (at / KERNEL_PATH).read_bytes() == KERNEL
        os.close(writer)
        if not life:
            namespace.unmount(str(at), 0)
        wait_until(lambda: not machine.processes(), "the daemon to end")


def test_root_replaces_a_stack_of_users_dead_views(place: Path, at: Path, option: bytes) -> None:
    """Another form: several of them, one of root's among them."""
    (place / "below").mkdir()
    os.chown(place / "below", NOBODY.pw_uid, NOBODY.pw_gid)
    with ExitStack() as stack:
        dead_of_the_user(stack, at, option)
        other = dead_of_the_user(stack, place / "below", option)
        own = stack.enter_context(View(place / "own", "-o", option))
        own.status = -signal.SIGKILL
        own.daemon.signal(signal.SIGKILL)
        own.wait_gone()
        for root in (own.root, other.root):
            namespace.mount(str(root), str(at), None, namespace.MS_BIND)
        assert call("-o", option, "none", at).status == 0
        assert len(machine.mounts_at(at)) == 1
        namespace.unmount(str(at), 0)
        wait_until(lambda: not machine.processes(), "the daemon to end")


@pytest.mark.parametrize("stop", [False, True])
def test_a_users_live_view_is_emount_for_root(at: Path, option: bytes, stop: bool) -> None:
    """Whether it answers or not: it is alive, and not root's."""
    with mounted(at, option) as view:
        if stop:
            view.daemon.signal(signal.SIGSTOP)
        try:
            finished = call("-o", option + b",timeout=5", "none", at)
            assert (finished.status, finished.code) == (32, "EMOUNT")
        finally:
            os.kill(view.daemon_pid, signal.SIGCONT)
        assert len(machine.mounts_at(at)) == 1
        assert same_as_the_kernel(at, at.parent) == SILENCE


def test_root_asks_a_users_view_only_on_demand(at: Path, option: bytes) -> None:
    with mounted(at, option, source="label") as view:
        wait_confined(at)
        listed = run(program("viewfsctl"), "list", "-o", "STATE,OWNER").stdout.splitlines()
        assert listed[1].split() == ["unknown", str(NOBODY.pw_uid)]
        listed = run(program("viewfsctl"), "list", "--all", "-o", "STATE,OWNER").stdout
        assert ["alive", str(NOBODY.pw_uid)] in [line.split() for line in listed.splitlines()]

