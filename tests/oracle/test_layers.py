# SPDX-License-Identifier: Apache-2.0
"""Compressed layers: ours against containerd's applier, case by case and at random."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import layers, search
from support.tar_cases import CASES

IMAGES = 400
"""Random images of a run; tests/oracle/long --images has as many as are wanted."""

IGNORED_BEHIND = {"g02", "g03"}
"""Bytes behind the last gzip member: containerd's import ignores them, as the programs do that it
decompresses by; Go's own package, by which the oracle reads, does not."""

DISPUTED = {"w06", "w12", "w26", "o14"}
"""containerd removes a file that the OCI specification keeps."""

TOO_LARGE = {"s08"}
"""containerd writes 8 GiB of it."""


@pytest.fixture(scope="module")
def oracle(place: Path) -> layers.Oracle:
    return layers.Oracle(place)


@pytest.mark.parametrize("name", sorted(CASES.keys() - TOO_LARGE - IGNORED_BEHIND - DISPUTED))
def test_a_case_unpacks_as_by_containerd(place: Path, oracle: layers.Oracle, name: str) -> None:
    blobs = layers.written(CASES[name].layers, place)
    assert layers.unpacked(blobs) == oracle.unpack(blobs), CASES[name].about


@pytest.mark.parametrize("name", sorted(IGNORED_BEHIND))
def test_bytes_behind_the_last_gzip_member_are_ignored(place: Path, name: str) -> None:
    whole = layers.unpacked(layers.written(CASES["g01"].layers, place))
    assert whole
    assert layers.unpacked(layers.written(CASES[name].layers, place)) == whole


@pytest.mark.parametrize("name", sorted(DISPUTED))
def test_a_layer_that_means_two_things_is_refused(place: Path, name: str) -> None:
    with pytest.raises(layers.Disputed):
        layers.unpacked(layers.written(CASES[name].layers, place))


def test_a_file_with_a_large_hole_has_its_size(place: Path) -> None:
    tree = layers.unpacked(layers.written(CASES["s08"].layers, place))
    assert tree and tree[b"real".hex()][6] == str(8 << 30)


def test_random_images_unpack_as_by_containerd(place: Path, oracle: layers.Oracle) -> None:
    seed, accepted = search.chosen_seed(), 0
    for number in range(IMAGES):
        blobs = layers.written(layers.random_image(seed + number), place)
        expected = oracle.unpack(blobs)
        try:
            assert layers.unpacked(blobs) == expected, f"image {seed + number}"
        except layers.Disputed:
            continue
        accepted += expected is not None
    assert accepted > IMAGES // 5, "an image that is refused compares nothing"
