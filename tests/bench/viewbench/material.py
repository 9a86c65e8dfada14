# SPDX-License-Identifier: Apache-2.0
"""What is measured on: stacks of layers with artifacts in them, an image for squashfuse, and the
small programs of this benchmark."""

from __future__ import annotations

import base64
import functools
import json
import os
import random
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
PROGRAMS = ("faults", "noop", "peer", "reader", "spawn")
FLOORS = ("floor", "duties")

MIB = 1 << 20

CONFIG, BINARY, INITRD = "urunc.json", "unikernel/kernel", "unikernel/initrd"
ARTIFACTS = (CONFIG, BINARY, INITRD)

# Every fourth layer has something beside the artifacts: their directory is then a merged one.
BESIDE = 4


@dataclass(frozen=True)
class Stack:
    """Layers, topmost first; the binary is in the lowest one, so that all of them are asked."""

    directory: Path
    layers: Sequence[Path]
    backing: Mapping[str, Path]
    """Where an artifact really is, by its path in the image."""

    def __str__(self) -> str:
        count = len(self.layers)
        return f"{count} layer" + ("s" if count > 1 else "")

    def size(self, artifact: str) -> int:
        """In bytes."""
        return self.backing[artifact].stat().st_size

    def total(self) -> int:
        """What a copy of all artifacts takes."""
        return sum(self.size(artifact) for artifact in ARTIFACTS)

    @functools.cached_property
    def names(self) -> list[str]:
        """The layers relative to the stack's directory: 500 then fit into a page of mount options,
        which is all that mount(2) takes. An overlay takes two layers at least."""
        names = [layer.name for layer in self.layers]
        return names if len(names) > 1 else [*names, "empty"]


def _bytes(seed: str, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def _kernel(size: int) -> bytes:
    """Bytes that QEMU takes for a Linux kernel of that size: it loads them as it loads any."""
    image = bytearray(_bytes("kernel", size))
    image[0x1F1] = 4  # sectors of real-mode code
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x206, 0x20C)  # boot protocol 2.12
    image[0x211] = 1  # loaded high
    struct.pack_into("<I", image, 0x22C, 0x7FFFFFFF)  # how high an initrd may be
    struct.pack_into("<H", image, 0x236, 0)
    struct.pack_into("<Q", image, 0x250, 0)  # no list of setup data
    return bytes(image)


def _config() -> bytes:
    values = {
        "unikernelType": "linux",
        "hypervisor": "qemu",
        "binary": f"/{BINARY}",
        "initrd": f"/{INITRD}",
        "cmdline": "quiet",
    }
    encoded = {
        f"com.urunc.unikernel.{key}": base64.b64encode(value.encode()).decode()
        for key, value in values.items()
    }
    return json.dumps(encoded).encode()


@dataclass(frozen=True)
class Artifacts:
    """Files that any number of stacks have in common, by hard links."""

    directory: Path

    @classmethod
    def make(cls, directory: Path, binary: int, initrd: int) -> Artifacts:
        """BINARY and INITRD are sizes in bytes."""
        contents = {CONFIG: _config(), BINARY: _kernel(binary), INITRD: _bytes("initrd", initrd)}
        for path, content in contents.items():
            file = directory / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return cls(directory)

    def stack(self, directory: Path, count: int) -> Stack:
        """COUNT layers: the binary in the lowest, the initrd in the middle, urunc.json on top."""
        layers = [directory / str(i) for i in range(count)]
        for i, layer in enumerate(layers):
            _decoys(layer, i)
        (directory / "empty").mkdir()
        places = {CONFIG: layers[0], BINARY: layers[-1], INITRD: layers[count // 2]}
        backing = {}
        for path, layer in places.items():
            file = layer / path
            file.parent.mkdir(parents=True, exist_ok=True)
            os.link(self.directory / path, file)
            backing[path] = file
        return Stack(directory, layers, backing)


def _decoys(layer: Path, number: int) -> None:
    for name in ("etc", "usr/bin", f"opt/application-{number}"):
        (layer / name).mkdir(parents=True)
        (layer / name / f"decoy-{number}").write_bytes(_bytes(name, 512))
    if number % BESIDE == 1:
        (layer / "unikernel").mkdir()
        (layer / "unikernel" / f"notes-{number}").write_bytes(b"beside the artifacts\n")


def squash(artifacts: Artifacts, image: Path) -> Path | None:
    """The artifacts as a squashfs image; None where there is no mksquashfs."""
    program = shutil.which("mksquashfs")
    if not program:
        return None
    command = [program, artifacts.directory, image, "-quiet", "-no-progress", "-comp", "zstd"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return image


def compile_programs(directory: Path, compilers: Mapping[str, Sequence[str]]) -> None:
    """The C programs of this benchmark, with the machine's compiler as it comes: the process that
    does nothing is to be like any other."""
    directory.mkdir()
    for name in PROGRAMS:
        _compile(name, directory / name)
    flags = {"dynamic": [], "static": ["-static-pie", "-fPIE"]}
    for linkage, compiler in compilers.items():
        for name in FLOORS:
            _compile(name, directory / f"{name}-{linkage}", *flags[linkage], compiler=compiler)


def _compile(name: str, program: Path, *more: str, compiler: Sequence[str] = ("cc",)) -> None:
    command = [*compiler, "-std=gnu17", "-O2", "-D_GNU_SOURCE", HERE / f"{name}.c"]
    subprocess.run([*command, "-o", program, *more], check=True)
