# SPDX-License-Identifier: Apache-2.0
"""Where layers are written and unpacked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import scratch, skipping


@pytest.fixture(scope="module")
def place(private_mounts: None) -> Iterator[Path]:
    """In memory, on a filesystem that takes every mark that overlayfs reads."""
    parent, reason = scratch.find()
    if parent is None:
        skipping.skip(f"nowhere to unpack layers: {reason}")
    with scratch.memory(parent) as directory:
        yield Path(os.fsdecode(directory))
