# SPDX-License-Identifier: Apache-2.0
"""The teeth of test_layers.py: each rule of layers got wrong is noticed, by a case or a random image.

`pytest -s` shows what caught each mutant.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
from layer_mutants import LAYER_MUTANTS
from support import layers
from support.mutation import FAILED, Ask, Mutant, assert_caught, blob_workshop, catching_each
from support.tar_cases import CASES

SEED = 1
RANDOM_IMAGES = 150

TOO_LONG = {"s08"}
"""The program hashes 8 GiB of zeros of it."""


def image(blobs: list[bytes], place: Path) -> Ask:
    """What the library makes of it, which test_layers.py compares with containerd."""
    place.mkdir()
    paths = layers.written(blobs, place)

    def made(program: Path) -> object:
        try:
            return layers.unpacked(paths, program)
        except layers.Disputed:
            return "disputed"
        except (AssertionError, subprocess.TimeoutExpired):
            return FAILED

    return made


@pytest.fixture(scope="module")
def catching(
    request: pytest.FixtureRequest, place: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[str | None]]]:
    """By the cases, and by random images, the same ones every time."""
    listed = {name: CASES[name].layers for name in sorted(CASES.keys() - TOO_LONG)}
    listed |= {f"image {n}": layers.random_image(n) for n in range(SEED, SEED + RANDOM_IMAGES)}
    images = {name: image(blobs, place / name) for name, blobs in listed.items()}
    directory = tmp_path_factory.mktemp("programs")
    workshop = blob_workshop(directory, "unpack-layers", "whole-layers")
    with catching_each(request, workshop, directory, images) as caught:
        yield caught


@pytest.mark.parametrize("rule", LAYER_MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_of_a_rule_of_layers_is_caught(
    rule: Mutant, catching: dict[str, Future[str | None]]
) -> None:
    assert_caught(rule, catching)
