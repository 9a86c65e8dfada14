# SPDX-License-Identifier: Apache-2.0
"""Debian's package: built, installed, used and removed in the releases of Debian."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import debian, rerun, skipping
from support.build import SOURCE
from support.export import NAME, export, tarball, version
from support.installation import COMMANDS, PAGES, readme_package
from support.system import System

# The oldest also builds the source package and runs the unit tests.
OLDEST = "bookworm"
SUITES = [OLDEST, "trixie", "testing"]

TESTS = Path("/source/packaging/debian/tests")


@pytest.fixture(scope="module")
def roots(private_mounts: None) -> dict[str, tuple[Path, Path]]:
    """To build in and to install in."""
    building = debian.roots(SUITES)
    return dict(zip(SUITES, zip(building, debian.fresh(SUITES))))


def build(building: Path, suite: str, place: Path) -> list[Path]:
    """What dpkg-buildpackage makes, in PLACE. It is called as the README says; for the oldest release
    it makes the source package too."""
    with System(place / "root", building) as system:
        root = system.root
        (root / "build").mkdir()
        tree = export(root / "build")
        copy, build_dep, build_binary = readme_package("for Debian 12, 13, testing")
        commands, options = [f"cd /build/{tree.name}", copy, build_dep, build_binary], "parallel=2"
        if suite == OLDEST:
            tarball(tree, root / "build" / f"{NAME}_{version()}.orig.tar.gz")
            commands[-1] = "dpkg-buildpackage -us -uc --build=full"
        else:
            options += " nocheck"
        text = system.run("sh", "-euc", "\n".join(commands), DEB_BUILD_OPTIONS=options)
        # libc6 of Debian 13 has moved its loader, and says so to whoever links with it.
        text = text.replace("dpkg-shlibdeps: warning: diversions involved", "")
        assert "warning:" not in text.lower(), text
        for path in (root / "build").glob(f"{NAME}*_*"):
            shutil.copy2(path, place)
    return sorted(place.glob(f"{NAME}*_*"))


# A view and a stored image while the package is upgraded, removed and purged.
LIVE = """
image=/tmp/image view=/tmp/view chain=sha256:$(printf %064d 1)
mkdir $image $view
echo kernel >$image/kernel
mount --bind $image $image && mount -o remount,bind,ro $image
viewfsctl store add --chain=$chain --tree=$image -o binary=/kernel
urunc-viewfs --chain=$chain -o binary=/kernel none $view
served() { [ "$(cat $view/kernel)" = kernel ]; }
served
apt-get -q -y install --reinstall "$1"
served && viewfsctl store verify && viewfsctl list | grep -F "$view" && viewfsctl gc && served
apt-get -q -y remove urunc-viewfs
served && [ -d /var/cache/urunc-viewfs ]
apt-get -q -y purge urunc-viewfs
served && [ ! -e /var/cache/urunc-viewfs ]
umount $view $image
apt-get -q -y install "$1"
"""


def check_with_lintian(built: list[Path]) -> None:
    """Nothing to say, down to what is a matter of taste."""
    if not shutil.which("lintian"):
        skipping.skip("no lintian")
    (changes,) = (path for path in built if path.suffix == ".changes")
    command = ["lintian", "--allow-root", "--info", "--pedantic", "--profile=debian", changes]
    finished = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert (finished.returncode, finished.stdout) == (0, "")


def autopkgtests() -> list[str]:
    control = (SOURCE / "packaging/debian/tests/control").read_text()
    return re.findall(r"^Tests: (\S+)$", control, re.MULTILINE)


@contextmanager
def installed(system: System, package: Path) -> Iterator[None]:
    """PACKAGE, for as long as the block runs; nothing is left of it afterwards."""
    apt = ["apt-get", "-q", "-y", "--no-install-recommends"]
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    shutil.copy2(package, system.root)
    # What its test needs besides.
    system.run(*apt, "install", "fuse3", "mount", **env)
    before = system.changes()
    system.run(*apt, "install", f"/{package.name}", **env)
    yield
    system.run(*apt, "purge", "--auto-remove", NAME, **env)
    assert system.changes() == before


@pytest.mark.parametrize("suite", SUITES)
def test_the_package_works_on_each_release(
    roots: dict[str, tuple[Path, Path]], suite: str, place: Path
) -> None:
    """The package of this machine's own release keeps the contract with a shim, too."""
    building, fresh = roots[suite]
    built = build(building, suite, place / "build")
    check_with_lintian(built)
    (package,) = (path for path in built if re.match(rf"{NAME}_.*\.deb$", path.name))
    with System(place / "fresh", fresh) as system, installed(system, package):
        for name in autopkgtests():
            system.run(f"{TESTS}/{name}")
        programs = {path.name for path in (system.root / "usr/sbin").glob("*viewfs*")}
        assert programs == COMMANDS
        pages = {path.stem for path in (system.root / "usr/share/man").glob("man*/*viewfs*.gz")}
        assert pages == PAGES
        documents = system.root / "usr/share/doc/urunc-viewfs"
        assert {path.name for path in documents.glob("SECURITY.md*")}
        assert (documents / "containerd/viewfs/viewfs.go").exists()
        system.run("sh", "-euc", LIVE, "sh", f"/{package.name}", DEBIAN_FRONTEND="noninteractive")
    if suite == debian.release():
        unpacked = place / "unpacked"
        subprocess.run(["dpkg-deb", "-x", package, unpacked], check=True)
        directory = str(unpacked / "usr/sbin")
        rerun.passes(["conformance"], leaving_out=rerun.OF_SOURCE, VIEWFS_PROGRAMS=directory)
