# SPDX-License-Identifier: Apache-2.0
"""What a blob's table of contents says against what the blob unpacks to: the same, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import layers, search
from support.archive import END, file, gnu_name, pax
from support.tar_cases import CASES
from support.toc import MAKERS, Unmakeable

IMAGES = 200

NO_ARCHIVES = "gces"
"""Cases of compression, of an archive's end and of sparse files, which no maker accepts, or of which
it makes something else."""


def compare(place: Path, image: list[bytes], form: str) -> bool:
    return layers.table_agrees(image, MAKERS[form](image[-1]), form, place)


@pytest.mark.parametrize("form", MAKERS)
def test_a_table_says_of_each_case_what_the_layer_unpacks_to(place: Path, form: str) -> None:
    equal = 0
    for name, case in CASES.items():
        if name[0] in NO_ARCHIVES:
            continue
        try:
            equal += compare(place, case.layers, form)
        except (Unmakeable, layers.Disputed, ValueError):
            continue
        except AssertionError as error:
            # eStargz rounds times to seconds: see urunc-viewfs(8), toc=.
            if form != "estargz" or name not in ("t02", "x05"):
                raise AssertionError(f"{name}: {case.about}") from error
    assert equal > 80


@pytest.mark.parametrize("form", MAKERS)
def test_a_table_says_of_random_layers_what_they_unpack_to(place: Path, form: str) -> None:
    seed, equal = search.chosen_seed(), 0
    for number in range(IMAGES):
        image = layers.random_image(seed + number)
        if form == "estargz" and b"mtime=1234567890." in image[-1]:
            continue
        try:
            equal += compare(place, image, form)
        except (Unmakeable, layers.Disputed):
            continue
    assert equal > IMAGES // 10


@pytest.mark.parametrize("form", MAKERS)
@pytest.mark.parametrize(
    "layer",
    [
        file(b"caf\xe9", "B"),
        pax(("path", b"na\xefve")) + file("n", "P"),
        gnu_name("\N{REPLACEMENT CHARACTER}") + file("n", "P"),
    ],
)
def test_a_table_that_may_have_lost_a_name_is_not_used(
    place: Path, form: str, layer: bytes
) -> None:
    assert not compare(place, [layer + END], form)
