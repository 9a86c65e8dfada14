# SPDX-License-Identifier: Apache-2.0
"""The Go module that a shim imports: its own tests, with a fake program and with the real ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support import skipping
from support.build import SOURCE
from support.view import program

MODULE = SOURCE / "packaging/containerd/viewfs"

# Building the race detector's runtime takes long on a busy machine.
SECONDS = 400


def go(directory: Path, *words: str, programs: Path | None = None) -> str:
    """What Debian's go tool (or another one) says, in the module, with its cache in DIRECTORY."""
    tool = "/usr/bin/go" if os.path.exists("/usr/bin/go") else shutil.which("go")
    if not tool:
        skipping.skip("no go")
    env = {"GOFLAGS": "-buildvcs=false", "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    if programs:
        env["VIEWFS_PROGRAMS"] = str(programs)
    finished = subprocess.run(
        [tool, *words],
        cwd=MODULE,
        env={**os.environ, **env, "GOCACHE": str(directory / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("go")


def test_vet_and_gofmt_find_nothing(cache: Path) -> None:
    assert go(cache, "vet", "./...") == ""
    finished = subprocess.run(["gofmt", "-l", MODULE], capture_output=True, text=True, check=True)
    assert finished.stdout == ""


def test_its_tests_pass_with_the_race_detector_and_the_real_programs(cache: Path) -> None:
    words = ["test", "-race", "-count=1", "-v", "."]
    said = go(cache, *words, programs=program().parent)
    assert "--- PASS: TestTheProgramItself" in said


def test_the_module_imports_the_standard_library_only(cache: Path) -> None:
    said = go(cache, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
    assert said.split() == ["urunc-viewfs.invalid/viewfs"]
    assert not (MODULE / "go.sum").exists()
