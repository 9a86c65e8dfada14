# SPDX-License-Identifier: Apache-2.0
"""The power is cut while the artifact store is filled, on a disk that keeps no more than it must."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import stored
from support.power import MKFS, Disk
from support.seccomp_deny import deny
from support.view import run

EACH = 60
CUTS = int(os.environ.get("VIEWFS_STORE_CUTS") or EACH)
IMAGES = {f"image-{n}": stored.files(f"{n}", 20_000 + 30_011 * n, 4096 * n) for n in range(1, 11)}


def sync(at: Path) -> None:
    """As others do it all the time: the names that are there get to the disk, and not the bytes of
    other files."""
    with open(at / "another", "ab") as file:
        file.write(b"line")
        file.flush()
        os.fsync(file)


def fill(disk: Disk, place: Path, trees: Path, wrapper: Sequence[str | Path] = ()) -> None:
    """All images, then all again where the blocks of the first were. Now and then all that is
    written gets to the disk."""
    with disk.recording(place / "disk") as at:
        for _ in range(2):
            shutil.rmtree(at / "store", ignore_errors=True)
            for number, name in enumerate(IMAGES):
                added = run(*wrapper, *stored.adding(at / "store", trees / name))
                assert added.status == 0, added
                sync(at)
                if number % 4 == 3:
                    assert run("sync", "--file-system", at).status == 0


@pytest.mark.takes_up_to(600)
@pytest.mark.parametrize("seed", range(-(-CUTS // EACH)))
@pytest.mark.parametrize("kind", MKFS if CUTS > EACH else ["ext4"])
def test_what_is_found_after_a_power_cut_is_right(place: Path, kind: str, seed: int) -> None:
    disk = Disk(place, kind)
    hits = misses = 0
    with stored.trees(place, IMAGES) as trees:
        fill(disk, place, trees)
        for number, at in enumerate(disk.cuts(EACH, seed, place / "disk")):
            left = at / "store"
            if not left.exists():
                continue
            assert stored.wrong_objects(left) == [], number
            for name in list(IMAGES)[number % 4 :: 4]:
                found = stored.shown(place / "view", left, name)
                assert found in (None, IMAGES[name]), (number, name)
                hits, misses = hits + (found is not None), misses + (found is None)
            # It is filled again as if nothing had been.
            name = list(IMAGES)[number % len(IMAGES)]
            assert stored.add(left, trees / name).status == 0
            assert stored.shown(place / "view", left, name) == IMAGES[name]
        for at in disk.end(place / "disk"):
            assert len(stored.objects(at / "store")) == 2 * len(IMAGES) + 1
    assert hits > EACH / 4 and misses > EACH / 4, "cuts at all stages"


def test_without_fdatasync_a_power_cut_leaves_wrong_objects(place: Path) -> None:
    """That the test above can fail."""
    disk = Disk(place)
    wrong: list[Path] = []
    with stored.trees(place, IMAGES) as trees:
        fill(disk, place, trees, deny("fdatasync", "NOTHING"))
        for at in disk.cuts(EACH, 0, place / "disk"):
            wrong += stored.wrong_objects(at / "store")
    assert wrong != []
