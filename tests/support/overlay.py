# SPDX-License-Identifier: Apache-2.0
"""The kernel's own overlayfs as oracle: mount a stack, ask what is at a path.

The mount is what the project promises to agree with: read-only, lower layers only, redirects not
followed, metacopy off.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import stat
from collections.abc import Sequence
from contextlib import chdir

from . import namespace
from .result import CONTENT_LIMIT, TYPES, Result

SYS_OPENAT2 = 437  # the same on every architecture
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_IN_ROOT = 0x10

# mount(2) takes one page of options and cuts the rest off without a word.
OPTIONS_LIMIT = 4095

# openat2 gives EAGAIN whenever anything on the machine is renamed or mounted meanwhile.
RETRIES = 100_000

# The same disturbance makes the kernel walk a path again without RCU, and do_filp_open() goes on
# counting links where it stopped: a path of fewer than 41 then gives ELOOP, now and then. One that
# deserves it always does.
LOOPS = 4

_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("flags", "mode", "resolve")]


def open_in_root(root: int, path: bytes, flags: int) -> int:
    """Open PATH as a process would whose root directory is ROOT; returns a descriptor.

    Not chroot: that would need a process for each question.
    """
    how = _OpenHow(flags | os.O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
    loops = 0
    for _ in range(RETRIES):
        descriptor = _libc.syscall(
            ctypes.c_long(SYS_OPENAT2),
            ctypes.c_int(root),
            ctypes.c_char_p(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if descriptor >= 0:
            return descriptor
        error = ctypes.get_errno()
        loops += error == errno.ELOOP
        if error != errno.EAGAIN and not 0 < loops < LOOPS:
            raise OSError(error, os.strerror(error), path)
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def escape(path: bytes) -> bytes:
    """PATH as overlayfs wants it in `lowerdir=`."""
    return re.sub(rb"([\\:,])", rb"\\\1", path)


def mount_options(layers: Sequence[bytes], userxattr: bool) -> bytes:
    """The option string. `userxattr` implies redirect_dir=nofollow, and refuses to be told so twice
    on some kernels."""
    mode = b"userxattr" if userxattr else b"redirect_dir=nofollow"
    return b"lowerdir=" + b":".join(map(escape, layers)) + b"," + mode + b",metacopy=off"


class Overlay:
    """Layers (topmost first) mounted over each other for as long as the `with` block runs.

    SCRATCH is a directory for the mountpoint. An overlay takes two layers at least: a single one
    gets an empty one below it. It is then not the bottom: redirects in its root directory are read.
    """

    def __init__(
        self, layers: Sequence[bytes], scratch: str | bytes, userxattr: bool = False
    ) -> None:
        self._scratch = os.fsencode(scratch)
        self._mountpoint = os.path.join(self._scratch, b"merged")
        self._layers = [os.path.realpath(layer) for layer in layers]
        self._userxattr = userxattr
        self._root = -errno.EBADF

    def __enter__(self) -> Overlay:
        os.makedirs(self._mountpoint, exist_ok=True)
        if len(self._layers) == 1:
            empty = os.path.join(self._scratch, b"empty")
            os.makedirs(empty, exist_ok=True)
            self._layers.append(os.path.realpath(empty))
        self._mount()
        try:
            self._assert_complete()
            self._root = os.open(self._mountpoint, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except BaseException:
            namespace.unmount(self._mountpoint)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._root)
        namespace.unmount(self._mountpoint)
        os.rmdir(self._mountpoint)

    def _mount(self) -> None:
        """With names relative to the layers' common parent: 500 layers then fit in a page."""
        mountpoint = os.path.abspath(self._mountpoint)
        base = os.path.commonpath([os.path.dirname(layer) for layer in self._layers])
        names = [os.path.relpath(layer, base) for layer in self._layers]
        options = mount_options(names, self._userxattr)
        if len(options) > OPTIONS_LIMIT:
            raise ValueError(f"{len(options)} bytes of mount options are too many")
        with chdir(base):
            namespace.mount("overlay", mountpoint, "overlay", namespace.MS_RDONLY, options)

    def _assert_complete(self) -> None:
        """That no layer was lost: a cut option string may still mount."""
        count = _mounted_layers(os.path.abspath(self._mountpoint))
        assert count == len(self._layers), f"{len(self._layers)} layers, but {count} mounted"

    def resolve(self, path: bytes, nofollow: bool = False) -> Result:
        """What a process inside would find at PATH; NOFOLLOW as in O_NOFOLLOW."""
        flags = os.O_PATH | (os.O_NOFOLLOW if nofollow else 0)
        try:
            descriptor = open_in_root(self._root, path, flags)
        except OSError as error:
            return Result(error=errno.errorcode[error.errno])
        try:
            return _describe(descriptor)
        finally:
            os.close(descriptor)

    def names(self, path: bytes) -> set[bytes]:
        """The directory's names as the kernel lists them: some may not be there when looked up."""
        descriptor = open_in_root(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return {os.fsencode(name) for name in os.listdir(descriptor)}
        finally:
            os.close(descriptor)


def _mounted_layers(mountpoint: bytes) -> int:
    """How many lower layers mountinfo names for the topmost mount at MOUNTPOINT."""
    count = 0
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file.read().splitlines():
            left, right = line.split(b" - ", 1)
            if _unoctal(left.split(b" ")[4]) != mountpoint:
                continue
            options = re.split(rb"(?<!\\),", right.split(b" ")[2])
            lower = next(o for o in options if o.startswith(b"lowerdir="))
            value = _unoctal(lower.removeprefix(b"lowerdir="))
            count = len(re.findall(rb"(?:\\.|[^:\\])+", value, re.DOTALL))
    return count


def _unoctal(text: bytes) -> bytes:
    """mountinfo's own escapes (`\\040`) undone."""
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), text)


def _describe(descriptor: int) -> Result:
    found = os.fstat(descriptor)
    kind = TYPES[stat.S_IFMT(found.st_mode)]
    content = digest = unreadable = link = rdev = None
    if kind == "file":
        try:
            content, digest = _read(descriptor)
        except PermissionError as error:
            unreadable = errno.errorcode[error.errno]
    elif kind == "symlink":
        link = os.readlink(b"", dir_fd=descriptor)
    elif kind in ("chr", "blk"):
        rdev = (os.major(found.st_rdev), os.minor(found.st_rdev))
    return Result(
        type=kind,
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        size=None if kind == "dir" else found.st_size,
        mtime_ns=found.st_mtime_ns,
        rdev=rdev,
        link=link,
        content=content,
        unreadable=unreadable,
        digest=digest,
    )


def _read(descriptor: int) -> tuple[bytes, str]:
    """The first bytes of a file that is open with O_PATH, and the digest of all of it."""
    with open(f"/proc/self/fd/{descriptor}", "rb", buffering=0) as file:
        start = file.read(CONTENT_LIMIT)
        digest = hashlib.sha256(start)
        while more := file.read(1 << 20):
            digest.update(more)
        return start, digest.hexdigest()
