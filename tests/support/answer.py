# SPDX-License-Identifier: Apache-2.0
"""What a view says of itself, asked through its mount (fuse/live/view-answer.h)."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from .view import View
from .waiting import wait_until

SIZE_MAX = 8192
TYPE, NUMBER = ord("V"), 0xF5


def request(size: int = SIZE_MAX, kind: int = TYPE, number: int = NUMBER) -> int:
    """_IOR() of <linux/ioctl.h>."""
    return 2 << 30 | size << 16 | kind << 8 | number


def ask_text(path: Path | str, command: int | None = None, room: int = SIZE_MAX) -> bytes:
    """The bytes of the answer; OSError where there is none."""
    fd = os.open(path, os.O_RDONLY)
    try:
        buffer = bytearray(room)
        length = fcntl.ioctl(fd, command or request(room), buffer)
        return bytes(buffer[:length])
    finally:
        os.close(fd)


def ask(path: Path | str) -> dict[str, Any]:
    text = ask_text(path)
    assert len(text) < SIZE_MAX
    return json.loads(text)


def settled(view: View) -> dict[str, Any]:
    """What a view says once it knows all of it."""
    return wait_until(
        lambda: "sandbox" in (told := ask(view.root)) and told, "the view to be settled"
    )
