# SPDX-License-Identifier: Apache-2.0
"""Where the layers come from: every form, however it is written."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import filesystems, image, machine, namespace, newmount, skipping
from support.image import INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.mounted import USUAL_TREE, assert_usual, bind, make_bundle, overlay, ready
from support.overlay import escape
from support.stack import Dir, File, Layer, Stack, Whiteout, build_layer
from support.view import View, call, refused, run, tree
from support.waiting import wait_until

NAMES = [
    b"plain",
    b"a:b",
    b"a,b",
    b"a\\b",
    b"a b",
    b"a\nb\tc",
    b"a=b",
    b'a"b#c\'d',
    b"a\\:b\\,c\\\\",
    b"\\",
    b":",
    b",",
    b"a\\040b",
    "späße 空".encode(),
    b"\xff\xfe\x80",
    b"n" * 255,
]


def build_named(place: Path, *names: bytes) -> list[bytes]:
    """The usual image, whose upper layers have NAMES."""
    layers = image.usual().build(place / "layers")
    for index, name in enumerate(names):
        named = os.path.join(os.fsencode(place), b"layers", name)
        os.rename(layers[index], named)
        layers[index] = named
    return layers


# lowerdir=


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_typed_layers_may_have_any_name(place: Path, name: bytes) -> None:
    layers = build_named(place, name)
    with ready(place, "-o", lowerdir(layers) + b",ro") as view:
        assert_usual(view)


def test_an_escape_before_any_character_is_dropped(place: Path) -> None:
    layers = build_named(place, b"ab cd")
    option = lowerdir(layers).replace(b"ab cd", b"\\a\\b\\ cd")
    with ready(place, "-o", option) as view:
        assert_usual(view)


def test_an_octal_escape_is_not_decoded(place: Path) -> None:
    layers = build_named(place, b"a040b")
    option = lowerdir(layers).replace(b"a040b", b"a\\040b")
    with ready(place, "-o", option) as view:
        assert_usual(view)


@pytest.mark.parametrize("name", [n for n in NAMES if b"," not in n and n != b"\\"], ids=ascii)
def test_layers_may_be_typed_one_by_one(place: Path, name: bytes) -> None:
    """lowerdir+= is literal, as the kernel has it."""
    layers = build_named(place, name)
    options = [part for layer in layers for part in (b"-o", b"lowerdir+=" + layer)]
    with ready(place, *options) as view:
        assert_usual(view)


def test_the_last_lowerdir_wins(place: Path) -> None:
    layers = build_named(place)
    with ready(place, "-o", b"lowerdir=/nowhere:/nothing," + lowerdir(layers)) as view:
        assert_usual(view)
    with ready(place, "-o", b"lowerdir+=/nowhere", "-o", lowerdir(layers)) as view:
        assert_usual(view)


def test_one_layer_is_enough(place: Path) -> None:
    """overlayfs itself wants two."""
    (layer,) = Stack([{b"urunc.json": image.urunc_json("/k"), b"k": File(KERNEL)}]).build(place)
    with ready(place, "-o", lowerdir([layer])) as view:
        assert (view.root / "k").read_bytes() == KERNEL


def test_a_layer_may_be_a_link(place: Path) -> None:
    layers = build_named(place)
    os.symlink(b"layers/1", os.path.join(os.fsencode(place), b"link"))
    layers[1] = os.path.join(os.fsencode(place), b"link")
    with ready(place, "-o", lowerdir(layers)) as view:
        assert_usual(view)


def test_typed_layers_are_relative_to_the_working_directory(place: Path) -> None:
    build_named(place)
    with ready(place, "-o", "lowerdir=0:./1:../layers/2", cwd=place / "layers") as view:
        assert_usual(view)
        assert view.ready["artifacts"][0]["origin"] == f"{place}/layers/0/urunc.json"


@pytest.mark.parametrize("base", ["absolute", "relative"])
def test_typed_layers_may_be_relative_to_basedir(place: Path, base: str) -> None:
    build_named(place)
    directory = str(place / "layers") if base == "absolute" else "layers"
    options = f"basedir={directory},lowerdir=0:1,lowerdir=0:1:2"
    with ready(place, "-o", options, cwd=place) as view:
        assert_usual(view)


def test_basedir_may_hold_escapes(place: Path) -> None:
    layers = image.usual().build(place / "a,b:c")
    base = escape(os.path.dirname(layers[0]))
    with ready(place, "-o", b"basedir=" + base + b",lowerdir=0:1:2") as view:
        assert_usual(view)


def test_upperdir_is_not_shown_and_no_base_of_what_was_typed(place: Path) -> None:
    build_named(place)
    upper = place / "elsewhere/3/fs"
    build_layer({b"urunc.json": Whiteout()}, os.fsencode(upper))
    options = f"lowerdir=0:1:2,upperdir={upper},workdir=/nowhere"
    with ready(place, "-o", options, cwd=place / "layers") as view:
        assert_usual(view)


@pytest.mark.parametrize("files", [None, 64], ids=["as-is", "64-descriptors"])
def test_five_hundred_layers_are_served(place: Path, files: int | None) -> None:
    """Far more than mount(2) takes, in bytes, and than the process may open."""
    layers: list[Layer] = [{b"unikernel/other": File(b"%d" % n)} for n in range(500)]
    layers[250] = {b"urunc.json": image.urunc_json()}
    layers[499] = {KERNEL_PATH.encode(): File(KERNEL)}
    roots = Stack(layers).build(place / ("long-" * 20))
    assert len(lowerdir(roots)) > 50_000
    wrapper = ["prlimit", f"--nofile={files}:{files}", "--"] if files else []
    with ready(place, "-o", lowerdir(roots), wrapper=wrapper) as view:
        assert [a["layer"] for a in view.ready["artifacts"]] == [250, 499]
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


# --mounts


def overlay_mount(layers: list[bytes], *options: str, **keys: Any) -> dict[str, Any]:
    """As View() of containerd's snapshotter gives it."""
    lower = "lowerdir=" + ":".join(map(os.fsdecode, layers))
    return {"Type": "overlay", "Source": "overlay", "Target": "", "Options": [*options, lower],
            **keys}  # fmt: skip


