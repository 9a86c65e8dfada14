# SPDX-License-Identifier: Apache-2.0
"""The shared index of layers: when it is used, what it spares, and what becomes of it."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import image, machine, namespace, overlay
from support.calls import Calls, traced
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.lease import Lease
from support.stack import File, build_layer, settle
from support.view import View, call, program, refused, run
from support.waiting import SECONDS, wait_until

MS_BIND = namespace.MS_BIND
LAYERS = 32
ENTRY = re.compile(r"[0-9a-f]{32}")
ARTIFACTS = 3


@pytest.fixture
def index(place: Path) -> Iterator[Path]:
    """Where root's index is, on an empty /run."""
    with namespace.tmpfs("/run"):
        yield Path("/run/urunc-viewfs/.index")


def snapshots(place: Path, layers: int = LAYERS, first: int = 1) -> list[bytes]:
    """The layers of an image where containerd's snapshotter has them, topmost first."""
    return image.snapshots(place, image.crowded(layers, 2), first)


def entries(index: Path) -> dict[str, bytes]:
    """The files of an index; nothing else may lie there."""
    found = {path.name: path.read_bytes() for path in index.iterdir()} if index.exists() else {}
    assert all(ENTRY.fullmatch(name) for name in found), found
    return found


def look(place: Path, *arguments: str | bytes, **how: object) -> None:
    """Mount a view and read it; once that is done, what was learned is kept."""
    with View(place / "view", *arguments, foreground=True, **how) as view:
        content_is_right(view)


def content_is_right(view: View) -> None:
    assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
    assert (view.root / INITRD_PATH).read_bytes() == INITRD
    assert json.loads((view.root / "urunc.json").read_text())


def trace_look(place: Path, *arguments: str | bytes) -> Calls:
    return traced(place, "%file", lambda wrapper: look(place, *arguments, wrapper=wrapper))


# What it spares


@pytest.mark.parametrize("count", [LAYERS, 500])
def test_a_known_stack_costs_one_look_at_each_layer(place: Path, index: Path, count: int) -> None:
    layers = snapshots(place, count)
    option = lowerdir(layers)
    look(place, "-o", option)
    seen = trace_look(place, "-o", option)
    below = str(place / "snapshots")
    assert len(seen.of("openat", f'{index}>, "')) == 1, "one file is read"
    looks = [line for line in seen.of("statx", below) if "AT_STATX_DONT_SYNC" in line]
    assert len(looks) == count, "one look at each layer"
    opened = seen.of("openat", f'"{below}')
    # The directory that they all lie in, and each layer that has an artifact.
    assert len(opened) <= 1 + ARTIFACTS, opened
    assert len(seen.of("openat2", below)) == ARTIFACTS, "one walk for each artifact"


def test_a_known_base_is_not_searched_again(place: Path, index: Path) -> None:
    """Its own layers are asked, and nothing below."""
    layers = snapshots(place)
    look(place, "-o", lowerdir(layers))
    own = snapshots(place, 2, first=100)
    shared = [*own, *layers[1:]]
    seen = trace_look(place, "-o", lowerdir(shared))
    walked = seen.of("openat2", str(place / "snapshots"))
    for layer in layers[1:]:
        mine = [line for line in walked if f"<{os.fsdecode(layer)}>" in line]
        assert len(mine) <= 1, mine
    assert any(f"<{os.fsdecode(own[0])}>" in line for line in walked)


# Where and when


def overlay_of(place: Path, layers: Sequence[bytes]) -> Path:
    at = place / "merged"
    at.mkdir()
    option = b"lowerdir=" + b":".join(map(overlay.escape, layers))
    with overlay.chdir("/"):
        namespace.mount("overlay", str(at), "overlay", namespace.MS_RDONLY, option)
    return at


@pytest.mark.parametrize("form", ["lowerdir", "mounts", "mountpoint"])
def test_snapshots_are_recognised_in_each_form(place: Path, index: Path, form: str) -> None:
    layers = snapshots(place)
    arguments: list[str | bytes] = ["-o", lowerdir(layers)]
    source: str | Path = "none"
    if form == "mounts":
        options = ["index=off", "lowerdir=" + ":".join(map(os.fsdecode, layers))]
        mounts = [{"Type": "overlay", "Source": "overlay", "Options": options}]
        (place / "mounts.json").write_text(json.dumps(mounts))
        arguments = [f"--mounts={place / 'mounts.json'}"]
    elif form == "mountpoint":
        arguments, source = [], overlay_of(place, layers)
    look(place, *arguments, source=source)
    assert entries(index)
    if form == "mountpoint":
        namespace.unmount(str(source))


