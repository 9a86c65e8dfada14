# SPDX-License-Identifier: Apache-2.0
"""The property: whatever the layers hold, the view is exactly the kernel's merge.

VIEWFS_ORACLE_STACKS says how many stacks to try, VIEWFS_ORACLE_SEED which; tests/oracle/long is the
long form. A failure is shrunk, and printed as an entry for regressions.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st
from regressions import KEPT, Kept
from support import comparison, resolver, scratch, search, skipping
from support.resolver import Question
from support.stack import Symlink
from support.strategies import Sample

STACKS = 1500


@pytest.fixture
def directory(private_mounts: None) -> Iterator[Path]:
    """A place for many stacks, in memory where that takes the marks."""
    need_programs()
    parent, reason = scratch.find()
    if parent is None:
        skipping.skip(f"nowhere to make layers: {reason}")
    with scratch.memory(parent) as path:
        yield path


PROGRAMS = ("tests/li-resolve", "tests/deny-call", "fuse/viewfsctl", "fuse/urunc-viewfs")


def need_programs() -> None:
    build = resolver.build_directory()
    for program in PROGRAMS:
        if not os.access(build / program, os.X_OK):
            skipping.skip(f"{build / program} is not built (VIEWFS_BUILD names the directory)")


@pytest.fixture
def tally(capsys: pytest.CaptureFixture[str]) -> Iterator[search.Tally]:
    """Prints its line whatever happens, so that every run can be had again."""
    counted = search.Tally(search.chosen_seed())
    yield counted
    with capsys.disabled():
        print(f"\n{counted}")


def test_any_stack_is_merged_as_the_kernel_does(directory: Path, tally: search.Tally) -> None:
    compare = comparison.Comparer(directory, programs=True)
    search.search(compare, tally, search.chosen_stacks(STACKS))


def test_any_stack_on_a_disk_is_merged_as_the_kernel_does(
    layer_directory: Path, tally: search.Tally
) -> None:
    need_programs()
    compare = comparison.Comparer(layer_directory, programs=True)
    search.search(compare, tally, search.chosen_stacks(STACKS) // 20)


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
def test_any_stack_is_merged_as_the_kernel_does_without_openat2(
    error: str, directory: Path, tally: search.Tally
) -> None:
    """As on an old kernel, and under a seccomp filter that does not know the call."""
    compare = comparison.Comparer(directory, wrapper=comparison.without_openat2(error))
    search.search(compare, tally, search.chosen_stacks(STACKS) // 10)


def test_any_stack_is_merged_as_the_kernel_does_in_a_user_namespace(
    directory: Path, tally: search.Tally
) -> None:
    """As a rootless containerd has it; of other owners, root reads there what anybody may."""
    compare = comparison.Comparer(directory, within=comparison.in_user_namespace)
    search.search(compare, tally, search.chosen_stacks(STACKS) // 10, userxattr=st.just(True))


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.name)
def test_no_kept_mismatch_returns(kept: Kept, layer_directory: Path) -> None:
    need_programs()
    _, found = comparison.Comparer(layer_directory, programs=True)(kept.sample)
    assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize(
    "kept", [kept for kept in KEPT if kept.sample.userxattr], ids=lambda kept: kept.name
)
def test_no_kept_mismatch_returns_in_a_user_namespace(kept: Kept, layer_directory: Path) -> None:
    need_programs()
    compare = comparison.Comparer(layer_directory, within=comparison.in_user_namespace)
    _, found = compare(kept.sample)
    assert not found, "\n".join(map(str, found))


# ------------------------------------------------------------------------------ the search itself


def test_a_seed_repeats_a_run() -> None:
    assert search.collect(60, 7) == search.collect(60, 7)
    assert search.collect(60, 7) != search.collect(60, 8)


def test_a_mismatch_is_shrunk_and_can_be_pasted() -> None:
    """With a view that is wrong about one thing: a link to "/" below the topmost layer."""
    wanted = Symlink(b"/")

    def compare(sample: Sample) -> tuple[int, list[comparison.Difference]]:
        if not any(wanted in layer.values() for layer in sample.stack.layers[1:]):
            return 1, []
        question = Question(b"a/b")
        return 1, [comparison.Difference(question, answer(b"k"), answer(b"o"))]

    def answer(content: bytes) -> comparison.Result:
        return comparison.Result(type="file", content=content)

    tally = search.Tally(1)
    with pytest.raises(search.Mismatch) as caught:
        search.search(compare, tally, 500)
    entry = str(caught.value).split("\n\n")[1]
    kept: list[tuple] = []
    exec(entry, {"keep": lambda *arguments, **_: kept.append(arguments), "Symlink": Symlink})
    [(_, layers, path)] = kept
    assert layers == [{}, {b"a": wanted}]
    assert path == b"a/b"
    assert tally.mismatches == 1
    assert str(tally).endswith("comparisons, 1 mismatches, seed 1")


def test_both_modes_are_drawn() -> None:
    assert {sample.userxattr for sample in search.collect(60, 7)} == {False, True}


def test_the_long_form_prints_its_tally_and_seed(directory: Path) -> None:
    program = Path(__file__).with_name("long")
    line = f"oracle: 20 stacks, {{}} comparisons, 0 mismatches, seed 5\n"
    finished = subprocess.run(
        [sys.executable, program, "--stacks", "20", "--seed", "5"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    count = finished.stdout.split()[3]
    assert finished.stdout == line.format(count)
    assert int(count) > 20 * 50
