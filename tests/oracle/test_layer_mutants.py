# SPDX-License-Identifier: Apache-2.0
"""The teeth of test_layers.py: each rule of layers got wrong is noticed, by a case or a random image.

`pytest -s` shows what caught each mutant.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import pytest
from layer_mutants import LAYER_MUTANTS
from support import layers
from support.mutation import Mutant, Workshop, blob_workshop, catching_each
from support.tar_cases import CASES

SEED = 1
RANDOM_IMAGES = 150

TOO_LONG = {"s08"}
"""The program hashes 8 GiB of zeros of it."""


@dataclass(frozen=True)
class Known:
    """An image, and what the library makes of it, which test_layers.py compares with containerd."""

    name: str
    blobs: list[Path]
    made: object


def made(blobs: list[Path], program: Path) -> object:
    try:
        return layers.unpacked(blobs, program)
    except layers.Disputed:
        return "disputed"
    except (AssertionError, subprocess.TimeoutExpired):
        return "crashed"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return blob_workshop(tmp_path_factory.mktemp("objects"), "unpack-layers", "whole-layers")


@pytest.fixture(scope="module")
def images(place: Path, workshop: Workshop) -> list[Known]:
    """The cases, and random images, the same ones every time."""
    program = workshop.build(Mutant("none", ()), place)
    listed = [(name, CASES[name].layers) for name in sorted(CASES.keys() - TOO_LONG)]
    listed += [(f"image {n}", layers.random_image(n)) for n in range(SEED, SEED + RANDOM_IMAGES)]
    found = []
    for name, blobs in listed:
        directory = place / name
        directory.mkdir()
        paths = layers.written(blobs, directory)
        found.append(Known(name, paths, made(paths, program)))
    assert all(image.made != "crashed" for image in found)
    return found


@pytest.fixture(scope="module")
def catching(
    request: pytest.FixtureRequest, images: list[Known], workshop: Workshop,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, Future[str | None]]]:  # fmt: skip
    """What catches each mutant that is asked for, or None; on all processors."""

    def catch(mutant: Mutant) -> str | None:
        program = workshop.build(mutant, tmp_path_factory.mktemp(mutant.name))
        return next((one.name for one in images if made(one.blobs, program) != one.made), None)

    with catching_each(request, catch) as caught:
        yield caught


@pytest.mark.parametrize("rule", LAYER_MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_of_a_rule_of_layers_is_caught(
    rule: Mutant, catching: dict[str, Future[str | None]]
) -> None:
    caught = catching[rule.name].result()
    print(f"\n{rule.name}: {caught}")
    assert caught, "this rule could be got wrong, and no test would notice"
