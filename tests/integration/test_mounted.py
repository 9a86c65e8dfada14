# SPDX-License-Identifier: Apache-2.0
"""SOURCE and --bundle name an overlay: no view shows another image than that overlay does.

mountinfo has the layers' paths as the maker of the mount wrote them. They may lead elsewhere for
the process that reads them.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import filesystems, image, namespace
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH
from support.mounted import USUAL_TREE, assert_usual, bind, make_bundle, overlay, ready
from support.stack import Dir, File, Layer, Stack, Symlink, build_layer
from support.view import View, call, program, refused, run, tree

EVIL = bytes(reversed(KERNEL))

# Both forms that name an overlay by where it is mounted.
FORMS = ["SOURCE", "bundle"]
forms = pytest.mark.parametrize("form", FORMS)


@pytest.fixture
def at(place: Path) -> Path:
    mountpoint = place / "view"
    mountpoint.mkdir()
    return mountpoint


def root_of(place: Path, form: str, annotations: object = None) -> Path:
    """Where the overlay is mounted."""
    if form == "bundle":
        return make_bundle(place, annotations) / "rootfs"
    (place / "overlay").mkdir()
    return place / "overlay"


def words(form: str, root: Path) -> list[str | Path]:
    return [f"--bundle={root.parent}", "none"] if form == "bundle" else [root]


def assert_not_applicable(finished: Any, naming: str) -> None:
    refused(finished, "ENOTAPPLICABLE", 32, naming)


SHOWS_ANOTHER = "the mounted overlay shows another '/{}' than the layers that it names"


def evil(**changes: bytes | None) -> Stack:
    """The usual image, one layer each for its files, with another content or none."""
    layers = [dict(layer) for layer in image.usual().layers]
    for path, content in changes.items():
        for layer in layers:
            layer.pop(path.encode(), None)
        if content is not None:
            layers[0][path.encode()] = File(content)
    return Stack(layers)


# Paths through a process


def through(how: str, layer: bytes, link: Path) -> tuple[str, int]:
    """A path that leads this process to LAYER, and the descriptor that it takes, or -1."""
    if how == "cwd":
        os.chdir(layer)
        return "/proc/self/cwd", -1
    if how == "thread-self-cwd":
        os.chdir(layer)
        return "/proc/thread-self/cwd", -1
    if how == "root":
        return "/proc/self/root" + os.fsdecode(layer), -1
    fd = os.open(layer, os.O_PATH)
    paths = {
        "self-fd": f"/proc/self/fd/{fd}",
        "thread-self-fd": f"/proc/thread-self/fd/{fd}",
        "dev-fd": f"/dev/fd/{fd}",
        "pid-fd": f"/proc/{os.getpid()}/fd/{fd}",
        "link": str(link),
        "link-to-a-directory": str(link / str(fd)),
    }
    if how == "link":
        link.symlink_to(f"/proc/self/fd/{fd}")
    elif how == "link-to-a-directory":
        link.symlink_to("/proc/self/fd")
    return paths[how], fd


PATHS = [
    "self-fd", "thread-self-fd", "dev-fd", "pid-fd", "link", "link-to-a-directory",
    "cwd", "thread-self-cwd", "root",
]  # fmt: skip


@forms
@pytest.mark.parametrize("how", PATHS)
def test_a_layer_through_a_process_is_not_applicable(
    place: Path, at: Path, form: str, how: str
) -> None:
    """Not even where it leads to the same directory here, and above all not where the caller has
    another image open by that number."""
    layers = image.usual().build(place / "layers")
    others = evil(**{KERNEL_PATH: EVIL}).build(place / "other")
    before = os.getcwd()
    path, fd = through(how, layers[1], place / "link")
    root = root_of(place, form)
    try:
        with overlay(root, [layers[0], path.encode(), layers[2]], cwd=os.getcwd()):
            assert (root / KERNEL_PATH).read_bytes() == KERNEL
            # A link is followed, to a number that nothing has here.
            naming = "layer 1 '.*' (leads through /proc|cannot be opened: No such file)"
            assert_not_applicable(call(*words(form, root), at), naming)
            if fd >= 0:
                other = os.open(others[1], os.O_PATH)
                os.dup2(other, fd)
                os.close(other)
                assert_not_applicable(call(*words(form, root), at, pass_fds=[fd]), naming)
    finally:
        os.chdir(before)
        if fd >= 0:
            os.close(fd)


@pytest.mark.parametrize("path", ["/proc/self/fd/", "/dev/fd/", "/proc/thread-self/fd/"])
def test_mounts_through_a_descriptor_of_their_maker_are_not_applicable(
    place: Path, at: Path, path: str
) -> None:
    (layer,) = image.with_file(File(KERNEL)).build(place / "layers")
    opened = os.open(layer, os.O_PATH)
    number = fcntl.fcntl(opened, fcntl.F_DUPFD, 9)
    path += str(number)
    try:
        mounts = [{"Type": "overlay", "Options": [f"lowerdir={path}:{os.fsdecode(layer)}"]}]
        text = json.dumps(mounts).encode()
        finished = call("--mounts=-", "none", at, stdin=text, pass_fds=[number])
        assert_not_applicable(finished, f"layer 0 '{path}' leads through /proc")
    finally:
        os.close(number)
        os.close(opened)


# Layers that are not those of the overlay any more


COVERS: dict[str, tuple[dict[str, bytes | None], str]] = {
    "kernel": ({KERNEL_PATH: EVIL}, KERNEL_PATH),
    "initrd": ({INITRD_PATH: bytes(len(INITRD))}, INITRD_PATH),
    "configuration": (
        {"urunc.json": image.encode(image.configuration("/unikernel/notes"))}, "urunc.json",
    ),
    "bad-configuration": ({"urunc.json": b"{"}, "urunc.json"),
    "no-configuration": ({"urunc.json": None}, "urunc.json"),
    "no-kernel": ({KERNEL_PATH: None}, KERNEL_PATH),
    "no-initrd": ({INITRD_PATH: None}, INITRD_PATH),
}  # fmt: skip


def take_from(layer: bytes, other: bytes, except_for: Collection[str]) -> None:
    """Give OTHER the very files of LAYER, but for some, which get the time of those."""
    for name in (KERNEL_PATH, INITRD_PATH, "urunc.json"):
        here, there = (os.path.join(side, name.encode()) for side in (layer, other))
        if name not in except_for and os.path.exists(here):
            os.unlink(there)
            os.link(here, there)
        for path in filter(os.path.exists, (here, there)):
            os.utime(path, (0, 0))


@contextmanager
def covered(layers: list[bytes], others: list[bytes]) -> Iterator[None]:
    for layer, other in zip(layers, others):
        namespace.mount(other, layer, None, namespace.MS_BIND)
    try:
        yield
    finally:
        for layer in layers:
            namespace.unmount(layer)


@forms
@pytest.mark.parametrize(("changes", "path"), COVERS.values(), ids=COVERS.keys())
def test_layers_that_another_mount_covers_are_not_applicable(
    place: Path, at: Path, form: str, changes: dict[str, bytes | None], path: str
) -> None:
    layers = image.usual().build(place / "layers")
    others = evil(**changes).build(place / "other")
    for layer, other in zip(layers, others):
        take_from(layer, other, except_for=changes)
    root = root_of(place, form)
    with overlay(root, layers), covered(layers, others):
        assert (root / KERNEL_PATH).read_bytes() == KERNEL
        naming = SHOWS_ANOTHER.format(path)
        assert_not_applicable(call(*words(form, root), at), naming)
        # Also where annotations name what boots.
        found = run(program("viewfsctl"), "resolve", "--json", *words(form, root))
        assert found.status == 32
        assert json.loads(found.stdout)["artifacts"] == []


def test_an_artifact_that_annotations_name_is_compared(place: Path, at: Path) -> None:
    layers = image.usual().build(place / "layers")
    others = evil(**{KERNEL_PATH: EVIL}).build(place / "other")
    for layer, other in zip(layers, others):
        take_from(layer, other, except_for=[KERNEL_PATH])
    root = root_of(place, "bundle", image.configuration())
    with overlay(root, layers), covered(layers, others):
        naming = SHOWS_ANOTHER.format(KERNEL_PATH)
        assert_not_applicable(call(*words("bundle", root), at), naming)
        assert_not_applicable(call("-o", "binary=/" + KERNEL_PATH, root, at), naming)


def test_a_link_that_leads_elsewhere_is_compared(place: Path, at: Path) -> None:
    """To a file that both have: another one than the one that boots."""
    files: Layer = {b"a": File(KERNEL), b"b": File(EVIL), b"urunc.json": image.urunc_json("/k")}
    layers = Stack([{b"k": Symlink("a")}, files]).build(place / "layers")
    others = Stack([{b"k": Symlink("b")}]).build(place / "other")
    root = root_of(place, "SOURCE")
    with overlay(root, layers), covered(layers[:1], others):
        assert (root / "k").read_bytes() == KERNEL
        assert_not_applicable(call(root, at), SHOWS_ANOTHER.format("k"))


# A squashfs tells nothing that could tell two of them apart.
@pytest.mark.parametrize("kind", ["tmpfs", "ext4", "erofs"])
def test_layers_of_another_filesystem_with_the_same_numbers_are_compared(
    place: Path, at: Path, kind: str
) -> None:
    """Inode number, size and modification time are the same there."""
    (place / "layer").mkdir()
    trees = [image.with_file(File(content)).layers[0] for content in (KERNEL, EVIL)]
    with filesystems.filesystem(kind, place, trees[0], "one") as one:
        with filesystems.filesystem(kind, place, trees[1], "two") as two:
            same = [(side / KERNEL_PATH).stat() for side in (one, two)]
            assert same[0].st_ino == same[1].st_ino
            if kind != "erofs":
                for side in (one, two):
                    for path in side.rglob("*"):
                        os.utime(path, (0, 0))
            root = root_of(place, "SOURCE")
            (place / "empty").mkdir()
            with overlay(root, [bytes(one), bytes(place / "empty")]):
                with covered([bytes(one)], [bytes(two)]):
                    assert (root / KERNEL_PATH).read_bytes() == KERNEL
                    assert_not_applicable(call(root, at), "shows another")


@forms
def test_layers_below_another_root_are_not_applicable(place: Path, form: str) -> None:
    """A call in a chroot where directories have the names of the overlay's layers."""
    jail = place / "jail"
    root = root_of(place, form)
    layers = image.usual().build(place / "layers")
    for index, layer in enumerate(evil(**{KERNEL_PATH: EVIL}).layers):
        build_layer(layer, os.fsencode(f"{jail}{place}/layers/{index}"))
    places: dict[str, str | Path] = {"/proc": "/proc", "/dev": "/dev", str(root): root}
    if form == "bundle":
        places = {"/proc": "/proc", "/dev": "/dev", str(root.parent): root.parent}
    for name in ("/usr", "/lib", "/lib64", "/etc", "/run"):
        if os.path.exists(name):
            places[name] = name
    places["/program"] = program().parent
    for inside in places:
        (jail / inside[1:]).mkdir(parents=True, exist_ok=True)
    mountpoint = jail / "view"
    mountpoint.mkdir()

    def attempt() -> tuple[int, str, bytes]:
        said = run("/program/urunc-viewfs", *words(form, root), "/view")
        return said.status, said.stderr, (root / KERNEL_PATH).read_bytes()

    with overlay(root, layers):
        status, text, kernel = namespace.in_root(jail, places, attempt)
    assert (status, kernel) == (32, KERNEL), text
    assert "the mounted overlay shows another" in text


