# SPDX-License-Identifier: Apache-2.0
"""The tarball with the static programs: installed, used, replaced and removed on bare hosts."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import image, machine, namespace, rerun, scratch, skipping
from support.build import SOURCE
from support.image import KERNEL, KERNEL_PATH, lowerdir
from support.installation import COMMANDS, PAGES
from support.system import System
from support.view import run
from support.waiting import wait_until

BUSYBOX = "/bin/busybox"
LAYERS = [f"/layers/{n}".encode() for n in range(3)]


@pytest.fixture(scope="module")
def unpacked() -> Iterator[Path]:
    parent, reason = scratch.find()
    if not parent:
        skipping.skip(f"nowhere to build: {reason}")
    with scratch.directory(parent) as place:
        made = run(SOURCE / "packaging/static/make-tarball", place, seconds=900)
        assert made.status == 0, made
        archive = Path(made.stdout.strip())
        subprocess.run(["tar", "-C", place, "-xzf", archive], check=True)
        (directory,) = (path for path in place.iterdir() if path.is_dir())
        assert directory.name + ".tar.gz" == archive.name
        yield directory


@pytest.fixture
def bare(unpacked: Path, place: Path) -> Path:
    """A root with busybox and the unpacked tarball, the layers of the usual image, and nothing else."""
    root = place / "root"
    for directory in ("bin", "proc", "sys", "dev", "layers", "mnt", "bundle", "etc"):
        (root / directory).mkdir(parents=True)
    for name in ("fuse", "null"):
        (root / "dev" / name).touch()
    if not os.path.exists(BUSYBOX):
        skipping.skip("no busybox")
    shutil.copy(BUSYBOX, root / "bin/busybox")
    listed = subprocess.run([BUSYBOX, "--list"], stdout=subprocess.PIPE, text=True, check=True)
    for name in listed.stdout.split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    image.usual().build(root / "layers")
    return root


def found_in(root: Path) -> set[str]:
    """What lies in a bare root, but for the mounts and the tarball."""
    left_out = ("proc", "sys", "dev", "bundle", "layers", "bin")
    found = (path.relative_to(root) for path in root.rglob("*"))
    return {str(path) for path in found if path.parts[0] not in left_out}


def in_bare(root: Path, unpacked: Path, script: str, *read_only: str) -> str:
    """What SCRIPT prints in the bare ROOT, whose directories READ_ONLY cannot be written to."""

    def attempt() -> tuple[int, str]:
        for path in read_only:
            namespace.mount(path, path, None, namespace.MS_BIND)
            flags = namespace.MS_BIND | namespace.MS_REMOUNT | namespace.MS_RDONLY
            namespace.mount("none", path, None, flags)
        finished = subprocess.run(
            ["/bin/sh", "-euc", script],
            env={"PATH": "/bin"}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
        )  # fmt: skip
        return finished.returncode, finished.stdout

    places = {path: path for path in ("/proc", "/sys", "/dev/fuse", "/dev/null")}
    status, text = namespace.in_root(root, {**places, "/bundle": unpacked}, attempt)
    assert status == 0, text
    return text


# Each of the three programs, in the directory $bin.
USE = """
$bin/viewfsctl doctor --json | grep -q '"subject": *"program"'
$bin/viewfsctl doctor | grep '^error' && exit 1
$bin/viewfsctl resolve -o lowerdir=/layers/0:/layers/1:/layers/2
for program in urunc-viewfs mount.urunc-viewfs mount.fuse3.urunc-viewfs; do
	mkdir -p /mnt/view
	$bin/$program none /mnt/view -o lowerdir=/layers/0:/layers/1:/layers/2
	cmp /mnt/view/unikernel/kernel /layers/1/unikernel/kernel
	$bin/viewfsctl list | grep -q '^/mnt/view .* alive '
	$bin/viewfsctl umount /mnt/view
	$bin/viewfsctl list | grep -c /mnt/view | grep -qx 0
