# SPDX-License-Identifier: Apache-2.0
"""Run tests once more, with other programs than the build directory's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence

from .build import SOURCE

SECONDS = 600

# Cases that look at source files, whichever programs are under test.
OF_SOURCE = ["vet_gofmt", "fuzzing", "imports_the_standard_library"]


def passes(files: Sequence[str], *, leaving_out: Sequence[str] = (), **env: str) -> None:
    """Assert that all cases of FILES, in tests/, pass with ENV, but those whose names have a part in
    LEAVING_OUT. They are not counted once more."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    if leaving_out:
        command += ["-k", " and ".join(f"not {part}" for part in leaving_out)]
    done = subprocess.run(
        [*command, *(str(SOURCE / "tests" / name) for name in files)],
        env=os.environ | {"VIEWFS_RESULTS": ""} | env,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20000:]
    assert re.search(r"\d+ passed", done.stdout) and "skipped" not in done.stdout, done.stdout