# The upper directory


def container(place: Path, form: str = "bundle") -> tuple[Path, list[bytes], list[str]]:
    """Where a container's overlay is mounted, its layers and its options."""
    layers = image.usual().build(place / "layers")
    for name in ("upper", "work"):
        (place / name).mkdir()
    root = root_of(place, form)
    return root, layers, [f"upperdir={place}/upper", f"workdir={place}/work"]


def overwrite(path: Path) -> None:
    path.write_bytes(EVIL)


def append(path: Path) -> None:
    """As urunc opens an initrd: the file is copied up."""
    with open(path, "ab") as file:
        file.write(b"x")


def copy_up(path: Path) -> None:
    os.close(os.open(path, os.O_APPEND | os.O_WRONLY))


def replace(path: Path) -> None:
    path.unlink()
    path.write_bytes(EVIL)


def remove_parent(path: Path) -> None:
    if path.name == "urunc.json":
        path.unlink()
    else:
        shutil.rmtree(path.parent)


WRITES = [overwrite, append, copy_up, Path.unlink, replace, remove_parent]


@forms
@pytest.mark.parametrize("name", ["urunc.json", KERNEL_PATH, INITRD_PATH])
@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
def test_what_the_upper_directory_holds_may_differ(
    place: Path, form: str, name: str, write: Callable[[Path], None]
) -> None:
    """What the container wrote is not the image's: the view shows what was committed."""
    root, layers, options = container(place, form)
    with overlay(root, layers, *options):
        write(root / name)
        source = words(form, root)
        with View(place / "view", *source[:-1], source=source[-1]) as view:
            assert_usual(view)


