# SPDX-License-Identifier: Apache-2.0
"""No call changes anything: the kernel says so, and where it does not, the daemon."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import image, namespace, scratch
from support.image import KERNEL, KERNEL_PATH, lowerdir
from support.view import View, run

MS_REMOUNT = 0x20
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
AT_FDCWD = -100

_libc = ctypes.CDLL(None, use_errno=True)


def _renameat2(source: Path, target: Path, flags: int) -> None:
    if _libc.renameat2(AT_FDCWD, bytes(source), AT_FDCWD, bytes(target), flags) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _open(flags: int) -> Callable[[Path], object]:
    return lambda root: os.close(os.open(root / KERNEL_PATH, flags))


def _create(flags: int, name: str = "new") -> Callable[[Path], object]:
    return lambda root: os.close(os.open(root / name, os.O_CREAT | flags, 0o644))


WRITES: dict[str, Callable[[Path], object]] = {
    "open-write": _open(os.O_WRONLY),
    "open-read-write": _open(os.O_RDWR),
    "open-append": _open(os.O_WRONLY | os.O_APPEND),
    "open-truncate": _open(os.O_RDONLY | os.O_TRUNC),
    "open-write-truncate": _open(os.O_WRONLY | os.O_TRUNC),
    "open-create-existing": _create(os.O_WRONLY, KERNEL_PATH),
    "create": _create(os.O_WRONLY),
    "create-exclusively": _create(os.O_RDWR | os.O_EXCL),
    "create-to-read": _create(os.O_RDONLY),
    "create-below": _create(os.O_WRONLY, "unikernel/new"),
    "mkdir": lambda root: os.mkdir(root / "new"),
    "mkdir-below": lambda root: os.mkdir(root / "unikernel/new"),
    "mknod-file": lambda root: os.mknod(root / "new", stat.S_IFREG | 0o644),
    "mknod-fifo": lambda root: os.mkfifo(root / "new"),
    "mknod-device": lambda root: os.mknod(root / "new", stat.S_IFCHR, os.makedev(1, 3)),
    "mknod-whiteout": lambda root: os.mknod(root / "new", stat.S_IFCHR, 0),
    "unlink": lambda root: os.unlink(root / KERNEL_PATH),
    "unlink-configuration": lambda root: os.unlink(root / "urunc.json"),
    "rmdir": lambda root: os.rmdir(root / "unikernel"),
    "rename": lambda root: os.rename(root / KERNEL_PATH, root / "new"),
    "rename-over": lambda root: os.rename(root / KERNEL_PATH, root / "urunc.json"),
    "rename-directory": lambda root: os.rename(root / "unikernel", root / "new"),
    "rename-noreplace": lambda root: _renameat2(
        root / KERNEL_PATH, root / "new", RENAME_NOREPLACE
    ),
    "rename-exchange": lambda root: _renameat2(
        root / KERNEL_PATH, root / "urunc.json", RENAME_EXCHANGE
    ),
    "link": lambda root: os.link(root / KERNEL_PATH, root / "new"),
    "symlink": lambda root: os.symlink("target", root / "new"),
    "chmod": lambda root: os.chmod(root / KERNEL_PATH, 0o777),
    "chmod-directory": lambda root: os.chmod(root / "unikernel", 0o777),
    "chmod-root": lambda root: os.chmod(root, 0o777),
    "chown": lambda root: os.chown(root / KERNEL_PATH, 1, 1),
    "chown-directory": lambda root: os.chown(root / "unikernel", 1, 1),
    "utime": lambda root: os.utime(root / KERNEL_PATH, (1, 1)),
    "utime-now": lambda root: os.utime(root / KERNEL_PATH),
    "truncate": lambda root: os.truncate(root / KERNEL_PATH, 0),
    "truncate-same": lambda root: os.truncate(root / KERNEL_PATH, len(KERNEL)),
    "setxattr": lambda root: os.setxattr(root / KERNEL_PATH, "user.x", b"x"),
    "setxattr-trusted": lambda root: os.setxattr(root / KERNEL_PATH, "trusted.x", b"x"),
    "setxattr-security": lambda root: os.setxattr(root / KERNEL_PATH, "security.x", b"x"),
    "setxattr-directory": lambda root: os.setxattr(root / "unikernel", "user.x", b"x"),
    "removexattr": lambda root: os.removexattr(root / KERNEL_PATH, "user.y"),
    "removexattr-trusted": lambda root: os.removexattr(root / KERNEL_PATH, "trusted.y"),
}


@pytest.fixture(scope="module", params=["read-only", "flag-dropped"])
def view(request: pytest.FixtureRequest) -> Iterator[View]:
    """One view for all, as it is mounted and with the kernel's own read-only flags gone; its
    layers stand as they did when it ends."""
    parent, _ = scratch.find()
    assert parent
    with scratch.directory(parent) as place:
        layers = image.usual().build(place / "layers")
        os.setxattr(place / "layers/1" / KERNEL_PATH, "user.y", b"y")
        before = image.fingerprint(place / "layers")
        with View(place / "view", "-o", lowerdir(layers), foreground=True) as made:
            if request.param == "flag-dropped":
                namespace.mount("none", str(made.root), None, MS_REMOUNT)
                assert "rw" in made.mount.options
                assert b"rw" in made.mount.super_options
                assert not os.statvfs(made.root).f_flag & os.ST_RDONLY
            yield made
            assert (made.root / KERNEL_PATH).read_bytes() == KERNEL
        assert image.fingerprint(place / "layers") == before


@pytest.fixture(autouse=True)
def _nothing_left() -> None:
    """One view serves all tests here, and looks after itself."""


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_every_change_is_erofs(view: View, write: Callable[[Path], object]) -> None:
    with pytest.raises(OSError) as caught:
        write(view.root)
    assert errno.errorcode[caught.value.errno] == "EROFS"


def test_a_nameless_file_is_refused(view: View) -> None:
    """O_TMPFILE: until Linux 6.1 FUSE has no such request."""
    with pytest.raises(OSError) as caught:
        os.open(view.root, os.O_TMPFILE | os.O_RDWR)
    linux = tuple(int(part) for part in os.uname().release.split(".")[:2])
    assert caught.value.errno == (errno.EROFS if linux >= (6, 1) else errno.EOPNOTSUPP)


def test_a_descriptor_to_read_with_does_not_write(view: View) -> None:
    descriptor = os.open(view.root / KERNEL_PATH, os.O_RDONLY)
    try:
        for write in (
            lambda: os.write(descriptor, b"x"),
            lambda: os.ftruncate(descriptor, 0),
            lambda: os.posix_fallocate(descriptor, 0, 1),
        ):
            with pytest.raises(OSError) as caught:
                write()
            assert caught.value.errno in (errno.EBADF, errno.EINVAL)
        for change in (
            lambda: os.fchmod(descriptor, 0o777),
            lambda: os.fchown(descriptor, 1, 1),
            lambda: os.utime(descriptor, (1, 1)),
            lambda: os.setxattr(descriptor, "user.x", b"x"),
            lambda: os.removexattr(descriptor, "user.y"),
        ):
            with pytest.raises(OSError) as caught:
                change()
            assert errno.errorcode[caught.value.errno] == "EROFS"
    finally:
        os.close(descriptor)


def test_every_change_by_another_user_is_refused(view: View) -> None:
    """As any of EROFS or EACCES: the modes have no write bits either."""
    path = view.root / KERNEL_PATH
    view.root.parent.chmod(0o755)
    user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
    finished = run(*user, "sh", "-c", 'echo >>"$1"', "sh", path)
    assert finished.status != 0
    assert finished.stderr.count("\n") == 1


def test_extended_attributes_are_not_shown(view: View) -> None:
    """The layer's own are not the view's, overlay marks least of all."""
    for ask in (os.listxattr, lambda path: os.getxattr(path, "user.y")):
        with pytest.raises(OSError) as caught:
            ask(view.root / KERNEL_PATH)
        assert caught.value.errno == errno.EOPNOTSUPP
