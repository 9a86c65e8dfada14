# SPDX-License-Identifier: Apache-2.0
"""The unit tests where packages are built: what cannot run there is skipped, and says why."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from support import skipping
from support.build import SOURCE
from support.resolver import build_directory

SECONDS = 120
# What a build without tests consists of.
ROOMS = {"fuse", "layerindex", "packaging"}

# In a mount namespace of its own, a chroot whose root is a directory like any other.
CHROOT = """
set -e
for name in bin sbin lib lib32 lib64 libx32; do
	if [ -L /$name ]; then ln -s usr/$name "$1/$name"
	elif [ -d /$name ]; then mkdir "$1/$name"; mount --rbind /$name "$1/$name"; fi
done
mkdir -p "$1/usr" "$1/proc" "$1/dev" "$1/etc" "$1/var/tmp" "$1$2"
for path in /usr /proc /dev /etc "$2"; do mount --rbind "$path" "$1$path"; done
root=$1
shift 2
exec chroot "$root" "$@"
"""


def without(capability: str) -> list[str]:
    return ["setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}"]


def unit_tests() -> list[Path]:
    found = sorted(path for path in (build_directory() / "tests/unit").glob("test-*")
                   if path.is_file())  # fmt: skip
    if not found:
        skipping.skip("no unit test is built")
    return found


def reasons(*wrapper: str) -> set[str]:
    """Why some of the unit tests are skipped when all are run through WRAPPER; none may fail, and
    most must run."""
    environment = {**os.environ, "VIEWFS_MUST_RUN": "0"}
    environment.pop("CMOCKA_MESSAGE_OUTPUT", None)
    why: set[str] = set()
    ran = 0
    for program in unit_tests():
        done = subprocess.run(
            [*wrapper, program], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{program.name}: {done.stdout}"
        ran += len(re.findall(r"^\[ +OK \]", done.stdout, re.MULTILINE))
        why.update(re.findall(r"^skipped: (.*)$", done.stdout, re.MULTILINE))
    assert ran > 100
    return why


@pytest.mark.parametrize("capability", ["sys_admin", "mknod"])
def test_root_without_a_capability_skips(private_mounts: None, capability: str) -> None:
    assert reasons(*without(capability)) == {f"root without CAP_{capability.upper()}"}


def test_another_user_skips(private_mounts: None) -> None:
    """A user that may read the build directory."""
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*user, "test", "-x", unit_tests()[0]], check=False).returncode != 0:
        skipping.skip("the build directory is not any user's to read")
    assert reasons(*user) == {"not root"}


def test_a_chroot_whose_root_is_no_mount_point_skips(place: Path) -> None:
    root = place / "chroot"

    def in_chroot() -> list[str]:
        return ["unshare", "--mount", "--", "sh", "-c",
                f'rm -rf --one-file-system "$1"; mkdir "$1"; {CHROOT}', "sh",
                str(root), str(build_directory())]  # fmt: skip

    why = reasons(*in_chroot())
    assert "the mounts cannot be made private: / is no mount point" in why
    assert "root without CAP_SYS_ADMIN" not in why


def introspect(build: Path, what: str) -> list[dict]:
    command = ["meson", "introspect", f"--{what}", build]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def test_a_build_without_tests_has_no_target_of_theirs(private_mounts: None, tmp_path: Path) -> None:
    """And asks for no library or program of theirs."""
    command = ["meson", "setup", "-Dtests=disabled", tmp_path / "build", SOURCE]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    targets = introspect(tmp_path / "build", "targets")
    assert {Path(target["defined_in"]).parent.name for target in targets} <= ROOMS
    names = {dependency["name"] for dependency in introspect(tmp_path / "build", "dependencies")}
    assert names and "cmocka" not in names
    assert introspect(tmp_path / "build", "tests") == []
