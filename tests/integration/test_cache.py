# SPDX-License-Identifier: Apache-2.0
"""viewfsctl cache, and gc: what is in a layer index, and what of it goes."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import image, namespace
from support.control import viewfsctl, without_note
from support.image import KERNEL, KERNEL_PATH, lowerdir
from support.view import Finished, View
from support.waiting import wait_until

HOUR = 3600
LAYERS = 32
"""So many have an index."""
CHAINS = 16
"""Of the topmost layers that many are filed."""
MS_REMOUNT, MS_RDONLY = 0x20, 0x1
LIMIT = "of at most 16384 kB"


def cache(*words: Any, **how: Any) -> Finished:
    return viewfsctl("cache", *words, **how)


def entries(index: Path) -> list[dict[str, Any]]:
    finished = cache("list", "--json", index)
    assert (finished.status, finished.stderr) == (0, "")
    told = json.loads(finished.stdout)
    assert told["directory"] == str(index)
    return told["entries"]


def states(index: Path) -> dict[str, str]:
    return {entry["name"]: entry["state"] for entry in entries(index)}


def learn(place: Path, index: Path, name: str = "layers") -> list[bytes]:
    """Has a view file what it finds out about three layers, below PLACE, and says which."""
    layers = image.usual().build(place / name)
    before = len(os.listdir(index)) if index.exists() else 0
    options = lowerdir(layers) + b",cache=" + os.fsencode(index)
    with View(place / "view", "-o", options):
        wait_until(lambda: index.exists() and len(os.listdir(index)) >= before + 3, "the layers to be filed")
    return layers


@pytest.fixture
def index(place: Path) -> Path:
    return place / "index"


@pytest.fixture
def own() -> Iterator[Path]:
    """Root's own index."""
    directory = Path("/run/urunc-viewfs/.index")
    yield directory
    shutil.rmtree(directory.parent, ignore_errors=True)


def damage(index: Path) -> str:
    """An entry that is none."""
    name = "d" * 32
    (index / name).write_bytes(b"damaged")
    return name


def leave(index: Path, seconds: float) -> str:
    """What a writer has left so many SECONDS ago."""
    name = ".new-0123456789abcdef"
    (index / name).touch()
    then = time.time() - seconds
    os.utime(index / name, (then, then))
    return name


def test_list_is_a_table_of_entries_by_last_use(place: Path, index: Path) -> None:
    layers = learn(place, index)
    then = time.time() - HOUR
    names = sorted(os.listdir(index))
    for n, name in enumerate(names):
        os.utime(index / name, (then - n * HOUR, then - n * HOUR))
    finished = cache("list", index, env={"TZ": "UTC"})
    assert (finished.status, finished.stderr) == (0, "")
    title, *rows, total = finished.stdout.splitlines()
    assert title.split("  ")[0] == "NAME"
    assert total == f"3 entries, 12 kB {LIMIT}"
    used = [time.strftime("%Y-%m-%d %H:%M", time.gmtime(then - n * HOUR)) for n in range(3)]
    told = {entry["name"]: entry for entry in entries(index)}
    for name, when, row in zip(names, used, rows, strict=True):
        entry = told[name]
        fields = [name[:12], "current", str(entry["layers"]), str(entry["paths"]), "4", "kB"]
        assert row.split() == [*fields, *when.split(), entry["layer"]]
    assert {entry["layer"] for entry in told.values()} == {os.fsdecode(path) for path in layers}
    for column in ("STATE", "LAST USED", "TOPMOST LAYER"):
        at = title.index(column)
        assert all(row[at - 1] == " " and row[at] != " " for row in rows)
    for column in ("LAYERS", "PATHS", "SIZE"):
        at = title.index(column) + len(column)
        assert all(row[at - 1] != " " and row[at] == " " for row in rows)


def test_list_as_json_describes_each_entry(place: Path, index: Path) -> None:
    layers = learn(place, index)
    told = sorted(entries(index), key=lambda entry: entry["layers"])
    for entry, layer, n in zip(told, reversed(layers), (1, 2, 3), strict=True):
        st = os.stat(index / entry["name"])
        assert entry == {
            "name": entry["name"], "state": "current", "layers": n, "paths": entry["paths"],
            "bytes": 512 * st.st_blocks, "used": int(st.st_mtime), "layer": os.fsdecode(layer),
        }  # fmt: skip
    # Of the three together all artifacts are known, and the directories that they are in.
    assert told[2]["paths"] == 5


def test_a_missing_index_is_empty_and_is_not_made(index: Path) -> None:
    assert cache("list", index) == Finished(0, f"0 entries, 0 kB {LIMIT}\n", "")
    assert cache("verify", index) == Finished(0, "0 entries, 0 useless\n", "")
    assert cache("clear", index) == Finished(0, "removed 0 entries\n", "")
    assert entries(index) == []
    assert json.loads(cache("verify", "--json", index).stdout) == {
        "directory": str(index), "entries": [],
    }  # fmt: skip
    assert not index.exists()


