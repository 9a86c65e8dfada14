# SPDX-License-Identifier: Apache-2.0
"""The figures in the documents are those of the run whose figures are kept."""

from __future__ import annotations

import subprocess
import sys

from support.build import SOURCE


def test_the_figures_of_the_documents_are_of_the_kept_run() -> None:
    done = subprocess.run([sys.executable, SOURCE / "tests/bench/tables", "--check"])
    assert done.returncode == 0, "tests/bench/tables writes them otherwise"
