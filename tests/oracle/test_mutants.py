# SPDX-License-Identifier: Apache-2.0
"""The tests' own teeth: each rule got wrong is noticed, by the table or by a seeded search.

`pytest -s` shows what caught each mutant.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cases import CASES
from mutants import INDEX_MUTANTS, MUTANTS, Mutant
from regressions import KEPT
from support import comparison, histories, resolver, scratch, search, skipping
from support.resolver import Question
from support.result import Result
from support.stack import Stack

SOURCES = Path(__file__).resolve().parents[2]
MODULES = {
    path.name: path
    for path in sorted((SOURCES / "layerindex").rglob("*.c"))
    if path.parent.name != "blob"  # a library of its own, which li-resolve does not link
}
FLAGS = ["-std=gnu17", "-O1", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", f"-I{SOURCES}"]

SEED = 1
RANDOM_STACKS = 100


@dataclass(frozen=True)
class Known:
    """A stack that was built, and what the kernel said of it."""

    name: str
    layers: list[bytes]
    userxattr: bool
    questions: Sequence[Question]
    kernel: list[Result]


def known(
    name: str, stack: Stack, userxattr: bool, questions: Sequence[Question], directory: Path
) -> Known:
    directory /= name
    directory.mkdir()
    layers = stack.build(directory, userxattr)
    kernel = comparison.ask_kernel(layers, questions, userxattr, directory)
    return Known(name, layers, userxattr, questions, kernel)


@pytest.fixture(scope="module")
def directory(private_mounts: None) -> Iterator[Path]:
    parent, reason = scratch.find()
    if parent is None:
        skipping.skip(f"nowhere to make layers: {reason}")
    with scratch.memory(parent) as path:
        yield path


@pytest.fixture(scope="module")
def table(directory: Path) -> list[Known]:
    """The rows that need no mounts of their own, and the regressions, at their own paths."""
    plain = [case for case in CASES if not (case.unprivileged or case.covered or case.tmpfs)]
    rows = [
        known(c.ident, c.stack, c.userxattr, [a.question for a in c.asks()], directory)
        for c in plain
    ]
    kept = [
        known(k.name, k.sample.stack, k.sample.userxattr, k.sample.own_questions(), directory)
        for k in KEPT
    ]
    return rows + kept


@pytest.fixture(scope="module")
def drawn(directory: Path) -> list[Known]:
    """Random stacks, the same ones every time."""
    samples = search.collect(RANDOM_STACKS, SEED)
    return [
        known(f"stack-{n}", s.stack, s.userxattr, s.questions(), directory)
        for n, s in enumerate(samples)
    ]


@pytest.fixture(scope="module")
def compiler() -> list[str]:
    command = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(command[0]) is None:
        skipping.skip(f"no compiler: {command[0]}")
    return command


@pytest.fixture(scope="module")
def objects(compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each module of the library, and li-resolve, compiled as they are."""
    directory = tmp_path_factory.mktemp("objects")
    sources = [*MODULES.values(), SOURCES / "tests/tools/li-resolve.c"]
    made = {source.name: directory / (source.stem + ".o") for source in sources}
    for source in sources:
        subprocess.run([*compiler, *FLAGS, "-c", source, "-o", made[source.name]], check=True)
    return made


def mutated(mutant: Mutant) -> dict[str, str]:
    """The new texts of the files that MUTANT changes."""
    texts: dict[str, str] = {}
    for name, old, new in mutant.edits:
        text = texts.get(name) or MODULES[name].read_text()
        count = text.count(old)
        assert count == 1, f"{mutant.name}: {count} times in {name}, not once: {old!r}"
        texts[name] = text.replace(old, new)
    return texts


def build(
    mutant: Mutant, compiler: list[str], objects: dict[str, Path], directory: Path
) -> Path:
    parts = dict(objects)
    for name, text in mutated(mutant).items():
        source = directory / name
        source.write_text(text)
        parts[name] = source.with_suffix(".o")
        subprocess.run([*compiler, *FLAGS, "-c", source, "-o", parts[name]], check=True)
    program = directory / "li-resolve"
    subprocess.run([*compiler, "-o", program, *parts.values()], check=True)
    return program


def caught(program: Path, stacks: list[Known]) -> str:
    """The first answer of PROGRAM that is not the kernel's; "" if there is none."""
    for one in stacks:
        try:
            ours = resolver.resolve_all(
                one.layers, one.questions, one.userxattr, executable=program
            )
        except resolver.ResolverError as error:
            return f"{one.name}: {error}"
        found = comparison.differences(one.layers, one.questions, one.kernel, ours)
        if found:
            return f"{one.name}: {found[0]}"
    return ""


def test_nothing_is_caught_without_a_mutant(
    table: list[Known],
    drawn: list[Known],
    compiler: list[str],
    objects: dict[str, Path],
    tmp_path: Path,
) -> None:
    program = build(Mutant("none", ()), compiler, objects, tmp_path)
    assert caught(program, table + drawn) == ""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_is_caught(
    mutant: Mutant,
    table: list[Known],
    drawn: list[Known],
    compiler: list[str],
    objects: dict[str, Path],
    tmp_path: Path,
) -> None:
    program = build(mutant, compiler, objects, tmp_path)
    difference = caught(program, table + drawn)
    print(f"\n{mutant.name}: {difference}")
    assert difference, "this rule could be got wrong, and no test would notice"


HISTORIES = 100


@pytest.mark.parametrize("mutant", INDEX_MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_of_the_index_is_caught(
    mutant: Mutant,
    directory: Path,
    compiler: list[str],
    objects: dict[str, Path],
    tmp_path: Path,
) -> None:
    program = build(mutant, compiler, objects, tmp_path)
    place = directory / mutant.name
    place.mkdir()
    with pytest.raises(histories.WrongAnswer):
        histories.run(place, HISTORIES, histories.Tally(SEED), program)
    shutil.rmtree(place)


def test_an_outgrown_mutant_fails() -> None:
    for old in ("no such text", "return"):
        outgrown = Mutant("outgrown", (("whiteout.c", old, "x"),))
        with pytest.raises(AssertionError, match=r"outgrown: \d+ times in whiteout.c, not once"):
            mutated(outgrown)
