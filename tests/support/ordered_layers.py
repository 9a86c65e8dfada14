# SPDX-License-Identifier: Apache-2.0
"""Directories that tell which of them the kernel's overlayfs took for layers, and in which order.

Not from what the kernel prints, which is what a reader of it is tested with.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import chdir, contextmanager
from itertools import pairwise
from pathlib import Path

from . import namespace, newmount


class OrderedLayers:
    """Directories named relative to BASE. Each holds a file that only it has, and for each
    neighbour that it was ever expected to have one that both have."""

    def __init__(self, base: Path) -> None:
        self.base = os.fsencode(base)
        self.at = self.base + b"/mounted"
        os.mkdir(self.at)
        self._numbers: dict[bytes, int] = {}
        self._pairs: set[tuple[int, int]] = set()

    def make(self, names: Iterable[bytes]) -> None:
        for name in names:
            if name in self._numbers:
                continue
            number = self._numbers[name] = len(self._numbers)
            os.makedirs(os.path.join(self.base, name, b"alone"))
            os.mkdir(os.path.join(self.base, name, b"shared"))
            self._mark(name, b"alone/%d" % number)

    def make_stack(self, names: Sequence[bytes]) -> None:
        """Make NAMES, so that of two neighbours the upper one can be told."""
        self.make(names)
        for upper, lower in pairwise(names):
            pair = self._pair(upper, lower)
            if pair not in self._pairs:
                self._pairs.add(pair)
                for name in (upper, lower):
                    self._mark(name, b"shared/%d-%d" % pair)

    def _pair(self, one: bytes, other: bytes) -> tuple[int, int]:
        low, high = sorted((self._numbers[one], self._numbers[other]))
        return low, high

    def _mark(self, name: bytes, mark: bytes) -> None:
        with open(os.path.join(self.base, name, mark), "wb") as file:
            file.write(name)

    def taken(self) -> set[bytes]:
        """The layers of what is mounted."""
        marks = os.listdir(os.path.join(self.at, b"alone"))
        by_number = {number: name for name, number in self._numbers.items()}
        return {by_number[int(mark)] for mark in marks}

    def check(self, names: Sequence[bytes]) -> None:
        """That exactly NAMES are mounted, topmost first."""
        assert self.taken() == set(names)
        for upper, lower in pairwise(names):
            path = os.path.join(self.at, b"shared/%d-%d" % self._pair(upper, lower))
            with open(path, "rb") as file:
                assert file.read() == upper, f"{lower!r} is above {upper!r}"

    @contextmanager
    def mounted(self, options: bytes | Sequence[tuple[str, bytes]]) -> Iterator[None]:
        """An overlay from BASE with a string for mount(2), or with an fsconfig(2) for each pair."""
        with chdir(self.base):
            if isinstance(options, bytes):
                namespace.mount("overlay", self.at, "overlay", namespace.MS_RDONLY, options)
            else:
                newmount.mount("overlay", self.at, [("ro", ""), *options])
        try:
            yield
        finally:
            namespace.unmount(self.at)
