"""Root directories of other Debian releases, in which the project is built and run.

They are made by debootstrap from the mirror that this machine's apt uses, and kept in the cache
directory: removing urunc-viewfs/debian-* there makes them anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from . import skipping
from .build import SOURCE

SECONDS = 900

# Beside those that building takes: for the unit tests, and for some of the integration tests.
EXTRA = ["fuse3", "libcmocka-dev", "mount", "python3-pytest", "strace", "util-linux"]

# Nobody needs it after a crash, nor reads in it.
DPKG = """\
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
"""


def roots(suites: Sequence[str]) -> list[Path]:
    """A root directory for each of SUITES, made where it is missing. They are not to be changed."""
    if not shutil.which("debootstrap"):
        skipping.skip("no debootstrap")
    mirror = _mirror()
    if not mirror:
        skipping.skip("apt's configuration names no mirror of Debian")
    # A missing one takes minutes, mostly on one processor.
    with ThreadPoolExecutor(len(suites)) as pool:
        return list(pool.map(lambda suite: _root(suite, mirror), suites))


def _mirror() -> str | None:
    """Where this release of Debian comes from."""
    release = platform.freedesktop_os_release()
    if release["ID"] != "debian":
        return None
    fields = "$(CREATED_BY)|$(RELEASE)|$(COMPONENT)|$(SITE)"
    for line in _output("apt-get", "indextargets", "--format", fields).splitlines():
        kind, name, component, site = line.split("|")
        if (kind, component) == ("Packages", "main") and name == release.get("VERSION_CODENAME"):
            return site
    return None


def _output(*command: str | Path) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _packages() -> list[str]:
    listed = _output(SOURCE / "packaging" / "install-deps", "--list", "build").split()
    return [*listed, *EXTRA]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _root(suite: str, mirror: str) -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(home, "urunc-viewfs")
    cache.mkdir(parents=True, exist_ok=True)
    packages = ",".join(_packages())
    root = cache / f"debian-{suite}-{hashlib.sha256(packages.encode()).hexdigest()[:12]}"
    with _locked(cache / f"debian-{suite}.lock"):
        if not root.exists():
            for old in cache.glob(f"debian-{suite}-*"):
                shutil.rmtree(old)
            unfinished = root.with_name(root.name + ".unfinished")
            _bootstrap(suite, unfinished, mirror, packages)
            unfinished.rename(root)
    return root


def _bootstrap(suite: str, root: Path, mirror: str, packages: str) -> None:
    (root / "etc/dpkg/dpkg.cfg.d").mkdir(parents=True)
    (root / "etc/dpkg/dpkg.cfg.d/lean").write_text(DPKG)
    options = ["--variant=minbase", f"--include={packages}"]
    # What it mounts goes away with it, however it ends.
    command = ["unshare", "--mount", "debootstrap", *options, suite, root, mirror]
    finished = subprocess.run(
        command,
        env={**os.environ, **_proxy()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=False,
    )
    text = finished.stdout.decode(errors="replace")
    assert finished.returncode == 0, "\n".join(text.splitlines()[-40:])
    for archive in root.glob("var/cache/apt/archives/*.deb"):
        archive.unlink()


def _proxy() -> dict[str, str]:
    """debootstrap does not know apt's."""
    shown = _output("apt-config", "dump", "Acquire::http::Proxy")
    found = re.search(r'^Acquire::http::Proxy "(.+)";', shown, re.MULTILINE)
    return {"http_proxy": found[1]} if found else {}
