# SPDX-License-Identifier: Apache-2.0
"""Views of stored images: when the artifact store is asked, and what a view of it shows."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import image, machine, namespace
from support.control import listed_at, viewfsctl
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir, urunc_json
from support.stack import Dir, Fifo, File, Stack, Symlink
from support.stored import Store, arguments, chain, tree, usual_tree
from support.view import View, call, refused
from support.view import tree as listing

# containerd's mounts of an image that a block snapshotter keeps, as a shim gets them.
BLOCK = [{"Type": "ext4", "Source": "/dev/loop7", "Target": "", "Options": ["rw"]}]

SHOWN = {"urunc.json", "boot/", INITRD_PATH, "unikernel/", KERNEL_PATH}


@pytest.fixture
def store(place: Path) -> Store:
    """An empty one."""
    return Store(place / "store")


@pytest.fixture
def filled(store: Store, place: Path) -> Store:
    """It has the usual image; its tree is gone."""
    with tree(place / "tree") as unpacked:
        assert store.must_add(unpacked)["added"]
    return store


@pytest.fixture
def mounts(place: Path) -> Path:
    path = place / "mounts.json"
    path.write_text(json.dumps(BLOCK))
    return path


def content_is_right(view: View) -> None:
    assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
    assert (view.root / INITRD_PATH).read_bytes() == INITRD
    assert json.loads((view.root / "urunc.json").read_text())


def lacks(store: Store, *options: str, naming: str, image: str = "") -> None:
    """A view of it is not applicable."""
    finished = call(*arguments(store, *options, image=image), "label", store.directory.parent)
    refused(finished, "ENOTAPPLICABLE", 32, naming)


# ------------------------------------------------------------------------------------- hit, miss


@pytest.mark.parametrize("passthrough", ["on", "off"])
def test_a_stored_image_is_shown_when_its_tree_is_gone(
    filled: Store, place: Path, passthrough: str
) -> None:
    options = arguments(filled, f"passthrough={passthrough}")
    with View(place / "view", *options) as view:
        content_is_right(view)
        assert listing(view.root) == SHOWN
        assert view.ready["image"] == {"chain": chain()}
        assert view.ready["passthrough"] == (passthrough == "on")
        assert "missing" not in view.ready
        binary = {a["role"]: a for a in view.ready["artifacts"]}["binary"]
        assert binary["origin"] == str(filled.object_of(KERNEL))
        assert (binary["size"], "layer" in binary) == (len(KERNEL), False)


def test_attributes_are_those_of_the_image_and_not_of_the_object(
    filled: Store, place: Path
) -> None:
    object_st = filled.object_of(KERNEL).stat()
    with View(place / "view", *arguments(filled)) as view:
        st = (view.root / KERNEL_PATH).stat()
        assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o550, 5, 6)
        assert st.st_mtime > 0 and object_st.st_mtime == 0
    with View(place / "view", *arguments(filled, "uid=7", "gid=8", "mode=0444")) as view:
        st = (view.root / KERNEL_PATH).stat()
        assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o444, 7, 8)
    with View(place / "view", *arguments(filled, "uidmap=5:1005:1", "gidmap=6:1006:1")) as view:
        st = (view.root / KERNEL_PATH).stat()
        assert (st.st_uid, st.st_gid) == (1005, 1006)


def test_an_image_that_is_not_stored_is_not_applicable(store: Store, filled: Store) -> None:
    lacks(filled, image=chain(2), naming=f"lacks image {chain(2)}")


def test_a_store_that_is_missing_is_not_applicable_and_is_not_made(store: Store) -> None:
    lacks(store, naming=f"'{store.directory}' lacks image")
    assert not store.directory.exists()


def test_a_path_without_an_answer_is_not_applicable(filled: Store) -> None:
    lacks(filled, "binary=/other", naming="no answer for '/other'")
    lacks(filled, "initrd=/other", naming="no answer for '/other'")
    # Nor is it said that something of the image is wrong.
    lacks(filled, "binary=/other", "resolve=ready", naming="no answer for '/other'")


def test_the_default_store_is_below_var_cache(place: Path) -> None:
    with namespace.tmpfs("/var/cache"), tree(place / "tree") as unpacked:
        words = ("store", "add", f"--chain={chain()}", f"--tree={unpacked}")
        assert viewfsctl(*words).status == 0
        assert Path("/var/cache/urunc-viewfs").stat().st_mode & 0o7777 == 0o700
        with View(place / "view", f"--chain={chain()}") as view:
            content_is_right(view)


@pytest.mark.parametrize(
    "digest",
    ["", "x", "a" * 64, "sha256:", "sha256:" + "a" * 63, "sha256:" + "A" * 64, "sha512:" + "a" * 64],
)
def test_a_chain_that_is_no_digest_is_a_usage_error(place: Path, digest: str) -> None:
    refused(call(f"--chain={digest}", "label", place), "EUSAGE", 1, "--?chain")


# ----------------------------------------------------------------------- absent, and not artifacts


@pytest.mark.parametrize(
    ("entry", "code", "naming"),
    [
        (None, "ENOARTIFACT", f"not in image {chain()}"),
        (Dir(), "EARTIFACT", "a directory, not a regular file"),
        (Fifo(), "EARTIFACT", "a FIFO, not a regular file"),
        (Symlink(b"/nowhere"), "ENOARTIFACT", "not in image"),
        (Symlink(KERNEL_PATH.encode()), "EARTIFACT", "Too many levels of symbolic links"),
        (Symlink(b"/od d"), "EARTIFACT", "a path that is not allowed"),
        (File(b"", marks=(("metacopy", b""),)), "EARTIFACT", "redirect or metacopy mark"),
        (File(b""), "EARTIFACT", "empty"),
    ],
    ids=["absent", "directory", "fifo", "dangling", "loop", "target", "mark", "empty"],
)
def test_what_is_no_artifact_in_the_tree_is_none_in_the_view(
    store: Store, place: Path, entry: object, code: str, naming: str
) -> None:
    files = usual_tree() | {b"od d": File(b"odd")}
    path = KERNEL_PATH.encode()
    files |= {path: entry} if entry else {}  # type: ignore[dict-item]
    if not entry:
        del files[path]
    if isinstance(entry, Symlink) and entry.target == path:
        files[path] = Symlink(b"kernel")
    with tree(place / "tree", files) as unpacked:
        finished = store.add(unpacked)
        assert (finished.status, naming in finished.stderr) == (32, True), finished
    # It is an answer: no need to look again.
    with tree(place / "tree", {}) as unpacked:
        assert naming in store.add(unpacked).stderr
    ready = call(*arguments(store, "resolve=ready"), "label", place)
    refused(ready, code, 32, naming)
    with View(place / "view", *arguments(store), expected=[naming]) as view:
        assert listing(view.root) == SHOWN - {KERNEL_PATH}
        assert view.ready["missing"] == ["/" + KERNEL_PATH]
        assert (view.root / INITRD_PATH).read_bytes() == INITRD


def test_what_is_no_unikernel_is_filed_too(store: Store, place: Path) -> None:
    """Else a shim would have each container of the image looked at again."""
    with tree(place / "tree", {b"bin/sh": File(b"#!")}) as unpacked:
        assert store.add(unpacked).status == 32
    lacks(store, naming="no /urunc.json in image")
    with tree(place / "tree") as unpacked:
        assert "no /urunc.json in image" in store.add(unpacked).stderr
    assert len(store.files()) == 1


def test_a_urunc_json_that_is_unusable_is_an_error_of_the_image(store: Store, place: Path) -> None:
    with tree(place / "tree", usual_tree() | {b"urunc.json": File(b"{")}) as unpacked:
        finished = store.add(unpacked)
        assert (finished.status, "/urunc.json is not JSON" in finished.stderr) == (32, True)
    refused(call(*arguments(store), "label", place), "ECONFIG", 32, "/urunc.json is not JSON")


# ------------------------------------------------------------------------------ beside other kinds


def test_mounts_of_a_block_snapshotter_lead_to_the_store(
    filled: Store, place: Path, mounts: Path
) -> None:
    with View(place / "view", f"--mounts={mounts}", *arguments(filled)) as view:
        content_is_right(view)
        assert view.ready["image"] == {"chain": chain()}


@pytest.mark.parametrize(
    "text",
    [
        [],
        None,
        [*BLOCK, *BLOCK],
        [{"Type": "overlay", "Options": ["lowerdir=2/fs"]}],
        [{"Type": "overlay", "Options": ["lowerdir+=/a", "datadir+=/b"]}],
    ],
    ids=["empty", "null", "several", "relative", "data-only"],
)
def test_mounts_without_directories_lead_to_the_store(
    filled: Store, place: Path, text: object
) -> None:
    options = ("--mounts=-", *arguments(filled))
    with View(place / "view", *options, stdin=json.dumps(text).encode()) as view:
        content_is_right(view)


def test_directories_win_over_the_store(filled: Store, place: Path) -> None:
    other = {b"urunc.json": urunc_json(), KERNEL_PATH.encode(): File(b"of the layers")}
    (layer,) = Stack([other]).build(place / "layers")
    text = [{"Type": "bind", "Source": os.fsdecode(layer), "Options": ["ro"]}]
    with View(
        place / "view", "--mounts=-", *arguments(filled), stdin=json.dumps(text).encode()
    ) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == b"of the layers"
        assert view.ready["image"] == {"layers": 1}


def test_what_is_wrong_with_the_mounts_is_not_the_stores_to_mend(
    filled: Store, place: Path
) -> None:
    missing = [{"Type": "bind", "Source": str(place / "gone"), "Options": ["ro"]}]
    options = ("--mounts=-", *arguments(filled), "label", place)
    refused(call(*options, stdin=json.dumps(missing).encode()), "ELAYER", 32, "gone")
    refused(call(*options, stdin=b"{"), "EUSAGE", 1, "not JSON")


def test_neither_directories_nor_a_stored_image_is_not_applicable(
    store: Store, place: Path, mounts: Path
) -> None:
    finished = call(f"--mounts={mounts}", *arguments(store), "label", place)
    refused(finished, "ENOTAPPLICABLE", 32, "lacks image")


def test_typed_layers_and_a_chain_are_two_kinds(filled: Store, place: Path) -> None:
    finished = call(*arguments(filled), "-o", lowerdir([os.fsencode(place)]), "label", place)
    refused(finished, "EUSAGE", 1, "both -o lowerdir= and --chain")


@pytest.fixture
def bundle(place: Path) -> Iterator[Path]:
    """Of a container whose root is a filesystem of its own; its annotations name a kernel."""
    path = place / "bundle"
    (path / "rootfs").mkdir(parents=True)
    values = image.configuration("/" + INITRD_PATH)
    (path / "config.json").write_text(
        json.dumps({"root": {"path": "rootfs"}, "annotations": values})
    )
    with namespace.tmpfs(path / "rootfs"):
        (path / "rootfs/urunc.json").write_text("the container's own")
        yield path


def test_annotations_of_a_bundle_count_for_a_stored_image(
    filled: Store, place: Path, bundle: Path
) -> None:
    """The path that they name has an answer, by the image's own urunc.json."""
    with View(place / "view", f"--bundle={bundle}", *arguments(filled)) as view:
        roles = {artifact["path"]: artifact["role"] for artifact in view.ready["artifacts"]}
        assert roles == {"/urunc.json": "config", "/" + INITRD_PATH: "binary"}
        assert (view.root / "urunc.json").read_bytes() == usual_tree()[b"urunc.json"].content  # type: ignore[attr-defined]


