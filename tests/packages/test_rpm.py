# SPDX-License-Identifier: Apache-2.0
"""The RPM: built by rpmbuild, whose Debian knows no Fedora package to build with, and used here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support import skipping
from support.build import SOURCE
from support.export import NAME, version
from support.installation import FILES, USE, readme_package, without_directories
from support.system import System

SECONDS = 300


def output(*command: str | Path) -> str:
    finished = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert finished.returncode == 0, f"{command}\n{finished.stdout}"
    return finished.stdout


@pytest.fixture
def package(place: Path) -> Path:
    if not shutil.which("rpmbuild"):
        skipping.skip("no rpmbuild")
    home = place / "home"
    home.mkdir()
    commands = readme_package("rpm, made on Debian 12")
    assert len(commands) == 4
    # The first two install what they require.
    script = ["set -e", f"export HOME={home}", f"cd {SOURCE}", *commands[2:]]
    output("sh", "-c", "\n".join(script))
    (built,) = home.glob(f"rpmbuild/RPMS/*/{NAME}-{version()}-*.rpm")
    return built


def test_the_package_holds_the_files_serves_and_is_removed(package: Path, place: Path) -> None:
    """Holds what meson installs, serves, and goes without a trace."""
    listed = set(output("rpm", "-qlp", package).splitlines())
    # brp-compress packs the manual.
    plain = {path.removesuffix(".gz").lstrip("/") for path in listed if "/.build-id" not in path}
    # Whose directory some versions of rpm name by the version, too.
    held = without_directories(plain)
    assert {path for path in held if not path.startswith("usr/share/licenses/")} == FILES
    assert any(path.endswith("/LICENSE") for path in held)

    with System(place, Path("/")) as system:
        # On a system of that kind other packages have them.
        for directory in ("licenses", "zsh/site-functions", "fish/vendor_completions.d"):
            (system.root / "usr/share" / directory).mkdir(parents=True, exist_ok=True)
        copy = system.root / "package.rpm"
        copy.write_bytes(package.read_bytes())
        before = system.changes()
        # Debian's keeps it in a home directory.
        rpm = ["rpm", "--dbpath=/var/lib/rpm"]
        system.run(*rpm, "--nodeps", "--install", "/package.rpm")
        system.run(USE)
        system.run(*rpm, "--erase", NAME)
        assert system.changes() == before