done
rmdir /mnt/view
"""


def test_the_bundle_is_used_and_leaves_nothing_on_a_bare_root(bare: Path, unpacked: Path) -> None:
    """Doctor, views, their list, and removal."""
    before = found_in(bare)
    in_bare(bare, unpacked, "/bundle/install")
    held = found_in(bare) - before
    programs = {f"usr/local/sbin/{name}" for name in COMMANDS}
    pages = {f"usr/local/share/man/man{page[-1]}/{page}" for page in PAGES}
    units = {f"etc/systemd/system/urunc-viewfs-gc.{kind}" for kind in ("service", "timer")}
    assert held >= programs | pages | units | {"etc/tmpfiles.d/urunc-viewfs.conf"}
    unit = (bare / "etc/systemd/system/urunc-viewfs-gc.service").read_text()
    assert "\nExecStart=/usr/local/sbin/viewfsctl gc\n" in unit
    in_bare(bare, unpacked, f"bin=/usr/local/sbin{USE}")
    # The runtime directory of views is the machine's to clear.
    in_bare(bare, unpacked, "rm -rf /run /var; /bundle/install --uninstall")
    assert found_in(bare) == before


def test_the_bundle_goes_where_usr_is_read_only(bare: Path, unpacked: Path) -> None:
    before = found_in(bare)
    (bare / "usr").mkdir()
    words = "--prefix=/opt/urunc-viewfs --bindir='/var/opt/with blank/bin' --sysconfdir=/var/etc"
    script = f"""
        /bundle/install 2>/mnt/said && exit 1
        grep -q 'Read-only file system' /mnt/said
        rm /mnt/said
        /bundle/install {words}
        bin='/var/opt/with\\ blank/bin'
    """
    in_bare(bare, unpacked, script, "/usr")
    link = "ln -s '/var/opt/with blank/bin' /short; bin=/short"
    in_bare(bare, unpacked, f"{link}{USE}rm /short", "/usr")
    assert os.listdir(bare / "usr") == []
    in_bare(bare, unpacked, f"rm -rf /run /var/cache; /bundle/install {words} --uninstall", "/usr")
    assert found_in(bare) == {*before, "usr"}


def test_the_bundle_goes_to_a_host_that_is_mounted_elsewhere(bare: Path, unpacked: Path) -> None:
    """As a container does that installs it on its node."""
    before = found_in(bare)
    (bare / "mnt/host").mkdir()
    in_bare(bare, unpacked, "/bundle/install --root=/mnt/host --prefix=/opt/urunc")
    assert (bare / "mnt/host/opt/urunc/sbin/viewfsctl").exists()
    unit = (bare / "mnt/host/etc/systemd/system/urunc-viewfs-gc.service").read_text()
    assert "ExecStart=/opt/urunc/sbin/viewfsctl gc\n" in unit
    in_bare(bare, unpacked, "/bundle/install --root=/mnt/host --prefix=/opt/urunc --uninstall")
    assert found_in(bare) == {*before, "mnt/host"}


def copy_of(unpacked: Path, place: Path) -> Path:
    return Path(shutil.copytree(unpacked, place / "copy", symlinks=True))


def test_a_damaged_file_is_found_before_anything_is_installed(
    bare: Path, unpacked: Path, place: Path
) -> None:
    before = found_in(bare)
    copy = copy_of(unpacked, place)
    with open(copy / "share/man/man8/viewfsctl.8", "a") as page:
        page.write("x")
    said = in_bare(bare, copy, "/bundle/install 2>&1 && exit 1 || true")
    assert "these are not the files of SHA256SUMS" in said
    assert found_in(bare) == before


@pytest.mark.parametrize("program", [b"#!/bin/sh\nexit 1\n", b"\x7fELF\x02\x01\x01(\n"])
def test_a_program_that_does_not_run_replaces_none(
    bare: Path, unpacked: Path, place: Path, program: bytes
) -> None:
    """And leaves neither copies nor directories; of another machine's the shell says nothing."""
    copy = copy_of(unpacked, place)
    (copy / "sbin/viewfsctl").write_bytes(program)
    sums = [line.split() for line in (copy / "SHA256SUMS").read_text().splitlines()]
    text = "".join(
        f"{hashlib.sha256((copy / name).read_bytes()).hexdigest()}  {name}\n" for _, name in sums
    )
    (copy / "SHA256SUMS").write_text(text)
    before = found_in(bare)
    said = in_bare(bare, copy, "/bundle/install && exit 1 || true")
    assert re.fullmatch(r"/bundle/install: the programs of this tarball do not run here .*\n", said)
    assert found_in(bare) == before
    in_bare(bare, unpacked, "/bundle/install")
    installed = found_in(bare)
    good = (bare / "usr/local/sbin/viewfsctl").read_bytes()
    in_bare(bare, copy, "/bundle/install && exit 1 || true")
    assert found_in(bare) == installed
    assert (bare / "usr/local/sbin/viewfsctl").read_bytes() == good


