# SPDX-License-Identifier: Apache-2.0
"""Mount namespaces and mount(2), straight from libc.

The tests mount a great deal. In a mount namespace of their own nothing of it can reach the machine,
and nothing survives them, however they end.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000

MNT_DETACH = 0x2

_libc = ctypes.CDLL(None, use_errno=True)

Result = TypeVar("Result")


def _check(result: int, what: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)
    return result


def _optional(text: str | bytes | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def unshare(flags: int) -> None:
    """unshare(2); Python has it only since 3.12."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(
    source: str | bytes,
    target: str | bytes,
    fstype: str | None = None,
    flags: int = 0,
    options: str | bytes | None = None,
) -> None:
    """mount(2) itself: mount(8) would parse the options first, and other versions differently."""
    result = _libc.mount(
        _optional(source),
        os.fsencode(target),
        _optional(fstype),
        ctypes.c_ulong(flags),
        _optional(options),
    )
    _check(result, os.fsdecode(target))


def unmount(target: str | bytes, flags: int = MNT_DETACH) -> None:
    """Take away what is mounted at TARGET, by default even where a descriptor into it is open."""
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(flags)), os.fsdecode(target))


@contextmanager
def tmpfs(target: str | bytes) -> Iterator[None]:
    """An empty tmpfs over TARGET for as long as the block runs."""
    mount("tmpfs", target, "tmpfs", 0, "mode=0755")
    try:
        yield
    finally:
        unmount(target)


def enter_private() -> None:
    """Give this process a mount namespace whose mounts never propagate to the machine.

    Raises PermissionError where the process may not.
    """
    unshare(CLONE_NEWNS)
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def in_user_namespace(function: Callable[[], Result], ids: int = 1) -> Result:
    """Call FUNCTION as root of a new user namespace, with its own mounts, and return its result.

    There a process has CAP_SYS_ADMIN, but not the one that reading trusted.* takes; the first IDS
    users and groups are themselves, the others are nobody.
    """

    def enter() -> None:
        _enter_user_namespace(ids)
        mount("none", "/", None, MS_REC | MS_PRIVATE)

    return _in_child(enter, function)


def in_root(
    root: str | Path, places: Mapping[str, str | Path], function: Callable[[], Result]
) -> Result:
    """Call FUNCTION where ROOT is all there is, but for PLACES: what is seen at a path (which
    exists) there is what is at another one here. Its mounts are its own."""

    def enter() -> None:
        unshare(CLONE_NEWNS)
        # To be moved it must be a mount.
        mount(str(root), str(root), None, MS_BIND)
        for inside, outside in places.items():
            mount(str(outside), f"{root}{inside}", None, MS_BIND | MS_REC)
        os.chdir(root)
        mount(".", "/", None, MS_MOVE)
        os.chroot(".")

    return _in_child(enter, function)


def in_child(function: Callable[[], Result]) -> Result:
    """Call FUNCTION in a child, which may give up what it likes, and return its result."""
    return _in_child(lambda: None, function)


def _in_child(enter: Callable[[], None], function: Callable[[], Result]) -> Result:
    """Call one after the other in a child, because a process cannot come back out; the result of
    FUNCTION travels as a pickle."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        _run_child(enter, function, write_end)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    ok, result = pickle.loads(data) if data else (False, "the child died")
    if not ok:
        raise RuntimeError(f"in the child: {result}")
    return result


def _run_child(
    enter: Callable[[], None], function: Callable[[], Result], write_end: int
) -> None:
    """Never returns, so that no test runs twice."""
    try:
        enter()
        report = (True, function())
    except BaseException:
        report = (False, traceback.format_exc())
    try:
        os.write(write_end, pickle.dumps(report))
    finally:
        os._exit(0)


def _enter_user_namespace(ids: int) -> None:
    """With a helper outside: more than one id takes privilege there to map."""
    inside = os.getpid()
    read_end, write_end = os.pipe()
    helper = os.fork()
    if helper == 0:
        status = 1
        try:
            os.read(read_end, 1)
            _map_ids(inside, ids)
            status = 0
        finally:
            os._exit(status)
    unshare(CLONE_NEWUSER | CLONE_NEWNS)
    os.write(write_end, b"!")
    _, status = os.waitpid(helper, 0)
    if status != 0:
        raise PermissionError(f"cannot map {ids} ids into a user namespace")


def _map_ids(process: int, ids: int) -> None:
    line = f"0 0 {ids}"
    for name, text in (("setgroups", "deny"), ("uid_map", line), ("gid_map", line)):
        with open(f"/proc/{process}/{name}", "w", encoding="ascii") as file:
            file.write(text)
