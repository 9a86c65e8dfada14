# SPDX-License-Identifier: Apache-2.0
"""From how many layers on the index pays, by the intervals of one run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KNOWN = "known stack"

HOT_MOST, COLD_MOST = 1.0, 0.9
"""The index pays where a hit takes no more than so much of the time without one."""


def pays_from(found: Mapping[str, Any]) -> int | None:
    """The least number of layers from which on a hit is never slower to the first bytes while
    caches are hot, and a tenth quicker when they are cold. None: there is none in this run.

    FOUND: a build's data, by number of layers. It counts where the whole interval lies.
    """
    least = None
    for count in sorted(map(int, found), reverse=True):
        hot = found[str(count)]["hot"][KNOWN]["read_ratio"]
        cold = found[str(count)]["cold"][KNOWN]["read_ratio"]
        if not (hot and cold and hot.high <= HOT_MOST and cold.high <= COLD_MOST):
            break
        least = count
    return least
