# SPDX-License-Identifier: Apache-2.0
"""Search for a stack that kernel and view see differently, and shrink it to one worth keeping."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st

from . import strategies
from .comparison import Difference
from .strategies import Sample

# Hypothesis remembers all it has tried, so it starts anew after so many.
BATCH = 250

SHOWN = 10


@dataclass
class Tally:
    """What a search has done so far."""

    seed: int
    stacks: int = 0
    comparisons: int = 0
    mismatches: int = 0

    def __str__(self) -> str:
        return (
            f"oracle: {self.stacks} stacks, {self.comparisons} comparisons, "
            f"{self.mismatches} mismatches, seed {self.seed}"
        )


class Mismatch(AssertionError):
    """Kernel and view differ. Its text is the entry for tests/oracle/regressions.py."""

    def __init__(self, sample: Sample, found: list[Difference]) -> None:
        asked = sorted({d.question.path for d in found}, key=lambda path: (len(path), path))
        lines = ["kernel and view differ; to keep the case, in tests/oracle/regressions.py:"]
        lines += ["", "keep(", '    "a-name",', "    ["]
        lines += [f"        {layer!r}," for layer in sample.stack.layers]
        lines += ["    ],", *(f"    {path!r}," for path in asked[:SHOWN])]
        lines += ["    userxattr=True,"] if sample.userxattr else []
        lines += [")", "", *map(str, found[:SHOWN])]
        lines += [f"... and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        super().__init__("\n".join(lines))


def chosen_seed() -> int:
    """VIEWFS_ORACLE_SEED, or another one each time: whoever takes it prints it."""
    named = os.environ.get("VIEWFS_ORACLE_SEED")
    return int(named) if named else secrets.randbelow(10**9)


def chosen_stacks(default: int) -> int:
    """VIEWFS_ORACLE_STACKS, or DEFAULT."""
    return int(os.environ.get("VIEWFS_ORACLE_STACKS") or default)


def repeat(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """For a property about something else than stacks: so many examples of the chosen seed."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        chosen = settings(
            max_examples=examples,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )
        return with_seed(chosen_seed())(chosen(test))

    return decorate


def each(
    check: Callable[[Sample], None],
    stacks: int,
    seed: int,
    userxattr: st.SearchStrategy[bool] | None = None,
) -> None:
    """Call CHECK with so many samples, the same ones for the same SEED.

    What CHECK raises is shrunk and raised for the smallest sample found.
    """
    for first in range(0, stacks, BATCH):

        @with_seed(f"{seed}/{first}")
        @settings(
            max_examples=min(BATCH, stacks - first),
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
            report_multiple_bugs=False,
        )
        @given(strategies.samples(userxattr))
        def batch(sample: Sample) -> None:
            check(sample)

        batch()


def collect(stacks: int, seed: int) -> list[Sample]:
    """The samples that each() would go through."""
    found: list[Sample] = []
    each(found.append, stacks, seed)
    return found


def search(
    compare: Callable[[Sample], tuple[int, list[Difference]]],
    tally: Tally,
    stacks: int,
    userxattr: st.SearchStrategy[bool] | None = None,
) -> None:
    """Compare so many samples of TALLY's seed; COMPARE says how many answers and which differ.

    Raises Mismatch for the smallest sample found; what shrinking tries is not counted.
    """

    def check(sample: Sample) -> None:
        compared, found = compare(sample)
        if not tally.mismatches:
            tally.stacks += 1
            tally.comparisons += compared
            tally.mismatches += len(found)
        if found:
            raise Mismatch(sample, found)

    each(check, stacks, tally.seed, userxattr)
