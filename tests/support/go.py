# SPDX-License-Identifier: Apache-2.0
"""Go programs, by Debian's compiler: test programs that use Debian's packages of Go code, and the
module below packaging/, which uses none."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from . import skipping
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


def go(module: Path, cache: Path, *words: str | Path, **env: str) -> str:
    """Run the go tool in a MODULE that needs no network, with its cache below the directory CACHE;
    returns what it said, which is nothing where all is well."""
    require()
    alone = {"GOFLAGS": "-buildvcs=false", "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    finished = subprocess.run(
        [GO, *words],
        cwd=module,
        env={**os.environ, **alone, **env, "GOCACHE": str(cache / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout
