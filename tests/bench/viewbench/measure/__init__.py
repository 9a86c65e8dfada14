# SPDX-License-Identifier: Apache-2.0
"""The measurements, in the order in which they run. Each module's measure() returns a Section."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..bench import Bench, Section
from . import blobs, cache, counts, crowd, idle, index, memory, qemu, read, spawn, stored

ALL: Mapping[str, Callable[[Bench], Section]] = {
    module.__name__.rpartition(".")[2]: module.measure
    for module in (spawn, index, stored, blobs, counts, read, cache, idle, memory, crowd, qemu)
}
