# SPDX-License-Identifier: Apache-2.0
"""The soak, for as long as a test may take: VIEWFS_SOAK_SECONDS says how long."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SECONDS = int(os.environ.get("VIEWFS_SOAK_SECONDS") or 60)
SEED = os.environ.get("VIEWFS_ORACLE_SEED") or "7"


def test_nothing_is_left(private_mounts: None, capsys: pytest.CaptureFixture[str]) -> None:
    command = [Path(__file__).with_name("run"), "--seconds", str(SECONDS), "--seed", SEED]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=SECONDS + 300, check=False,
    )  # fmt: skip
    with capsys.disabled():
        print(f"\n{done.stdout}")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].endswith("nothing left")
