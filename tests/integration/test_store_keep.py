# SPDX-License-Identifier: Apache-2.0
"""viewfsctl store, and what gc and doctor do with the artifact store."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import filesystems, namespace
from support.control import stopped, viewfsctl, without_note
from support.image import KERNEL, KERNEL_PATH, lowerdir, noise, urunc_json
from support.stack import Entry, File, Stack, build_layer
from support.stored import Store, arguments, chain, tree, usual_tree
from support.view import View, call, program
from support.waiting import SECONDS

DAY = 86400


@pytest.fixture
def store(place: Path) -> Store:
    """An empty one."""
    return Store(place / "store")


@pytest.fixture
def unpacked(place: Path) -> Iterator[Path]:
    with tree(place / "tree") as path:
        yield path


def kernel_of(content: bytes) -> dict[bytes, Entry]:
    return {b"urunc.json": urunc_json(), KERNEL_PATH.encode(): File(content)}


def add_images(store: Store, place: Path, count: int, size: int = 1 << 20) -> None:
    """Images of one kernel of SIZE bytes each, the first of them used least recently."""
    for number in range(1, count + 1):
        with tree(place / "tree", kernel_of(noise(size, f"kernel {number}"))) as unpacked:
            store.must_add(unpacked, image=chain(number))
        used = time.time() - DAY + number * 3600
        os.utime(store.facts(chain(number)), (used, used))


def stored(store: Store) -> set[int]:
    """The numbers of the images."""
    return {number for number in range(1, 20) if store.facts(chain(number)).exists()}


# -------------------------------------------------------------------------------------------- add


def test_adding_says_what_was_added(store: Store, unpacked: Path) -> None:
    added = store.must_add(unpacked)
    assert (added["chain"], added["added"]) == (chain(), True)
    answers = {answer["path"]: answer for answer in added["answers"]}
    assert answers["/" + KERNEL_PATH]["size"] == len(KERNEL)
    assert added["bytes"] == sum(answer["size"] for answer in answers.values())
    table = store.add(unpacked).stdout.splitlines()
    assert table[0].split() == ["PATH", "KIND", "SIZE", "DIGEST"]
    assert table[-1] == "was there already"


def test_a_second_call_writes_nothing_and_does_not_look_at_the_tree(
    store: Store, place: Path, unpacked: Path
) -> None:
    store.must_add(unpacked)
    before = {path: path.stat() for path in store.files()}
    again = store.must_add(place / "nowhere")
    assert (again["added"], again["bytes"], len(again["answers"])) == (False, 0, 3)
    assert {path: path.stat() for path in store.files()} == before


def test_more_paths_are_added_to_an_image_up_to_sixteen(store: Store, place: Path) -> None:
    more = {b"k/%d" % n: File(b"kernel %d" % n) for n in range(20)}
    with tree(place / "tree", usual_tree() | more) as unpacked:
        added = store.must_add(unpacked)
        for n in range(13):
            added = store.must_add(unpacked, "-o", f"binary=/k/{n}")
        assert len(added["answers"]) == 16
        failed = store.add(unpacked, "-o", "binary=/k/13")
        assert (failed.status, "more than 16 paths" in failed.stderr) == (32, True), failed
    with View(place / "view", *arguments(store, "binary=/k/12")) as view:
        assert (view.root / "k/12").read_bytes() == b"kernel 12"


def test_of_many_at_once_one_does_the_work(store: Store, unpacked: Path) -> None:
    words = [program("viewfsctl"), "store", "add", "--json", f"--chain={chain()}"]
    words += [f"--tree={unpacked}", "-o", store.option]
    calls = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(16)]
    results = [json.loads(call.communicate(timeout=SECONDS)[0].splitlines()[-1]) for call in calls]
    assert [call.returncode for call in calls] == [0] * 16
    assert sum(result["added"] for result in results) == 1
    assert len(store.files()) == 4


def test_a_name_that_two_images_have_for_the_same_bytes_is_one_object(
    store: Store, unpacked: Path
) -> None:
    store.must_add(unpacked)
    before = store.files("objects")
    assert store.must_add(unpacked, image=chain(2))["added"]
    assert store.files("objects") == before


@pytest.mark.parametrize("missing", ["--chain", "--tree"])
def test_a_chain_and_a_tree_are_required(missing: str) -> None:
    words = {"--chain": f"--chain={chain()}", "--tree": "--tree=/"}
    del words[missing]
    failed = viewfsctl("store", "add", *words.values())
    assert (failed.status, missing in failed.stderr.splitlines()[0]) == (1, True), failed


# A tree that is not what a chain unpacked to is refused, as far as that can be seen.


def refused(store: Store, path: Path, naming: str) -> None:
    failed = store.add(path)
    assert (failed.status, naming in failed.stderr) == (1, True), failed
    assert store.files() == []


def test_a_writable_mount_is_no_tree(store: Store, place: Path) -> None:
    (place / "tree").mkdir()
    with namespace.tmpfs(place / "tree"):
        refused(store, place / "tree", "the mount is writable")


def test_a_directory_that_is_no_mount_is_no_tree(store: Store, place: Path, unpacked: Path) -> None:
    refused(store, place, "nothing is mounted there")
    refused(store, unpacked / "etc", "nothing is mounted there")
    refused(store, place / "missing", "No such file")


def test_the_root_filesystem_is_no_tree(store: Store, place: Path) -> None:
    refused(store, Path("/"), "it is the root filesystem")
    bound = place / "bound"
    bound.mkdir()
    namespace.mount("/", str(bound), None, namespace.MS_BIND)
    flags = namespace.MS_REMOUNT | namespace.MS_BIND | namespace.MS_RDONLY
    namespace.mount("none", str(bound), None, flags)
    try:
        refused(store, bound, "it is the root filesystem")
    finally:
        namespace.unmount(str(bound))


@contextmanager
def bound_read_only(source: Path, at: Path) -> Iterator[Path]:
    at.mkdir()
    namespace.mount(str(source), str(at), None, namespace.MS_BIND)
    flags = namespace.MS_REMOUNT | namespace.MS_BIND | namespace.MS_RDONLY
    namespace.mount("none", str(at), None, flags)
    try:
        yield at
    finally:
        namespace.unmount(str(at))


def test_a_filesystem_that_is_written_elsewhere_is_no_tree(store: Store, place: Path) -> None:
    """A container's own disk, read-only for us alone."""
    (place / "disk").mkdir()
    with namespace.tmpfs(place / "disk"), bound_read_only(place / "disk", place / "tree") as bound:
        refused(store, bound, "mounted writable elsewhere")