def test_verify_names_damaged_stale_and_left_entries(place: Path, index: Path) -> None:
    layers = learn(place, index)
    assert cache("verify", index) == Finished(0, "3 entries, 0 useless\n", "")
    # Somebody may be writing it.
    writing = leave(index, 0)
    assert states(index)[writing] == "temporary"
    assert cache("verify", index) == Finished(0, "4 entries, 0 useless\n", "")
    left, damaged = leave(index, 90), damage(index)
    shutil.rmtree(os.fsdecode(layers[0]))
    (stale,) = (entry["name"] for entry in entries(index) if entry["layers"] == 3)
    finished = cache("verify", index)
    assert (finished.status, finished.stderr) == (32, "")
    _, *rows, total = finished.stdout.splitlines()
    assert total == "5 entries, 3 useless"
    assert {tuple(row.split()[:2]) for row in rows} == {
        (left[:12], "temporary"), (damaged[:12], "damaged"), (stale[:12], "stale"),
    }  # fmt: skip
    finished = cache("verify", "--json", index)
    assert finished.status == 32
    assert {e["name"] for e in json.loads(finished.stdout)["entries"]} == {left, damaged, stale}
    assert states(index)[damaged] == "damaged"


def test_an_entry_of_a_replaced_layer_is_stale(place: Path, index: Path) -> None:
    layers = [os.fsdecode(path) for path in learn(place, index)]
    os.rename(layers[1], layers[1] + "-moved")
    shutil.copytree(layers[1] + "-moved", layers[1])
    found = {entry["layers"]: entry["state"] for entry in entries(index)}
    # Of the three together only the topmost is looked at.
    assert found == {1: "current", 2: "stale", 3: "current"}


def test_listing_does_not_count_as_use(place: Path, index: Path) -> None:
    learn(place, index)
    then = time.time() - 5 * HOUR
    for name in os.listdir(index):
        os.utime(index / name, (then, then))
    cache("verify", index)
    assert {entry["used"] for entry in entries(index)} == {int(then)}


def test_clear_removes_all_entries_and_no_other_file(place: Path, index: Path) -> None:
    """All of an index, while a view lives from it, and nothing else."""
    layers = learn(place, index)
    leave(index, 0)
    damage(index)
    (index / "README").write_text("somebody else's")
    (index / ("A" * 32)).write_text("as well")
    (index / ("a" * 31)).write_text("as well")
    kept = {"README", "A" * 32, "a" * 31}
    with View(place / "view", "-o", lowerdir(layers) + b",cache=" + bytes(index)) as view:
        assert cache("clear", index) == Finished(0, "removed 5 entries\n", "")
        assert set(os.listdir(index)) == kept
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
    leave(index, 0)
    assert cache("clear", index) == Finished(0, "removed 1 entry\n", "")
    leave(index, 0)
    finished = cache("clear", "--json", index)
    assert json.loads(finished.stdout) == {"directory": str(index), "removed": 1}
    assert set(os.listdir(index)) == kept


def test_clear_names_an_entry_that_cannot_be_removed(index: Path) -> None:
    index.mkdir()
    with namespace.tmpfs(str(index)):
        os.chmod(index, 0o700)
        name = damage(index)
        namespace.mount("none", str(index), "tmpfs", MS_REMOUNT | MS_RDONLY)
        said = f"viewfsctl: layer index '{index}': entry {name}: Read-only file system\n"
        assert cache("clear", index) == Finished(2, "removed 0 entries\n", said)
        assert states(index) == {name: "damaged"}


@pytest.mark.parametrize("action", ["list", "verify", "clear"])
def test_an_unsafe_directory_is_rejected_and_left_as_it_is(index: Path, action: str) -> None:
    index.mkdir()
    index.chmod(0o777)
    (index / ("a" * 32)).touch()
    said = f"viewfsctl: layer index '{index}' belongs to another user, or other users may write to it\n"
    assert cache(action, index) == Finished(2, "", said)
    assert os.listdir(index) == ["a" * 32]
    file = index / ("a" * 32)
    said = f"viewfsctl: layer index '{file}': Not a directory\n"
    assert cache(action, file) == Finished(2, "", said)


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "list, verify or clear is missing"),
        (["--json"], "list, verify or clear is missing"),
        (["purge"], "unknown command 'purge'"),
        (["verfy"], "unknown command 'verfy': did you mean 'verify'?"),
        (["list", "--all"], "unknown argument '--all'"),
        (["list", "--dry-run"], "unknown argument '--dry-run'"),
        (["list", ""], "DIR must not be empty"),
        (["list", "/a", "/b"], "unexpected argument '/b'"),
    ],
)
def test_a_usage_error_is_one_line_and_a_hint(words: list[str], said: str) -> None:
    tried = "Try 'viewfsctl index --help' for more information.\n"
    assert cache(*words) == Finished(1, "", f"viewfsctl: {said}\n{tried}")


