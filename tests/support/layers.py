# SPDX-License-Identifier: Apache-2.0
"""What an image's layers unpack to: by containerd's applier, and by ours."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from . import toc
from .archive import END, directory, file, gnu_name, hard_link, header, pax, symlink
from .go import CONTAINERD, build_tool
from .resolver import build_directory

SECONDS = 60

Tree = dict[str, list[str]]
"""By path, in hexadecimal: type, mode, owner, time, and what the type has beside these. A directory
has no time here: unpacking into it changes it."""


class Oracle:
    """containerd's applier, as every snapshotter but overlayfs uses it, out of Debian's package."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.program = build_tool("apply-layers", directory, f"{CONTAINERD}/archive")

    def unpack(self, blobs: Sequence[Path]) -> Tree | None:
        """None: a layer is refused."""
        root = Path(tempfile.mkdtemp(dir=self.directory))
        root.chmod(0o755)
        try:
            done = subprocess.run(
                [self.program, root, *blobs], stdout=subprocess.PIPE, timeout=SECONDS, check=False
            )
            return None if done.returncode else _tree(root)
        finally:
            shutil.rmtree(root)


def _tree(root: Path) -> Tree:
    top = os.fsencode(root)
    paths = [
        os.path.join(parent, name)
        for parent, directories, files in os.walk(top)
        for name in directories + files
    ]
    return _renumbered({path[len(top) + 1 :].hex(): _described(path) for path in sorted(paths)})


def _described(path: bytes) -> list[str]:
    found = os.lstat(path)
    mode = f"{stat.S_IMODE(found.st_mode):04o}"
    owner = [str(found.st_uid), str(found.st_gid)]
    time = f"{found.st_mtime_ns // 10**9}.{found.st_mtime_ns % 10**9:09d}"
    if stat.S_ISREG(found.st_mode):
        digest = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
        return ["f", mode, *owner, time, str(found.st_ino), str(found.st_size), digest]
    if stat.S_ISDIR(found.st_mode):
        return ["d", mode, *owner]
    if stat.S_ISLNK(found.st_mode):
        return ["l", *owner, time, os.readlink(path).hex()]
    return ["o", mode, *owner, time]


def _renumbered(tree: Tree) -> Tree:
    """Files named by the first of their names."""
    files: dict[str, str] = {}
    for path in sorted(tree):
        if tree[path][0] == "f":
            tree[path][5] = files.setdefault(tree[path][5], path)
    return tree


class Disputed(Exception):
    """containerd does not unpack a layer as the OCI specification says."""


def unpacked(blobs: Sequence[Path], program: Path | None = None) -> Tree | None:
    """By our own library, or by another PROGRAM; None: a layer is refused."""
    program = program or build_directory() / "tests" / "unpack-layers"
    done = subprocess.run(
        [program, *blobs], stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=False
    )
    if done.returncode == 1:
        return None
    if done.returncode == 3:
        raise Disputed
    assert done.returncode == 0, done
    tree = {}
    for line in done.stdout.splitlines():
        path, *what = line.split(" ")
        tree[path] = what[:4] if what[0] == "d" else what
    return _renumbered(tree)


class Answer(NamedTuple):
    """What is at a path, and how many layers had to be read for it."""

    layers: int
    kind: str
    path: str


def asked(
    blobs: Sequence[Path], paths: Sequence[str], program: Path | None = None
) -> list[Answer]:
    """The answers that our own library, or another PROGRAM, finds without unpacking all layers. Asserts
    that they are those of all layers. None of a layer that is no archive; one of an image that is
    refused, which says nothing."""
    program = program or build_directory() / "tests" / "ask-layers"
    done = subprocess.run(
        [program, *blobs], input="\n".join(paths) + "\n", stdout=subprocess.PIPE, text=True,
        errors="surrogateescape", timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 3), done
    if done.returncode == 3:
        return []
    lines = (line.split(" ", 2) for line in done.stdout.split("\n")[:-1])
    return [Answer(int(count), kind, path) for count, kind, path in lines]