def test_annotations_of_a_bundle_count_when_an_image_is_added(
    store: Store, place: Path, bundle: Path
) -> None:
    with tree(place / "tree") as unpacked:
        added = store.must_add(unpacked, f"--bundle={bundle}")
    assert [answer["path"] for answer in added["answers"]] == ["/urunc.json", "/" + INITRD_PATH]
    lacks(store, naming=f"no answer for '/{KERNEL_PATH}'")


# ------------------------------------------------------------------------------------- once mounted


def test_the_same_call_again_is_the_same_view_and_another_chain_is_not(
    filled: Store, place: Path
) -> None:
    with tree(place / "tree") as unpacked:
        filled.must_add(unpacked, image=chain(2))
    with View(place / "view", *arguments(filled)) as view:
        again = call(*arguments(filled), "none", view.root)
        assert (again.status, again.ready["image"]) == (0, {"chain": chain()}), again
        other = call(*arguments(filled, image=chain(2)), "none", view.root)
        assert (other.status, other.code) == (32, "EMOUNT")
        layers = Stack([usual_tree()]).build(place / "layers")
        other = call("-o", lowerdir(layers), "none", view.root)
        assert (other.status, other.code) == (32, "EMOUNT")


@pytest.mark.parametrize("passthrough", ["on", "off"])
def test_a_view_outlives_its_store(filled: Store, place: Path, passthrough: str) -> None:
    options = arguments(filled, f"passthrough={passthrough}")
    with View(place / "view", *options) as view:
        view.wait_sandboxed()
        shutil.rmtree(filled.directory)
        content_is_right(view)
        lacks_now = call(*arguments(filled), "label", place)
        assert lacks_now.code == "ENOTAPPLICABLE"


