# SPDX-License-Identifier: Apache-2.0
"""The teeth of test_partial.py: each rule of what need not be read, got wrong, is noticed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest
from layer_mutants import PARTIAL_MUTANTS
from support import layers
from support.archive import END, directory, file, hard_link, symlink
from support.mutation import Mutant, Workshop, blob_workshop, catching_each

SEED = 1
RANDOM_IMAGES = 120

PATHS = ["a", "b", "b/k", "d", "d/x", "d/b", "d/b/k", "ln", "ln/z", "ln/k", "k", "x"]

MADE = {
    # A directory's time goes to what has its name when the layer ends.
    "turned": [directory("d", mtime=5) + symlink("d", "b") + file("b", "x", mtime=9) + END],
    "forgotten": [directory("d") + directory("d/x") + file("d", "1") + directory("d") + file("d/x/k", "T") + END],
    "shared": [file("a", "B") + END, hard_link("x", "a", mode=0o600) + END, hard_link("k", "x", mode=0o400) + END],
    "made": [symlink("ln", "d") + END, file("ln/other", "x") + END, file("z", "T") + END],
    "opaque": [directory("d") + file("d/x", "B") + symlink("ln", "d") + END, file("ln/.wh..wh..opq", "") + END],
    "deeper": [directory("d") + directory("d/b") + file("d/b/k", "B") + END,
               directory("d") + directory("d/b") + file("d/.wh..wh..opq", "") + END],
    "above": [directory("b") + symlink("d", "b") + END, file("d/k", "M") + END, directory("d") + END],
    "removed": [directory("d") + file("d/x", "B") + END, file(".wh.d", "") + END, directory("d") + END],
}  # fmt: skip


@dataclass(frozen=True)
class Known:
    """An image, and what is said of its paths, with how many layers are read for that."""

    name: str
    blobs: list[Path]
    paths: list[str]
    said: object


def said(blobs: list[Path], paths: list[str], program: Path) -> object:
    try:
        return layers.asked(blobs, paths, program)
    except (AssertionError, subprocess.TimeoutExpired):
        return "wrong"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return blob_workshop(tmp_path_factory.mktemp("objects"), "ask-layers", "asked-image")


@pytest.fixture(scope="module")
def images(place: Path, workshop: Workshop) -> list[Known]:
    """Images for some rules, and random ones, the same ones every time."""
    program = workshop.build(Mutant("none", ()), place)
    listed = [*MADE.items()]
    listed += [(f"image {n}", layers.random_image(n)) for n in range(SEED, SEED + RANDOM_IMAGES)]
    found = []
    for number, (name, blobs) in enumerate(listed):
        at = place / name
        at.mkdir()
        paths = layers.written(blobs, at)
        asked = [*PATHS, *layers.random_paths(number)[:10]]
        found.append(Known(name, paths, asked, said(paths, asked, program)))
    assert all(image.said != "wrong" for image in found)
    return found


@pytest.fixture(scope="module")
def catching(
    request: pytest.FixtureRequest, images: list[Known], workshop: Workshop,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[str | None]]]:  # fmt: skip
    """What catches each mutant that is asked for, or None; on all processors."""

    def catch(mutant: Mutant) -> str | None:
        program = workshop.build(mutant, tmp_path_factory.mktemp(mutant.name))
        return next(
            (one.name for one in images if said(one.blobs, one.paths, program) != one.said), None
        )

    with catching_each(request, catch) as caught:
        yield caught


@pytest.mark.parametrize("rule", PARTIAL_MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_of_what_need_not_be_read_is_caught(
    rule: Mutant, catching: dict[str, Future[str | None]]
) -> None:
    caught = catching[rule.name].result()
    print(f"\n{rule.name}: {caught}")
    assert caught, "this rule could be got wrong, and no test would notice"
