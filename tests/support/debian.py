# SPDX-License-Identifier: Apache-2.0
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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from . import namespace, skipping
from .build import SOURCE

SECONDS = 900

# Beside those that building takes: for the unit tests and some of the integration tests.
TESTING = ["fuse3", "libcmocka-dev", "libmd-dev", "mount", "python3-hypothesis", "python3-pytest", "strace"]

# For packages.
PACKAGING = ["build-essential", "debhelper", "util-linux"]

# For containers whose disks are block devices: a containerd that has such snapshotters, and the
# kernel of their guests, which is unpacked and not installed.
CONTAINERS = ["containerd"]
GUEST_KERNEL = "linux-image-cloud-amd64"
GUEST_DIRECTORY = "guest"

# The release whose Go compiler is new enough for containerd's own library, and what that takes.
NEWER = "trixie"
COMPILER = ["ca-certificates", "golang-go"]

# What a package of ours needs, for a root in which it is installed: it is fetched, no more.
NEEDED = ["fuse3", "libjson-c5", "mount"]

# Nobody reads there.
LEAN = """\
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
"""


def roots(suites: Sequence[str]) -> list[Path]:
    """A root directory for each of SUITES in which the project can be built. Neither these nor
    those of fresh() are to be changed."""
    return _all(_building, suites)


def foreign(suite: str, architecture: str) -> Path:
    """As roots(), for an ARCHITECTURE whose programs this machine runs too."""
    return _building(suite, _needed_mirror(), architecture)


def fresh(suites: Sequence[str]) -> list[Path]:
    """A root directory for each of SUITES with nothing but what every Debian has."""
    return _all(_fresh, suites)


def containers(suite: str) -> Path:
    """A root directory of SUITE with containerd, and in GUEST_DIRECTORY the files of the package of
    a guest's kernel. It is not to be changed."""
    mirror = _needed_mirror()

    def make(root: Path) -> None:
        _call("cp", "-a", "--reflink=auto", _fresh(suite, mirror), root)
        _apt(root, "install", *CONTAINERS)
        # The metapackage's only dependency is the kernel's package of that time.
        shown = _in(root, "apt-cache", "depends", "--important", GUEST_KERNEL)
        (package,) = re.findall(r"Depends: (linux-image-\S+)", shown)
        _apt(root, "install", "--download-only", package)
        (archive,) = (root / "var/cache/apt/archives").glob(f"{package}_*.deb")
        _call("dpkg-deb", "-x", archive, root / GUEST_DIRECTORY)
        _apt(root, "clean")

    return _cached(suite, "containers", [mirror, *CONTAINERS, GUEST_KERNEL], make)


def compiler(suite: str) -> Path:
    """A root directory of SUITE with its Go compiler. It is not to be changed."""
    mirror = _needed_mirror()

    def make(root: Path) -> None:
        _call("cp", "-a", "--reflink=auto", _fresh(suite, mirror), root)
        _apt(root, "install", *COMPILER)
        _apt(root, "clean")

    return _cached(suite, "compiler", [mirror, *COMPILER], make)


def unpacked(suite: str, architecture: str, *more: str) -> Path:
    """A root directory of SUITE for another machine, in which the project is to be built and
    tested: what every Debian has is unpacked there, and the packages that this takes and MORE are
    fetched. Installing them takes that machine: /debootstrap/debootstrap --second-stage there."""
    mirror = _needed_mirror()
    packages = [*_build_dependencies(), *TESTING, *more]
    kind = [f"--arch={architecture}", "--variant=minbase", f"--include={','.join(packages)}"]

    def make(root: Path) -> None:
        _call("debootstrap", "--foreign", *kind, suite, root, mirror)

    return _cached(suite, architecture, [mirror, *packages], make)


def _all(find: Callable[[str, str], Path], suites: Sequence[str]) -> list[Path]:
    mirror = _needed_mirror()
    # A missing one takes minutes, mostly on one processor.
    with ThreadPoolExecutor(len(suites)) as pool:
        return list(pool.map(lambda suite: find(suite, mirror), suites))


def release() -> str | None:
    """The name of this machine's, if it is Debian's."""
    found = platform.freedesktop_os_release()
    return found.get("VERSION_CODENAME") if found["ID"] == "debian" else None


