# SPDX-License-Identifier: Apache-2.0
"""Copies of layerindex in which a rule is wrong, as programs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import skipping

SOURCES = Path(__file__).resolve().parents[2]
FLAGS = ["-std=gnu17", "-w", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", f"-I{SOURCES}"]


@dataclass(frozen=True)
class Mutant:
    name: str
    edits: tuple[tuple[str, str, str], ...]  # file of layerindex, old text, new text


def compiler() -> list[str]:
    command = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(command[0]) is None:
        skipping.skip(f"no compiler: {command[0]}")
    return command


class Workshop:
    """Compiles TOOL, a program of tests/tools, with MODULES of layerindex once as they are, and then
    again what a mutant changes."""

    def __init__(
        self, directory: Path, tool: str, modules: Sequence[Path], *,
        optimise: int = 1, libraries: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._compiler = [*compiler(), f"-O{optimise}"]
        self._tool, self._libraries = tool, libraries
        self._modules = {path.name: path for path in modules}
        sources = [*modules, SOURCES / "tests/tools" / f"{tool}.c"]
        self._objects = {path.name: directory / f"{path.stem}.o" for path in sources}
        for path in sources:
            self._compile(path, self._objects[path.name])

    def mutated(self, mutant: Mutant) -> dict[str, str]:
        """The new texts of the files that MUTANT changes. Each old text must be there exactly once, so
        that a mutant that the sources have outgrown fails, and is not taken for one that was caught."""
        texts: dict[str, str] = {}
        for name, old, new in mutant.edits:
            text = texts.get(name) or self._modules[name].read_text()
            count = text.count(old)
            assert count == 1, f"{mutant.name}: {count} times in {name}, not once: {old!r}"
            texts[name] = text.replace(old, new)
        return texts

    def build(self, mutant: Mutant, directory: Path) -> Path:
        """The program, in DIRECTORY."""
        parts = dict(self._objects)
        for name, text in self.mutated(mutant).items():
            source = directory / name
            source.write_text(text)
            parts[name] = source.with_suffix(".o")
            self._compile(source, parts[name])
        program = directory / self._tool
        command = [*self._compiler, "-o", program, *parts.values(), *self._libraries]
        subprocess.run(command, check=True)
        return program

    def _compile(self, source: Path, made: Path) -> None:
        subprocess.run([*self._compiler, *FLAGS, "-c", source, "-o", made], check=True)


GZIP = {"zlib": "-lz", "isal": "-lisal"}
"""The libraries that may decode gzip."""


def blob_workshop(directory: Path, tool: str, part: str, gzip: str = "zlib") -> Workshop:
    """For TOOL, a program with a PART of its own in tests/tools that unpacks layers."""
    rooms = ("blob", "hash", "file")
    modules = [path for room in rooms for path in sorted((SOURCES / "layerindex" / room).glob("*.c"))]
    unused = {f"gzip-{other}.c" for other in GZIP if other != gzip}
    modules = [path for path in modules if path.name not in unused]
    modules.append(SOURCES / "tests/tools" / f"{part}.c")
    # Unoptimised, for compiling takes longest.
    return Workshop(directory, tool, modules, optimise=0, libraries=[GZIP[gzip], "-lzstd"])


Ask = Callable[[Path], object]
"""What a program answers of an image; FAILED where it does not answer."""

FAILED = "failed"


@contextmanager
def catching_each(
    request: pytest.FixtureRequest, workshop: Workshop, directory: Path, images: Mapping[str, Ask]
) -> Iterator[dict[str, Future[str | None]]]:
    """For each mutant that a test of the session has as "rule" the name of the first of IMAGES of
    which it answers otherwise than the program without a mutant, or None; on all processors. The
    programs are built in DIRECTORY."""
    program = workshop.build(Mutant("none", ()), directory)
    right = {name: ask(program) for name, ask in images.items()}
    assert FAILED not in right.values()

    def catch(mutant: Mutant) -> str | None:
        place = directory / mutant.name
        place.mkdir()
        program = workshop.build(mutant, place)
        return next((name for name, ask in images.items() if ask(program) != right[name]), None)

    asked = [getattr(item, "callspec").params for item in request.session.items if hasattr(item, "callspec")]
    mutants = [params["rule"] for params in asked if "rule" in params]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {mutant.name: pool.submit(catch, mutant) for mutant in mutants}


def assert_caught(rule: Mutant, catching: Mapping[str, Future[str | None]]) -> None:
    """`pytest -s` shows by what."""
    caught = catching[rule.name].result()
    print(f"\n{rule.name}: {caught}")
    assert caught, "this rule could be got wrong, and no test would notice"
