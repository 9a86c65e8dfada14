# SPDX-License-Identifier: Apache-2.0
"""The Go modules that a shim imports: their own tests, with a fake program and with real ones."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from support import image, machine, namespace, shim, stored
from support.go import go, run_tool
from support.image import INITRD_PATH, KERNEL_PATH
from support.mounted import make_bundle, overlay
from support.view import program, run

VIEWFS = shim.README.parent / "viewfs"
MODULES = [VIEWFS, shim.EXAMPLE]

FUZZ_SECONDS = 3


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_vet_gofmt_and_staticcheck_find_nothing(module: Path) -> None:
    assert go(module, "vet", "./...") == ""
    assert run_tool(module, "gofmt", "-l", ".") == ""
    assert run_tool(module, "go-staticcheck", "./...") == ""


def test_its_tests_pass_with_the_race_detector_and_the_real_programs() -> None:
    said = go(VIEWFS, "test", "-race", "-count=1", "-v", ".", VIEWFS_PROGRAMS=str(program().parent))
    passed = set(re.findall(r"^--- PASS: (\w+)", said, re.MULTILINE))
    assert "--- SKIP" not in said
    real = {
        "TestTheProgramItself", "TestAFilledImageHasAViewByItsChain",
        "TestADetachedViewIsAttachedInAnotherNamespace",
        "TestADetachedViewIsReadThroughTheDescriptor",
    }  # fmt: skip
    assert real <= passed


def test_a_moment_of_fuzzing_breaks_no_parser() -> None:
    words = ["test", "-run=^$", "-fuzz=FuzzParseLine", f"-fuzztime={FUZZ_SECONDS}s"]
    said = go(VIEWFS, *words, ".")
    (runs,) = re.findall(r"execs: (\d+)", said)[-1:]
    assert int(runs) > 1000


def test_the_module_imports_the_standard_library_only() -> None:
    others = "{{if not .Standard}}{{.ImportPath}}{{end}}"
    said = go(VIEWFS, "list", "-deps", "-f", others, ".")
    assert said.split() == ["urunc-viewfs.invalid/viewfs"]
    assert not (VIEWFS / "go.sum").exists()


# The README's program


@pytest.fixture(scope="module")
def readme_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as the README says, in a directory that holds nothing else."""
    (text,) = shim.examples("go")
    (commands,) = shim.examples("console")
    directory = tmp_path_factory.mktemp("empty") / "example"
    directory.mkdir()
    (directory / "main.go").write_text(text)
    assert run_tool(directory, "gofmt", "-l", ".") == ""
    script = "".join(line.removeprefix("$ ") + "\n" for line in commands.splitlines())
    run_tool(directory, "sh", "-eu", "-c", script, GOPROXY="off", kit=str(shim.README.parent))
    return directory / "example"


def said_by(readme_program: Path, source: str) -> list[str]:
    """What it prints; the view that it made is removed."""
    finished = run(readme_program, source, env={"PATH": f"{program().parent}:{os.environ['PATH']}"})
    assert (finished.status, finished.stderr) == (0, ""), finished
    assert machine.mounts() == []
    (shim.DIRECTORY / shim.NAMESPACE).rmdir()
    shim.DIRECTORY.rmdir()
    return finished.stdout.splitlines()


WHERE = [
    f"{role} {shim.mountpoint('web-1')}/{path}"
    for role, path in [("config", "urunc.json"), ("binary", KERNEL_PATH), ("initrd", INITRD_PATH)]
]


def test_the_readmes_program_has_forty_lines() -> None:
    (text,) = shim.examples("go")
    assert len(text.splitlines()) <= 40


def test_the_readmes_program_makes_a_view_of_a_bundle(readme_program: Path, place: Path) -> None:
    bundle = make_bundle(place)
    layers = image.usual().build(place / "layers")
    upper = [f"{name}dir={place / name}" for name in ("upper", "work")]
    for name in ("upper", "work"):
        (place / name).mkdir()
    with overlay(bundle / "rootfs", layers, *upper):
        assert sorted(said_by(readme_program, str(bundle))) == sorted(WHERE)


def test_the_readmes_program_makes_a_view_of_a_stored_image(
    readme_program: Path, place: Path
) -> None:
    with namespace.tmpfs("/var/cache"), stored.tree(place / "tree") as tree:
        words = ["store", "add", f"--chain={stored.chain()}", f"--tree={tree}"]
        assert run(program("viewfsctl"), *words).status == 0
        assert sorted(said_by(readme_program, stored.chain())) == sorted(WHERE)
        other = stored.chain(2)
        (line,) = said_by(readme_program, other)
        assert line.startswith("boot from a copy: ") and other in line