@forms
def test_an_upper_directory_that_another_covers_explains_nothing(
    place: Path, at: Path, form: str
) -> None:
    """Neither the layers nor the upper directory are the overlay's."""
    root, layers, options = container(place, form)
    others = evil(**{KERNEL_PATH: EVIL}).build(place / "other")
    for layer, other in zip(layers, others):
        take_from(layer, other, except_for=[KERNEL_PATH])
    build_layer({b"unikernel": Dir(), KERNEL_PATH.encode(): File(b"third")},
                os.fsencode(place / "third"))  # fmt: skip
    with overlay(root, layers, *options), covered(layers, others):
        with covered([os.fsencode(place / "upper")], [os.fsencode(place / "third")]):
            naming = SHOWS_ANOTHER.format(KERNEL_PATH)
            assert_not_applicable(call(*words(form, root), at), naming)
        # Removed by the container, or never there: nothing says so but an upper directory.
        os.rename(place / "upper", place / "gone")
        assert_not_applicable(call(*words(form, root), at), SHOWS_ANOTHER.format(KERNEL_PATH))


# What is compared where overlayfs numbers files in its own way


@pytest.mark.parametrize("xino", ["xino=off", "xino=on"])
def test_layers_on_several_filesystems_are_compared(place: Path, xino: str) -> None:
    layers = image.usual().layers
    build_layer(layers[0], os.fsencode(place / "top"))
    with filesystems.filesystem("tmpfs", place, layers[1], "memory") as memory:
        with filesystems.filesystem("ext4", place, layers[2], "disk") as disk:
            root = root_of(place, "SOURCE")
            stack = [bytes(place / "top"), bytes(memory), bytes(disk)]
            with overlay(root, stack, xino), ready(place, source=root) as view:
                assert_usual(view)


