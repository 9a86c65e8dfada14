# SPDX-License-Identifier: Apache-2.0
"""The artifact store, and trees to fill it from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import namespace
from .control import viewfsctl
from .image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, noise, urunc_json
from .stack import Entry, File, build_layer
from .view import Argument, Finished


def chain(number: int = 1) -> str:
    """A chain id; which one does not matter."""
    return "sha256:" + noise(32, f"chain {number}").hex()


def usual_tree() -> dict[bytes, Entry]:
    """The unpacked image of a unikernel with an initrd."""
    return {
        b"urunc.json": urunc_json(initrd="/" + INITRD_PATH),
        KERNEL_PATH.encode(): File(KERNEL, mode=0o750, uid=5, gid=6),
        INITRD_PATH.encode(): File(INITRD, mode=0o644),
        b"etc/hostname": File(b"a\n"),
    }


@contextmanager
def tree(at: Path, files: Mapping[bytes, Entry] | None = None) -> Iterator[Path]:
    """FILES unpacked on a read-only filesystem that is mounted at AT."""
    at.mkdir(exist_ok=True)
    namespace.mount("tree", str(at), "tmpfs", 0, "mode=0755")
    try:
        build_layer(dict(usual_tree() if files is None else files), os.fsencode(at))
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
        words = ("store", "add", f"--chain={image or chain()}", f"--tree={tree}")
        return viewfsctl(*words, "-o", self.option, *arguments, **how)

    def must_add(self, tree: Path, *arguments: Argument, **how: Any) -> dict[str, Any]:
        """The last line of its --json."""
        finished = self.add(tree, "--json", *arguments, **how)
        assert (finished.status, finished.stderr) == (0, ""), finished
        return json.loads(finished.stdout.splitlines()[-1])

    def files(self, below: str = ".") -> list[Path]:
        """All but the lock."""
        found = (self.directory / below).rglob("*")
        return sorted(path for path in found if path.is_file() and path.name != "lock")

    def object_of(self, content: bytes) -> Path:
        """The object that holds CONTENT."""
        (found,) = (path for path in self.files("objects") if path.read_bytes() == content)
        return found

    def facts(self, image: str = "") -> Path:
        return self.directory / "chains" / (image or chain()).removeprefix("sha256:")


def arguments(store: Store, *options: str, image: str = "") -> list[str]:
    """Of urunc-viewfs, for a view of the stored IMAGE."""
    return [f"--chain={image or chain()}", "-o", ",".join([store.option, *options])]
