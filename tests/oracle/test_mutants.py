# SPDX-License-Identifier: Apache-2.0
"""The tests' own teeth: each rule got wrong is noticed, by the table or by a seeded search.

`pytest -s` shows what caught each mutant.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cases import CASES
from mutants import INDEX_MUTANTS, MUTANTS
from regressions import KEPT
from support import comparison, histories, resolver, scratch, search, skipping
from support.mutation import SOURCES, Mutant, Workshop
from support.resolver import Question
from support.result import Result
from support.stack import Stack

MODULES = [
    path
    for path in sorted((SOURCES / "layerindex").rglob("*.c"))
    if path.parent.name != "blob"  # a library of its own, which li-resolve does not link
]

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
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("objects"), "li-resolve", MODULES)


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
    workshop: Workshop,
    tmp_path: Path,
) -> None:
    program = workshop.build(Mutant("none", ()), tmp_path)
    assert caught(program, table + drawn) == ""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_is_caught(
    mutant: Mutant,
    table: list[Known],
    drawn: list[Known],
    workshop: Workshop,
    tmp_path: Path,
) -> None:
    program = workshop.build(mutant, tmp_path)
    difference = caught(program, table + drawn)
    print(f"\n{mutant.name}: {difference}")
    assert difference, "this rule could be got wrong, and no test would notice"


HISTORIES = 100


@pytest.mark.parametrize("mutant", INDEX_MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_of_the_index_is_caught(
    mutant: Mutant,
    directory: Path,
    workshop: Workshop,
    tmp_path: Path,
) -> None:
    program = workshop.build(mutant, tmp_path)
    place = directory / mutant.name
    place.mkdir()
    with pytest.raises(histories.WrongAnswer):
        histories.run(place, HISTORIES, histories.Tally(SEED), program)
    shutil.rmtree(place)


def test_an_outgrown_mutant_fails(workshop: Workshop) -> None:
    for old in ("no such text", "return"):
        outgrown = Mutant("outgrown", (("whiteout.c", old, "x"),))
        with pytest.raises(AssertionError, match=r"outgrown: \d+ times in whiteout.c, not once"):
            workshop.mutated(outgrown)
