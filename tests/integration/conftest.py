# SPDX-License-Identifier: Apache-2.0
"""What every test of the programs has: nothing before it, and nothing after it."""

from support.blob_places import layout, store  # noqa: F401
from support.installed import at, installed, option  # noqa: F401
from support.nothing_left import _nothing_left, _own_places, place  # noqa: F401
