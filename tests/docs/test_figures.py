# SPDX-License-Identifier: Apache-2.0
"""README's tables of figures are those of the run whose figures are kept."""

from __future__ import annotations

import subprocess
import sys

from support.build import SOURCE


def test_the_tables_of_the_readme_are_of_the_kept_run() -> None:
    done = subprocess.run([sys.executable, SOURCE / "tests/bench/tables", "--check"])
    assert done.returncode == 0, "tests/bench/tables writes README.md otherwise"
