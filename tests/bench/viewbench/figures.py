# SPDX-License-Identifier: Apache-2.0
"""Medians, quartiles and ratios: what is said of many samples."""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Samples by round. Only rounds that two contenders have in common are compared.
Samples = Mapping[int, float]


@dataclass(frozen=True)
class Figure:
    """A median, the quartiles around it (from interval(): its 95 % interval), and how many samples
    it comes from."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Figure | None:
        """None without samples: the contender failed each time."""
        if not samples:
            return None
        if len(samples) == 1:
            return cls(samples[0], samples[0], samples[0], 1)
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(median, low, high, len(samples))

    def show(self, digits: int = 2, scale: float = 1) -> str:
        """As `1.43 [1.39 1.51]`."""
        median, low, high = (
            f"{value / scale:.{digits}f}" for value in (self.median, self.low, self.high)
        )
        return median if self.count == 1 else f"{median} [{low} {high}]"

    def scaled(self, factor: float) -> Figure:
        """The same in another unit."""
        return Figure(self.median * factor, self.low * factor, self.high * factor, self.count)


def ratio(samples: Samples, base: Samples) -> Figure | None:
    """How many times BASE, round by round: what slowed a round down slowed both."""
    return Figure.of([samples[r] / base[r] for r in samples if base.get(r)])


RESAMPLES = 2000


def interval(samples: Samples, base: Samples) -> Figure | None:
    """The median of ratio(), and where it lies by 95 %: the bootstrap's percentiles. The same
    samples give the same interval."""
    ratios = [samples[r] / base[r] for r in samples if base.get(r)]
    if not ratios:
        return None
    chance = random.Random(len(ratios))
    medians = sorted(
        statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(RESAMPLES)
    )
    low, high = medians[RESAMPLES * 25 // 1000], medians[RESAMPLES * 975 // 1000]
    return Figure(statistics.median(ratios), low, high, len(ratios))


def quickest(samples: Samples, base: Samples) -> float | None:
    """The least of SAMPLES in times the least of BASE: on a busy machine the nearest to what a
    quiet one would show."""
    return min(samples.values()) / min(base.values()) if samples and base else None


def difference(samples: Samples, base: Samples) -> Figure | None:
    """How much more than BASE, round by round."""
    return Figure.of([samples[r] - base[r] for r in samples if r in base])


def figure(samples: Samples) -> Figure | None:
    """What is said of SAMPLES alone."""
    return Figure.of(list(samples.values()))


def show(value: Figure | None, digits: int = 2, scale: float = 1) -> str:
    """A figure in a table's cell."""
    return "-" if value is None else value.show(digits, scale)
