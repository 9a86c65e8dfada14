# SPDX-License-Identifier: Apache-2.0
"""Layers that are unpacked as far as a path requires: the answers are those of all layers, which
test_layers.py compares with containerd; and no more layers are read than the answer depends on."""

from __future__ import annotations

import collections
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import layers, search
from support.archive import END, directory, file, gnu_name, hard_link, symlink
from support.tar_cases import CASES

IMAGES = 150
"""Random images of a run; tests/oracle/long --images asks as many as are wanted."""

USUAL_IMAGES = 20

TOO_LARGE = {"s08"}


def asked(place: Path, image: Sequence[bytes], *paths: str) -> list[layers.Answer]:
    return layers.asked(layers.written(image, place), paths)


def names(place: Path, image: Sequence[bytes]) -> list[str]:
    """All that is in the image, by names that a line can hold."""
    try:
        tree = layers.unpacked(layers.written(image, place)) or {}
    except layers.Disputed:
        tree = {}
    found = [bytes.fromhex(name).decode("utf-8", "surrogateescape") for name in tree]
    return [name for name in found if "\n" not in name]


# ------------------------------------------------------------------------------- the same answers


@pytest.mark.parametrize("name", sorted(CASES.keys() - TOO_LARGE))
def test_each_path_of_a_case_has_the_answer_of_all_layers(place: Path, name: str) -> None:
    image = CASES[name].layers
    paths = ["a", "d", "d/x", "d/none", "ln/z", "k", *names(place, image)]
    asked(place, image, *paths)


def test_paths_of_random_images_have_the_answers_of_all_layers(place: Path) -> None:
    """And many of them without reading all."""
    seed = search.chosen_seed()
    found: collections.Counter[tuple[str, bool]] = collections.Counter()
    for number in range(seed, seed + IMAGES):
        image = layers.random_image(number)
        for answer in asked(place, image, *layers.random_paths(number)):
            found[answer.kind, answer.layers < len(image)] += 1
    for kind in ("file", "absent", "other"):
        assert found[kind, True] > 0 and found[kind, False] > 0, found


# --------------------------------------------------------------------------------- as few layers


def usual_image(chosen: random.Random, top: int) -> list[bytes]:
    """Layers as builders write them, with all directories, of which number TOP is the last that has
    unikernel/kernel."""
    made = []
    for number in range(8):
        entries = {f"{parent}/{name}": file(f"{parent}/{name}", str(number))
                   for parent in ("usr", "usr/lib", "usr/share", "etc", "unikernel")
                   for name in chosen.sample(["a", "b", "kernel.conf", "j", "k"], 2)}  # fmt: skip
        if number == top or (number < top and chosen.random() < 0.5):
            entries["unikernel/kernel"] = file("unikernel/kernel", f"kernel {number}")
        if number == 0:
            entries["lib"] = symlink("lib", "usr/lib")
        for path in list(entries):
            for parent in map(str, list(Path(path).parents)[:-1]):
                entries.setdefault(parent, directory(parent))
        if chosen.random() < 0.3:
            entries["etc/.wh..wh..opq"] = file("etc/.wh..wh..opq", "")
        if chosen.random() < 0.3:
            entries["usr/share/.wh.kernel"] = file("usr/share/.wh.kernel", "")
        made.append(b"".join(entries[path] for path in sorted(entries)) + END)
    return made


def test_a_usual_image_is_read_down_to_the_layer_of_the_file(place: Path) -> None:
    chosen = random.Random(search.chosen_seed())
    for _ in range(USUAL_IMAGES):
        top = chosen.randrange(8)
        (answer,) = asked(place, usual_image(chosen, top), "unikernel/kernel")
        assert answer == layers.Answer(8 - top, "file", "unikernel/kernel"), top


BASE = [directory("usr") + directory("usr/lib") + file("usr/lib/k", "B") + symlink("lib", "usr/lib") + END]
OTHER = file("etc/motd", "x") + END


@pytest.mark.parametrize(
    ("above", "path", "read"),
    [
        # A directory that is written is no link of a layer below.
        ([directory("lib") + file("lib/k", "T") + END], "lib/k", 1),
        ([directory("usr") + directory("usr/lib") + file("usr/lib/k", "T") + END], "usr/lib/k", 1),
        # One that is not may be one.
        ([file("lib/k", "T") + END], "lib/k", 2),
        ([file("lib/k", "T") + END], "usr/lib/k", 2),
        ([file("usr/lib/.wh.k", "") + END], "usr/lib/k", 2),
        # Nothing can be below the root but the root.
        ([file("k", "T") + END], "k", 1),
        ([file(".wh.usr", "") + END], "usr/lib/k", 1),
        ([file(".wh..wh..opq", "") + END], "usr/lib/k", 1),
        # What another name leads to.
        ([directory("usr") + directory("usr/lib") + file("usr/lib/k", "T") + END, symlink("k", "usr/lib/k") + END], "k", 2),
        ([file("a", "T") + END, hard_link("k", "a") + END], "k", 2),
        ([file("k", "T") + END, OTHER], "k", 2),
        ([OTHER, OTHER], "usr/lib/k", 3),
        ([file("k", "T") + END, hard_link("x", "k", mode=0o600) + END], "k", 2),
        # Another name may be one of its directory.
        ([directory("usr") + directory("usr/lib") + file("usr/lib/k", "M") + END, file("lib/k", "T") + END], "usr/lib/k", 3),
        ([directory("usr") + directory("usr/lib") + file("usr/lib/k", "M") + END, file("lib/.wh.k", "") + END], "usr/lib/k", 3),
        ([directory("usr") + directory("usr/lib") + file("usr/lib/k", "M") + END, file("lib/.wh..wh..opq", "") + END], "usr/lib/k", 3),
        ([directory("usr") + directory("usr/lib") + file("usr/lib/k", "M") + END, file("lib/j", "T") + END], "usr/lib/k", 2),
    ],
)  # fmt: skip
def test_layers_below_are_read_only_where_they_count(
    place: Path, above: list[bytes], path: str, read: int
) -> None:
    (answer,) = asked(place, BASE + above, path)
    assert answer.layers == read, answer


LINKED = [directory("d") + symlink("ln", "d") + END]


@pytest.mark.parametrize(
    "above",
    [
        [directory("ln/k", mtime=5) + directory("ln") + file("ln/k", "T", mtime=9) + END],
        [directory("ln/k", mtime=5) + file(".wh.ln", "") + file("ln/k", "T", mtime=9) + END],
        [directory("ln/k", mtime=5) + file("ln", "") + directory("ln") + file("ln/k", "T", mtime=9) + END],
        [symlink("p", "ln") + END,
         directory("p/k", mtime=5) + file(".wh.p", "") + directory("p") + file("p/k", "T", mtime=9) + END],
        [directory("ln/k", mtime=5) + directory("ln") + directory("ln/k", mtime=7) + END],
        [directory("ln/k", mtime=5) + directory("ln") + symlink("ln/k", "z") + file("ln/z", mtime=9) + END],
    ],
)  # fmt: skip
def test_the_time_of_a_directory_that_a_link_led_to_is_of_what_has_its_name_in_the_end(
    place: Path, above: list[bytes]
) -> None:
    """The link is a layer's below, and is replaced behind the directory's entry."""
    for path in ("ln/k", "d/k", "p/k", "ln/z"):
        asked(place, LINKED + above, path)


def test_a_name_of_4000_bytes_is_found(place: Path) -> None:
    name = "/".join(["p" * 99] * 40)
    (answer,) = asked(place, [gnu_name(name) + file("n", "x") + END], name)
    assert answer.kind == "file"
