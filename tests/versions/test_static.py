"""The static build: one file, which serves views where there is nothing else."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support import image, machine, namespace, scratch, skipping
from support.build import build
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.view import View, run

PROGRAM = "fuse/urunc-viewfs"


@pytest.fixture(scope="module")
def static() -> Iterator[Path]:
    """The program, built."""
    parent, reason = scratch.find()
    if not parent:
        skipping.skip(f"nowhere to build: {reason}")
    with scratch.directory(parent) as directory:
        build(directory, "-Dstatic=true", "-Dtests=disabled", targets=(PROGRAM,))
        yield directory / PROGRAM


def test_it_is_linked_statically(static: Path) -> None:
    """Nothing is loaded at run time, and no loader is asked for."""
    assert run("ldd", static).stdout.strip() == "statically linked"
    assert "static" in run("file", "-b", static).stdout
    headers = run("readelf", "-lW", static).stdout
    assert "INTERP" not in headers
    assert "NEEDED" not in run("readelf", "-dW", static).stdout


def test_it_says_what_it_is(static: Path) -> None:
    version = run(static, "--version")
    assert (version.status, version.stderr) == (0, "")
    assert version.stdout.startswith("urunc-viewfs ")


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
def test_on_a_bare_root(bare: Path, source: Callable[[ExitStack], View]) -> None:
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