def test_a_containers_overlay_is_no_tree_whatever_part_is_bound(store: Store, place: Path) -> None:
    for name in ("lower", "upper", "work", "rootfs", "lower/usr"):
        (place / name).mkdir()
    options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"
    namespace.mount("overlay", str(place / "rootfs"), "overlay", 0, options)
    try:
        for number, part in enumerate([".", "usr"]):
            with bound_read_only(place / "rootfs" / part, place / f"tree-{number}") as bound:
                refused(store, bound, "mounted writable elsewhere")
    finally:
        namespace.unmount(str(place / "rootfs"))


@pytest.mark.parametrize("below", ["", "usr"])
def test_a_path_in_a_containers_rootfs_is_no_tree(store: Store, place: Path, below: str) -> None:
    """Of a container with a read-only root, say."""
    bundle = place / "bundle"
    at = bundle / "rootfs" / below
    at.mkdir(parents=True)
    (bundle / "config.json").write_text('{"root": {"path": "rootfs"}}')
    with tree(at):
        refused(store, at, "in a container's rootfs")


def test_a_view_of_directories_may_be_a_bind_or_an_overlay(store: Store, place: Path) -> None:
    """As the snapshotters native and overlayfs give it."""
    build_layer(usual_tree(), os.fsencode(place / "snapshot"))
    with bound_read_only(place / "snapshot", place / "tree") as bound:
        assert store.must_add(bound)["added"]
    build_layer({b"more": File(b"")}, os.fsencode(place / "other"))
    (place / "merged").mkdir()
    options = f"lowerdir={place}/other:{place}/snapshot"
    namespace.mount("overlay", str(place / "merged"), "overlay", 0, options)
    try:
        failed = store.add(place / "merged", image=chain(2))
        # Without an upper directory such a mount is read-only by itself.
        assert failed.status == 0, failed
    finally:
        namespace.unmount(str(place / "merged"))
    with View(place / "view", *arguments(store, image=chain(2))) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_a_block_snapshotters_disk_is_added_from_a_read_only_mount(
    store: Store, place: Path, kind: str
) -> None:
    filesystems.need(f"mkfs.{kind}")
    filesystems.need_filesystem(kind)
    disk = place / "disk"
    with open(disk, "wb") as file:
        file.truncate((512 if kind == "xfs" else 128) << 20)
    filesystems.run(f"mkfs.{kind}", "-q", disk)
    with filesystems.mounted(disk, place / "snapshot", kind):
        build_layer(usual_tree(), os.fsencode(place / "snapshot"))
    options = {"ext4": "loop,ro,noload", "xfs": "loop,ro,norecovery", "btrfs": "loop,ro"}[kind]
    before = disk.read_bytes()
    with filesystems.mounted(disk, place / "tree", kind, options) as unpacked:
        assert store.must_add(unpacked)["added"]
    assert disk.read_bytes() == before
    disk.unlink()
    with View(place / "view", *arguments(store)) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