def table_agrees(
    image: Sequence[bytes], top: toc.Blob, form: str, directory: Path
) -> bool:
    """Asserts that the table of the TOP blob, which is in the place of the image's last layer, says
    what the blob unpacks to, or nothing. Returns whether it says it."""
    paths = written([*image[:-1], top.content], directory)
    table = directory / "table"
    table.write_bytes(top.table)
    streamed = unpacked(paths)
    told = unpacked([*paths[:-1], Path(f"{toc.FORMS[form]}:{table}")])
    if told is None:
        return False
    # An eStargz's table is a file of the archive, too, and cannot say of itself what it is.
    itself = b"stargz.index.json".hex()
    assert {**(streamed or {}), itself: None} == {**told, itself: None}
    return True


# Layers at random


COMPONENTS = ["a", "b", "d", "e", "ln", "k"]


def _path(chosen: random.Random) -> str:
    path = "/".join(chosen.choices(COMPONENTS, k=chosen.choice([1, 1, 1, 2, 2, 3])))
    if chosen.random() < 0.08:
        path = chosen.choice(["/", "./", "../", "//"]) + path
    if chosen.random() < 0.05:
        path += chosen.choice(["/..", "/.", "/../" + chosen.choice(COMPONENTS), "/"])
    return path


def _target(chosen: random.Random) -> str:
    path = chosen.choices([*COMPONENTS, "..", "."], k=chosen.choice([1, 1, 2, 3]))
    return chosen.choice(["/", "", "", "../", "//"]) + "/".join(path)


def _marked(path: str, mark: str) -> str:
    parent, slash, _ = path.rpartition("/")
    return parent + slash + mark


def _entry(chosen: random.Random) -> bytes:
    path = _path(chosen)
    owner = {"uid": chosen.choice([0, 0, 7]), "gid": chosen.choice([0, 9])}
    how = {**owner, "mode": chosen.choice([0o644, 0o600, 0o755, 0o4755, 0o1777]),
           "mtime": chosen.choice([1700000000, 5, 0])}  # fmt: skip
    content = bytes([chosen.randrange(65, 91)]) * chosen.choice([0, 1, 5, 512, 700])
    kind = chosen.random()
    if kind < 0.35:
        return file(path, content, **how)
    if kind < 0.6:
        return directory(path, **how)
    if kind < 0.7:
        return symlink(path, _target(chosen), **owner)
    if kind < 0.78:
        return hard_link(path, _target(chosen) if chosen.random() < 0.4 else _path(chosen), **how)
    if kind < 0.88:
        return file(_marked(path, ".wh." + (path.rpartition("/")[2] or "a")), b"")
    if kind < 0.93:
        return file(_marked(path, ".wh..wh..opq"), b"")
    if kind < 0.95:
        return header(path, chosen.choice([b"6", b"3", b"\0", b"g"]), dev=(1, 3))
    if kind < 0.97:
        return pax(("path", _path(chosen))) + file("n", content)
    if kind < 0.98:
        return gnu_name(_path(chosen)) + file("n", content)
    return pax(("mtime", f"1234567890.{chosen.randrange(10**6)}")) + file(path, content)


def random_image(seed: int) -> list[bytes]:
    """Up to three layers of a few entries whose names meet often, the lowest first."""
    chosen = random.Random(seed)
    return [
        b"".join(_entry(chosen) for _ in range(chosen.randint(1, 6))) + END
        for _ in range(chosen.choice([1, 2, 2, 3]))
    ]


def random_paths(seed: int) -> list[str]:
    """Where something may be in a random image."""
    chosen = random.Random(seed)
    paths = [*COMPONENTS, *(f"{a}/{b}" for a in COMPONENTS for b in COMPONENTS)]
    paths += ["/".join(chosen.choices([*COMPONENTS, ".."], k=3)) for _ in range(8)]
    return chosen.sample(paths, len(paths))


def written(layers: Sequence[bytes], directory: Path) -> list[Path]:
    """The blobs as files, for as long as nothing else is written there."""
    paths = [directory / f"layer-{number}" for number in range(len(layers))]
    for path, layer in zip(paths, layers, strict=True):
        path.write_bytes(layer)
    return paths
