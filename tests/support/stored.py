# SPDX-License-Identifier: Apache-2.0
"""The artifact store: trees to fill it from, and what is in it."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import image, namespace
from .filesystems import unmount_idle
from .stack import Entry, File, build_layer
from .view import Argument, Finished, View, call, program, run

# The time of an object's last modification: urunc-viewfs-store(5).
OBJECT_TIME_NS = 0
OBJECT_MODE = 0o400

READ_ONLY = namespace.MS_BIND | namespace.MS_REMOUNT | namespace.MS_RDONLY

Files = Mapping[str, bytes]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def chain_id(name: str) -> str:
    """Some image's."""
    return f"sha256:{sha256(name.encode())}"


def files(name: str, kernel: int = 300_123, initrd: int = 70_001) -> Files:
    """The artifacts of the image NAME, by path: no two images have one in common, but the
    configuration, which all have."""
    configured = image.urunc_json(initrd="/" + image.INITRD_PATH)
    return {
        "urunc.json": configured.content,
        image.KERNEL_PATH: image.noise(kernel, f"{name} kernel"),
        image.INITRD_PATH: image.noise(initrd, f"{name} initrd"),
    }


@contextmanager
def trees(place: Path, images: Mapping[str, Files]) -> Iterator[Path]:
    """A directory in PLACE with a read-only mount for each image, which holds its artifacts."""
    at = place / "trees"
    at.mkdir()
    with namespace.tmpfs(str(at)):
        for name, content in images.items():
            layer: dict[bytes, Entry] = {
                path.encode(): File(data, mode=0o644) for path, data in content.items()
            }
            build_layer({**layer, b"etc/hostname": File(b"a\n")}, os.fsencode(at / name))
            namespace.mount(str(at / name), str(at / name), None, namespace.MS_BIND)
            namespace.mount("none", str(at / name), None, READ_ONLY)
        yield at


def command(*words: Argument, store: Path, options: Sequence[str] = ()) -> list[Argument]:
    """`viewfsctl store WORDS`, of that STORE."""
    extra = [word for option in options for word in ("-o", option)]
    return [program("viewfsctl"), "store", *words, "-o", f"store={store}", *extra]


def adding(store: Path, tree: Path, options: Sequence[str] = ()) -> list[Argument]:
    """The command that fills STORE with the image whose name TREE has."""
    words = ("add", f"--chain={chain_id(tree.name)}", f"--tree={tree}")
    return command(*words, store=store, options=options)


def add(store: Path, tree: Path, *, options: Sequence[str] = (), seconds: float = 60) -> Finished:
    return run(*adding(store, tree, options), seconds=seconds)


def ctl(store: Path, *words: Argument) -> Finished:
    return run(*command(*words, store=store), seconds=60)


def shown(at: Path, store: Path, name: str) -> Files | None:
    """What a view of the image NAME shows, mounted at AT; None where the store lacks it, which must
    be the only reason."""
    at.mkdir(exist_ok=True)
    arguments = (f"--chain={chain_id(name)}", "-o", f"store={store}", "--", "stored", at)
    finished = call(*arguments, seconds=60)
    if finished.status:
        assert (finished.status, finished.code) == (32, "ENOTAPPLICABLE"), finished
        return None
    try:
        return content(at)
    finally:
        # Which another command may look at just now.
        unmount_idle(at)


def content(root: Path) -> Files:
    """The files below ROOT."""
    paths = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def view(at: Path, store: Path, name: str, *options: str) -> View:
    """A view of the image NAME."""
    words = [word for option in (f"store={store}", *options) for word in ("-o", option)]
    return View(at, f"--chain={chain_id(name)}", *words)


def objects(store: Path) -> list[Path]:
    """The files that have an object's name, right or wrong."""
    return sorted(path for path in (store / "objects").glob("??/*") if len(path.name) == 64)


def wrong_objects(store: Path) -> list[Path]:
    """Those whose owner, mode and time a reader trusts, and whose bytes are other ones."""
    found = []
    for path in objects(store):
        st = path.lstat()
        trusted = (stat.S_IFREG | OBJECT_MODE, OBJECT_TIME_NS, 0)
        if (st.st_mode, st.st_mtime_ns, st.st_uid) == trusted:
            if sha256(path.read_bytes()) != path.name:
                found.append(path)
    return found


def all_files(store: Path) -> list[str]:
    """All that is in the store, but its directories and its lock."""
    paths = [path for path in store.rglob("*") if not path.is_dir() or path.is_symlink()]
    return sorted(str(path.relative_to(store)) for path in paths if path != store / "lock")


def evicting(store: Path, *words: str) -> list[Argument]:
    """The command that removes what nobody needs."""
    return [program("viewfsctl"), "gc", *words, "-o", f"store={store}"]


def gc(store: Path, *words: str) -> Finished:
    return run(*evicting(store, *words), seconds=60)


# For the tests of the programs: a store as an object, and an image whose name does not matter.


def chain(number: int = 1) -> str:
    """A chain id; which one does not matter."""
    return chain_id(str(number))


def usual_tree() -> dict[bytes, Entry]:
    """The unpacked image of a unikernel with an initrd."""
    return {
        b"urunc.json": image.urunc_json(initrd="/" + image.INITRD_PATH),
        image.KERNEL_PATH.encode(): File(image.KERNEL, mode=0o750, uid=5, gid=6),
        image.INITRD_PATH.encode(): File(image.INITRD, mode=0o644),
        b"etc/hostname": File(b"a\n"),
    }


@contextmanager
def tree(at: Path, unpacked: Mapping[bytes, Entry] | None = None) -> Iterator[Path]:
    """An image UNPACKED on a read-only filesystem that is mounted at AT."""
    at.mkdir(exist_ok=True)
    namespace.mount("tree", str(at), "tmpfs", 0, "mode=0755")
    try:
        build_layer(dict(usual_tree() if unpacked is None else unpacked), os.fsencode(at))
        namespace.mount("tree", str(at), None, namespace.MS_REMOUNT | namespace.MS_RDONLY)
        yield at
    finally:
        namespace.unmount(str(at))


class Store:
    """The store in DIRECTORY, which need not exist."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def option(self) -> str:
        return f"store={self.directory}"

    def add(self, tree: Path, *arguments: Argument, image: str = "", **how: Any) -> Finished:
        """viewfsctl store add."""
        words = ("add", f"--chain={image or chain()}", f"--tree={tree}", *arguments)
        return run(*command(*words, store=self.directory), **how)

    def must_add(self, tree: Path, *arguments: Argument, **how: Any) -> dict[str, Any]:
        """The last line of its --json."""
        finished = self.add(tree, "--json", *arguments, **how)
        assert (finished.status, finished.stderr) == (0, ""), finished
        return finished.told

    def files(self, below: str = ".") -> list[Path]:
        """All but the lock, and, if not asked for, what failed and what is known of layers."""
        return [path for path in map(self.directory.joinpath, all_files(self.directory))
                if path.is_relative_to(self.directory / below)
                and (below != "." or path.parent.name not in ("failed", "layers"))]  # fmt: skip

    def object_of(self, content: bytes) -> Path:
        """The object that holds CONTENT."""
        (found,) = (path for path in self.files("objects") if path.read_bytes() == content)
        return found

    def facts(self, image: str = "") -> Path:
        return self.directory / "chains" / (image or chain()).removeprefix("sha256:")


def arguments(store: Store, *options: str, image: str = "") -> list[str]:
    """Of urunc-viewfs, for a view of the stored IMAGE."""
    return [f"--chain={image or chain()}", "-o", ",".join([store.option, *options])]