def test_a_hundred_views_of_an_image_share_one_object(filled: Store, place: Path) -> None:
    before = filled.files()
    inode = filled.object_of(KERNEL).stat()
    views = [View(place / f"view-{n}", *arguments(filled)) for n in range(100)]
    for view in views:
        view.__enter__()
    try:
        for view in views[::33]:
            content_is_right(view)
        assert filled.files() == before
        assert filled.object_of(KERNEL).stat().st_ino == inode.st_ino
        assert inode.st_nlink == 1
    finally:
        for view in views:
            view.__exit__(None)


def test_list_and_resolve_tell_a_stored_image(filled: Store, place: Path) -> None:
    with View(place / "view", *arguments(filled)) as view:
        told = listed_at(view.root)
        assert told["image"] == {"chain": chain()}
        assert told["layers"] is None
        titles, row = viewfsctl("list").stdout.splitlines()
        assert row.split()[titles.split().index("LAYERS")] == "stored"
        assert len(told["artifacts"]) == 3
    finished = viewfsctl("resolve", "--json", "--digest", *arguments(filled))
    resolved = json.loads(finished.stdout)
    assert (resolved["bootable"], resolved["image"]) == (True, {"chain": chain()})
    binary = {a["role"]: a for a in resolved["artifacts"]}["binary"]
    assert binary["digest"] == "sha256:" + hashlib.sha256(KERNEL).hexdigest()
    table = viewfsctl("resolve", *arguments(filled)).stdout.splitlines()
    assert [line.split()[3] for line in table] == ["LAYER", "-", "-", "-"]
    missing = viewfsctl("resolve", *arguments(filled, image=chain(2)))
    assert (missing.status, "lacks image" in missing.stderr) == (32, True)


