# SPDX-License-Identifier: Apache-2.0
"""Go programs, by Debian's compiler: test programs that use Debian's packages of Go code, and the
modules below packaging/, one of which uses others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from . import debian, namespace, skipping
from .build import SOURCE

# Another compiler on PATH may not know the way of Debian's packages.
GO = Path("/usr/bin/go")
GOPATH = Path("/usr/share/gocode")
CONTAINERD = "github.com/containerd/containerd"

# Building the race detector's runtime takes long on a busy machine.
SECONDS = 600


def require(*packages: str) -> None:
    """Skip without the compiler or one of Debian's PACKAGES of Go code."""
    for needed in (GO, *(GOPATH / "src" / package for package in packages)):
        if not needed.exists():
            skipping.skip(f"no {needed} (packaging/install-deps test)")


def build_tool(name: str, directory: Path, *packages: str) -> Path:
    """The program of tests/tools/NAME.go in DIRECTORY, built with Debian's PACKAGES."""
    require(*packages)
    program = directory / name
    subprocess.run(
        [GO, "build", "-o", program, SOURCE / f"tests/tools/{name}.go"],
        env={**os.environ, "GO111MODULE": "off", "GOPATH": str(GOPATH), "GOFLAGS": ""},
        timeout=SECONDS,
        check=True,
    )
    return program


def go(module: Path, *words: str | Path, **env: str) -> str:
    """Run the go tool in a MODULE that needs no network; returns what it said, which is nothing
    where all is well."""
    require()
    return run_tool(module, GO, *words, GOPROXY="off", **env)


def build_module(module: Path, package: str, program: Path) -> Path:
    """Build the PACKAGE of a MODULE that uses others, which are downloaded once, as PROGRAM; `go
    vet` must find nothing. Debian's compiler may be too old for them: then another one on PATH, or
    a newer Debian's, is used."""
    compiler = _new_enough(module)
    if compiler:
        _vet_and_build(module, compiler, package, program)
        return program
    inside = Path("/mnt")
    places = {
        **{path: path for path in ("/proc", "/sys", "/dev", "/etc/ssl/certs")},
        str(inside): SOURCE, "/srv": program.parent, "/media": _cache(),
    }  # fmt: skip

    def build() -> None:
        there = {"GOCACHE": "/media/go", "GOMODCACHE": "/media/go-modules"}
        at = inside / module.relative_to(SOURCE)
        _vet_and_build(at, GO, package, Path("/srv", program.name), **there)

    namespace.in_root(debian.compiler(debian.NEWER), places, build)
    return program


def _vet_and_build(
    module: Path, compiler: str | Path, package: str, program: Path, **env: str
) -> None:
    alone = {**env, "CGO_ENABLED": "0"}
    assert run_tool(module, "gofmt", "-l", ".") == ""
    run_tool(module, compiler, "vet", "./...", **alone)
    run_tool(module, compiler, "build", "-o", program, package, **alone)


def _new_enough(module: Path) -> str | None:
    """A compiler of this machine that knows the language of MODULE."""
    version = r"\bgo ?(\d+)\.(\d+)"
    (needed,) = re.findall(version, (module / "go.mod").read_text())[:1]
    for compiler in filter(None, [str(GO), shutil.which("go")]):
        with suppress(FileNotFoundError):
            said = subprocess.check_output([compiler, "version"], text=True)
            (found,) = re.findall(version, said)[:1]
            if tuple(map(int, found)) >= tuple(map(int, needed)):
                return compiler
    return None


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "urunc-viewfs")


def run_tool(module: Path, tool: str | Path, *words: str | Path, **env: str) -> str:
    """Run a TOOL for Go in a MODULE, with the compiler that go() runs; as go()."""
    alone = {
        "GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local", "GOCACHE": str(_cache() / "go"),
        "PATH": f"{GO.parent}:{os.environ['PATH']}",
    }  # fmt: skip
    finished = subprocess.run(
        [tool, *words],
        cwd=module,
        env={**os.environ, **alone, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout
