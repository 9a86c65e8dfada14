# SPDX-License-Identifier: Apache-2.0
"""By containerd's own code: its mount package, and the bundles that its shims make."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support import image, machine, namespace
from support.containerd import Containerd
from support.go import CONTAINERD, build_tool
from support.image import KERNEL_PATH, lowerdir
from support.installed import SILENCE, assert_mounted, umount
from support.overlay import escape
from support.view import View, call, refused, run, tree
from support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("installed")

# "retriesOnECHILD"
TRIES = 10


@pytest.fixture(scope="module")
def containerd_mount(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test program that mounts by containerd's mount package."""
    directory = tmp_path_factory.mktemp("go")
    return build_tool("containerd-mount", directory, f"{CONTAINERD}/mount")


@pytest.fixture
def layers(place: Path) -> list[bytes]:
    return image.usual().build(place / "layers")


@pytest.fixture
def calls(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that gets a line for each call of mount.fuse3."""
    log, program = place / "calls", place / "bin" / "mount.fuse3"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >>{log}\nexec /usr/sbin/mount.fuse3 "$@"\n')
    program.chmod(0o755)
    log.touch()
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return log


def mounts(*options: bytes, fstype: str = "fuse3.urunc-viewfs") -> bytes:
    """As a snapshotter returns them."""
    words = [os.fsdecode(option) for option in options]
    return json.dumps([{"Type": fstype, "Source": "label", "Options": words}]).encode()


@pytest.mark.parametrize("fstype", ["fuse3.urunc-viewfs", "fuse.urunc-viewfs"])
def test_containerds_mount_package_mounts_a_view(
    containerd_mount: Path, at: Path, layers: list[bytes], fstype: str
) -> None:
    """Which reads what the helper writes until nobody can write any more."""
    options = [lowerdir(layers), b"index=off", b"xino=off", b"ro"]
    assert run(containerd_mount, at, stdin=mounts(*options, fstype=fstype)) == SILENCE
    assert_mounted(at, b"label")
    umount(at)


def test_each_option_reaches_the_helper_as_a_word_of_its_own(
    containerd_mount: Path, place: Path, at: Path, calls: Path
) -> None:
    odd = image.usual().build(place / "it's $HOME; \\,:\"")
    options = [b"lowerdir=" + b":".join(map(escape, odd)), b"binary=/" + KERNEL_PATH.encode()]
    assert run(containerd_mount, at, stdin=mounts(*options)) == SILENCE
    assert calls.read_bytes().count(b" -o ") == 2
    assert_mounted(at, b"label")
    umount(at)


def test_the_error_of_containerd_holds_the_message_of_the_view(
    containerd_mount: Path, at: Path, layers: list[bytes], calls: Path
) -> None:
    """And final: only where the outcome is lost is there another try."""
    finished = run(containerd_mount, at, stdin=mounts(lowerdir(layers), b"colour=red"))
    assert finished.status == 1
    assert "unknown mount option 'colour'" in finished.stderr
    assert calls.read_text().count("\n") == 1
    assert machine.mounts() == []


@pytest.mark.parametrize("lost", [1, 5])
def test_a_repeated_try_replaces_the_view_of_a_lost_outcome(
    containerd_mount: Path, at: Path, layers: list[bytes], calls: Path, lost: int
) -> None:
    """Each takes away first what the one before may have mounted."""
    stdin = mounts(lowerdir(layers))
    assert run(containerd_mount, at, calls, str(lost), stdin=stdin) == SILENCE
    assert lost < calls.read_text().count("\n") <= TRIES
    wait_until(lambda: len(machine.processes()) == 1, "the daemons of the lost views to end")
    assert_mounted(at, b"label")
    umount(at)


def test_nothing_stays_mounted_when_every_outcome_is_lost(
    containerd_mount: Path, at: Path, layers: list[bytes], calls: Path
) -> None:
    finished = run(containerd_mount, at, calls, str(TRIES), stdin=mounts(lowerdir(layers)))
    assert "failed with ECHILD" in finished.stderr
    assert calls.read_text().count("\n") == TRIES
    assert machine.mounts() == []


def test_mounting_again_finds_the_live_view(
    containerd_mount: Path, at: Path, layers: list[bytes]
) -> None:
    stdin = mounts(lowerdir(layers), b"id=one")
    assert run(containerd_mount, at, stdin=stdin) == SILENCE
    (daemon,) = machine.processes()
    assert run(containerd_mount, at, stdin=stdin) == SILENCE
    wait_until(lambda: len(machine.processes()) == 1, "the second call's processes to end")
    assert machine.processes()[0].pid == daemon.pid
    assert_mounted(at, b"label")
    umount(at)


# Bundles

ARTIFACTS = {"urunc.json", "boot/", "boot/vmlinuz", "unikernel/", "unikernel/initrd"}

# So many that containerd goes to the directory above them, and names them relative to it.
MANY_LAYERS = 64


def test_a_bundle_of_containerd_is_served(place: Path, at: Path) -> None:
    with Containerd(place) as containerd:
        name = containerd.unpack(MANY_LAYERS, "overlayfs")
        with containerd.container(name, "overlayfs") as bundle:
            rootfs = bundle / "rootfs"
            (mount,) = [m for m in machine.mounts(None) if m.mountpoint == bytes(rootfs)]
            lowers = [o for o in mount.super_options if o.startswith(b"lowerdir=")]
            assert lowers[0].startswith(b"lowerdir=%d/fs:" % MANY_LAYERS), "not relative"
            with View(at, f"--bundle={bundle}", "--id=one", "-o", "resolve=ready") as view:
                assert tree(view.root) == ARTIFACTS
                for path in filter(os.path.isfile, (rootfs / name for name in ARTIFACTS)):
                    seen = view.root / path.relative_to(rootfs)
                    assert seen.read_bytes() == path.read_bytes()
            # What a hook finds that comes too late: nothing is mounted there any more.
            namespace.unmount(str(rootfs))
            at.mkdir()
            finished = call(f"--bundle={bundle}", "none", at)
            refused(finished, "ENOTAPPLICABLE", 32, "nothing is mounted at")


def test_a_bundle_of_the_native_snapshotter_is_not_applicable(place: Path, at: Path) -> None:
    """Its rootfs is a bind of the container's own tree, which the container writes to."""
    with Containerd(place) as containerd:
        name = containerd.unpack(8, "native")
        with containerd.container(name, "native") as bundle:
            finished = call(f"--bundle={bundle}", "none", at)
            refused(finished, "ENOTAPPLICABLE", 32, "is writable: a container's own tree")


def test_annotations_of_a_bundle_replace_urunc_json(place: Path, at: Path) -> None:
    """As ctr writes them into config.json: all that a boot needs, so urunc.json is not asked."""
    values = image.configuration("/boot/vmlinuz")
    annotations = [w for key, value in values.items() for w in ("--annotation", f"{key}={value}")]
    with Containerd(place) as containerd:
        name = containerd.unpack(8, "overlayfs")
        with containerd.container(name, "overlayfs", *annotations) as bundle:
            with View(at, f"--bundle={bundle}") as view:
                assert tree(view.root) == {"urunc.json", "boot/", "boot/vmlinuz"}
