# SPDX-License-Identifier: Apache-2.0
"""The teeth of test_partial.py: each rule of what need not be read, got wrong, is noticed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from layer_mutants import PARTIAL_MUTANTS
from support import layers
from support.archive import END, directory, file, hard_link, symlink
from support.mutation import FAILED, Ask, Mutant, assert_caught, blob_workshop, catching_each

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
    "replaced": [directory("d") + symlink("ln", "d") + END,
                 directory("ln/k", mtime=5) + directory("ln") + file("ln/k", "T", mtime=9) + END],
    "removed": [directory("d") + file("d/x", "B") + END, file(".wh.d", "") + END, directory("d") + END],
}  # fmt: skip


def image(blobs: list[bytes], paths: list[str], place: Path) -> Ask:
    """What is said of PATHS, with how many layers are read for that."""
    place.mkdir()
    written = layers.written(blobs, place)

    def said(program: Path) -> object:
        try:
            return layers.asked(written, paths, program)
        except (AssertionError, subprocess.TimeoutExpired):
            return FAILED

    return said


@pytest.fixture(scope="module")
def catching(
    request: pytest.FixtureRequest, place: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[str | None]]]:
    """By images for some rules, and by random ones, the same ones every time."""
    listed = MADE | {f"image {n}": layers.random_image(n) for n in range(SEED, SEED + RANDOM_IMAGES)}
    images = {
        name: image(blobs, [*PATHS, *layers.random_paths(number)[:10]], place / name)
        for number, (name, blobs) in enumerate(listed.items())
    }
    directory = tmp_path_factory.mktemp("programs")
    workshop = blob_workshop(directory, "ask-layers", "asked-image")
    with catching_each(request, workshop, directory, images) as caught:
        yield caught


@pytest.mark.parametrize("rule", PARTIAL_MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_of_what_need_not_be_read_is_caught(
    rule: Mutant, catching: dict[str, Future[str | None]]
) -> None:
    assert_caught(rule, catching)
