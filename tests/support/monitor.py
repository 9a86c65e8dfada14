# SPDX-License-Identifier: Apache-2.0
"""What urunc does between a view and the guest: the artifacts are bound into a root of the
monitor's own, which then is all there is, and the monitor is another user.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

from . import namespace
from .helper_process import HelperProcess

# What is in force on each artifact, whatever is in force on the view.
BIND_FLAGS = namespace.MS_RDONLY | namespace.MS_NOSUID | namespace.MS_NODEV | namespace.MS_NOEXEC

_libc = ctypes.CDLL(None, use_errno=True)
# The monitor's own: what it has mapped, by the number that the test knows it by.
_mapped: list[mmap.mmap] = []


class Monitor(HelperProcess):
    """A process that becomes a monitor whose root will be ROOT, step by step."""

    def __init__(self, root: Path, user: int = 0) -> None:
        self._root = root
        self._user = user

    def bind(self, view: Path, paths: Iterable[str]) -> None:
        """Bind the artifacts at PATHS of VIEW into the root, in a mount namespace of its own."""
        self.call(_bind, self._root, view, list(paths))

    def bind_directory(self, view: Path, name: str) -> None:
        """The same with one bind, of the whole VIEW to a directory NAME."""
        self.call(_bind_directory, self._root, view, name)

    def leave(self) -> None:
        """Make the root all there is, and become the container's user."""
        self.call(_leave, self._root, self._user)

    def open(self, path: str, flags: int = os.O_RDONLY) -> int:
        """A descriptor of the monitor's."""
        return self.call(os.open, path, flags)

    def digest(self, descriptor: int) -> str:
        """Of all that can be read."""
        return self.call(_digest, descriptor)

    def map(self, descriptor: int) -> int:
        """Map all of a file as QEMU does, and close it; a number for it."""
        return self.call(_map, descriptor)

    def digest_mapped(self, number: int) -> str:
        return self.call(_digest_mapped, number)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _enter(root: Path) -> None:
    namespace.unshare(namespace.CLONE_NEWNS)
    namespace.mount("none", "/", None, namespace.MS_REC | namespace.MS_SLAVE)
    # The parent of what becomes the root may not be shared, and is not the monitor's to change.
    namespace.mount(str(root), str(root), None, namespace.MS_BIND | namespace.MS_REC)
    namespace.mount("none", str(root), None, namespace.MS_PRIVATE)


def _bind_directory(root: Path, view: Path, name: str) -> None:
    _enter(root)
    (root / name).mkdir()
    namespace.mount(str(view), str(root / name), None, namespace.MS_BIND)
    flags = namespace.MS_BIND | namespace.MS_REMOUNT | BIND_FLAGS
    namespace.mount("none", str(root / name), None, flags)


def _bind(root: Path, view: Path, paths: list[str]) -> None:
    _enter(root)
    for path in paths:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
        namespace.mount(str(view / path), str(target), None, namespace.MS_BIND)
        # A bind takes no flags but those of what is bound.
        flags = namespace.MS_BIND | namespace.MS_REMOUNT | BIND_FLAGS
        namespace.mount("none", str(target), None, flags)


def _leave(root: Path, user: int) -> None:
    os.chdir(root)
    # The old root comes to lie on top of the new one, and is taken away from there.
    if _libc.pivot_root(b".", b".") < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "pivot_root")
    namespace.unmount(".")
    os.chdir("/")
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def _digest(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return digest(os.pread(descriptor, size + 1, 0))


def _map(descriptor: int) -> int:
    _mapped.append(mmap.mmap(descriptor, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))
    os.close(descriptor)
    return len(_mapped) - 1


def _digest_mapped(number: int) -> str:
    return digest(_mapped[number][:])