def test_a_file_that_a_new_version_lacks_is_removed(
    bare: Path, unpacked: Path, place: Path
) -> None:
    before = found_in(bare)
    copy = copy_of(unpacked, place)
    (copy / "share/old").mkdir()
    (copy / "share/old/page").write_text("")
    empty = hashlib.sha256(b"").hexdigest()
    with open(copy / "SHA256SUMS", "a") as sums:
        sums.write(f"{empty}  share/old/page\n")
    in_bare(bare, copy, "/bundle/install")
    assert (bare / "usr/local/share/old/page").exists()
    in_bare(bare, unpacked, "/bundle/install")
    assert not (bare / "usr/local/share/old/page").exists()
    in_bare(bare, unpacked, "/bundle/install --uninstall")
    said = in_bare(bare, unpacked, "/bundle/install --uninstall --prefix=/opt/x")
    assert said == "nothing is installed with --prefix=/opt/x\n"
    assert found_in(bare) == before


def test_a_view_goes_on_while_its_program_is_replaced_and_removed(
    unpacked: Path, place: Path
) -> None:
    program = Path("/usr/local/sbin/urunc-viewfs")

    def mount(at: str) -> None:
        os.makedirs(at, exist_ok=True)
        assert run(program, "-o", lowerdir(LAYERS), "none", at).status == 0

    def read(at: str) -> bytes:
        return Path(at, KERNEL_PATH).read_bytes()

    with System(place, Path("/")) as system:
        for name in ("package", "layers"):
            (system.root / name).mkdir(exist_ok=True)
        before = system.changes()
        system.places["/package"] = unpacked
        system.places["/layers"] = place / "layers"
        image.usual().build(place / "layers")

        def attempt() -> None:
            machine.adopt_orphans()
            assert run("/package/install").status == 0
            first = os.stat(program).st_ino
            mount("/tmp/old")
            assert run("/package/install").status == 0
            assert os.stat(program).st_ino != first
            (old,) = machine.processes()
            assert os.readlink(old.proc / "exe") == f"{program} (deleted)"
            assert read("/tmp/old") == KERNEL
            mount("/tmp/new")
            assert read("/tmp/new") == KERNEL
            assert run("/package/install", "--uninstall").status == 0
            assert read("/tmp/new") == read("/tmp/old") == KERNEL
            for at in ("/tmp/old", "/tmp/new"):
                namespace.unmount(at, 0)
            wait_until(lambda: not machine.processes(), "the views to end")

        namespace.in_root(system.root, system.places, attempt)
        assert system.changes() == before


@pytest.mark.parametrize("word", ["--prefix=", "--prefix=x", "--prefx=/", "now"])
def test_a_wrong_argument_is_a_usage_error(word: str) -> None:
    refused = run(SOURCE / "packaging/static/install", word)
    assert refused.status == 1
    assert (refused.stdout, refused.stderr[:7]) == ("", "usage: ")


def test_help_explains_each_option() -> None:
    asked = run(SOURCE / "packaging/static/install", "--help")
    assert (asked.status, asked.stderr) == (0, "")
    usage, *rows = asked.stdout.splitlines()
    options = re.findall(r"\[(--\w+)", usage)
    assert [row.split("=")[0].split()[0] for row in rows] == [*options, "--help"]


def test_the_bundle_keeps_the_contract_with_a_shim(unpacked: Path) -> None:
    directory = str(unpacked / "sbin")
    rerun.passes(["conformance"], leaving_out=rerun.OF_SOURCE, VIEWFS_PROGRAMS=directory)
