# SPDX-License-Identifier: Apache-2.0
"""Wait for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

SECONDS = 20
_PAUSE = 0.002

Result = TypeVar("Result")


def wait_until(condition: Callable[[], Result], what: str, seconds: float = SECONDS) -> Result:
    """The first true value of CONDITION; fails, naming WHAT, when there is none in SECONDS."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain: {what}")
        time.sleep(_PAUSE)
