"""The benchmark runs, shows every table, and leaves nothing. How fast anything is, is not asked;
what a view takes of calls, requests and memory, which is no noise, is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from support import skipping

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from viewbench import bars, charts, figures, measure, system  # noqa: E402
from viewbench.builds import Build  # noqa: E402

LIMIT = 600

TABLES = (
    "Spawn to mounted and ready: 20 layers",
    "What layers add: 20 to 128",
    "The index of layers, hot: view",
    "The index of layers, page and dentry cache cold: view",
    "The index of layers, system calls to the first bytes: view",
    "System calls until a view is ready",
    "Requests while all artifacts are read",
    "Reading a file of 1 MiB",
    "Reading a file of 1 MiB, absolute",
    "Reading a file of 8 MiB",
    "Page cache for 4 containers of one image",
    "An idle view: 20 layers",
    "Many at once",
    "Numbers to reach",
)
STEADY = 6
"""How many of the numbers to reach are the same in every run."""

QEMU_TABLE = "QEMU, from exec to loaded and gone, cold"

NAMES = {"spawn", "reader", "peer", "urunc-viewfs", "fuse-overlayfs", "qemu-system-x86", "unshare"}


def ours() -> set[int]:
    """The processes that the benchmark could leave."""
    return {pid for pid, name in system.processes().items() if name in NAMES}


@pytest.fixture(autouse=True)
def nothing_left(layer_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Afterwards there is no process, no mount and no file that was not there before."""
    if os.geteuid() != 0:
        skipping.skip("needs root")
    if not os.environ.get("VIEWFS_BUILD"):
        skipping.skip("VIEWFS_BUILD does not name a build directory")
    monkeypatch.setenv("TMPDIR", str(layer_directory))
    # With it malloc(3) writes to all memory that it gives out.
    monkeypatch.delenv("MALLOC_PERTURB_", raising=False)
    processes, mounts = ours(), system.mounts()
    yield
    assert ours() <= processes
    assert system.mounts() == mounts
    assert list(layer_directory.iterdir()) == []


def test_quick_run_has_every_table(tmp_path: Path) -> None:
    drawn = tmp_path / "charts"
    command = [HERE / "run", "--quick", "--charts", drawn]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    headings = [line[3:] for line in done.stdout.splitlines() if line.startswith("== ")]
    for table in TABLES:
        assert table in headings, done.stdout
    assert QEMU_TABLE in headings or "QEMU: left out" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("left behind: nothing")
    assert done.stderr == ""
    document = json.loads((drawn / charts.RESULT).read_text())
    assert set(document["results"]) == set(measure.ALL)
    assert "view" in document["results"]["spawn"]["stacks"]["20"]
    steady = [bar for bar in document["bars"] if bar["steady"]]
    assert len(steady) == STEADY
    assert [bar for bar in steady if not bar["met"]] == []
    for chart in {"start", "read", "memory", "cache"}:
        ElementTree.parse(drawn / f"{chart}.svg")


def test_interrupted_run_leaves_nothing() -> None:
    """Among its mounts: the heading is written when the layers are there and a view was mounted."""
    command = [HERE / "run", "--quick", "--only", "crowd"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        while line := process.stdout.readline():
            if line.startswith("view: "):
                break
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(LIMIT) == 128 + signal.SIGTERM, line + rest


def test_the_charts_that_are_shown_are_those_of_their_figures(tmp_path: Path) -> None:
    """Drawing them again changes nothing, and none is left of an older run."""
    kept = HERE / "charts"
    shutil.copy(kept / charts.RESULT, tmp_path)
    subprocess.run([HERE / "draw", tmp_path], check=True, stdout=subprocess.DEVNULL)
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {path.name: path.read_text() for path in kept.iterdir()}


def test_without_results_no_bar_is_judged() -> None:
    build = Build("view", Path("urunc-viewfs"), static=False, kind="", version="")
    verdicts = bars.judge([build], {}, 20)
    assert verdicts and all(verdict.met is None for verdict in verdicts)
    assert sum(verdict.steady for verdict in verdicts) == STEADY


def test_ratios_are_of_common_rounds() -> None:
    ratio = figures.ratio({0: 10, 1: 30, 2: 99}, {0: 10, 1: 10})
    assert ratio == figures.Figure(median=2, low=1.5, high=2.5, count=2)
