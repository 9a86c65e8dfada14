# SPDX-License-Identifier: Apache-2.0
"""A line of fstab, as mount(8) takes it."""

from __future__ import annotations

import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import image, machine, namespace
from support.image import lowerdir
from support.installed import SILENCE, TYPES, assert_mounted, mount, umount
from support.view import run

pytestmark = pytest.mark.usefixtures("installed")

Write = Callable[..., None]


def field(text: bytes) -> bytes:
    """As fstab(5) has it written."""
    for special in b"\\ \t\n":
        text = text.replace(b"%c" % special, b"\\%03o" % special)
    return text


@pytest.fixture
def line(place: Path) -> Iterator[Write]:
    """Adds a line to /etc/fstab, which has none else, and is this process's own."""
    file = place / "fstab"
    file.touch()

    def write(at: Path, *options: bytes, source: bytes = b"label", fstype: str = TYPES[0]) -> None:
        fields = [source, bytes(at), fstype.encode(), b",".join(options)]
        with open(file, "ab") as fstab:
            fstab.write(b" ".join(map(field, fields)) + b" 0 0\n")

    namespace.mount(str(file), "/etc/fstab", None, namespace.MS_BIND)
    yield write
    namespace.unmount("/etc/fstab")


def listed() -> str:
    """What mount(8) says is mounted, with the options that only it knows."""
    return mount("-t", "fuse.urunc-viewfs").stdout


@pytest.mark.parametrize("fstype", TYPES)
def test_mount_all_mounts_a_view_once(line: Write, at: Path, option: bytes, fstype: str) -> None:
    """Again: what is there already stays as it is."""
    line(at, option, fstype=fstype)
    assert mount("-a") == SILENCE
    assert_mounted(at, b"label")
    (daemon,) = machine.processes()
    assert mount("-a") == SILENCE
    assert "already mounted" in mount("-a", "-v").stdout
    assert_mounted(at, b"label")
    assert [process.pid for process in machine.processes()] == [daemon.pid]
    umount(at)


@pytest.mark.parametrize("fstype", TYPES)
def test_a_noauto_line_is_mounted_by_its_mountpoint(
    line: Write, at: Path, option: bytes, fstype: str
) -> None:
    line(at, option, b"noauto", fstype=fstype)
    assert mount("-a") == SILENCE
    assert machine.mounts() == []
    assert mount(at) == SILENCE
    assert_mounted(at, b"label")
    umount(at)


@pytest.mark.parametrize("source", ["none", "overlay"])
def test_mount_all_twice_succeeds_for_any_source(
    line: Write, place: Path, at: Path, option: bytes, source: str
) -> None:
    """Whatever the first field is."""
    if source == "overlay":
        (place / "overlay").mkdir()
        namespace.mount("overlay", str(place / "overlay"), "overlay", namespace.MS_RDONLY, option)
        name, options = bytes(place / "overlay"), [b"ro"]
    else:
        name, options = b"none", [option]
    line(at, *options, source=name)
    for _ in range(2):
        assert mount("-a") == SILENCE
        assert_mounted(at, name)
    umount(at)
    if source == "overlay":
        namespace.unmount(str(place / "overlay"))


def test_mount_keeps_the_options_of_other_tools(line: Write, at: Path, option: bytes) -> None:
    """mount(8) keeps those that it does not even hand on, as long as the helper does not keep its
    own, fewer ones in the same place (utab)."""
    foreign = [b"nofail", b"_netdev", b"x-systemd.requires=a.service", b"x-systemd.automount"]
    line(at, *foreign, option, b"x-a=b", b"comment=c", b"uhelper=none", b"X-mount.mkdir")
    assert mount("-a") == SILENCE
    assert_mounted(at, b"label")
    for kept in ("_netdev", "x-systemd.requires=a.service", "x-systemd.automount", "x-a=b"):
        assert kept in listed()
    assert run("umount", "-a", "-t", "fuse.urunc-viewfs", "-O", "_netdev,x-a=b") == SILENCE
    assert machine.mounts() == []
    assert "label" not in Path("/run/mount/utab").read_text()


