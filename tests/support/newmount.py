# SPDX-License-Identifier: Apache-2.0
"""fsopen(2) and its kin, by which newer tools mount: one option a call, none parsed before."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6
MOVE_MOUNT_F_EMPTY_PATH = 4
AT_FDCWD = -100

# The same on every architecture.
_NUMBERS = {"move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432}

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int | bytes | None) -> int:
    result = _libc.syscall(
        ctypes.c_long(_NUMBERS[name]),
        *(ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments),
    )
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), name)
    return result


def mount(fstype: str, target: str | bytes, options: Sequence[tuple[str, str | bytes]]) -> None:
    """Mount at TARGET with one fsconfig(2) an option; an option without a value has "" for one."""
    context = _call("fsopen", fstype.encode(), 0)
    try:
        for name, value in options:
            if value:
                _call(
                    "fsconfig", context, FSCONFIG_SET_STRING, name.encode(), os.fsencode(value), 0
                )
            else:
                _call("fsconfig", context, FSCONFIG_SET_FLAG, name.encode(), None, 0)
        _call("fsconfig", context, FSCONFIG_CMD_CREATE, None, None, 0)
        tree = _call("fsmount", context, 0, 0)
    finally:
        os.close(context)
    try:
        _call("move_mount", tree, b"", AT_FDCWD, os.fsencode(target), MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)