# Size and time.


def test_no_room_is_an_error_and_leaves_nothing(store: Store, place: Path, unpacked: Path) -> None:
    failed = store.add(unpacked, "-o", "store-size=100K")
    assert (failed.status, "no room" in failed.stderr) == (2, True), failed
    assert store.files() == []
    (place / "small").mkdir()
    namespace.mount("small", str(place / "small"), "tmpfs", 0, "size=400k,mode=0755")
    try:
        small = Store(place / "small" / "store")
        failed = small.add(unpacked)
        assert (failed.status, "no room" in failed.stderr) == (2, True), failed
        assert small.files() == []
    finally:
        namespace.unmount(str(place / "small"))


@pytest.mark.parametrize("size", ["", "0", "4X", "-1", "1.5G", "99999999999T", "4 G"])
def test_a_store_size_that_is_no_number_of_bytes_is_a_usage_error(
    store: Store, unpacked: Path, size: str
) -> None:
    failed = store.add(unpacked, "-o", f"store-size={size}")
    assert (failed.status, "'store-size'" in failed.stderr) == (1, True), failed


def test_a_waiter_gives_up_in_time(store: Store, place: Path, unpacked: Path) -> None:
    """The writer before it is stopped."""
    with tree(place / "large", kernel_of(noise(64 << 20))) as large:
        words = ["store", "add", f"--chain={chain()}", f"--tree={large}", "-o", store.option]
        writer = subprocess.Popen([program("viewfsctl"), *words], start_new_session=True)
        try:
            wait_for_lock(store, writer.pid)
            os.killpg(writer.pid, 19)
            begun = time.monotonic()
            failed = store.add(unpacked, "--json", "-o", "timeout=1")
            assert failed.status == 2 and "after 1 s" in failed.stderr, failed
            assert failed.told["error"]["code"] == "ESYSTEM"
            assert time.monotonic() - begun < 5
        finally:
            os.killpg(writer.pid, 9)
            writer.wait(SECONDS)
        assert store.must_add(unpacked)["added"]


def wait_for_lock(store: Store, pid: int) -> None:
    """Until the writer PID, or its child, has the lock of its image."""
    lock = store.directory / "lock"
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if lock.exists() and any(
            f":{lock.stat().st_ino} " in line and " WRITE " in line for line in open("/proc/locks")
        ):
            return
    raise AssertionError("the writer does not lock")


def test_a_tree_that_hangs_is_given_up_in_time(store: Store, place: Path) -> None:
    layers = Stack([usual_tree()]).build(place / "layers")
    with View(place / "view", "-o", lowerdir(layers)) as view, stopped(view):
        begun = time.monotonic()
        failed = store.add(view.root, "--json", "-o", "timeout=1")
        assert (failed.status, "after 1 s" in failed.stderr) == (2, True), failed
        assert failed.told["error"]["code"] == "ESYSTEM"
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize("words", [["store", "list"], ["store", "verify"], ["store", "clear"], ["gc"]])
def test_a_store_that_hangs_is_given_up_in_time(place: Path, words: list[str]) -> None:
    layers = Stack([usual_tree()]).build(place / "layers")
    with View(place / "view", "-o", lowerdir(layers)) as view, stopped(view):
        begun = time.monotonic()
        failed = viewfsctl(*words, "-o", f"timeout=1,store={view.root}/unikernel")
        assert (failed.status, "after 1 s" in failed.stderr) == (2, True), failed
        assert time.monotonic() - begun < 10


# ------------------------------------------------------------------------------ list, verify, clear


def entries(store: Store, action: str = "list", *words: str, status: int = 0) -> list[dict]:
    finished = viewfsctl("store", action, "--json", *words, "-o", store.option)
    assert (finished.status, finished.stderr) == (status, ""), finished
    told = json.loads(finished.stdout)
    assert told["directory"] == str(store.directory)
    return told["entries"]


