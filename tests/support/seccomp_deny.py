# SPDX-License-Identifier: Apache-2.0
"""Take a system call away from a program, as an old kernel or a filter does."""

from __future__ import annotations

from pathlib import Path

from .resolver import build_directory


def deny(call: str, error: str) -> list[str | Path]:
    """The wrapper in which CALL fails with ERROR (ENOSYS or EPERM), or
    does NOTHING and succeeds."""
    return [build_directory() / "tests" / "deny-call", error, call]
