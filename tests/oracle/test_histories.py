# SPDX-License-Identifier: Apache-2.0
"""The property: whatever is in an index, and whatever became of the layers, no answer is another.

VIEWFS_INDEX_HISTORIES says how many histories to try, VIEWFS_ORACLE_SEED which; `tests/oracle/long
--histories N` is the long form.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import histories, scratch, search, skipping

HISTORIES = 150


@pytest.mark.parametrize("on", ["memory", "disk"])
def test_an_index_never_gives_a_wrong_answer(
    private_mounts: None, on: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parent, reason = scratch.find()
    if parent is None:
        skipping.skip(f"nowhere to make layers: {reason}")
    count = int(os.environ.get("VIEWFS_INDEX_HISTORIES") or HISTORIES)
    tally = histories.Tally(search.chosen_seed())
    place = scratch.memory(parent) if on == "memory" else scratch.directory(parent)
    try:
        with place as directory:
            histories.run(Path(directory), count if on == "memory" else count // 3, tally)
    finally:
        with capsys.disabled():
            print(f"\n{tally}")
