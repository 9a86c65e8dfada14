# SPDX-License-Identifier: Apache-2.0
"""Views of snapshots that are made again; `tests/soak/remade --calls N` is the long form."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import filesystems

CALLS = int(os.environ.get("VIEWFS_REMADE_CALLS") or 300)
SEED = os.environ.get("VIEWFS_ORACLE_SEED") or "7"


def test_no_call_succeeds_with_a_view_of_another_image(
    private_mounts: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Inode numbers were given again while a view of the old snapshot was alive."""
    filesystems.need("mkfs.ext4")
    command = [Path(__file__).with_name("remade"), "--calls", str(CALLS), "--seed", SEED]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60 + CALLS, check=False,
    )  # fmt: skip
    with capsys.disabled():
        print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stdout
    counts = {line[:40].strip(): int(line[40:]) for line in done.stdout.splitlines()[1:-1]}
    assert counts["calls"] == CALLS
    assert counts["calls over a view of the same number"] >= CALLS // 30
    for what in ("refused", "found again", "replaced", "mounted", "numbers given again"):
        assert counts[what] > 0, what
