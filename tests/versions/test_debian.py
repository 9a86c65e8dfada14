# SPDX-License-Identifier: Apache-2.0
"""Newer releases of Debian, with their compilers and libraries, on this machine's kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support import debian
from support.system import System

# Which libfuse a release has at least.
SUITES = {"trixie": (3, 17), "testing": (3, 18)}

# Of the tests of the programs those that show most for their time.
NAMES = ["fstab", "helper", "mount", "passthrough", "requests", "resolve", "unprivileged"]
TESTS = [f"tests/integration/test_{name}.py" for name in NAMES]
LEFT_OUT = "not crowded and not every_way_to_read"


# The release that still has 32-bit programs for this machine as a whole.
THIRTY_TWO_BITS = ("bookworm", "i386")

# What depends on the size of a time, a pointer or an offset.
OF_32_BITS = ["list", "mount", "passthrough", "requests"]


@pytest.fixture(scope="module")
def roots(private_mounts: None) -> dict[str, Path]:
    return dict(zip(SUITES, debian.roots(list(SUITES))))


class Inside(System):
    """Builds and tests in such a root."""

    def build(self, directory: str, *options: str, targets: Sequence[str] = ()) -> None:
        """A warning is an error."""
        text = self.run("meson", "setup", "--werror", *options, directory, "/source")
        text += self.run("ninja", "-C", directory, *targets)
        # A static build leaves out the programs whose libraries are only shared.
        lines = [line for line in text.lower().splitlines() if "static library 'mount'" not in line]
        assert "warning:" not in "\n".join(lines), text

    def test(self, directory: str, which: str, *files: str) -> None:
        """Run the cases of FILES that WHICH selects, with what DIRECTORY holds."""
        command = ("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", which, *files)
        text = self.run(*command, VIEWFS_BUILD=directory)
        assert re.search(r"\d+ passed", text) and "skipped" not in text, text


@pytest.fixture
def inside(request: pytest.FixtureRequest, roots: dict[str, Path], place: Path) -> Iterator[Inside]:
    with Inside(place, roots[request.param]) as inside:
        # Not debootstrap's to make, but fusermount3 reads it.
        inside.run("ln", "-sf", "../proc/self/mounts", "/etc/mtab")
        yield inside


@pytest.mark.parametrize("inside", SUITES, indirect=True)
def test_each_release_builds_tests_and_serves(
    inside: Inside, request: pytest.FixtureRequest
) -> None:
    """Builds without a warning, passes the unit tests, and serves; the static build too."""
    wanted = SUITES[request.node.callspec.params["inside"]]
    libfuse = inside.run("pkg-config", "--modversion", "fuse3").strip()
    assert tuple(map(int, libfuse.split(".")[:2])) >= wanted

    inside.build("/build", "-Dtests=enabled")
    inside.run("meson", "test", "-C", "/build", "--suite", "unit", "--print-errorlogs")
    assert libfuse in inside.run("/build/fuse/urunc-viewfs", "--version")
    inside.test("/build", LEFT_OUT, *TESTS)

    inside.build("/static", "-Dtests=disabled", "-Dstatic=true", targets=["fuse/urunc-viewfs"])
    assert "statically linked" in inside.run("ldd", "/static/fuse/urunc-viewfs")
    inside.test("/static", "gigabyte or the_title", *TESTS, "tests/integration/test_lifecycle.py")


def test_32_bit_programs_have_64_bit_times_and_a_title(private_mounts: None, place: Path) -> None:
    """Built without a warning; dates after 2038 are shown, and views are told by their titles."""
    with Inside(place, debian.foreign(*THIRTY_TWO_BITS)) as inside:
        inside.run("ln", "-sf", "../proc/self/mounts", "/etc/mtab")
        inside.build("/build", "-Dtests=enabled")
        assert "32-bit" in inside.run("file", "-b", "/build/fuse/urunc-viewfs")
        inside.run("meson", "test", "-C", "/build", "--suite", "unit", "--print-errorlogs")
        files = [f"tests/integration/test_{name}.py" for name in OF_32_BITS]
        inside.test("/build", LEFT_OUT, *files)