def test_resolve_tells_what_the_store_lacks_from_what_cannot_boot(
    store: Store, place: Path
) -> None:
    """Of an image that it knows not to be a unikernel it names the image, and of no other."""

    def named(*options: str) -> object:
        finished = viewfsctl("resolve", "--json", *arguments(store, *options))
        told = json.loads(finished.stdout)
        assert (finished.status, told["error"]["code"]) == (32, "ENOTAPPLICABLE"), finished
        return told.get("image")

    assert named() is None
    with tree(place / "tree", {b"etc/hostname": File(b"a\n")}) as unpacked:
        assert store.add(unpacked).status == 32
    assert named() == {"chain": chain()}
    assert named("binary=/kernel") is None


# -------------------------------------------------------------------------------- stores in trouble


def test_a_store_that_cannot_be_written_is_read(filled: Store, place: Path) -> None:
    directory = str(filled.directory)
    namespace.mount(directory, directory, None, namespace.MS_BIND)
    flags = namespace.MS_REMOUNT | namespace.MS_BIND | namespace.MS_RDONLY
    namespace.mount("none", directory, None, flags)
    try:
        with View(place / "view", *arguments(filled)) as view:
            content_is_right(view)
        with tree(place / "tree") as unpacked:
            assert not filled.must_add(unpacked)["added"]
            failed = filled.add(unpacked, image=chain(2))
            assert (failed.status, "Read-only file system" in failed.stderr) == (2, True), failed
    finally:
        namespace.unmount(directory)


