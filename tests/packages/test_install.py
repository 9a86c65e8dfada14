# SPDX-License-Identifier: Apache-2.0
"""`meson install`, without a package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import debian
from support.examples import in_document
from support.export import export
from support.installation import FILES, USE, install, without_directories
from support.system import System

def test_meson_installs_exactly_the_listed_files(place: Path) -> None:
    install(place)
    found = list(place.rglob("*"))
    assert without_directories(str(path.relative_to(place)) for path in found) == FILES
    assert [path for path in found if not path.exists()] == []


def test_the_units_are_verified_by_systemd(place: Path) -> None:
    """systemd finds nothing to say about ours and the examples."""
    with System(place, Path("/")) as system:
        root = system.root
        install(root)
        units = root / "usr/lib/systemd/system"
        for example in (root / "usr/share/doc/urunc-viewfs/examples").iterdir():
            (units / example.name).write_bytes(example.read_bytes())
        names = [path.name for path in units.iterdir() if re.match("urunc|srv-guest", path.name)]
        assert len(names) == 4
        paths = [f"/usr/lib/systemd/system/{name}" for name in names]
        assert system.run("systemd-analyze", "verify", *paths) == ""


def test_tmpfiles_makes_the_run_directory(place: Path) -> None:
    with System(place, Path("/")) as system:
        install(system.root)
        script = "mount -t tmpfs tmpfs /run && systemd-tmpfiles --create urunc-viewfs.conf && "
        shown = system.run("sh", "-c", script + "stat -c '%A %U %G %n' /run/*")
        assert shown == "drwxr-xr-x root root /run/urunc-viewfs\n"


@pytest.fixture(scope="module")
def building(private_mounts: None) -> Path:
    return debian.roots(["bookworm"])[0]


def readme_commands() -> Iterator[str]:
    for example in in_document("README.md"):
        if example.text.startswith("packaging/install-deps build\n"):
            yield from example.text.splitlines()


def test_the_readmes_commands_install_the_programs(building: Path, place: Path) -> None:
    """Its commands, on a checkout in Debian 12, then the programs."""
    commands = list(readme_commands())
    assert commands[-1] == "meson install -C build"
    with System(place, building) as system:
        tree = export(system.root)
        system.run("sh", "-euc", "\n".join([f"cd /{tree.name}", *commands, USE]))