def test_list_tells_images_and_objects(store: Store, place: Path, unpacked: Path) -> None:
    store.must_add(unpacked)
    with View(place / "view", *arguments(store, "passthrough=off")) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        told = entries(store)
        images = [entry for entry in told if not entry["object"]]
        assert [image["name"] for image in images] == ["chains/" + chain().removeprefix("sha256:")]
        assert len(images[0]["answers"]) == 3
        assert abs(images[0]["used"] - time.time()) < 3600
        assert {entry["in_use"] for entry in told if entry["object"]} == {True}
    assert {entry["in_use"] for entry in entries(store) if entry["object"]} == {False}
    assert {entry["state"] for entry in entries(store)} == {"current"}
    table = viewfsctl("store", "list", "-o", store.option).stdout.splitlines()
    assert table[0].split("  ")[0] == "TYPE"
    assert table[-1].startswith("1 chain, 0 manifests, 3 objects, ")


def test_a_missing_store_is_no_error(store: Store) -> None:
    assert entries(store) == entries(store, "verify") == []
    assert viewfsctl("store", "clear", "-o", store.option).stdout == "removed 0 files\n"
    assert not store.directory.exists()


def test_verify_finds_bytes_that_changed_under_the_same_size_and_time(
    store: Store, place: Path, unpacked: Path
) -> None:
    store.must_add(unpacked)
    path = store.object_of(KERNEL)
    with open(path, "r+b") as file:
        file.write(b"X")
    os.utime(path, (0, 0))
    (found,) = entries(store, "verify", status=32)
    assert (found["name"], found["state"]) == (str(path.relative_to(store.directory)), "damaged")
    assert path.exists()
    # An image that names it goes with it.
    assert len(entries(store, "verify", "--repair", status=32)) == 2
    assert entries(store, "verify") == []
    assert call(*arguments(store), "label", place).code == "ENOTAPPLICABLE"
    assert store.must_add(unpacked)["added"]
    with View(place / "view", *arguments(store)) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


@pytest.mark.parametrize("size", [0, 1, 1 << 20, None])
def test_gc_removes_an_image_whose_object_is_missing_or_has_another_size(
    store: Store, place: Path, unpacked: Path, size: int | None
) -> None:
    store.must_add(unpacked)
    with tree(place / "other", kernel_of(b"another kernel")) as other:
        store.must_add(other, image=chain(2))
    path = store.object_of(KERNEL)
    if size is None:
        path.unlink()
    else:
        os.truncate(path, size)
        os.utime(path, (0, 0))
    gc(store)
    assert stored(store) == {2}
    assert not path.exists()
    assert entries(store, "verify") == []
    assert store.must_add(unpacked)["added"]


def test_clear_removes_all_and_views_go_on(store: Store, place: Path, unpacked: Path) -> None:
    store.must_add(unpacked)
    (store.directory / "objects/foreign").write_text("not ours")
    with View(place / "view", *arguments(store)) as view:
        cleared = viewfsctl("store", "clear", "-o", store.option)
        assert (cleared.status, cleared.stdout) == (0, "removed 4 files\n")
        assert [path.name for path in store.files()] == ["foreign"]
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


@pytest.mark.parametrize("action", ["list", "clear"])
def test_repair_is_of_verify_alone(store: Store, action: str) -> None:
    failed = viewfsctl("store", action, "--repair", "-o", store.option)
    assert (failed.status, "--repair" in failed.stderr) == (1, True)


def test_an_unknown_action_gets_the_nearest(store: Store) -> None:
    assert "'verify'" in viewfsctl("store", "verfy", "-o", store.option).stderr
    assert viewfsctl("store").status == 1


# ---------------------------------------------------------------------------------------------- gc


def gc(store: Store, *words: str, options: str = "") -> str:
    finished = without_note(viewfsctl("gc", *words, "-o", store.option + options))
    assert (finished.status, finished.stderr) == (0, ""), finished
    return finished.stdout


def test_gc_evicts_the_least_recently_used_images_down_to_the_size(
    store: Store, place: Path
) -> None:
    add_images(store, place, 4)
    said = gc(store, "--dry-run", options=",store-size=2500K")
    assert said.startswith("would remove 2 images, 4 objects, ") or "2 images" in said, said
    assert stored(store) == {1, 2, 3, 4}
    assert "removed 2 images" in gc(store, options=",store-size=2500K")
    assert stored(store) == {3, 4}
    assert gc(store, options=",store-size=2500K") == ""
    with View(place / "view", *arguments(store, image=chain(4))) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == noise(1 << 20, "kernel 4")