def test_layers_that_another_user_may_change_are_not_indexed(place: Path, index: Path) -> None:
    plain = image.crowded(LAYERS, 2).build(place / "layers")
    look(place, "-o", lowerdir(plain))
    assert not entries(index)
    layers = snapshots(place)
    for layer in layers[-1:]:
        os.chown(layer, 1000, 1000)
    look(place, "-o", lowerdir(layers))
    assert not entries(index)


def test_fewer_than_32_layers_are_not_indexed(place: Path, index: Path) -> None:
    look(place, "-o", lowerdir(snapshots(place, 31)))
    assert not index.exists()
    look(place, "-o", lowerdir(snapshots(place, 32, first=50)))
    assert entries(index)


def test_cache_none_makes_no_index(place: Path, index: Path) -> None:
    look(place, "-o", lowerdir(snapshots(place)) + b",cache=none")
    assert not index.parent.exists()


def test_a_layer_that_is_one_directory_is_found_from_anywhere(place: Path, index: Path) -> None:
    """It is no path below the working directory, where there is another one of its name."""
    (place / "mnt").mkdir()
    with namespace.tmpfs("/mnt"):
        build_layer(image.with_file(File(b"kernel")).layers[0], b"/mnt")
        settle()
        named = place / "named"
        options = lowerdir([b"/mnt"]) + b",cache=" + os.fsencode(named)
        for _ in range(3):
            with View(place / "view", "-o", options, cwd=place) as view:
                assert (view.root / KERNEL_PATH).read_bytes() == b"kernel"
                wait_until(lambda: named.exists() and any(named.iterdir()), "the layer to be filed")


def test_a_named_cache_is_used_for_any_layers(place: Path, index: Path) -> None:
    """For any layers then, however few."""
    layers = image.usual().build(place / "layers")
    option = lowerdir(layers) + b",cache=" + os.fsencode(place / "kept")
    for _ in range(2):
        look(place, "-o", option)
    assert entries(place / "kept")
    assert (place / "kept").stat().st_mode & 0o7777 == 0o700
    assert not index.exists()


def test_resolve_writes_no_index(place: Path, index: Path) -> None:
    layers = snapshots(place)
    assert run(program("viewfsctl"), "resolve", "-o", lowerdir(layers)).status == 0
    assert not index.parent.exists()


@pytest.mark.parametrize("mode", [0o775, 0o707])
def test_a_directory_that_others_can_write_is_not_used(place: Path, index: Path, mode: int) -> None:
    layers = snapshots(place)
    index.mkdir(parents=True)
    index.chmod(mode)
    look(place, "-o", lowerdir(layers), expected=["layer index '.*' is not used"])
    assert not entries(index)
    option = lowerdir(layers) + b",cache=" + os.fsencode(index)
    (place / "view").mkdir()
    finished = call("-o", option, "none", place / "view")
    refused(finished, "EUSAGE", 1, f"'{index}' belongs to another user, or other users may write to it")


def test_a_directory_of_another_user_is_not_used(place: Path, index: Path) -> None:
    index.mkdir(parents=True)
    os.chown(index, 1000, 1000)
    look(place, "-o", lowerdir(snapshots(place)), expected=["layer index '.*' is not used"])


@pytest.mark.parametrize(
    "named, why",
    [("nowhere/deep", errno.ENOENT), ("file", errno.ENOTDIR)],
)
def test_a_named_cache_that_cannot_be_opened_is_a_usage_error(
    place: Path, index: Path, named: str, why: int
) -> None:
    (place / "file").touch()
    (place / "view").mkdir()
    option = lowerdir(image.usual().build(place / "layers")) + f",cache={place / named}".encode()
    finished = call("-o", option, "none", place / "view")
    refused(finished, "EUSAGE", 1, f"'cache': '{place / named}': {os.strerror(why)}")


# What becomes of it


@pytest.mark.parametrize("fault", ["binary=/gone", "timeout=1"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "own"])
def test_a_failed_mount_makes_no_index(place: Path, index: Path, named: bool, fault: str) -> None:
    """Nor the directory above it, whether the server says so or is killed."""
    (place / "view").mkdir()
    index = place / "other" if named else index
    layers = snapshots(place)
    options = lowerdir(layers) + (b",cache=%s" % bytes(index) if named else b"")
    with ExitStack() as stack:
        if fault == "timeout=1":
            stack.enter_context(Lease(Path(os.fsdecode(layers[0]), "urunc.json")))
        finished = call("-o", options + f",resolve=ready,{fault}".encode(), "none", place / "view")
    assert finished.status == 32, finished
    assert not index.exists()
    assert named or not index.parent.exists()
    # The next one makes it, once the view can be used.
    with View(place / "view", "-o", options) as view:
        view.wait_sandboxed()
        assert stat.S_IMODE(index.stat().st_mode) == 0o700
        assert entries(index)


