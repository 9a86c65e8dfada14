# SPDX-License-Identifier: Apache-2.0
"""The mount helper, as mount(8) and mount.fuse3 run it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import image, machine, namespace, skipping
from support.image import KERNEL, KERNEL_PATH, lowerdir
from support.installed import SILENCE, TYPES, assert_mounted, mount, umount
from support.view import program, run
from support.waiting import SECONDS, wait_until

pytestmark = pytest.mark.usefixtures("installed")


def test_the_helper_is_installed_under_the_names_of_each_type() -> None:
    """As files of the programs themselves, and links beside the helper."""
    for name in ("urunc-viewfs", "viewfsctl", "mount.urunc-viewfs"):
        st = os.lstat(f"/usr/sbin/{name}")
        assert stat.S_ISREG(st.st_mode) and stat.S_IMODE(st.st_mode) == 0o755, name
    for name in ("mount.fuse.urunc-viewfs", "mount.fuse3.urunc-viewfs"):
        assert os.readlink(f"/usr/sbin/{name}") == "mount.urunc-viewfs"
    assert run("/usr/sbin/viewfsctl", "--version").status == 0


@pytest.mark.parametrize("fstype", TYPES)
def test_mount_and_umount_work_with_each_type(at: Path, option: bytes, fstype: str) -> None:
    assert mount("-t", fstype, "none", at, "-o", option) == SILENCE
    assert_mounted(at)
    umount(at)


@pytest.mark.parametrize("fstype", TYPES)
@pytest.mark.parametrize("options", ["ro", "rw,nosuid,noatime,x-a=b", "defaults,_netdev,nofail"])
def test_options_of_mount_itself_are_accepted(
    at: Path, option: bytes, fstype: str, options: str
) -> None:
    assert mount("-t", fstype, "none", at, "-o", options, "-o", option) == SILENCE
    assert_mounted(at)
    umount(at)


@pytest.mark.parametrize("flag", ["-r", "-w", "-n", "--make-private"])
def test_flags_of_mount_itself_are_accepted(at: Path, option: bytes, flag: str) -> None:
    assert mount(flag, "-t", "urunc-viewfs", "none", at, "-o", option) == SILENCE
    assert_mounted(at)
    umount(at)


def test_a_mounted_overlay_is_a_source(place: Path, at: Path, option: bytes) -> None:
    (place / "overlay").mkdir()
    namespace.mount("overlay", str(place / "overlay"), "overlay", namespace.MS_RDONLY, option)
    assert mount("-t", "urunc-viewfs", place / "overlay", at) == SILENCE
    assert_mounted(at, bytes(place / "overlay"))
    umount(at)
    namespace.unmount(str(place / "overlay"))


def test_mount_does_not_wait_for_the_view(at: Path, option: bytes) -> None:
    """Whoever reads its output sees the end of it."""
    command = ["mount", "-t", "urunc-viewfs", "none", at, "-o", os.fsdecode(option)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.communicate(timeout=SECONDS) == (b"", None)
    umount(at)


@pytest.mark.parametrize("fstype", TYPES)
def test_an_unknown_option_is_rejected_by_name(at: Path, option: bytes, fstype: str) -> None:
    refused = mount("-t", fstype, "none", at, "-o", option + b",colour=red")
    assert refused.status == 1
    assert "unknown mount option 'colour'" in refused.stderr
    assert machine.mounts() == []


@pytest.mark.parametrize("fstype", TYPES)
def test_an_unknown_option_is_tolerated(at: Path, option: bytes, fstype: str) -> None:
    options = b"colour=red," + option + b",shape,size=a\\,b"
    assert mount("-s", "-t", fstype, "none", at, "-o", options) == SILENCE
    assert_mounted(at)
    umount(at)


@pytest.mark.parametrize("flags", [["-f"], ["-f", "-s"]], ids=" ".join)
def test_a_security_context_may_hold_commas_in_quotes(option: bytes, flags: list[str]) -> None:
    """As mount(8) hands SELinux's contexts on; what follows the quotes is an option again."""
    helper = program("mount.urunc-viewfs")
    context = b'context="system_u:object_r:container_file_t:s0:c1,c2",' + option
    assert run(helper, *flags, "none", "/", "-o", context) == SILENCE
    refused = run(helper, *flags, "none", "/", "-o", context + b",mode=x")
    assert refused.status == 1
    assert "'mode': 'x' is not" in refused.stderr


def test_tolerance_is_for_unknown_options_only(at: Path, option: bytes) -> None:
    for bad in (b"mode=x", b"users"):
        refused = mount("-s", "-t", "urunc-viewfs", "none", at, "-o", option + b"," + bad)
        assert refused.status == 1, bad
    assert machine.mounts() == []