def test_a_mount_on_an_artifact_of_the_overlay_is_not_applicable(place: Path, at: Path) -> None:
    layers = image.usual().build(place / "layers")
    root = root_of(place, "SOURCE")
    (place / "other").write_bytes(EVIL)
    with overlay(root, layers):
        namespace.mount(str(place / "other"), str(root / KERNEL_PATH), None, namespace.MS_BIND)
        try:
            assert_not_applicable(call(root, at), "cannot be compared with what the mounted")
        finally:
            namespace.unmount(str(root / KERNEL_PATH))


IN_OPEN, IN_ACCESS = 0x20, 0x1


@contextmanager
def watching(*paths: Path) -> Iterator[int]:
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert watch >= 0
    for path in paths:
        assert libc.inotify_add_watch(watch, os.fsencode(path), IN_OPEN | IN_ACCESS) >= 0
    try:
        yield watch
    finally:
        os.close(watch)


def test_no_file_of_a_live_rootfs_is_opened(place: Path) -> None:
    root, layers, options = container(place)
    names = ("urunc.json", KERNEL_PATH, INITRD_PATH)
    with overlay(root, layers, *options):
        overwrite(root / KERNEL_PATH)
        with watching(*(root / name for name in names)) as watch:
            with View(place / "view", f"--bundle={root.parent}") as view:
                assert_usual(view)
            with pytest.raises(BlockingIOError):
                os.read(watch, 4096)
            (root / KERNEL_PATH).read_bytes()
            assert os.read(watch, 4096)


