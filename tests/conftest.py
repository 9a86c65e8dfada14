# SPDX-License-Identifier: Apache-2.0
"""What every test has: its own mount namespace, a place for layers, honest skips."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from support import namespace, scratch, skipping  # noqa: E402

_NO_NAMESPACE = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Leave the machine's mount namespace before anything is mounted. Tests that mount nothing run
    without privilege too, so here it is only noted."""
    config.addinivalue_line("markers", "takes_up_to(seconds): on a busy machine")
    try:
        namespace.enter_private()
    except OSError as error:
        config.stash[_NO_NAMESPACE] = f"no mount namespace of our own: {error}"


def _write_counts(reporter: pytest.TerminalReporter) -> None:
    """For `tests/run`, which adds up what all runners counted."""
    directory = os.environ.get("VIEWFS_RESULTS")
    if not directory:
        return
    counts = {
        "passed": len(reporter.getreports("passed")),
        "failed": len(reporter.getreports("failed")) + len(reporter.getreports("error")),
        "skipped": len(reporter.getreports("skipped")),
        "failed_names": sorted(
            report.nodeid for kind in ("failed", "error") for report in reporter.getreports(kind)
        ),
        "missing_in_kernel": skipping.missing_in_kernel,
    }
    with tempfile.NamedTemporaryFile(
        "w", dir=directory, prefix="pytest-", suffix=".json", delete=False
    ) as file:
        json.dump(counts, file)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    _write_counts(terminalreporter)
    if skipping.missing_in_kernel:
        terminalreporter.section("not in this kernel")
        for reason in skipping.missing_in_kernel:
            terminalreporter.write_line(reason)


@pytest.fixture(scope="session")
def private_mounts(pytestconfig: pytest.Config) -> None:
    """For a test that mounts: skips it where it would have to mount on the machine itself."""
    reason = pytestconfig.stash.get(_NO_NAMESPACE, None)
    if reason:
        skipping.skip(reason)


@pytest.fixture
def layer_directory(private_mounts: None) -> Iterator[Path]:
    """An empty directory on a disk, where layers can be made and mounted; removed afterwards."""
    parent, reason = scratch.find()
    if parent is None:
        skipping.skip(f"nowhere to make layers: {reason}")
    with scratch.directory(parent) as path:
        yield path