def test_a_fake_mount_checks_options_and_mounts_nothing(at: Path, option: bytes) -> None:
    assert mount("-f", "-t", "urunc-viewfs", "none", at, "-o", option) == SILENCE
    assert machine.mounts() == []
    refused = mount("-f", "-t", "urunc-viewfs", "none", at, "-o", option + b",colour")
    assert refused.status == 1
    assert "unknown mount option 'colour'" in refused.stderr


def test_verbose_prints_the_call(at: Path, option: bytes) -> None:
    said = f"urunc-viewfs -o rw,{os.fsdecode(option)} -- none {at}\n"
    words = ["-v", "-t", "urunc-viewfs", "none", at, "-o", option]
    finished = mount("-f", *words)
    assert (finished.status, finished.stdout, finished.stderr) == (0, said, "")
    assert machine.mounts() == []
    assert mount(*words) == finished
    assert_mounted(at)
    umount(at)


def test_remount_is_rejected(at: Path, option: bytes) -> None:
    assert mount("-t", "urunc-viewfs", "none", at, "-o", option) == SILENCE
    for words in (["-o", "remount,rw", at], ["-t", "urunc-viewfs", "none", at, "-o", "remount"]):
        refused = mount(*words)
        assert refused.status == 1
        assert "'remount': a view is always read-only" in refused.stderr
    assert_mounted(at)
    umount(at)


STATUSES: dict[str, tuple[str, int]] = {
    "usage": ("mode=x", 1),
    "layer": ("lowerdir=/nowhere", 32),
    "artifact": ("binary=/gone,resolve=ready", 32),
    "time-out": ("timeout=1,lowerdir={silent}", 2),
}


@pytest.mark.parametrize(("bad", "status"), STATUSES.values(), ids=STATUSES.keys())
def test_the_exit_status_is_that_of_mount(
    place: Path, at: Path, option: bytes, bad: str, status: int
) -> None:
    with machine.silent_fuse(place / "silent") as silent:
        options = option + b"," + bad.format(silent=silent).encode()
        finished = mount("-t", "urunc-viewfs", "none", at, "-o", options)
    assert finished.status == status
    first, *rest = finished.stderr.splitlines()
    assert first.startswith("urunc-viewfs: ")
    assert rest == (["Try 'urunc-viewfs --help' for more information."] if status == 1 else [])


def test_the_helper_accepts_arguments_in_any_order(at: Path, option: bytes) -> None:
    words = [["none", at], ["-o", option], ["-n", "-v"], ["-t", "fuse.urunc-viewfs"]]
    for turn in range(4):
        turned = [word for group in words[turn:] + words[:turn] for word in group]
        finished = run("/usr/sbin/mount.urunc-viewfs", *turned)
        assert finished.status == 0, finished
        assert_mounted(at)
        umount(at)


def test_argument_order_does_not_depend_on_posixly_correct(at: Path, option: bytes) -> None:
    for words in (
        ["/usr/sbin/mount.urunc-viewfs", "none", at, "-o", option],
        ["mount.fuse3", "none", at, "-o", option, "-t", "urunc-viewfs"],
    ):
        assert run(*words, env={"POSIXLY_CORRECT": "1"}) == SILENCE
        assert_mounted(at)
        umount(at)


def user_options(at: Path) -> list[str]:
    """The options that /run/mount/utab holds for the mount at AT."""
    utab = Path("/run/mount/utab")
    for line in utab.read_text().splitlines() if utab.exists() else []:
        fields = dict(field.split("=", 1) for field in line.split(" "))
        if fields["TARGET"] == str(at):
            return fields["OPTS"].split(",")
    return []


def test_options_of_mounts_own_are_recorded_by_mount(at: Path, option: bytes) -> None:
    """mount(8) 2.38 does not pass x-* to helpers, and records nothing where a helper has."""
    words = ["none", at, "-o", b"x-a=b,nofail,_netdev," + option]
    assert run("mount", "-t", "urunc-viewfs", *words) == SILENCE
    assert {"_netdev", "x-a=b"} <= set(user_options(at))
    umount(at)
    for more in ([], ["-n"]):
        assert run("/usr/sbin/mount.urunc-viewfs", *words, *more) == SILENCE
        assert user_options(at) == []
        umount(at)


def test_a_comma_in_a_layer_ends_no_option(place: Path, at: Path) -> None:
    layers = image.usual().build(place / "l,x-a=b")
    words = ["none", at, "-o", lowerdir(layers)]
    assert run("/usr/sbin/mount.urunc-viewfs", *words) == SILENCE
    assert user_options(at) == []
    umount(at)


