"""Newer releases of Debian, with their compilers and libraries, on this machine's kernel."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support import debian, namespace
from support.build import SOURCE

# Which libfuse a release has at least.
SUITES = {"trixie": (3, 17), "testing": (3, 18)}

# Of the tests of the programs those that show most for their time.
NAMES = ["fstab", "helper", "mount", "passthrough", "requests", "resolve", "unprivileged"]
TESTS = [f"tests/integration/test_{name}.py" for name in NAMES]
LEFT_OUT = "not crowded and not every_way_to_read"

SECONDS = 300

READ_ONLY = namespace.MS_BIND | namespace.MS_REMOUNT | namespace.MS_RDONLY


@pytest.fixture(scope="module")
def roots(private_mounts: None) -> dict[str, Path]:
    return dict(zip(SUITES, debian.roots(list(SUITES))))


@pytest.fixture
def system(request: pytest.FixtureRequest, roots: dict[str, Path], place: Path) -> Iterator[Path]:
    """The root of a release, as it is in the cache below and changed only in memory."""
    for name in ("root", "memory", "var-tmp"):
        (place / name).mkdir()
    lower = os.fsencode(roots[request.param])
    with namespace.tmpfs(str(place / "memory")):
        for name in ("upper", "work"):
            (place / "memory" / name).mkdir()
        options = b"lowerdir=%s,upperdir=upper,workdir=work" % lower
        os.chdir(place / "memory")
        namespace.mount("overlay", str(place / "root"), "overlay", 0, options)
        os.chdir("/")
        (place / "root" / "source").mkdir()
        # Not debootstrap's to make, but fusermount3 reads it.
        (place / "root" / "etc" / "mtab").symlink_to("../proc/self/mounts")
        try:
            yield place / "root"
        finally:
            namespace.unmount(str(place / "root"))


class Inside:
    """Runs commands in such a root, as on a machine of that release."""

    def __init__(self, root: Path) -> None:
        self._root = root
        var_tmp = root.with_name("var-tmp")
        self._places = {
            **{path: path for path in ("/proc", "/sys", "/dev")},
            "/source": SOURCE,
            # Layers are not to lie on an overlay.
            "/var/tmp": var_tmp,
        }

    def run(self, *command: str, seconds: int = SECONDS, **env: str) -> str:
        """What COMMAND writes; it must succeed."""

        def attempt() -> tuple[int, str]:
            namespace.mount("none", "/source", None, READ_ONLY)
            namespace.mount("tmpfs", "/tmp", "tmpfs")
            finished = subprocess.run(
                command,
                cwd="/source",
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "LC_ALL": "C.UTF-8",
                    "HOME": "/tmp",
                    "PYTHONDONTWRITEBYTECODE": "1",
                    **env,
                    "VIEWFS_MUST_RUN": os.environ.get("VIEWFS_MUST_RUN", ""),
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
            return finished.returncode, finished.stdout.decode(errors="replace")

        start = time.monotonic()
        status, text = namespace.in_root(self._root, self._places, attempt)
        print(f"{time.monotonic() - start:6.1f} s", *command)
        assert status == 0, f"{command}: {status}\n{text}"
        return text

    def build(self, directory: str, *options: str, targets: Sequence[str] = ()) -> None:
        """A warning is an error."""
        text = self.run("meson", "setup", "--werror", *options, directory, "/source")
        text += self.run("ninja", "-C", directory, *targets)
        assert "warning:" not in text.lower(), text

    def test(self, directory: str, which: str, *files: str) -> None:
        """Run the cases of FILES that WHICH selects, with what DIRECTORY holds."""
        command = ("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", which, *files)
        text = self.run(*command, VIEWFS_BUILD=directory)
        assert re.search(r"\d+ passed", text) and "skipped" not in text, text


@pytest.mark.parametrize("system", SUITES, indirect=True)
def test_a_release(system: Path, request: pytest.FixtureRequest) -> None:
    """Builds without a warning, passes the unit tests, and serves; the static build too."""
    inside = Inside(system)
    wanted = SUITES[request.node.callspec.params["system"]]
    libfuse = inside.run("pkg-config", "--modversion", "fuse3").strip()
    assert tuple(map(int, libfuse.split(".")[:2])) >= wanted

    inside.build("/build", "-Dtests=enabled")
    inside.run("meson", "test", "-C", "/build", "--suite", "unit", "--print-errorlogs")
    assert libfuse in inside.run("/build/fuse/urunc-viewfs", "--version")
    inside.test("/build", LEFT_OUT, *TESTS)

    inside.build("/static", "-Dtests=disabled", "-Dstatic=true", targets=["fuse/urunc-viewfs"])
    assert "statically linked" in inside.run("ldd", "/static/fuse/urunc-viewfs")
    inside.test("/static", "gigabyte", *TESTS)