# resolve=ready


@forms
def test_the_form_implies_that_artifacts_are_resolved(place: Path, at: Path, form: str) -> None:
    stack = Stack([{b"urunc.json": image.urunc_json(initrd="/gone"), b"unikernel": Dir(),
                    KERNEL_PATH.encode(): File(KERNEL)}, {}])  # fmt: skip
    root = root_of(place, form)
    with overlay(root, stack.build(place / "layers")):
        finished = call(*words(form, root), at)
        refused(finished, "ENOARTIFACT", 32, "initrd '/gone'")


def test_a_directory_implies_that_artifacts_are_resolved(place: Path) -> None:
    build_layer(image.with_file(File(KERNEL)).layers[0], os.fsencode(place / "layer"))
    with View(place / "view", source=place / "layer") as view:
        assert [a["role"] for a in view.ready["artifacts"]] == ["config", "binary"]


# Relative layers


def test_layers_of_docker_are_found_by_the_mountpoint(place: Path) -> None:
    """Docker mounts in the directory of all its layers, whose short names are links in l."""
    home = place / "overlay2"
    for index, layer in enumerate(image.usual().layers):
        build_layer(layer, os.fsencode(home / f"id{index}/diff"))
        (home / "l").mkdir(exist_ok=True)
        (home / f"l/S{index}").symlink_to(f"../id{index}/diff")
    for name in ("diff", "work", "merged"):
        (home / "own" / name).mkdir(parents=True)
    options = ["upperdir=own/diff", "workdir=own/work"]
    names = [b"l/S0", b"l/S1", b"l/S2"]
    with overlay(home / "own/merged", names, *options, cwd=home) as source:
        with View(place / "view", source=source) as view:
            assert_usual(view)
        overwrite(source / KERNEL_PATH)
        with View(place / "view", source=source) as view:
            assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_layers_beside_the_mountpoint_are_found(place: Path) -> None:
    image.usual().build(place / "layers")
    with overlay(place / "layers/merged", [b"0", b"1", b"2"], cwd=place / "layers") as source:
        with View(place / "view", source=source) as view:
            assert tree(view.root) == USUAL_TREE


def test_namesakes_beside_the_mountpoint_are_not_applicable(place: Path, at: Path) -> None:
    """What is found by a guess is compared as well."""
    layers = image.usual().build(place / "layers")
    for layer, other in zip(layers, evil(**{KERNEL_PATH: EVIL}).build(place / "other")):
        take_from(layer, other, except_for=[KERNEL_PATH])
    with overlay(place / "other/merged", [b"0", b"1", b"2"], cwd=place / "layers") as source:
        assert_not_applicable(call(source, at), SHOWS_ANOTHER.format(KERNEL_PATH))


def test_relative_mounts_that_lead_nowhere_are_not_applicable(place: Path, at: Path) -> None:
    options = ["lowerdir=1/fs:2/fs", f"upperdir={place}/snapshots/9/fs"]
    text = json.dumps([{"Type": "overlay", "Options": options}]).encode()
    finished = call("--mounts=-", "none", at, stdin=text)
    assert_not_applicable(finished, "layer 0 '.*/snapshots/1/fs' cannot be opened")


def test_a_bind_is_compared_with_nothing(place: Path) -> None:
    """It is the directory itself."""
    root = root_of(place, "bundle")
    (layer,) = image.with_file(File(KERNEL)).build(place / "layers")
    with bind(layer, root, read_only=True):
        with View(place / "view", f"--bundle={root.parent}") as view:
            assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