def _needed_mirror() -> str:
    """The one that debootstrap is to make a root from."""
    if not shutil.which("debootstrap"):
        skipping.skip("no debootstrap")
    mirror = _mirror()
    if not mirror:
        skipping.skip("apt's configuration names no mirror of Debian")
    return mirror


def _build_dependencies() -> list[str]:
    return _output(SOURCE / "packaging" / "install-deps", "--list", "build").split()


def _mirror() -> str | None:
    """Where this release of Debian comes from."""
    name = release()
    if not name:
        return None
    fields = "$(CREATED_BY)|$(RELEASE)|$(COMPONENT)|$(SITE)"
    for line in _output("apt-get", "indextargets", "--format", fields).splitlines():
        kind, suite, component, site = line.split("|")
        if (kind, suite, component) == ("Packages", name, "main"):
            return site
    return None


def _output(*command: str | Path) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _kind(name: str, architecture: str) -> str:
    return f"{architecture}-{name}" if architecture else name


def _fresh(suite: str, mirror: str, architecture: str = "") -> Path:
    def make(root: Path) -> None:
        _bootstrap(suite, root, mirror, *([f"--arch={architecture}"] if architecture else []))

    return _cached(suite, _kind("fresh", architecture), [mirror, *NEEDED], make)


def _building(suite: str, mirror: str, architecture: str = "") -> Path:
    packages = [*_build_dependencies(), *TESTING, *PACKAGING]

    def make(root: Path) -> None:
        _call("cp", "-a", "--reflink=auto", _fresh(suite, mirror, architecture), root)
        (root / "etc/dpkg/dpkg.cfg.d/lean").write_text(LEAN)
        _apt(root, "install", *packages)
        _apt(root, "clean")

    return _cached(suite, _kind("building", architecture), [mirror, *packages], make)


def _cached(suite: str, kind: str, made_of: Sequence[str], make: Callable[[Path], None]) -> Path:
    """The root of that KIND, made where there is none MADE_OF the same."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(home, "urunc-viewfs")
    cache.mkdir(parents=True, exist_ok=True)
    name = f"debian-{suite}-{kind}"
    root = cache / f"{name}-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:12]}"
    with _locked(cache / f"{name}.lock"):
        if not root.exists():
            for old in cache.glob(f"{name}-*"):
                shutil.rmtree(old)
            unfinished = root.with_name(root.name + ".unfinished")
            make(unfinished)
            unfinished.rename(root)
    return root


def _bootstrap(suite: str, root: Path, mirror: str, *options: str) -> None:
    (root / "etc/dpkg/dpkg.cfg.d").mkdir(parents=True)
    (root / "etc/dpkg/dpkg.cfg.d/unsafe").write_text("force-unsafe-io\n")
    # What it mounts goes away with it, however it ends.
    _call("unshare", "--mount", "debootstrap", "--variant=minbase", *options, suite, root, mirror)
    _apt(root, "clean")
    _apt(root, "update")
    _apt(root, "install", "--download-only", *NEEDED)


def _apt(root: Path, *arguments: str) -> None:
    """Run apt-get in ROOT."""
    # A mirror that stands still is as good as another one, which debootstrap thinks too.
    options = ["-q", "-y", "--no-install-recommends", "-o", "Acquire::Check-Valid-Until=no"]
    _in(root, "apt-get", *options, *arguments)


def _in(root: Path, *command: str) -> str:
    """What COMMAND writes in ROOT."""
    places = {path: path for path in ("/proc", "/sys", "/dev")}
    return namespace.in_root(root, places, lambda: _call(*command, DEBIAN_FRONTEND="noninteractive"))


def _call(*command: str | Path, **env: str) -> str:
    finished = subprocess.run(
        command,
        env={**os.environ, **_proxy(), "LC_ALL": "C.UTF-8", **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=False,
    )
    text = finished.stdout.decode(errors="replace")
    assert finished.returncode == 0, "\n".join(text.splitlines()[-40:])
    return text


def _proxy() -> dict[str, str]:
    """debootstrap does not know apt's."""
    shown = _output("apt-config", "dump", "Acquire::http::Proxy")
    found = re.search(r'^Acquire::http::Proxy "(.+)";', shown, re.MULTILINE)
    return {"http_proxy": found[1]} if found else {}