def test_damaged_entries_are_replaced_with_one_warning(place: Path, index: Path) -> None:
    option = lowerdir(snapshots(place))
    look(place, "-o", option)
    good = entries(index)
    for content in (b"", b"foreign", b"UVFX\2\0\0\0" + bytes(100), *[g[:-1] for g in good.values()]):
        for name in good:
            (index / name).write_bytes(content)
        look(place, "-o", option, expected=["^urunc-viewfs: layer index: entry [0-9a-f]{32} is"])
        assert entries(index) == good
        look(place, "-o", option)


@pytest.mark.parametrize("version", [1, 3])
def test_entries_of_another_version_are_replaced_without_a_warning(
    place: Path, index: Path, version: int
) -> None:
    option = lowerdir(snapshots(place))
    look(place, "-o", option)
    good = entries(index)
    for name, content in good.items():
        (index / name).write_bytes(content[:4] + bytes([version]) + content[5:])
    look(place, "-o", option)
    assert entries(index) == good


def test_a_hit_is_checked_against_its_file(place: Path, index: Path) -> None:
    """A layer may not be changed; where it was, what the index says of it is not believed."""
    layers = snapshots(place)
    look(place, "-o", lowerdir(layers))
    before = entries(index)
    kernel = Path(os.fsdecode(layers[LAYERS // 2])) / KERNEL_PATH
    kernel.with_name("new").write_bytes(b"another kernel")
    kernel.with_name("new").rename(kernel)
    for _ in range(2):
        with View(place / "view", "-o", lowerdir(layers), foreground=True) as view:
            assert (view.root / KERNEL_PATH).read_bytes() == b"another kernel"
        assert entries(index) != before
    assert set(entries(index)) == set(before)


def test_replaced_layers_at_the_same_path_are_found_afresh(place: Path, index: Path) -> None:
    layers = snapshots(place)
    look(place, "-o", lowerdir(layers))
    os.rename(layers[LAYERS // 2], place / "moved")
    os.mkdir(layers[LAYERS // 2])
    with View(
        place / "view", "-o", lowerdir(layers), foreground=True,
        expected=[f"binary '/{KERNEL_PATH}': not in any of {LAYERS} layers"],
    ) as view:  # fmt: skip
        assert (view.root / INITRD_PATH).read_bytes() == INITRD
        assert not (view.root / KERNEL_PATH).exists()


def test_a_filesystem_that_comes_back_is_another(place: Path, index: Path) -> None:
    layers = snapshots(place)
    store = place / "store"
    (place / "snapshots").rename(store)
    (place / "snapshots").mkdir()
    initrd = store / "1/fs" / INITRD_PATH
    assert initrd.exists() or (initrd := store / "2/fs" / INITRD_PATH).exists()
    for content in (INITRD, b"changed meanwhile"):
        initrd.write_bytes(content)
        namespace.mount(str(store), str(place / "snapshots"), None, MS_BIND)
        with View(place / "view", "-o", lowerdir(layers), foreground=True) as view:
            assert (view.root / INITRD_PATH).read_bytes() == content
        namespace.unmount(str(place / "snapshots"))
    assert len(entries(index)) == 2 * 16


@pytest.mark.parametrize("how", ["full", "read-only"])
def test_an_unwritable_index_is_one_warning_and_a_working_view(
    place: Path, index: Path, how: str
) -> None:
    """One warning, and a view like any other."""
    index.mkdir(parents=True, mode=0o700)
    with namespace.tmpfs(str(index)):
        index.chmod(0o700)
        if how == "full":
            namespace.mount("", str(index), None, namespace.MS_REMOUNT, "size=4k")
            (index / "ballast").write_bytes(bytes(4096))
        else:
            namespace.mount("", str(index), None, namespace.MS_REMOUNT | namespace.MS_RDONLY)
        reason = os.strerror(errno.ENOSPC if how == "full" else errno.EROFS)
        look(place, "-o", lowerdir(snapshots(place)), expected=[f"no entry was written: {reason}"])
        assert sorted(os.listdir(index)) == (["ballast"] if how == "full" else [])


def test_a_hundred_views_at_once_share_an_index(place: Path, index: Path) -> None:
    """All of them learn the same, and none sees half of what another writes."""
    option = lowerdir(snapshots(place))
    mountpoints = [place / f"view-{n}" for n in range(100)]
    for at in mountpoints:
        at.mkdir()
    command = [program(), "-o", option, "none"]
    starting = [
        subprocess.Popen([*command, at], stderr=subprocess.PIPE) for at in mountpoints
    ]
    for process in starting:
        _, stderr = process.communicate(timeout=SECONDS)
        assert (process.returncode, stderr) == (0, b"")
    for at in mountpoints:
        assert (at / KERNEL_PATH).read_bytes() == KERNEL
        namespace.unmount(str(at), 0)
    wait_until(lambda: not machine.processes(), "all daemons to end")
    assert len(entries(index)) == 16
