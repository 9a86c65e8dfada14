# SPDX-License-Identifier: Apache-2.0
"""The builds of urunc-viewfs that are measured: what each is, and what it can do here."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

PT_INTERP = 3
PROGRAM = "urunc-viewfs"


@dataclass(frozen=True)
class Build:
    """One urunc-viewfs."""

    name: str
    """How it is called in the tables."""
    program: Path
    static: bool
    kind: str
    """How meson was told to build it."""
    version: str
    compiler: Sequence[str] = ("cc",)
    """That it was built with."""

    @property
    def linkage(self) -> str:
        """A word of the tables."""
        return "static" if self.static else "dynamic"


def is_static(program: Path) -> bool:
    """Whether a 64-bit ELF program names no interpreter, that is, no dynamic linker."""
    data = program.read_bytes()
    if data[:5] != b"\x7fELF\x02":
        raise ValueError(f"{program}: not a 64-bit ELF program")
    (offset,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    types = (struct.unpack_from("<I", data, offset + i * size)[0] for i in range(count))
    return PT_INTERP not in types


def _introspect(directory: Path, what: str) -> Any:
    """What meson tells of a build directory; None: it is none of meson's."""
    try:
        return json.loads((directory / f"meson-info/intro-{what}.json").read_text())
    except OSError:
        return None


def _kind(directory: Path) -> str:
    """What distorts its numbers is said: no optimisation, a sanitizer."""
    options = _introspect(directory, "buildoptions")
    if options is None:
        return "not built by meson"
    value = {option["name"]: option["value"] for option in options}
    kind = f"{value.get('buildtype')}, -O{value.get('optimization')}"
    sanitizer = value.get("b_sanitize", "none")
    return kind if sanitizer in ("none", []) else f"{kind}, with sanitizers: {sanitizer}"


def _compiler(directory: Path) -> Sequence[str]:
    targets = _introspect(directory, "targets")
    if targets is None:
        return Build.compiler
    built = (target for target in targets if target["name"] == PROGRAM)
    options = _introspect(directory, "buildoptions") or []
    words = next((option["value"] for option in options if option["name"] == "c_args"), [])
    # A static build's arguments name the headers that musl lacks.
    return [*next(built)["target_sources"][0]["compiler"], *words]


def find(directories: Sequence[Path]) -> list[Build]:
    """The build in each of the directories. Two that are linked alike are told apart by them."""
    found = []
    for directory in directories:
        program = (directory / "fuse" / PROGRAM).resolve()
        if not os.access(program, os.X_OK):
            raise SystemExit(f"bench: {directory}: no fuse/{PROGRAM} in it")
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        static = is_static(program)
        name = "view, static" if static else "view"
        found.append(
            Build(
                name,
                program,
                static,
                _kind(directory),
                version.stdout.strip(),
                _compiler(directory),
            )
        )
    names = [build.name for build in found]
    return [
        build
        if names.count(build.name) == 1
        else replace(build, name=f"{build.name} ({directory.name})")
        for build, directory in zip(found, directories)
    ]


def compilers(builds: Sequence[Build]) -> dict[str, Sequence[str]]:
    """By linkage, that of the first of the builds that is linked so."""
    found: dict[str, Sequence[str]] = {}
    for build in builds:
        found.setdefault(build.linkage, build.compiler)
    return found


def make(source: Path) -> Path:
    """The build directory `build` of the sources, made with optimisation where there is none."""
    directory = source / "build"
    if not (directory / "build.ninja").exists():
        command = ["meson", "setup", "--buildtype=release", directory, source]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        ["meson", "compile", "-C", directory], check=True, stdout=subprocess.DEVNULL
    )
    return directory
