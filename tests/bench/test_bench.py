# SPDX-License-Identifier: Apache-2.0
"""The benchmark runs, shows every table, and leaves nothing. How fast anything is, is not asked;
what a view takes of calls, requests and memory, which is no noise, is."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from support import skipping

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from viewbench import (  # noqa: E402
    bars,
    cgroup,
    charts,
    document,
    figures,
    index_pays,
    measure,
    mounting,
    rust,
    system,
)
from viewbench.builds import Build  # noqa: E402
from viewbench.contenders import STORED_WARM  # noqa: E402

LIMIT = 600

TABLES = (
    "Spawn to mounted and ready: 20 layers",
    "What layers add: 20 to 128",
    "The index of layers, hot: view",
    "The index of layers, page and dentry cache cold: view",
    "The index of layers, system calls to the first bytes: view",
    "The index of layers, in short: view",
    "A stored image: view",
    "A stored image, 5 at once: view",
    "First container by kind of blob",
    "Page faults until a view is ready",
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
    monkeypatch.setenv(rust.VARIABLE, rust.NONE)
    # What a process that ends leaves becomes this one's child: others' views are not looked at.
    mounting.adopt_orphans()
    processes = mounting.children()
    yield
    assert mounting.children() <= processes
    assert [place for place in system.mounts() if place.startswith(str(layer_directory))] == []
    assert list(layer_directory.iterdir()) == []


def test_a_quick_run_has_every_table(tmp_path: Path) -> None:
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
    found = json.loads((drawn / charts.RESULT).read_text())
    assert set(found["results"]) == set(measure.ALL)
    view = found["results"]["spawn"]["stacks"]["20"]["view"]
    assert view["duties_ratio"] and view["read_per_ready"]
    check_memory(found["results"]["memory"], done.stdout)
    steady = [bar for bar in found["bars"] if bar["steady"]]
    assert len(steady) == STEADY
    assert [bar for bar in steady if not bar["met"]] == []
    for chart in {"start", "read", "memory", "cache", "stored"}:
        ElementTree.parse(drawn / f"{chart}.svg")


def test_the_name_of_a_build_may_hold_any_character(tmp_path: Path) -> None:
    """A static build's has a comma, which in a mount option separates."""
    for name in ("of,one", "of two"):
        (tmp_path / name / "fuse").mkdir(parents=True)
        for program in ("urunc-viewfs", "viewfsctl"):
            shutil.copy(Path(os.environ["VIEWFS_BUILD"], "fuse", program), tmp_path / name / "fuse")
    command = [HERE / "run", "--quick", "--only", "stored", "--layers", "20", "--json"]
    command += [tmp_path / "json", "--builds", tmp_path / "of,one", tmp_path / "of two"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    stored = json.loads((tmp_path / "json").read_text())["results"]["stored"]
    rows = [row for build in stored.values() for row in build.values() if isinstance(row, dict)]
    assert len(stored) == 2 and all(STORED_WARM in build for build in stored.values())
    assert [row for row in rows if row.get("failures")] == []


def check_memory(memory: Mapping[str, Any], said: str) -> None:
    """All that a view takes is more than its process's own pages."""
    if not memory:
        assert "memory: left out" in said
        return
    view = memory["view"]
    assert view["anon"] > 0 and view["kernel"] > 0
    assert view["all"] == pytest.approx(view["anon"] + view["kernel"] + view["file"])


@pytest.mark.parametrize("measurement", ["crowd", "memory"])
def test_an_interrupted_run_leaves_nothing(measurement: str) -> None:
    """Among its mounts: the heading is written when the layers are there and a view was mounted."""
    command = [HERE / "run", "--only", measurement, "--layers", "20"]
    command += ["--quick"] if measurement == "crowd" else []
    groups = len(cgroup.all_left())
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE) as process:
        assert process.stdout
        while line := process.stdout.readline():
            if line.startswith("view: "):
                break
        if measurement == "memory" and cgroup.mounted():
            mounting.wait_until(lambda: len(cgroup.all_left()) > groups, "a cgroup")
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(LIMIT) == 128 + signal.SIGTERM, line + rest
    assert len(cgroup.all_left()) == groups


def test_the_charts_that_are_shown_are_those_of_their_figures(tmp_path: Path) -> None:
    """Drawing them again changes nothing, and none is left of an older run."""
    kept = HERE / "charts"
    shutil.copy(kept / charts.RESULT, tmp_path)
    subprocess.run([HERE / "draw", tmp_path], check=True, stdout=subprocess.DEVNULL)
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert found == {path.name: path.read_text() for path in kept.iterdir()}


def test_a_run_is_kept_a_row_a_line() -> None:
    text = (HERE / "charts" / charts.RESULT).read_text()
    assert document.dumps(json.loads(text)) == text
    lines = document.dumps({"table": {"a": row(1), "b": row(2)}, "left_out": []}).splitlines()
    assert [line.strip().partition(":")[0] for line in lines] == [
        "{", '"table"', '"a"', '"b"', "},", '"left_out"', "}",
    ]  # fmt: skip


def row(value: int) -> dict[str, Any]:
    """A figure, a number, and a list of words."""
    return {"x": figures.Figure(value, value, value, 1), "failures": 0, "left": ["a mount"]}


def test_every_colour_of_a_chart_has_another_on_a_dark_page() -> None:
    drawn = 0
    for chart in (HERE / "charts").glob("*.svg"):
        drawn += 1
        text = chart.read_text()
        style = text[text.index("<style>") : text.index("</style>")]
        assert "prefers-color-scheme: dark" in style
        for what, colour in re.findall(r"(fill|stroke)='(#[0-9a-f]+)'", text.replace(style, "")):
            assert f"[{what}='{colour}']" in style, chart
        assert "is better" in text, chart
    assert drawn


def test_the_index_pays_from_where_no_interval_speaks_against_it() -> None:
    def found(hot: float, cold: float) -> dict[str, Any]:
        def way(high: float) -> dict[str, Any]:
            return {index_pays.KNOWN: {"read_ratio": figures.Figure(0.5, 0.4, high, 60)}}

        return {"hot": way(hot), "cold": way(cold)}

    good, slow, cold = found(0.99, 0.89), found(1.01, 0.89), found(0.99, 0.91)
    assert index_pays.pays_from({"8": good, "20": good}) == 8
    assert index_pays.pays_from({"8": slow, "20": good, "128": good}) == 20
    assert index_pays.pays_from({"8": cold, "20": good}) == 20
    assert index_pays.pays_from({"8": good, "20": slow, "128": good}) == 128
    assert index_pays.pays_from({"8": good, "20": slow}) is None


def test_an_interval_narrows_with_the_samples_and_holds_the_median() -> None:
    def of(count: int) -> figures.Figure:
        samples = {r: 10.0 + r % 10 for r in range(count)}
        found = figures.interval(samples, dict.fromkeys(samples, 10.0))
        assert found and found.low <= found.median <= found.high
        assert found == figures.interval(samples, dict.fromkeys(samples, 10.0))
        return found

    few, many = of(10), of(1000)
    assert many.high - many.low < few.high - few.low
    assert figures.interval({}, {}) is None


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (None, "cargo is not installed"),
        ("cargo 1.84.1 (abc 2025-01-01)", "older than 1.85"),
        ("cargo 1.85.0 (abc 2025-02-01)", "not installed in"),
    ],
)
def test_fuse_overlayfs_2_requires_a_cargo_that_can_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, reason: str
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}")
    monkeypatch.setenv(rust.VARIABLE, f"{tmp_path}/prefix")
    if said:
        cargo = tmp_path / "cargo"
        cargo.write_text(f"#!/bin/sh\necho '{said}'\n")
        cargo.chmod(0o755)
    assert reason in (rust.absent() or "")
    (tmp_path / "prefix/bin").mkdir(parents=True)
    (tmp_path / "prefix/bin/fuse-overlayfs").touch()
    assert rust.absent() is None
    shutil.rmtree(tmp_path / "prefix")


def test_without_results_no_bar_is_judged() -> None:
    build = Build("view", Path("urunc-viewfs"), static=False, kind="", version="")
    verdicts = bars.judge([build], {}, 20)
    assert verdicts and all(verdict.met is None for verdict in verdicts)
    assert sum(verdict.steady for verdict in verdicts) == STEADY


def test_ratios_are_of_common_rounds() -> None:
    ratio = figures.ratio({0: 10, 1: 30, 2: 99}, {0: 10, 1: 10})
    assert ratio == figures.Figure(median=2, low=1.5, high=2.5, count=2)