def test_x_mount_mkdir_makes_the_mountpoint(line: Write, place: Path, option: bytes) -> None:
    at = place / "a" / "b"
    line(at, option, b"X-mount.mkdir=0700")
    assert mount("-a") == SILENCE
    assert_mounted(at, b"label")
    umount(at)


def test_names_with_special_characters_mount(line: Write, place: Path) -> None:
    at = place / "a view\tof"
    at.mkdir()
    layers = image.usual().build(place / "a b,c:d\\e")
    line(at, lowerdir(layers), source=b"la bel")
    assert mount("-a") == SILENCE
    assert_mounted(at, b"la bel")
    umount(at)


def test_five_hundred_layers_mount(line: Write, place: Path, at: Path, option: bytes) -> None:
    """More than mount(2) would take."""
    more = [place / "more" / str(n) for n in range(500)]
    for layer in more:
        layer.mkdir(parents=True)
    line(at, option + b":" + b":".join(map(bytes, more)))
    assert mount("-a") == SILENCE
    assert_mounted(at, b"label")
    umount(at)


def test_findmnt_lists_source_and_type(line: Write, at: Path, option: bytes) -> None:
    line(at, option)
    assert mount(at) == SILENCE
    findmnt = ["findmnt", "--noheadings", "--raw"]
    columns = ["--output", "TARGET,SOURCE,FSTYPE"]
    assert run(*findmnt, *columns, at).stdout == f"{at} label fuse.urunc-viewfs\n"
    found = run(*findmnt, *columns, "--types", "fuse.urunc-viewfs", "--source", "label").stdout
    assert found == f"{at} label fuse.urunc-viewfs\n"
    assert listed().startswith(f"label on {at} type fuse.urunc-viewfs (ro,nosuid,nodev,noexec")
    umount(at)


# Refused


def test_mount_all_goes_on_after_a_line_that_fails(
    line: Write, place: Path, at: Path, option: bytes
) -> None:
    """mount -a goes on, and says so with its own status; nofail is for devices only."""
    (place / "other").mkdir()
    line(place / "other", b"lowerdir=/nowhere", b"nofail")
    line(at, option)
    refused = mount("-a")
    assert refused.status == 64
    assert refused.stderr == "urunc-viewfs: layer 0 '/nowhere': No such file or directory\n"
    assert_mounted(at, b"label")
    umount(at)
    assert mount(place / "other").status == 32


NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
assert pwd.getpwnam("nobody").pw_uid == 65534


@pytest.mark.parametrize("word", [b"user", b"users"])
@pytest.mark.parametrize("wrapper", [[], NOBODY], ids=["root", "nobody"])
def test_user_options_are_rejected(
    line: Write, at: Path, option: bytes, word: bytes, wrapper: list[str]
) -> None:
    line(at, option, word)
    refused = run(*wrapper, "mount", at)
    assert refused.status == 1
    assert f"mount option '{word.decode()}': views in fstab belong to root" in refused.stderr
    assert machine.mounts() == []


@pytest.mark.parametrize("word", [b"user", b"users"])
def test_a_user_cannot_mount_a_line_of_root(
    line: Write, at: Path, option: bytes, word: bytes
) -> None:
    line(at, option, word)
    assert run(*NOBODY, "mount", "-a").status != 0
    assert machine.mounts() == []


@pytest.mark.parametrize("fstype", TYPES)
def test_remount_is_rejected(line: Write, at: Path, option: bytes, fstype: str) -> None:
    """Whether mount(8) takes the type from fstab or from what is mounted."""
    line(at, option, fstype=fstype)
    assert mount("-a") == SILENCE
    for words in (["-o", "remount"], ["-o", "remount,rw"], ["-o", "remount,exec"]):
        refused = mount(*words, at)
        assert refused.status == 1
        assert "'remount': a view is always read-only" in refused.stderr
    assert_mounted(at, b"label")
    umount(at)
