# SPDX-License-Identifier: Apache-2.0
"""Skipping, and the switch that forbids it.

A test that quietly does not run proves nothing. With VIEWFS_MUST_RUN=1 (CI sets it) only what the
kernel was asked for and does not have may be skipped, and what was is listed at the end.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

# The reasons given to skip_kernel(), for the summary.
missing_in_kernel: list[str] = []


def skip(reason: str) -> NoReturn:
    """This machine lacks what the test needs."""
    if os.environ.get("VIEWFS_MUST_RUN") == "1":
        pytest.fail(f"must run, but: {reason}", pytrace=False)
    pytest.skip(reason)


def skip_kernel(reason: str) -> NoReturn:
    """The kernel was asked for a feature and does not have it; never a failure."""
    if reason not in missing_in_kernel:
        missing_in_kernel.append(reason)
    pytest.skip(f"kernel: {reason}")
