# SPDX-License-Identifier: Apache-2.0
"""What may happen to an artifact store: never is there a wrong byte, and it can be filled again."""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import machine, namespace, stored
from support.filesystems import MIB, WRITABLE, writable
from support.image import KERNEL_PATH
from support.view import Finished
from support.waiting import wait_until

KINDS = [*WRITABLE, "tmpfs"]
SMALL = stored.files("small", 20_000, 5_000)
LARGE = stored.files("large", 3 * MIB, MIB)
IMAGES = {"small": SMALL, "large": LARGE, "other": stored.files("other", 30_000, 6_000)}
FAR = 4_000_000_000  # in the year 2096


@pytest.fixture
def trees(place: Path) -> Iterator[Path]:
    with stored.trees(place, IMAGES) as trees:
        yield trees


@pytest.fixture
def filled(place: Path, trees: Path) -> Path:
    """A store that has the small image."""
    assert stored.add(place / "store", trees / "small").status == 0
    return place / "store"


def assert_failed(finished: Finished, root: Path, reason: str) -> None:
    """For want of something of the system's, with one sentence that names the store."""
    assert finished.status == 2, finished
    (line,) = finished.stderr.splitlines()
    assert line.startswith("viewfsctl: ") and str(root) in line and reason in line, line


def assert_nothing_wrong(place: Path, root: Path, name: str) -> bool:
    """A view of the image has all of it, or there is none; whether there is one."""
    assert stored.wrong_objects(root) == []
    found = stored.shown(place / "shown", root, name)
    assert found in (None, IMAGES[name])
    return found is not None


# Filesystems


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_on_each_filesystem_serves_and_survives_its_removal(
    place: Path, trees: Path, kind: str
) -> None:
    with writable(kind, place / "disk", 32 * MIB) as disk:
        root = disk / "store"
        assert stored.add(root, trees / "small").status == 0
        with stored.view(place / "view", root, "small", "passthrough=on") as view:
            assert view.ready["passthrough"] is True
            assert stored.content(view.root) == SMALL
            shutil.rmtree(root)
            # It was opened by the view, and not by any reader.
            assert stored.content(view.root) == SMALL
            assert stored.shown(place / "shown", root, "small") is None
            assert stored.add(root, trees / "small").status == 0
            assert stored.shown(place / "shown", root, "small") == SMALL
            assert stored.content(view.root) == SMALL


def test_what_is_in_use_is_not_evicted(place: Path, trees: Path, filled: Path) -> None:
    assert stored.add(filled, trees / "other").status == 0
    with stored.view(place / "view", filled, "small", "resolve=ready"):
        assert stored.gc(filled, "-o", "store-size=1K").status == 0
        assert stored.shown(place / "shown", filled, "small") == SMALL
        assert stored.shown(place / "shown", filled, "other") is None
    wait_until(lambda: not machine.processes(), "the view to end")
    assert stored.gc(filled, "-o", "store-size=1K").status == 0
    assert stored.all_files(filled) == []


# No room


@pytest.mark.parametrize("kind", ["ext4", "tmpfs"])
def test_a_full_filesystem_gets_nothing(place: Path, trees: Path, kind: str) -> None:
    with writable(kind, place / "disk", 4 * MIB) as disk:
        root = disk / "store"
        assert_failed(stored.add(root, trees / "large"), root, "room")
        assert stored.all_files(root) == []
        assert stored.add(root, trees / "small").status == 0
        assert_nothing_wrong(place, root, "small")


@pytest.mark.parametrize("limit", ["size", "nr_inodes"])
def test_room_that_ends_anywhere_leaves_no_part_of_an_image(
    place: Path, trees: Path, limit: str
) -> None:
    """Bytes or inodes: from too few for a directory to enough for all."""
    results = set()
    for step in range(1, 41):
        options = {"size": f"size={step * 4096 + 8192}", "nr_inodes": f"nr_inodes={step}"}[limit]
        with writable("tmpfs", place / "disk", options=options) as disk:
            root = disk / "store"
            finished = stored.add(root, trees / "small")
            assert finished.status in (0, 2), finished
            if root.exists():
                assert assert_nothing_wrong(place, root, "small") is (finished.status == 0)
                # Without a lock no writer came as far as to leave anything.
                assert stored.gc(root).status == 0 or not (root / "lock").exists()
                assert len(stored.all_files(root)) == (4 if finished.status == 0 else 0)
            results.add(finished.status)
        (place / "disk").rmdir()
    assert results == {0, 2}


def test_a_read_only_store_serves_and_gets_nothing(place: Path, trees: Path) -> None:
    with writable("ext4", place / "disk", 16 * MIB) as disk:
        root = disk / "store"
        assert stored.add(root, trees / "small").status == 0
        os.utime(chain_file(root, "small"), (0, 0))
        namespace.mount("none", str(disk), None, namespace.MS_REMOUNT | namespace.MS_RDONLY)
        before = chain_file(root, "small").stat()
        assert stored.shown(place / "shown", root, "small") == SMALL
        assert stored.shown(place / "shown", root, "other") is None
        assert_failed(stored.add(root, trees / "other"), root, "Read-only file system")
        assert chain_file(root, "small").stat() == before