def test_help_goes_to_stdout() -> None:
    for words in (["--help"], ["list", "-h"]):
        finished = cache(*words)
        assert (finished.status, finished.stderr) == (0, "")
        assert finished.stdout.startswith("Usage: viewfsctl index list|verify|clear ")


def test_paths_are_shown_without_control_characters(place: Path) -> None:
    index = place / "in\x1b[31mdex\n"
    learn(place, index, "lay\x1b[31mers\n")
    shown = f"{place}/lay\\033[31mers\\012/"
    finished = cache("list", index)
    assert finished.stdout.count(shown) == 3 and "\x1b" not in finished.stdout
    told = json.loads(cache("list", "--json", index).stdout)
    assert told["directory"] == f"{place}/in\\033[31mdex\\012"
    assert all(entry["layer"].startswith(shown) for entry in told["entries"])


def test_the_default_index_is_that_of_the_user(place: Path, own: Path) -> None:
    """Root has one below /run, other users below $XDG_RUNTIME_DIR."""
    nothing = Finished(0, f"0 entries, 0 kB {LIMIT}\n", "")
    runtime = {"XDG_RUNTIME_DIR": str(place)}
    users = place / "urunc-viewfs" / ".index"
    users.mkdir(parents=True)
    shutil.chown(users, "nobody")
    damage(users)
    shutil.chown(users / ("d" * 32), "nobody")
    assert cache("list", env=runtime) == nothing
    finished = cache("clear", env=runtime, user="nobody")
    assert finished == Finished(0, "removed 1 entry\n", "")
    own.mkdir(parents=True)
    damage(own)
    assert cache("list").stdout.endswith(f"1 entry, 4 kB {LIMIT}\n")
    assert cache("list", env=runtime, user="nobody") == nothing
    finished = cache("list", env={"XDG_RUNTIME_DIR": ""}, user="nobody")
    assert finished.status == 1
    assert finished.stderr.startswith(
        "viewfsctl: without $XDG_RUNTIME_DIR, DIR is missing\n"
    )
    own.chmod(0o755)
    said = f"viewfsctl: layer index '{own}' belongs to another user, or other users may write to it\n"
    assert cache("list", own, user="nobody") == Finished(2, "", said)


# viewfsctl gc.


def snapshots(place: Path) -> list[bytes]:
    """Layers that have an index of their own accord."""
    return image.snapshots(place, image.crowded(LAYERS, 1))


def gc(*words: str, **how: Any) -> Finished:
    return without_note(viewfsctl("gc", *words, **how))


def test_gc_removes_useless_entries_and_no_other_file(place: Path, own: Path) -> None:
    nothing = Finished(0, "", "")
    assert gc() == nothing
    assert not own.exists()
    layers = snapshots(place)
    with View(place / "view", "-o", lowerdir(layers)) as view:
        wait_until(lambda: own.exists() and len(os.listdir(own)) == CHAINS, "the layers to be filed")
        assert gc() == nothing
        (own / "README").write_text("somebody else's")
        writing = leave(own, 0)
        assert gc() == nothing
        left, damaged = leave(own, 90), damage(own)
        lowest = LAYERS - CHAINS + 1
        shutil.rmtree(place / f"snapshots/{lowest}")
        (stale,) = (entry["name"] for entry in entries(own) if entry["layers"] == lowest)
        said = [
            f"temporary index entry {left}",
            f"damaged index entry {damaged}",
            f"stale index entry {stale} of '{place}/snapshots/{lowest}/fs'",
        ]
        before = set(os.listdir(own))
        for would in (True, True, False):
            finished = gc(*(["--dry-run"] if would else []))
            assert (finished.status, finished.stderr) == (0, "")
            did = "would remove" if would else "removed"
            assert sorted(finished.stdout.splitlines()) == sorted(f"{did} {what}" for what in said)
            assert set(os.listdir(own)) == (before if would else before - {left, damaged, stale})
        assert gc() == nothing
        assert writing == left
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_gc_rejects_an_unsafe_index(own: Path) -> None:
    own.mkdir(parents=True)
    own.chmod(0o777)
    damage(own)
    said = f"viewfsctl: layer index '{own}' belongs to another user, or other users may write to it\n"
    assert gc() == Finished(2, "", said)
    assert gc(env={"XDG_RUNTIME_DIR": ""}, user="nobody") == Finished(0, "", "")
    assert len(os.listdir(own)) == 1


def test_gc_names_an_entry_that_cannot_be_removed(own: Path) -> None:
    own.mkdir(parents=True)
    with namespace.tmpfs(str(own)):
        os.chmod(own, 0o700)
        name = damage(own)
        namespace.mount("none", str(own), "tmpfs", MS_REMOUNT | MS_RDONLY)
        said = f"viewfsctl: layer index '{own}': entry {name}: Read-only file system\n"
        assert gc() == Finished(2, "", said)
        assert gc("--dry-run").status == 0
