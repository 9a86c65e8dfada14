# SPDX-License-Identifier: Apache-2.0
"""packaging/release: the same files, whoever builds a commit, wherever its checkout lies."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import namespace, skipping
from support.export import export, version
from support.view import Finished, run

# What takes longer is built by a long form: VIEWFS_RELEASE_PARTS="deb rpm static arm64".
PARTS = os.environ.get("VIEWFS_RELEASE_PARTS", "rpm").split()
SECONDS = 3000

# What a user of another machine has, and must not matter.
OTHER = {
    "HOME": "/var/tmp/other", "USER": "other", "TZ": "Asia/Kolkata", "LC_ALL": "tr_TR.UTF-8",
    "TMPDIR": "/var/tmp/other", "CFLAGS": "-O0", "DEB_BUILD_OPTIONS": "nostrip",
    "SOURCE_DATE_EPOCH": "1", "GIT_DIR": "/nowhere", "DEBFULLNAME": "Other",
}  # fmt: skip


@pytest.fixture
def places() -> Iterator[Path]:
    """A /var/tmp of our own: releases are built in one directory there."""
    with namespace.tmpfs("/var/tmp"):
        os.chmod("/var/tmp", 0o1777)
        yield Path("/var/tmp")


def repository(parent: Path) -> Path:
    """One with the sources as they are, whose only commit is tagged."""
    parent.mkdir(parents=True)
    tree = export(parent)
    identity = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a", "GIT_AUTHOR_DATE": "1700000000 +0000"}
    committer = {key.replace("AUTHOR", "COMMITTER"): value for key, value in identity.items()}
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"], ["tag", f"v{version()}"]):
        environment = os.environ | identity | committer
        subprocess.run(["git", "-C", tree, *words], env=environment, check=True)
    return tree


def release(tree: Path, directory: Path, *before: str, **how: Any) -> Finished:
    """All files of the release; BEFORE is what the command begins with."""
    command = [tree / "packaging/release", f"v{version()}", directory, *PARTS]
    made = run(*before, *command, seconds=SECONDS, **how)
    assert made.status == 0, made.stderr[-5000:]
    return made


def sums(directory: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()
    }


@pytest.mark.takes_up_to(SECONDS)
def test_a_tag_gives_the_same_files_in_another_place_for_another_user(places: Path) -> None:
    if not shutil.which("rpmbuild"):
        skipping.skip("no rpmbuild")
    first = places / "first"
    made = release(repository(places / "here"), first)
    built = sums(first)
    listed = dict(reversed(line.split()) for line in made.stdout.splitlines())
    assert (first / "SHA256SUMS").read_text() == made.stdout
    assert listed == {name: digest for name, digest in built.items() if name != "SHA256SUMS"}
    assert {f"urunc-viewfs-{version()}.tar.gz", f"urunc-viewfs-{version()}-1.src.rpm"} <= set(built)
    assert not {name for name in built if name.endswith((".buildinfo", ".changes"))}

    other = places / "other"
    tree = repository(other / "with blank")
    (other / ".rpmmacros").write_text("%packager Other\n%_topdir /nowhere\n")
    (other / ".gitconfig").write_text("[tar]\n\tumask = 0077\n")
    for parent, directories, names in os.walk(other):
        for name in ("", *directories, *names):
            os.chown(Path(parent, name), 12345, 12345, follow_symlinks=False)
    second = other / "out put"
    as_other = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    release(tree, second, *as_other, "sh", "-c", 'umask 077; exec "$@"', "sh", env=OTHER)
    assert sums(second) == built


def test_a_wrong_call_or_tag_builds_nothing(places: Path) -> None:
    tree = repository(places / "here")
    subprocess.run(["git", "-C", tree, "tag", "v99"], check=True)
    there = places / "there"
    there.mkdir()
    new = places / "new"
    rows = [
        ([], "usage: "), ([f"v{version()}"], "usage: "),
        ([f"v{version()}", new, "debs"], "unknown part 'debs'"),
        ([f"v{version()}", there], "File exists"),
        (["v99", new], "v99 is not the version of meson.build"), (["v98", new], "no commit is called 'v98'"),
    ]  # fmt: skip
    for words, said in rows:
        refused = run(tree / "packaging/release", *words)
        assert (refused.status != 0, said in refused.stderr) == (True, True), refused
        assert not new.exists(), words
    assert sorted(path.name for path in places.iterdir()) == ["here", "there"]
    (places / "urunc-viewfs-release").mkdir()
    refused = run(tree / "packaging/release", f"v{version()}", new)
    assert "another release is being built in /var/tmp/urunc-viewfs-release" in refused.stderr
    assert (places / "urunc-viewfs-release").exists()
