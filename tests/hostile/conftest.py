# SPDX-License-Identifier: Apache-2.0
"""What every test here has, and where none of them makes sense."""

import pytest
from support import machine, skipping
from support.blob_places import layout, store  # noqa: F401
from support.installed import option  # noqa: F401
from support.nothing_left import _nothing_left, _own_places, place  # noqa: F401
from support.view import program


@pytest.fixture(scope="session", autouse=True)
def _own_memory(_own_places: None) -> None:
    """Memory is bounded here, and a sanitizer's cannot be."""
    if machine.is_sanitized(program()):
        skipping.skip("built with AddressSanitizer")
