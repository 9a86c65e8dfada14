# SPDX-License-Identifier: Apache-2.0
"""The Go module that a shim imports: its own tests, with a fake program and with the real ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.build import SOURCE
from support.go import go
from support.view import program

MODULE = SOURCE / "packaging/containerd/viewfs"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("go")


def test_vet_and_gofmt_find_nothing(cache: Path) -> None:
    assert go(MODULE, cache, "vet", "./...") == ""
    finished = subprocess.run(["gofmt", "-l", MODULE], capture_output=True, text=True, check=True)
    assert finished.stdout == ""


def test_its_tests_pass_with_the_race_detector_and_the_real_programs(cache: Path) -> None:
    words = ["test", "-race", "-count=1", "-v", "."]
    said = go(MODULE, cache, *words, VIEWFS_PROGRAMS=str(program().parent))
    assert "--- PASS: TestTheProgramItself" in said


def test_the_module_imports_the_standard_library_only(cache: Path) -> None:
    others = "{{if not .Standard}}{{.ImportPath}}{{end}}"
    said = go(MODULE, cache, "list", "-deps", "-f", others, ".")
    assert said.split() == ["urunc-viewfs.invalid/viewfs"]
    assert not (MODULE / "go.sum").exists()