def test_gc_evicts_images_that_were_not_used_for_a_month(store: Store, place: Path) -> None:
    add_images(store, place, 2)
    old = time.time() - 31 * DAY
    os.utime(store.facts(chain(2)), (old, old))
    assert "removed 1 image, " in gc(store)
    assert stored(store) == {1}


@pytest.mark.parametrize("passthrough", ["on", "off"])
def test_gc_keeps_what_a_view_has_open(store: Store, place: Path, passthrough: str) -> None:
    add_images(store, place, 3)
    options = arguments(store, f"passthrough={passthrough}", image=chain(1))
    with View(place / "view", *options) as view:
        view.wait_sandboxed()
        os.utime(store.facts(chain(1)), (0, 0))
        gc(store, options=",store-size=1")
        assert stored(store) == {1}
        assert (view.root / KERNEL_PATH).read_bytes() == noise(1 << 20, "kernel 1")
    gc(store, options=",store-size=1")
    assert store.files() == []


def test_gc_keeps_a_tenth_of_the_filesystem_free(store: Store, place: Path) -> None:
    (place / "small").mkdir()
    namespace.mount("small", str(place / "small"), "tmpfs", 0, "size=20m,mode=0755")
    try:
        small = Store(place / "small" / "store")
        add_images(small, place, 4)
        (place / "small/other").write_bytes(bytes(15 << 20))
        gc(small)
        assert 0 < len(stored(small)) < 4
        fs = os.statvfs(place / "small")
        assert fs.f_bavail >= fs.f_blocks // 10
        assert max(stored(small)) == 4
    finally:
        namespace.unmount(str(place / "small"))


def test_gc_removes_what_writers_that_died_left(store: Store, place: Path, unpacked: Path) -> None:
    store.must_add(unpacked)
    (store.directory / "objects/.new-0123456789abcdef").write_text("half")
    store.facts().unlink()
    said = gc(store)
    assert "3 objects" in said and "1 temporary file" in said, said
    assert store.files() == []


def test_gc_has_nothing_to_do_without_a_store_or_in_a_read_only_one(
    store: Store, place: Path, unpacked: Path
) -> None:
    assert gc(store) == ""
    store.must_add(unpacked)
    with bound_read_only(store.directory, place / "bound") as bound:
        assert gc(Store(bound), options=",store-size=1") == ""
    assert len(store.files()) == 4


# ------------------------------------------------------------------------------------------ doctor


def finding(subject: str = "store") -> list[dict]:
    told = json.loads(viewfsctl("doctor", "--json").stdout)["findings"]
    return [found for found in told if found["subject"] == subject]


@pytest.fixture
def default(place: Path) -> Iterator[Store]:
    with namespace.tmpfs("/var/cache"):
        yield Store(Path("/var/cache/urunc-viewfs"))


def test_doctor_says_where_the_store_is_and_what_it_can(default: Store, unpacked: Path) -> None:
    (found,) = finding()
    assert (found["severity"], str(default.directory) in found["finding"]) == ("ok", True)
    default.must_add(unpacked)
    before = default.files()
    (found,) = finding()
    assert found["severity"] == "ok"
    assert "1 image, 0 MB; writable; reflink: no; fs-verity: no" in found["finding"]
    assert default.files() == before


def test_doctor_warns_of_a_store_that_others_may_use(default: Store) -> None:
    default.directory.mkdir(mode=0o755)
    (found,) = finding()
    assert (found["severity"], "other users" in found["finding"]) == ("warning", True)


def test_doctor_warns_where_no_image_can_be_added(default: Store, unpacked: Path) -> None:
    namespace.mount("none", "/var/cache", "tmpfs", namespace.MS_REMOUNT, "size=8m")
    default.must_add(unpacked)
    Path("/var/cache/other").write_bytes(bytes((7 << 20) + (200 << 10)))
    assert any("less than a tenth" in found["finding"] for found in finding())


def test_doctor_tells_damaged_files(default: Store, unpacked: Path) -> None:
    default.must_add(unpacked)
    default.object_of(KERNEL).unlink()
    assert any("damaged" in found["finding"] for found in finding())
