# SPDX-License-Identifier: Apache-2.0
"""The static program's tarball, on a bare host."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import image, machine, namespace, scratch, skipping
from support.build import SOURCE
from support.image import KERNEL, KERNEL_PATH, lowerdir
from support.system import System
from support.view import run
from support.waiting import wait_until

PROGRAM = Path("/usr/local/sbin/urunc-viewfs")
LAYERS = [f"/var/tmp/layers/{n}".encode() for n in range(3)]


@pytest.fixture(scope="module")
def unpacked() -> Iterator[Path]:
    parent, reason = scratch.find()
    if not parent:
        skipping.skip(f"nowhere to build: {reason}")
    with scratch.directory(parent) as place:
        made = run(SOURCE / "packaging/static/make-tarball", place, seconds=300)
        assert made.status == 0, made
        archive = Path(made.stdout.strip())
        subprocess.run(["tar", "-C", place, "-xzf", archive], check=True)
        (directory,) = (path for path in place.iterdir() if path.is_dir())
        assert directory.name + ".tar.gz" == archive.name
        yield directory


def mount(at: str) -> None:
    os.makedirs(at, exist_ok=True)
    assert run(PROGRAM, "-o", lowerdir(LAYERS), "none", at).status == 0


def read(at: str) -> bytes:
    return Path(at, KERNEL_PATH).read_bytes()


def test_the_script_installs_upgrades_and_uninstalls(unpacked: Path, place: Path) -> None:
    """The view that runs goes on with the program that it began with."""
    with System(place, Path("/")) as system:
        (system.root / "package").mkdir()
        (system.root / "usr/local/sbin").mkdir(parents=True, exist_ok=True)
        before = system.changes()
        system.places["/package"] = unpacked
        image.usual().build(system.places["/var/tmp"] / "layers")

        def attempt() -> None:
            machine.adopt_orphans()
            assert run("/package/install").status == 0
            first = os.stat(PROGRAM).st_ino
            mount("/tmp/old")
            assert run("/package/install").status == 0
            assert os.stat(PROGRAM).st_ino != first
            (old,) = machine.processes()
            assert os.readlink(old.proc / "exe") == f"{PROGRAM} (deleted)"
            assert read("/tmp/old") == KERNEL
            mount("/tmp/new")
            assert read("/tmp/new") == KERNEL
            assert run("/package/install", "--uninstall").status == 0
            assert read("/tmp/new") == read("/tmp/old") == KERNEL
            for at in ("/tmp/old", "/tmp/new"):
                namespace.unmount(at, 0)
            wait_until(lambda: not machine.processes(), "the views to end")

        namespace.in_root(system.root, system.places, attempt)
        assert system.changes() == before


@pytest.mark.parametrize("word", ["--prefix=", "--prefx=/", "now"])
def test_a_wrong_argument_is_a_usage_error(word: str) -> None:
    refused = run(SOURCE / "packaging/static/install", word)
    assert refused.status == 1
    assert refused.stderr.startswith("usage: ")


def test_a_missing_prefix_is_an_error_and_is_not_made(unpacked: Path, place: Path) -> None:
    """Nothing half done."""
    refused = run(unpacked / "install", f"--prefix={place}/none")
    assert refused.status == 1
    assert not (place / "none").exists()
