# SPDX-License-Identifier: Apache-2.0
"""The static build: one file, linked with musl, which serves views where there is nothing else."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support import image, machine, namespace, rerun, scratch, skipping
from support.build import SOURCE
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.resolver import build_directory
from support.view import View, run

PROGRAM = "fuse/urunc-viewfs"
ATTEMPTS = "tests/urunc-viewfs-attempts"


@pytest.fixture(scope="module")
def static() -> Iterator[Path]:
    """The program, built without a warning."""
    parent, reason = scratch.find()
    if not parent:
        skipping.skip(f"nowhere to build: {reason}")
    with scratch.directory(parent) as directory:
        setup = [SOURCE / "packaging/static/setup", "--daemon", directory, "--werror"]
        for step in setup, ["ninja", "-C", directory]:
            done = run(*step, seconds=300)
            assert done.status == 0, done
        yield directory / PROGRAM


def test_the_program_is_linked_statically(static: Path) -> None:
    """Nothing is loaded at run time, and no loader is asked for."""
    assert run("ldd", static).stdout.strip() == "statically linked"
    assert "static" in run("file", "-b", static).stdout
    headers = run("readelf", "-lW", static).stdout
    assert "INTERP" not in headers
    assert "NEEDED" not in run("readelf", "-dW", static).stdout


def test_the_version_says_that_the_program_is_static(static: Path) -> None:
    version = run(static, "--version")
    assert (version.status, version.stderr) == (0, "")
    assert version.stdout.startswith("urunc-viewfs ")


# Of the tests of the programs those whose subject is what the C library does for the program; and not
# the cases that know how glibc puts an error into words, or which system calls it makes.
TESTS = [
    "integration/test_cost.py",
    "integration/test_errors.py",
    "integration/test_lifecycle.py",
    "integration/test_list.py",
    "integration/test_mount.py",
    "integration/test_passthrough.py",
    "integration/test_requests.py",
    "integration/test_sources.py",
    "integration/test_unprivileged.py",
    "hostile/test_sandbox.py",
]
OF_GLIBC = ["loop", "long-link", "too_few_descriptors", "cannot_be_watched", "could_not_be_found"]


def test_the_static_program_passes_the_programs_tests(static: Path, place: Path) -> None:
    """They pass with it in the place of the program that they were written for."""
    for name in ("fuse", "tests"):
        shutil.copytree(build_directory() / name, place / name, symlinks=True)
    for name in (PROGRAM, ATTEMPTS):
        shutil.copy(static.parents[1] / name, place / name)
    rerun.passes(TESTS, leaving_out=OF_GLIBC, VIEWFS_BUILD=str(place))


@pytest.fixture
def bare(static: Path, place: Path) -> Path:
    """A directory with that program and what the kernel shows, to be the root; the layers of the
    usual image in it are the only other thing."""
    root = place / "root"
    for directory in ("fuse", "proc", "sys", "dev", "layers"):
        (root / directory).mkdir(parents=True)
    for name in DEVICES:
        (root / "dev" / name).touch()
    shutil.copy(static, root / PROGRAM)
    image.usual().build(root / "layers")
    return root


DEVICES = ("fuse", "null")
LAYERS = [f"/layers/{n}".encode() for n in range(3)]


@contextmanager
def overlay(at: Path) -> Iterator[None]:
    at.mkdir(parents=True)
    namespace.mount("overlay", str(at), "overlay", 0, lowerdir(LAYERS))
    try:
        yield
    finally:
        namespace.unmount(str(at), 0)


def typed(_: ExitStack) -> View:
    return View(Path("/view"), "-o", lowerdir(LAYERS))


def _mounts() -> str:
    options = [lowerdir(LAYERS).decode()]
    return json.dumps([{"Type": "overlay", "Source": "overlay", "Options": options}])


def mounts_file(_: ExitStack) -> View:
    Path("/mounts.json").write_text(_mounts())
    return View(Path("/view"), "--mounts=/mounts.json")


def mounts_stdin(_: ExitStack) -> View:
    return View(Path("/view"), "--mounts=-", stdin=_mounts().encode())


def bundle(stack: ExitStack) -> View:
    Path("/bundle").mkdir()
    config = {"root": {"path": "rootfs"}, "annotations": image.configuration(initrd=INITRD_PATH)}
    Path("/bundle/config.json").write_text(json.dumps(config))
    stack.enter_context(overlay(Path("/bundle/rootfs")))
    return View(Path("/view"), "--bundle=/bundle")


def overlay_mountpoint(stack: ExitStack) -> View:
    stack.enter_context(overlay(Path("/merged")))
    return View(Path("/view"), source="/merged")


def directory(_: ExitStack) -> View:
    """One, which has it all."""
    for layer in reversed(LAYERS):
        shutil.copytree(os.fsdecode(layer), "/all", dirs_exist_ok=True)
    return View(Path("/view"), source="/all")


SOURCES = [typed, mounts_file, mounts_stdin, bundle, overlay_mountpoint, directory]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.__name__)
def test_the_static_program_serves_on_a_bare_root(
    bare: Path, source: Callable[[ExitStack], View]
) -> None:
    """Every form that layers come in."""

    def attempt() -> tuple[bool, set[bytes], list[str]]:
        os.environ["VIEWFS_BUILD"] = "/"
        tempfile.tempdir = "/"
        machine.adopt_orphans()
        with ExitStack() as stack, source(stack) as view:
            found = {(view.root / path).read_bytes() for path in (KERNEL_PATH, INITRD_PATH)}
            return view.ready["passthrough"], found, sorted(os.listdir(view.root))

    places = {path: path for path in ("/proc", "/sys", *(f"/dev/{name}" for name in DEVICES))}
    found = namespace.in_root(bare, places, attempt)
    assert found == (True, {KERNEL, INITRD}, ["boot", "unikernel", "urunc.json"])