# Damage


def chain_file(root: Path, name: str) -> Path:
    return root / "chains" / stored.chain_id(name).removeprefix("sha256:")


def kernel_object(root: Path) -> Path:
    name = stored.sha256(SMALL[KERNEL_PATH])
    return root / "objects" / name[:2] / name


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def grow(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"x")


def empty(path: Path) -> None:
    os.truncate(path, 0)


def rewrite(path: Path) -> None:
    """A byte is another one, and the time says so."""
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def rot(path: Path) -> None:
    """A byte is another one, and nothing says so."""
    before = path.stat()
    rewrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced_by(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    replace.__name__ = f"replaced_by_{make.__name__}"
    return replace


def another_file(path: Path) -> None:
    path.write_bytes(b"another")
    path.chmod(0o400)
    os.utime(path, (0, 0))


def a_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def a_directory(path: Path) -> None:
    path.mkdir()


def a_fifo(path: Path) -> None:
    os.mkfifo(path, 0o400)


def a_device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o400, os.makedev(1, 5))


def for_all(path: Path) -> None:
    path.chmod(0o644)


def anothers(path: Path) -> None:
    os.chown(path, 1, 1)


def gone(path: Path) -> None:
    path.unlink()


SEEN = [
    cut, grow, empty, rewrite, for_all, anothers, gone,
    *map(replaced_by, (another_file, a_link, a_directory, a_fifo, a_device)),
]  # fmt: skip


@pytest.mark.parametrize("where", ["object", "facts"])
@pytest.mark.parametrize("damage", SEEN, ids=lambda damage: damage.__name__)
def test_damage_is_a_miss_and_healed(
    place: Path, trees: Path, filled: Path, damage: Callable[[Path], None], where: str
) -> None:
    path = kernel_object(filled) if where == "object" else chain_file(filled, "small")
    damage(path)
    if damage is for_all and where == "facts":
        os.chmod(path, 0o606)
    assert stored.shown(place / "shown", filled, "small") is None
    if path.is_dir():
        # Which no writer replaces: it was not made by one.
        path.rmdir()
    assert stored.add(filled, trees / "small").status == 0
    assert stored.shown(place / "shown", filled, "small") == SMALL


def test_facts_with_any_byte_changed_are_a_miss(place: Path, filled: Path) -> None:
    """Each of them is read again."""
    source = random.Random(1)
    facts = chain_file(filled, "small")
    sound = facts.read_bytes()
    for at in source.sample(range(len(sound)), 60):
        facts.write_bytes(sound[:at] + bytes([sound[at] ^ 1 << source.randrange(8)]) + sound[at + 1 :])
        assert stored.shown(place / "shown", filled, "small") is None
    facts.write_bytes(sound)
    assert stored.shown(place / "shown", filled, "small") == SMALL


def test_facts_of_another_image_are_a_miss(place: Path, trees: Path, filled: Path) -> None:
    assert stored.add(filled, trees / "other").status == 0
    shutil.copy(chain_file(filled, "other"), chain_file(filled, "small"))
    assert stored.shown(place / "shown", filled, "small") is None
    assert stored.shown(place / "shown", filled, "other") == IMAGES["other"]


def test_verify_finds_what_nothing_else_can_see(place: Path, trees: Path, filled: Path) -> None:
    assert stored.ctl(filled, "verify").status == 0
    rot(kernel_object(filled))
    found = stored.ctl(filled, "verify", "--json")
    assert found.status == 32, found
    (entry,) = json.loads(found.stdout)["entries"]
    assert (entry["state"], kernel_object(filled).name in entry["name"]) == ("damaged", True)
    assert stored.shown(place / "shown", filled, "small") is not None
    # Until it is removed, and added again.
    assert stored.ctl(filled, "verify", "--repair").status == 32
    assert stored.shown(place / "shown", filled, "small") is None
    assert stored.add(filled, trees / "small").status == 0
    assert stored.ctl(filled, "verify").status == 0
    assert stored.shown(place / "shown", filled, "small") == SMALL


# Time


@pytest.mark.parametrize("seconds", [0, FAR], ids=["behind", "ahead"])
def test_a_clock_that_jumps_loses_nothing(place: Path, trees: Path, filled: Path, seconds: int) -> None:
    """As if the image had been used at another time: it is used now."""
    assert stored.add(filled, trees / "other").status == 0
    os.utime(chain_file(filled, "small"), (seconds, seconds))
    assert stored.shown(place / "shown", filled, "small") == SMALL
    assert abs(chain_file(filled, "small").stat().st_mtime - time.time()) < 60
    assert stored.gc(filled).status == 0
    assert stored.shown(place / "shown", filled, "small") == SMALL
