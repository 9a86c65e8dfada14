# SPDX-License-Identifier: Apache-2.0
"""Where the tests of layer blobs have their store and their layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from .layout import Layout
from .stored import Store


@pytest.fixture
def store(place: Path) -> Store:
    return Store(place / "store")


@pytest.fixture
def layout(place: Path) -> Layout:
    return Layout(place / "layout")
