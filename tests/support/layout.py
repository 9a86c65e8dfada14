# SPDX-License-Identifier: Apache-2.0
"""Images as compressed layers: OCI layouts, and containerd's content store, which has the blobs."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import toc
from .archive import END, directory, file, zstandard
from .image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, urunc_json

OCI = "application/vnd.oci.image."
MANIFEST, INDEX = OCI + "manifest.v1+json", OCI + "index.v1+json"

CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "plain": (OCI + "layer.v1.tar", bytes),
    "gzip": (OCI + "layer.v1.tar+gzip", gzip.compress),
    "zstd": (OCI + "layer.v1.tar+zstd", zstandard),
}

# With a table of contents; the archive of an eStargz is another than that it was made of.
TABLES: dict[str, tuple[str, Callable[[bytes], toc.Blob]]] = {
    "zstd:chunked": (OCI + "layer.v1.tar+zstd", toc.chunked),
    "estargz": (OCI + "layer.v1.tar+gzip", toc.estargz),
}

Descriptor = dict[str, Any]


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def chain_id(layers: Sequence[bytes]) -> str:
    """Of plain layers, the lowest first."""
    chain = digest(layers[0])
    for layer in layers[1:]:
        chain = digest(f"{chain} {digest(layer)}".encode())
    return chain


def usual_layers() -> list[bytes]:
    """The image of a unikernel, a layer an artifact, as bunny packs it; the lowest first."""
    kernel, initrd = KERNEL_PATH, INITRD_PATH
    config = urunc_json(initrd="/" + initrd).content
    return [
        directory(kernel.rpartition("/")[0]) + file(kernel, KERNEL, mode=0o750, uid=5, gid=6) + END,
        file(initrd, INITRD) + END,
        file("urunc.json", config) + END,
    ]


class Layout:
    """An OCI layout in DIRECTORY, without an image yet."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.listed: list[Descriptor] = []
        self.blobs = directory / "blobs/sha256"
        self.blobs.mkdir(parents=True)
        (directory / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def put(self, content: bytes, media: str = "", **more: Any) -> Descriptor:
        """Adds a blob."""
        (self.blobs / digest(content).removeprefix("sha256:")).write_bytes(content)
        return {"mediaType": media, "digest": digest(content), "size": len(content), **more}

    def put_json(self, content: object, media: str = "", **more: Any) -> Descriptor:
        return self.put(json.dumps(content).encode(), media, **more)

    def blob(self, descriptor: Descriptor) -> Path:
        return self.blobs / descriptor["digest"].removeprefix("sha256:")

    def image(
        self, layers: Sequence[bytes], coding: str = "gzip", diff_ids: Sequence[str] | None = None,
        media: str = "",
    ) -> Descriptor:  # fmt: skip
        """Adds an image of plain LAYERS, the lowest first; DIFF_IDS are what it claims. Returns its
        manifest's descriptor, with the layers' in "layers"."""
        if coding in TABLES:
            usual_media, make = TABLES[coding]
            made = [make(layer) for layer in layers]
        else:
            usual_media, encode = CODINGS[coding]
            made = [toc.Blob(encode(layer), {}, layer, b"") for layer in layers]
        return self.image_of(made, media or usual_media, diff_ids)

    def image_of(
        self, layers: Sequence[toc.Blob], media: str, diff_ids: Sequence[str] | None = None
    ) -> Descriptor:
        """Adds an image of blobs that are made."""
        blobs = []
        for layer in layers:
            annotated = {"annotations": layer.annotations} if layer.annotations else {}
            blobs.append(self.put(layer.content, media, **annotated))
        ids = [digest(layer.plain) for layer in layers] if diff_ids is None else list(diff_ids)
        config = self.put_json(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ids}},
            OCI + "config.v1+json",
        )
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": blobs}
        self.layers = blobs
        return self.put_json(manifest, MANIFEST)

    def list(self, descriptor: Descriptor, name: str | None = None) -> None:
        """Names an image in index.json."""
        if name:
            named = {"org.opencontainers.image.ref.name": name}
            descriptor = {**descriptor, "annotations": named}
        self.listed.append(descriptor)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self.listed}
        (self.directory / "index.json").write_text(json.dumps(index))
