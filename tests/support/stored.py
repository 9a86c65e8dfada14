# SPDX-License-Identifier: Apache-2.0
"""The artifact store: trees to fill it from, and what is in it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

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
