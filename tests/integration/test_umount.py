# SPDX-License-Identifier: Apache-2.0
"""viewfsctl umount: no view is left at a place, no process either, and nobody waits for one."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support import image, machine, namespace
from support.control import kill, stopped, viewfsctl
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.injection import injecting
from support.view import Argument, Finished, View, call, program, run
from support.waiting import SECONDS, wait_until

MS_BIND = 0x1000


@pytest.fixture
def option(place: Path) -> bytes:
    """lowerdir= of the usual image."""
    return lowerdir(image.usual().build(place / "layers"))


def umount(*directories: Argument, **how: object) -> Finished:
    return viewfsctl("umount", *directories, **how)


def clean(finished: Finished) -> None:
    assert finished == Finished(0, "", "")


def ended(view: View) -> None:
    """It is gone by the time that the call is done; by the unmount, or by the signal."""
    assert not machine.is_alive(view.daemon_pid)
    found = os.waitid(os.P_PID, view.daemon_pid, os.WEXITED | os.WNOWAIT)
    assert found and found.si_status in (0, signal.SIGTERM)
    view.status = 0 if found.si_code == os.CLD_EXITED else -found.si_status
    assert machine.mounts_at(view.root) == []


@pytest.mark.parametrize("slash", ["", "/", "//"])
def test_a_live_view_is_unmounted(place: Path, option: bytes, slash: str) -> None:
    with View(place / "view", "-o", option) as view:
        clean(umount(f"{view.root}{slash}"))
        ended(view)


def test_a_view_is_unmounted_by_any_path_to_it(place: Path, option: bytes) -> None:
    """Relative, and through a symlink to it, or above it."""
    (place / "link").symlink_to("view")
    (place / "above").symlink_to(place)
    for name in ("view", "./link", "above/view", "above/../" + place.name + "/link"):
        with View(place / "view", "-o", option) as view:
            clean(umount(name, cwd=place))
            ended(view)


def test_a_dead_view_is_unmounted(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view:
        kill(view)
        clean(umount(f"{view.root}/"))
        assert machine.mounts_at(view.root) == []


def test_a_stopped_view_is_unmounted(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view:
        with stopped(view):
            clean(umount(view.root))
            ended(view)


def test_umount_succeeds_where_no_view_is(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view:
        for _ in range(3):
            clean(umount(view.root))
        ended(view)
    clean(umount(place / "view"))
    clean(umount(place / "gone/far"))
    (place / "file").touch()
    clean(umount(place / "file"))
    clean(umount(place / "file/below"))


def test_several_views_are_unmounted(place: Path, option: bytes) -> None:
    views = [View(place / f"view-{n}", "-o", option) for n in range(3)]
    with views[0], views[1], views[2]:
        kill(views[1])
        clean(umount(*(view.root for view in views)))
        ended(views[0])
        ended(views[2])


def test_all_views_of_a_stack_are_unmounted(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view, View(place / "other", "-o", option) as other:
        for _ in range(2):
            namespace.mount(str(other.root), str(view.root), None, MS_BIND)
        kill(other)
        clean(umount(view.root))
        ended(view)


def test_a_filesystem_below_a_view_stays(place: Path, option: bytes) -> None:
    (place / "view").mkdir()
    with namespace.tmpfs(str(place / "view")):
        (place / "view/file").touch()
        assert call("-o", option, "none", place / "view").status == 0
        clean(umount(place / "view"))
        assert os.listdir(place / "view") == ["file"]
        finished = umount(place / "view")
        assert finished.status == 32
        assert finished.stderr == (
            f"viewfsctl: '{place}/view' is not a view: a filesystem of type tmpfs is mounted there\n"
        )
        assert os.listdir(place / "view") == ["file"]


def test_the_status_says_that_a_view_was_not_unmounted(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view:
        finished = umount("/proc", view.root)
        assert (finished.status, finished.stderr.count("\n")) == (32, 1)
        assert "'/proc' is not a view: a filesystem of type proc is mounted there" in finished.stderr
        ended(view)
    assert umount("/proc", "/proc").status == 32
    finished = umount("", "/proc")
    assert finished.status == 32
    assert "unmount ''" in finished.stderr


@contextmanager
def elsewhere() -> Iterator[Path]:
    """The root directory of a mount namespace that has a copy of every mount."""
    with subprocess.Popen(
        ["unshare", "--mount", "--", "sh", "-c", "echo; read _"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as copy:  # fmt: skip
        assert copy.stdout and copy.stdin and copy.stdout.readline() == b"\n"
        try:
            yield Path(f"/proc/{copy.pid}/root")
        finally:
            copy.stdin.close()


def test_umount_ends_a_view_that_another_namespace_has(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view, elsewhere() as root:
        inside = Path(f"{root}{view.root}")
        assert (inside / KERNEL_PATH).read_bytes() == KERNEL
        clean(umount(view.root))
        ended(view)
        assert view.status == 0
        with pytest.raises(OSError):
            os.statvfs(inside)


def test_a_view_ends_with_its_last_bound_file(place: Path, option: bytes) -> None:
    """As urunc binds artifacts. One that goes takes no other with it. Who has the file open reads
    on, where the kernel reads it."""
    files = [place / "one", place / "other"]
    with View(place / "view", "-o", option) as view:
        for path in files:
            path.touch()
            namespace.mount(str(view.root / KERNEL_PATH), str(path), None, MS_BIND)
        with open(files[1], "rb") as file:
            assert file.read(1) == KERNEL[:1]
            clean(umount(files[0]))
            assert (view.root / KERNEL_PATH).read_bytes() == files[1].read_bytes() == KERNEL
            clean(umount(view.root))
            assert files[1].read_bytes() == KERNEL
            clean(umount(files[1]))
            ended(view)
            if view.ready["passthrough"]:
                assert file.read() == KERNEL[1:]
        assert machine.mounts() == []


def test_a_copy_in_the_same_namespace_goes_on(place: Path, option: bytes) -> None:
    """There it goes on, until it is unmounted there as well."""
    (place / "copy").mkdir()
    with View(place / "view", "-o", option) as view:
        namespace.mount(str(view.root), str(place / "copy"), None, MS_BIND)
        clean(umount(view.root))
        assert (place / "copy" / KERNEL_PATH).read_bytes() == KERNEL
        assert machine.is_alive(view.daemon_pid)
        clean(umount(place / "copy"))
        ended(view)


@pytest.mark.parametrize("how", ["foreground", "lifeline"])
def test_the_supervisor_ends_with_the_view(place: Path, option: bytes, how: str) -> None:
    """The other process ends with the view."""
    reader, writer = os.pipe()
    words = [f"--lifeline={reader}"] if how == "lifeline" else []
    try:
        with View(
            place / "view", *words, "-o", option, foreground=how == "foreground", pass_fds=[reader]
        ) as view, elsewhere():
            clean(umount(view.root))
            view.wait_gone()
            assert machine.mounts_at(view.root) == []
    finally:
        os.close(reader)
        os.close(writer)


def test_a_view_with_a_mapped_file_is_unmounted(place: Path, option: bytes) -> None:
    """It stays mapped; the mount goes when that does."""
    with View(place / "view", "-o", option) as view:
        with open(view.root / INITRD_PATH, "rb") as file:
            mapping = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
        assert mapping[:16] == INITRD[:16]
        clean(umount(view.root))
        ended(view)
        if view.ready["passthrough"]:
            assert mapping[:] == INITRD
        mapping.close()


def test_a_path_that_never_answers_is_a_timeout(place: Path) -> None:
    """A mountpoint on a filesystem that never answers."""
    with machine.silent_fuse(place / "silent") as silent:
        start = time.monotonic()
        finished = umount(silent / "below")
        assert time.monotonic() - start < 15
    assert finished.status == 32
    assert "timed out after 1 s looking up the path" in finished.stderr


def test_neighbours_that_hang_do_not_delay_umount(place: Path, option: bytes) -> None:
    """Nothing is asked of what else is mounted."""
    with machine.silent_fuse(place / "silent"), View(place / "other", "-o", option) as other:
        with stopped(other), View(place / "view", "-o", option) as view:
            start = time.monotonic()
            clean(umount(view.root))
            assert time.monotonic() - start < 5
            ended(view)


def test_another_view_is_left_alone(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view, View(place / "other", "-o", option) as other:
        clean(umount(view.root))
        ended(view)
        assert (other.root / KERNEL_PATH).read_bytes() == KERNEL


def test_a_new_view_is_left_alone(place: Path, option: bytes) -> None:
    """It might get the device number of the one that is gone while its servers are looked for."""
    slow = injecting(place / "log", "getdents64:delay_enter=1000000:when=1")
    with ExitStack() as others, View(place / "view", "-o", option) as view:
        command = [*slow, program("viewfsctl"), "umount", view.root]
        with subprocess.Popen(command) as process:
            wait_until(lambda: not machine.mounts_at(view.root), "the view to be unmounted")
            new = []
            while process.poll() is None:
                other = View(place / f"other-{len(new)}", "-o", option)
                new.append(others.enter_context(other))
        assert process.returncode == 0
        assert new
        for other in new:
            assert (other.root / KERNEL_PATH).read_bytes() == KERNEL
        ended(view)


def test_umount_without_privilege_fails(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view:
        finished = umount(view.root, user="nobody")
        assert (finished.status, finished.stdout) == (32, "")
        assert finished.stderr == f"viewfsctl: unmount '{view.root}': Operation not permitted\n"
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_callers_at_once_all_succeed(place: Path, option: bytes) -> None:
    for _ in range(5):
        with View(place / "view", "-o", option) as view:
            command = [program("viewfsctl"), "umount", view.root]
            started = [subprocess.Popen(command) for _ in range(4)]
            assert [process.wait(SECONDS) for process in started] == [0] * 4
            ended(view)


def test_plain_umount_ends_a_view(place: Path, option: bytes) -> None:
    with View(place / "view", "-o", option) as view:
        assert run("umount", view.root).status == 0
        view.wait_gone()
        clean(umount(view.root))