def test_a_failed_mount_is_not_recorded(at: Path, option: bytes) -> None:
    options = b"x-a=b,binary=/gone,resolve=ready," + option
    finished = run("/usr/sbin/mount.urunc-viewfs", "none", at, "-o", options)
    assert finished.status == 32
    assert user_options(at) == []


@contextmanager
def another_namespace(first: str = ":") -> Iterator[int]:
    """A process that has a mount namespace of its own, and has run FIRST in it."""
    with subprocess.Popen(
        ["unshare", "--mount", "--", "sh", "-c", f"{first} && echo; read _"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin and process.stdout
        assert process.stdout.readline()
        yield process.pid
        process.stdin.close()


def test_a_view_is_mounted_in_another_namespace(at: Path, option: bytes) -> None:
    with another_namespace() as pid:
        words = ["-N", str(pid), "-t", "urunc-viewfs", "none", at, "-o", option]
        assert mount(*words) == SILENCE
        assert machine.mounts_at(at) == []
        inside = Path(f"/proc/{pid}/root{at}")
        assert (inside / KERNEL_PATH).read_bytes() == KERNEL
        # The daemon is in there too, and keeps the namespace: its end does not unmount it.
        assert run("umount", "-N", str(pid), at) == SILENCE
    wait_until(lambda: count_daemons() == 0, "the daemon to end")


def test_a_namespace_without_the_loader_is_reported(at: Path, option: bytes) -> None:
    with open("/proc/self/maps") as maps:
        loader = next(line.split()[-1] for line in maps if "/ld-linux" in line)
    with another_namespace(f"mount --bind /dev/null {loader}") as pid:
        finished = mount("-N", str(pid), "-t", "urunc-viewfs", "none", at, "-o", option)
    assert finished.status == 2
    assert "urunc-viewfs cannot run in that namespace: " in finished.stderr
    assert finished.stderr.count("\n") == 1


def count_daemons() -> int:
    """In any namespace: of the program as it is installed here, and started by this test."""
    mine = os.stat("/usr/sbin/urunc-viewfs")
    count = 0
    for pid in machine.descendants():
        try:
            st = os.stat(f"/proc/{pid}/exe")
        except OSError:
            continue
        count += (st.st_dev, st.st_ino) == (mine.st_dev, mine.st_ino)
    return count


def test_a_bad_namespace_is_named(at: Path, option: bytes) -> None:
    for bad in ("/nowhere", "/dev/null"):
        finished = run("/usr/sbin/mount.urunc-viewfs", "none", at, "-N", bad, "-o", option)
        assert finished.status == 2
        assert bad in finished.stderr
        assert finished.stderr.count("\n") == 1


# mount.fuse3


@pytest.fixture
def mount_fuse3() -> str:
    if not shutil.which("mount.fuse3"):
        skipping.skip("no mount.fuse3")
    return "mount.fuse3"


def test_the_call_of_containerd_mounts(at: Path, option: bytes, mount_fuse3: str) -> None:
    """containerd waits for the end of its output, too."""
    words = ["none", at, "-o", option, "-o", "index=off", "-o", "ro", "-t", "urunc-viewfs"]
    assert run(mount_fuse3, *words) == SILENCE
    assert_mounted(at)
    umount(at)


def test_the_program_may_be_named_in_the_source(at: Path, option: bytes, mount_fuse3: str) -> None:
    """The older way to name the program."""
    assert run(mount_fuse3, "urunc-viewfs#label", at, "-o", option) == SILENCE
    assert_mounted(at, b"label")
    umount(at)


def test_options_that_mount_fuse3_drops_do_no_harm(
    at: Path, option: bytes, mount_fuse3: str
) -> None:
    words = ["none", at, "-o", option + b",nofail,noauto,_netdev", "-t", "urunc-viewfs"]
    assert run(mount_fuse3, *words) == SILENCE
    assert_mounted(at)
    umount(at)


def test_names_survive_the_shell_of_mount_fuse3(place: Path, at: Path, mount_fuse3: str) -> None:
    layers = image.usual().build(place / "it's $HOME; \\,:\"")
    words = ["a 'label'", at, "-o", lowerdir(layers), "-t", "urunc-viewfs"]
    assert run(mount_fuse3, *words) == SILENCE
    assert_mounted(at, b"a 'label'")
    umount(at)


def test_a_failure_through_mount_fuse3_has_our_message_and_status(
    at: Path, option: bytes, mount_fuse3: str
) -> None:
    words = ["none", at, "-o", option + b",binary=/gone,resolve=ready", "-t", "urunc-viewfs"]
    finished = run(mount_fuse3, *words)
    assert finished.status == 32
    assert finished.stderr == "urunc-viewfs: binary '/gone': not in any of 3 layers\n"
    assert machine.mounts() == []