def lower_case(mount: dict[str, Any]) -> dict[str, Any]:
    return {key.lower(): value for key, value in mount.items() if value}


SHAPES = {
    "go": lambda mount: [mount],
    "lower-case": lambda mount: [lower_case(mount)],
    "other-case": lambda mount: [{key.upper(): value for key, value in mount.items()}],
    "object": lambda mount: {"Mounts": [mount]},
    "object-lower-case": lambda mount: {"key": "x", "mounts": [lower_case(mount)]},
    "further-keys": lambda mount: [{**mount, "What": {"ever": [1, None]}}],
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("how", ["file", "stdin"])
def test_each_form_of_mounts_is_served(place: Path, how: str, shape: Any) -> None:
    text = json.dumps(shape(overlay_mount(build_named(place)))).encode()
    if how == "stdin":
        with ready(place, "--mounts=-", stdin=text) as view:
            assert_usual(view)
    else:
        (place / "mounts.json").write_bytes(text + b"\n")
        with ready(place, "--mounts=mounts.json", cwd=place) as view:
            assert_usual(view)


def test_options_that_containerd_adds_are_ignored(place: Path) -> None:
    mount = overlay_mount(
        build_named(place),
        "workdir=/snapshots/9/work", "upperdir=/snapshots/9/fs", "index=off", "volatile",
        "redirect_dir=off", "metacopy=off", "xino=off", "nfs_export=off", "fsync=volatile", "ro",
        "uidmap=0:1000:10,10:5000:10", "gidmap=0:2000:10", "a-new-one=1",
    )  # fmt: skip
    with ready(place, "--mounts=-", stdin=json.dumps([mount]).encode()) as view:
        assert_usual(view)
        st = os.stat(view.root / KERNEL_PATH)
        assert (st.st_uid, st.st_gid) == (1000, 2000)


def test_a_typed_idmap_replaces_that_of_the_mounts(place: Path) -> None:
    mount = overlay_mount(build_named(place), "uidmap=0:1000:10", "gidmap=0:2000:10")
    text = json.dumps([mount]).encode()
    with ready(place, "--mounts=-", "-o", "uidmap=0:7:1", stdin=text) as view:
        st = os.stat(view.root / KERNEL_PATH)
        assert (st.st_uid, st.st_gid) == (7, 2000)


def test_userxattr_in_mounts_selects_user_marks(place: Path) -> None:
    stack = Stack(
        [
            {b"unikernel": Dir(marks=(("opaque", b"y"),)), b"unikernel/kernel": File(KERNEL)},
            {b"urunc.json": image.urunc_json(initrd="/unikernel/initrd"),
             b"unikernel/initrd": File(b"")},
        ]
    )  # fmt: skip
    mount = overlay_mount(stack.build(place / "layers", userxattr=True), "userxattr")
    text = json.dumps([mount]).encode()
    expected = "initrd '/unikernel/initrd': not in any of 2 layers"
    finished = call(
        "--mounts=-", "-o", "resolve=ready", "none", place / "layers", stdin=text
    )
    refused(finished, "ENOARTIFACT", 32, expected)


@pytest.mark.parametrize("name", [b"a b", b"a\\,b", b"<&>", "ü".encode()], ids=ascii)
def test_layers_in_mounts_may_have_any_name(place: Path, name: bytes) -> None:
    layers = [escape(layer) for layer in build_named(place, name)]
    text = json.dumps([overlay_mount(layers)]).encode()
    with ready(place, "--mounts=-", stdin=text) as view:
        assert_usual(view)


def test_a_bind_is_one_layer(place: Path) -> None:
    """Its source is a path, not an option: nothing in it is an escape."""
    stack = Stack([{b"urunc.json": image.urunc_json("/k"), b"k": File(KERNEL)}])
    (layer,) = stack.build(place / "a:b\\,c")
    mount = {"Type": "bind", "Source": os.fsdecode(layer), "Options": ["rbind", "ro"]}
    with ready(place, "--mounts=-", stdin=json.dumps([mount]).encode()) as view:
        assert (view.root / "k").read_bytes() == KERNEL


def test_relative_layers_of_mounts_start_at_the_upperdir(place: Path) -> None:
    """Two above it, as containerd lays snapshots out; not at the working directory."""
    layers = image.usual().build(place / "snapshots")
    for index, layer in enumerate(layers):
        os.rename(layer, layer + b".")
        os.mkdir(layer)
        os.rename(layer + b".", layer + b"/fs")
    mount = overlay_mount([b"0/fs", b"1/fs", b"2/fs"], f"upperdir={place}/snapshots/9/fs")
    with ready(place, "--mounts=-", stdin=json.dumps([mount]).encode(), cwd="/") as view:
        assert_usual(view)


def test_relative_layers_of_mounts_may_have_a_basedir(place: Path) -> None:
    build_named(place)
    text = json.dumps([overlay_mount([b"0", b"1", b"2"])]).encode()
    with ready(place, "--mounts=-", "-o", f"basedir={place}/layers", stdin=text) as view:
        assert_usual(view)


def test_mounts_of_a_request_are_accepted(place: Path) -> None:
    """As containerd's shims receive it."""
    mount = overlay_mount(build_named(place))
    rootfs = [{key.lower(): value for key, value in mount.items()}]
    text = json.dumps({"id": "web-1", "bundle": "/b", "rootfs": rootfs}).encode()
    with ready(place, "--mounts=-", stdin=text) as view:
        assert_usual(view)


# SOURCE is mounted


@pytest.mark.parametrize("name", [n for n in NAMES if len(n) < 255], ids=ascii)
def test_the_layers_of_a_mounted_overlay_are_served(place: Path, name: bytes) -> None:
    layers = build_named(place, name)
    with overlay(place / "overlay", layers) as source, ready(place, source=source) as view:
        assert_usual(view)
        assert view.mount.source == os.fsencode(source)


@pytest.mark.parametrize("name", [n for n in NAMES if len(n) < 200], ids=ascii)
@pytest.mark.parametrize("form", ["lowerdir", "lowerdir+"])
def test_an_overlay_mounted_by_fsconfig_is_served(place: Path, form: str, name: bytes) -> None:
    layers = build_named(place, name)
    at = place / "overlay"
    at.mkdir()
    if form == "lowerdir":
        options = [(form, lowerdir(layers).removeprefix(b"lowerdir="))]
    else:
        options = [(form, layer) for layer in layers]
    try:
        newmount.mount("overlay", str(at), [("ro", ""), *options])
    except OSError as error:
        if error.errno == errno.EINVAL and form == "lowerdir+":
            skipping.skip_kernel("overlayfs has no lowerdir+")
        raise
    try:
        with ready(place, source=at) as view:
            assert_usual(view)
    finally:
        namespace.unmount(str(at))


def test_relative_layers_of_containerds_overlay_are_found(place: Path) -> None:
    """With names relative to where it was mounted, and an upper layer, which is not the image's."""
    snapshots = place / "snapshots"
    for index, layer in enumerate(image.usual().layers):
        build_layer(layer, os.fsencode(snapshots / str(index) / "fs"))
    upper = snapshots / "9/fs"
    build_layer({b"urunc.json": File(b"the container's own")}, os.fsencode(upper))
    (snapshots / "9/work").mkdir()
    options = [f"upperdir={upper}", f"workdir={snapshots}/9/work"]
    names = [b"0/fs", b"1/fs", b"2/fs"]
    with overlay(place / "overlay", names, *options, cwd=snapshots) as source:
        with ready(place, source=source) as view:
            assert_usual(view)


def test_relative_layers_without_an_upperdir_are_not_applicable(place: Path) -> None:
    build_named(place)
    (place / "view").mkdir()
    with overlay(place / "overlay", [b"0", b"1", b"2"], cwd=place / "layers") as source:
        finished = call(source, place / "view", cwd=place / "layers")
        refused(finished, "ENOTAPPLICABLE", 32, "layer '0' is relative")
        with ready(place, "-o", f"basedir={place}/layers", source=source) as view:
            assert_usual(view)


def test_layers_that_lead_nowhere_are_not_applicable(place: Path) -> None:
    layers = build_named(place)
    (place / "view").mkdir()
    with overlay(place / "overlay", layers) as source:
        os.rename(place / "layers/1", place / "layers/gone")
        refused(call(source, place / "view"), "ENOTAPPLICABLE", 32, "layers/1' cannot be opened")


def test_the_topmost_mount_is_what_counts(place: Path) -> None:
    """An overlay below another mount, or with another on top of it, is not what is there."""
    other = Stack([{b"urunc.json": image.urunc_json("/k"), b"k": File(b"other")}, {}])
    first, second = build_named(place), other.build(place / "other")
    with overlay(place / "overlay", first), overlay(place / "overlay", second) as source:
        with ready(place, source=source) as view:
            assert (view.root / "k").read_bytes() == b"other"


def test_a_directory_of_an_overlay_is_a_directory(place: Path) -> None:
    stack = Stack([{b"sub/urunc.json": image.urunc_json("/k"), b"sub/k": File(KERNEL)}, {}])
    layers = stack.build(place / "layers")
    with overlay(place / "overlay", layers) as source:
        with ready(place, source=source / "sub") as view:
            assert (view.root / "k").read_bytes() == KERNEL


@pytest.mark.parametrize("how", ["absolute", "relative", "link"])
def test_a_directory_is_one_layer(place: Path, how: str) -> None:
    stack = Stack([{b"urunc.json": image.urunc_json("/k"), b"k": File(KERNEL)}])
    stack.build(place / "layers")
    (place / "link").symlink_to("layers/0")
    written = {"absolute": str(place / "layers/0"), "relative": "layers/0", "link": "link"}[how]
    with ready(place, source=written, cwd=place) as view:
        assert (view.root / "k").read_bytes() == KERNEL
        assert view.mount.source == os.fsencode(written)


@contextmanager
def disk(place: Path, fstype: str, options: str) -> Iterator[Path]:
    """A container's disk with an image on it, mounted with OPTIONS."""
    image_file, at = place / "disk.img", place / "disk"
    with open(image_file, "wb") as file:
        file.truncate(128 << 20)
    filesystems.need_filesystem(fstype)
    filesystems.run(f"mkfs.{fstype}", "-q", image_file)
    with filesystems.mounted(image_file, at, fstype):
        build_layer(image.with_file(File(KERNEL)).layers[0], os.fsencode(at))
    with filesystems.mounted(image_file, at, fstype, options):
        yield at


@pytest.mark.parametrize("fstype", ["ext4", "btrfs"])
@pytest.mark.parametrize("options", ["loop", "loop,noexec", "bind-ro"])
def test_a_disk_that_is_mounted_writable_is_no_image(
    place: Path, fstype: str, options: str
) -> None:
    """Nor is a mount of it that alone is read-only: another may be written to."""
    (place / "view").mkdir()
    with disk(place, fstype, "loop" if options == "bind-ro" else options) as source:
        if options == "bind-ro":
            flags = namespace.MS_BIND | namespace.MS_REMOUNT | namespace.MS_RDONLY
            namespace.mount("none", str(source), None, flags)
        finished = call(source, place / "view")
        refused(finished, "ENOTAPPLICABLE", 32, f"a writable {fstype} filesystem on a block device")


def test_a_subvolume_that_is_mounted_writable_is_no_image(place: Path) -> None:
    (place / "view").mkdir()
    (place / "at").mkdir()
    with disk(place, "btrfs", "loop") as whole:
        filesystems.run("btrfs", "subvolume", "snapshot", whole, whole / "snapshot")
        with bind(bytes(whole / "snapshot"), place / "at"):
            finished = call(place / "at", place / "view")
            refused(finished, "ENOTAPPLICABLE", 32, "a writable btrfs filesystem")


def test_a_disk_that_is_mounted_read_only_is_a_directory(place: Path) -> None:
    with disk(place, "ext4", "loop,ro") as source, ready(place, source=source) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_a_directory_of_a_writable_disk_is_a_directory(place: Path) -> None:
    """Mounted or not."""
    (place / "at").mkdir()
    with disk(place, "ext4", "loop") as whole:
        os.rename(whole / "unikernel", whole / "k")
        build_layer(image.with_file(File(KERNEL)).layers[0], os.fsencode(whole / "layer"))
        with ready(place, source=whole / "layer") as view:
            assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        with bind(bytes(whole / "layer"), place / "at"), ready(place, source=place / "at") as view:
            assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_a_filesystem_in_memory_is_a_directory(place: Path) -> None:
    (place / "at").mkdir()
    with namespace.tmpfs(str(place / "at")):
        build_layer(image.with_file(File(KERNEL)).layers[0], os.fsencode(place / "at/layer"))
        for name in os.listdir(place / "at/layer"):
            os.rename(place / "at/layer" / name, place / "at" / name)
        with ready(place, source=place / "at") as view:
            assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


# --bundle


def test_a_bundle_with_an_overlay_is_served(place: Path) -> None:
    bundle = make_bundle(place)
    layers = build_named(place)
    with overlay(bundle / "rootfs", layers), ready(place, f"--bundle={bundle}") as view:
        assert_usual(view)


@pytest.mark.parametrize("path", ["absolute", "dots", "relative-bundle"])
def test_a_bundles_rootfs_may_be_written_in_any_way(place: Path, path: str) -> None:
    written = {"absolute": str(place / "bundle/rootfs"), "dots": "../bundle/./rootfs"}
    bundle = make_bundle(place, path=written.get(path, "rootfs"))
    layers = build_named(place)
    with overlay(bundle / "rootfs", layers):
        given = "bundle" if path == "relative-bundle" else bundle
        with ready(place, f"--bundle={given}", cwd=place) as view:
            assert_usual(view)


def test_a_bundle_with_a_bind_is_one_layer(place: Path) -> None:
    """As containerd mounts an image of one layer."""
    bundle = make_bundle(place)
    stack = Stack([{b"urunc.json": image.urunc_json("/k"), b"k": File(KERNEL)}])
    (layer,) = stack.build(place / "layers")
    with bind(layer, bundle / "rootfs", read_only=True):
        with ready(place, f"--bundle={bundle}") as view:
            assert (view.root / "k").read_bytes() == KERNEL


def test_a_bundle_with_a_writable_bind_is_not_applicable(place: Path) -> None:
    """A container's own tree, whichever option says that it is written to."""
    bundle = make_bundle(place)
    (layer,) = Stack([{b"urunc.json": image.urunc_json("/k"), b"k": File(KERNEL)}]).build(place)
    (place / "view").mkdir()
    with bind(layer, bundle / "rootfs"):
        finished = call(f"--bundle={bundle}", "none", place / "view")
        refused(finished, "ENOTAPPLICABLE", 32, "is writable: a container's own tree")


def test_a_bundle_with_a_bind_of_a_read_only_filesystem_is_one_layer(place: Path) -> None:
    """The mount's own options say rw then."""
    bundle = make_bundle(place)
    layer = image.with_file(File(KERNEL)).layers[0]
    with filesystems.filesystem("squashfs", place, {b"layer/" + n: e for n, e in layer.items()},
                                "packed") as packed:  # fmt: skip
        with bind(bytes(packed / "layer"), bundle / "rootfs"):
            with ready(place, f"--bundle={bundle}") as view:
                assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_complete_annotations_replace_urunc_json(place: Path) -> None:
    """As they are, never decoded; urunc.json is not even looked at."""
    boot = image.configuration("/etc/hostname", "unikernel/notes")
    bundle = make_bundle(place, {**boot, "another": "one"})
    layers = build_named(place)
    with overlay(bundle / "rootfs", layers), ready(place, f"--bundle={bundle}") as view:
        expected = {"urunc.json", "etc/", "etc/hostname", "unikernel/", "unikernel/notes"}
        assert tree(view.root) == expected


def test_complete_annotations_without_initrd_show_none(place: Path) -> None:
    bundle = make_bundle(place, image.configuration())
    layers = build_named(place)
    with overlay(bundle / "rootfs", layers), ready(place, f"--bundle={bundle}") as view:
        assert tree(view.root) == {"urunc.json", "unikernel/", KERNEL_PATH}


def test_complete_annotations_need_no_urunc_json(place: Path) -> None:
    bundle = make_bundle(place, image.configuration("/k"))
    layers = Stack([{b"urunc.json": File(b"no JSON")}, {b"k": File(KERNEL)}]).build(place / "l")
    with overlay(bundle / "rootfs", layers), ready(place, f"--bundle={bundle}") as view:
        assert (view.root / "k").read_bytes() == KERNEL
    os.unlink(layers[0] + b"/urunc.json")
    with overlay(bundle / "rootfs", layers), ready(place, f"--bundle={bundle}") as view:
        assert tree(view.root) == {"k"}


@pytest.mark.parametrize("missing", ["unikernelType", "hypervisor", "binary", "empty", "none"])
def test_incomplete_annotations_are_ignored(place: Path, missing: str) -> None:
    """All or nothing: the initrd of the annotations does not count either."""
    boot = image.configuration("/etc/hostname", "/etc/hostname")
    if missing == "empty":
        boot[image.PREFIX + "binary"] = ""
    elif missing == "none":
        boot = {}
    else:
        del boot[image.PREFIX + missing]
    bundle = make_bundle(place, boot)
    layers = build_named(place)
    with overlay(bundle / "rootfs", layers), ready(place, f"--bundle={bundle}") as view:
        assert_usual(view)


def test_options_replace_annotations(place: Path) -> None:
    bundle = make_bundle(place, image.configuration("/nowhere", "/" + INITRD_PATH))
    layers = build_named(place)
    with overlay(bundle / "rootfs", layers):
        with ready(place, f"--bundle={bundle}", "-o", "binary=" + KERNEL_PATH) as view:
            assert tree(view.root) == USUAL_TREE


def test_a_bundle_with_nothing_mounted_is_not_applicable(place: Path) -> None:
    bundle = make_bundle(place)
    (place / "view").mkdir()
    finished = call(f"--bundle={bundle}", "none", place / "view")
    refused(finished, "ENOTAPPLICABLE", 32, "nothing is mounted at")
    (bundle / "rootfs").rmdir()
    finished = call(f"--bundle={bundle}", "none", place / "view")
    refused(finished, "ENOTAPPLICABLE", 32, "nothing is mounted at")


def test_a_bundle_with_a_whole_filesystem_is_not_applicable(place: Path) -> None:
    """As of a block snapshotter."""
    bundle = make_bundle(place)
    (place / "view").mkdir()
    with namespace.tmpfs(str(bundle / "rootfs")):
        finished = call(f"--bundle={bundle}", "none", place / "view")
        refused(finished, "ENOTAPPLICABLE", 32, "is a tmpfs filesystem, which has no layer directories")


# What was meant


def test_a_bundle_given_as_source_is_told_apart(place: Path) -> None:
    bundle = make_bundle(place)
    (place / "view").mkdir()
    finished = call(bundle, place / "view")
    refused(finished, "ENOTAPPLICABLE", 32, f"this is an OCI bundle, give --bundle='{bundle}'")


def test_a_directory_of_docker_given_as_source_is_told_apart(place: Path) -> None:
    (place / "view").mkdir()
    for name in ("id/diff", "id/work", "id/merged"):
        (place / name).mkdir(parents=True)
    (place / "id/link").write_text("ABC")
    for words in ([place / "id"], ["-o", f"lowerdir={place}/id", "none"]):
        finished = call(*words, place / "view")
        refused(finished, "ENOTAPPLICABLE", 32, f"directory of docker's, give '{place}/id/merged'")


def test_a_layout_given_as_source_is_told_apart(place: Path) -> None:
    (place / "view").mkdir()
    (place / "layout/blobs").mkdir(parents=True)
    (place / "layout/oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    finished = call(place / "layout", place / "view")
    refused(finished, "ENOTAPPLICABLE", 32, f"is an OCI layout, give --oci='{place}/layout'")


def test_a_file_given_as_source_names_the_option(place: Path) -> None:
    (place / "view").mkdir()
    (place / "mounts.json").write_text("[]")
    finished = call(place / "mounts.json", place / "view")
    refused(finished, "ELAYER", 32, "Not a directory .*--mounts=")


def test_an_image_that_is_no_unikernel_gets_no_hint(place: Path) -> None:
    (place / "view").mkdir()
    (layer,) = Stack([{b"config.json": File(b"{}"), b"etc": Dir()}]).build(place)
    finished = call(Path(os.fsdecode(layer)), place / "view")
    refused(finished, "ENOTAPPLICABLE", 32, "and no binary= was given$")


def test_plain_text_in_the_configuration_names_the_option(place: Path) -> None:
    (place / "view").mkdir()
    plain = json.dumps(image.configuration("/k")).encode()
    (layer,) = Stack([{b"urunc.json": File(plain), b"k": File(KERNEL)}]).build(place)
    finished = call("-o", lowerdir([layer]), "none", place / "view")
    refused(finished, "ECONFIG", 32, r"for plain text give -o decode=auto")
    with ready(place, "-o", lowerdir([layer]) + b",decode=auto") as view:
        assert (view.root / "k").read_bytes() == KERNEL


@pytest.mark.parametrize("form", ["SOURCE", "lowerdir", "below"])
def test_a_fuse_layer_of_another_user_names_allow_other(place: Path, form: str) -> None:
    (place / "view").mkdir()
    place.chmod(0o755)
    with users_fuse(place, image.with_file(File(KERNEL)).layers[0]) as directory:
        words = {
            "SOURCE": [directory],
            "lowerdir": ["-o", f"lowerdir={directory}", "none"],
            "below": ["-o", f"lowerdir={directory}/unikernel", "none"],
        }[form]
        finished = call(*words, place / "view")
        refused(finished, "ELAYER", 32, f"'{directory}' is a FUSE filesystem .*allow_other")


@contextmanager
def users_fuse(place: Path, layer: Layer) -> Iterator[Path]:
    """LAYER, as a user has mounted it for none but that user."""
    filesystems.need("squashfuse")
    packed = filesystems.packed(place, layer, "packed", "mksquashfs", "TREE", "IMAGE", "-noappend",
                                "-quiet", "-no-progress")  # fmt: skip
    packed.chmod(0o644)
    (place / "fuse").mkdir()
    os.chown(place / "fuse", 65534, 65534)
    with machine.private_dev("fuse") as dev:
        # As udev makes it.
        (dev / "fuse").chmod(0o666)
        mounted = run("squashfuse", packed, place / "fuse", user="nobody")
        assert mounted.status == 0, mounted
        try:
            yield place / "fuse"
        finally:
            namespace.unmount(str(place / "fuse"))


# Which form


@pytest.mark.parametrize(
    "forms",
    [
        ["-o", "lowerdir=/a", "--mounts=/m"],
        ["-o", "lowerdir+=/a", "--bundle=/b"],
        ["--mounts=-", "--bundle=/b"],
        ["--mounts=-", "--bundle=/b", "-o", "lowerdir=/a"],
    ],
    ids=" ".join,
)
def test_two_forms_at_once_are_a_usage_error(place: Path, forms: list[str]) -> None:
    (place / "view").mkdir()
    refused(call(*forms, "none", place / "view"), "EUSAGE", 1, "only one source of layers is allowed: both")


def test_source_is_a_label_of_the_other_forms(place: Path) -> None:
    """Even where a directory has its name."""
    layers = build_named(place)
    with ready(place, "-o", lowerdir(layers), source=place / "layers") as view:
        assert_usual(view)
    assert run("ls", place).stdout.split() == ["layers"]


# Layers that another program mounts and unmounts

EROFS = ("mkfs.erofs", "--quiet", "IMAGE", "TREE")


@pytest.mark.parametrize("options", ["ro", "loop"])
@pytest.mark.parametrize("resolve", ["lazy", "ready"])
def test_an_erofs_layer_can_be_unmounted_under_a_view(
    place: Path, options: str, resolve: str
) -> None:
    """As containerd's mount manager does, which does not know of the view."""
    layers = []
    for index, layer in enumerate(image.usual().layers):
        packed = filesystems.packed(place, layer, str(index), *EROFS)
        (place / f"m{index}").mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "erofs", "-o", options, packed, place / f"m{index}"],
            capture_output=True, check=False,
        )  # fmt: skip
        if mounted.returncode != 0 and options == "ro":
            skipping.skip_kernel("erofs is not mounted from a file")
        assert mounted.returncode == 0, mounted.stderr
        layers.append(os.fsencode(place / f"m{index}"))
    text = json.dumps([overlay_mount(layers)]).encode()
    words = ["--mounts=-", "-o", f"resolve={resolve},cache={place}/index"]
    with View(place / "view", *words, stdin=text) as view:
        for layer in layers:
            namespace.unmount(layer, 0)
        if resolve == "ready":
            assert_usual(view)
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        # It is another mount the next time: nothing would be found again.
        view.wait_sandboxed()
    assert not (place / "index").exists() or not os.listdir(place / "index")
    wait_until(lambda: not loops_of(place), "the loop devices to be released")


def loops_of(place: Path) -> list[str]:
    said = filesystems.output("losetup", "-n", "-O", "BACK-FILE")
    return [line for line in said.splitlines() if str(place) in line]
