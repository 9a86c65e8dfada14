# SPDX-License-Identifier: Apache-2.0
"""ISA-L in zlib's place (-Disal=enabled): the same of each case, and of each way to cut the input."""

from __future__ import annotations

import gzip
import random
import subprocess
from pathlib import Path

import pytest
from support import layers, skipping
from support.archive import END, file
from support.mutation import Mutant, blob_workshop
from support.tar_cases import CASES

GZIP = sorted(name for name in CASES if name.startswith("g"))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """unpack-layers with ISA-L, and without zlib."""
    found = subprocess.run(["pkg-config", "--exists", "libisal"], check=False)
    if found.returncode:
        skipping.skip("no libisal-dev")
    made = tmp_path_factory.mktemp("isal")
    workshop = blob_workshop(made, "unpack-layers", "whole-layers", gzip="isal")
    return workshop.build(Mutant("none", ()), made)


@pytest.mark.parametrize("name", GZIP)
def test_a_case_of_gzip_unpacks_as_by_zlib(program: Path, tmp_path: Path, name: str) -> None:
    blobs = layers.written(CASES[name].layers, tmp_path)
    assert layers.unpacked(blobs, program) == layers.unpacked(blobs)


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_members_that_end_anywhere_in_a_piece_of_input_unpack_as_by_zlib(
    program: Path, tmp_path: Path, level: int
) -> None:
    """The decoder is given 64 KiB at a time: the ends of members lie at all distances from there."""
    chosen = random.Random(level)
    archive = file("text", bytes(chosen.choices(b"abcdef \n", k=2_000_000)))
    archive += file("noise", chosen.randbytes(1_500_000)) + END
    sizes, blob, at = iter(lambda: chosen.choice([1, 2, 700, 65_000, 65_536, 200_000]), 0), b"", 0
    while at < len(archive):
        size = next(sizes)
        blob += gzip.compress(archive[at : at + size], level)
        at += size
    blobs = layers.written([blob], tmp_path)
    tree = layers.unpacked(blobs)
    assert tree and layers.unpacked(blobs, program) == tree


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_blob_that_is_cut_is_refused(program: Path, tmp_path: Path, cut: int) -> None:
    blob = gzip.compress(file("a", b"x" * 100_000) + END)
    assert layers.unpacked(layers.written([blob], tmp_path), program)
    assert layers.unpacked(layers.written([blob[:-cut]], tmp_path), program) is None
