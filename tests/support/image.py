# SPDX-License-Identifier: Apache-2.0
"""Images: the layers that a view is made of, as urunc's builders write them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from .overlay import escape
from .stack import Dir, Entry, File, Stack

PREFIX = "com.urunc.unikernel."


def noise(size: int, seed: str = "") -> bytes:
    """SIZE bytes that look like nothing and are the same each time."""
    return hashlib.shake_128(seed.encode()).digest(size)


# Of several pages and a bit.
KERNEL = noise(300_123, "kernel")
INITRD = noise(70_001, "initrd")

KERNEL_PATH = "unikernel/kernel"
INITRD_PATH = "boot/initrd.img"


def annotations(**values: str) -> dict[str, str]:
    """urunc's annotations by their short names."""
    return {PREFIX + name: value for name, value in values.items()}


def configuration(binary: str = "/" + KERNEL_PATH, initrd: str | None = None) -> dict[str, str]:
    """What a boot needs, as annotations."""
    wanted = {"unikernelType": "unikraft", "hypervisor": "qemu", "binary": binary}
    return annotations(**wanted, **({"initrd": initrd} if initrd is not None else {}))


def encode(values: dict[str, str]) -> bytes:
    """The text of a urunc.json that holds VALUES."""
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return json.dumps(coded, indent=2).encode()


def urunc_json(binary: str = "/" + KERNEL_PATH, initrd: str | None = None) -> File:
    return File(encode(configuration(binary, initrd)))


def with_file(entry: Entry, path: str = KERNEL_PATH) -> Stack:
    """An image of one layer, with ENTRY for its unikernel."""
    return Stack([{b"urunc.json": urunc_json("/" + path), path.encode(): entry}])


def usual() -> Stack:
    """Three layers: urunc.json above the unikernel above the initrd and an older unikernel."""
    kernel, initrd = KERNEL_PATH.encode(), INITRD_PATH.encode()
    return Stack(
        [
            {b"urunc.json": urunc_json(initrd="/" + INITRD_PATH), b"etc/hostname": File(b"a\n")},
            {kernel: File(KERNEL, mode=0o755), b"unikernel/notes": File(b"n")},
            {initrd: File(INITRD), kernel: File(b"old"), b"bin": Dir()},
        ]
    )


def crowded(layers: int, files: int) -> Stack:
    """LAYERS layers with FILES other files each; the artifacts are spread over them."""
    crowd: list[dict[bytes, Entry]] = [
        {b"usr/lib/%d/%d" % (n % 10, n): File(b"%d" % index) for n in range(files)}
        for index in range(layers)
    ]
    for index, layer in enumerate(crowd):
        layer[b"unikernel/other-%d" % index] = File(b"")
    crowd[0][b"urunc.json"] = urunc_json(initrd="/" + INITRD_PATH)
    crowd[layers // 2][KERNEL_PATH.encode()] = File(KERNEL)
    crowd[-1][INITRD_PATH.encode()] = File(INITRD)
    return Stack(crowd)


def snapshots(place: Path, stack: Stack, first: int = 1) -> list[bytes]:
    """Make the layers of STACK where containerd's snapshotter has them, below PLACE, numbered
    from the bottom up, from FIRST on; returns their paths, topmost first."""
    last = first + len(stack.layers) - 1
    names = [f"{number}/fs" for number in range(last, first - 1, -1)]
    return stack.build(place / "snapshots", names=names)


def lowerdir(layers: Sequence[bytes]) -> bytes:
    """LAYERS as a mount option."""
    return b"lowerdir=" + b":".join(map(escape, layers))


def fingerprint(directory: str | Path) -> dict[str, tuple[object, ...]]:
    """All that could show that somebody changed something below DIRECTORY."""
    found = {}
    for parent, directories, files in os.walk(directory):
        for path in (os.path.join(parent, name) for name in [*directories, *files, "."]):
            st = os.lstat(path)
            found[path] = (st.st_mode, st.st_ino, st.st_size, st.st_ctime_ns, st.st_nlink)
    return found