@pytest.mark.parametrize("part", [".", "objects", "chains"])
@pytest.mark.parametrize("fault", ["mode", "owner"])
def test_a_store_that_others_may_use_is_not_used(
    filled: Store, place: Path, part: str, fault: str
) -> None:
    if fault == "mode":
        (filled.directory / part).chmod(0o750)
    else:
        os.chown(filled.directory / part, 1, 1)
    finished = call(*arguments(filled), "label", place)
    assert (finished.status, finished.code) == (32, "ENOTAPPLICABLE")
    assert "is not used" in finished.stderr.splitlines()[0]
    with tree(place / "tree") as unpacked:
        failed = filled.add(unpacked)
        assert (failed.status, "belongs to another user" in failed.stderr) == (2, True), failed


def damage_size(path: Path) -> None:
    path.chmod(0o600)
    with open(path, "ab") as file:
        file.write(b"more")
    os.utime(path, (0, 0))
    path.chmod(0o400)


def damage_content(path: Path) -> None:
    """Its size stays; its time tells."""
    with open(path, "r+b") as file:
        file.write(b"X")


def replace(path: Path) -> None:
    """By a file that looks the same but is another one."""
    content = path.read_bytes()
    path.rename(path.with_name("kept"))
    path.write_bytes(b"X" + content[1:])
    os.utime(path, (0, 0))
    path.chmod(0o400)


def link_away(path: Path) -> None:
    path.rename(path.with_name("kept"))
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("damage", [damage_size, damage_content, replace, link_away, Path.unlink])
def test_an_object_that_is_not_the_one_filed_is_not_shown_and_is_replaced(
    filled: Store, place: Path, damage: object
) -> None:
    damage(filled.object_of(KERNEL))  # type: ignore[operator]
    finished = call(*arguments(filled), "label", place)
    assert (finished.status, finished.code) == (32, "ENOTAPPLICABLE"), finished
    assert machine.mounts() == []
    with tree(place / "tree") as unpacked:
        assert filled.must_add(unpacked)["added"]
    with View(place / "view", *arguments(filled)) as view:
        content_is_right(view)


@pytest.mark.parametrize("at", [0, 4, 60, 100, -1])
def test_damaged_facts_are_a_miss_and_are_replaced(filled: Store, place: Path, at: int) -> None:
    path = filled.facts()
    facts = bytearray(path.read_bytes())
    facts[at] ^= 0x40
    path.write_bytes(facts)
    finished = call(*arguments(filled), "label", place)
    assert (finished.status, finished.code) == (32, "ENOTAPPLICABLE"), finished
    with tree(place / "tree") as unpacked:
        assert filled.must_add(unpacked)["added"]
    with View(place / "view", *arguments(filled)) as view:
        content_is_right(view)
