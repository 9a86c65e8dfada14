# SPDX-License-Identifier: Apache-2.0
"""An image that no snapshotter has unpacked: the first container fills the store from its layer blob.

Counted is the time of the processors, which a busy machine changes least. Beside it: decoding the
blob and hashing what comes out, in this process, which is the least that any such program does;
containerd's applier, which writes all files; and the usual commands.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import resource
import shutil
import subprocess
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from support import toc
from support.archive import END, directory, file, zstandard
from support.go import CONTAINERD, GO, GOPATH, build_tool
from support.layout import OCI, Layout

from ..bench import Bench, Section
from ..figures import Figure, figure, interval, show
from ..material import ARTIFACTS, MIB
from ..report import Table

PIECE = 4 * MIB
"""Of a file, in a blob that has a table of contents: as large as eStargz's own maker has it."""

RAW, CONTAINERD_APPLIES, COMMANDS, OURS = "decode, hash", "containerd", "commands", "store add"
ITS_FILES = "its files"

Way = Callable[[], float]
"""Does it once; returns the seconds of processors that it took."""

COMPRESSED: Mapping[str, str] = {"gzip": "gzip", "zstd": "zstd", "zstd:chunked": "zstd",
                                 "eStargz": "gzip", "plain": ""}  # fmt: skip


def measure(bench: Bench) -> Section:
    """One table: a row for each kind of blob."""
    section = Section()
    filler = next((build for build in bench.builds
                   if build.program.with_name("viewfsctl").exists()), None)  # fmt: skip
    if not filler or not shutil.which("zstd"):
        bench.leave_out("blobs: left out, there is no viewfsctl or no zstd")
        return section
    directory = bench.directory / "blobs"
    archive = _archive(bench)
    blobs = {"plain": toc.Blob(archive, {}, archive, b"")}
    blobs["gzip"] = toc.Blob(_gzipped(archive), {}, archive, b"")
    blobs["zstd"] = toc.Blob(zstandard(archive), {}, archive, b"")
    blobs["zstd:chunked"] = toc.chunked(archive, _frame, PIECE)
    blobs["eStargz"] = toc.estargz(archive, 6, PIECE)
    oracle = _oracle(bench)
    columns = ["", "blob, MiB", "CPU s here", f"x {RAW}", f"x {CONTAINERD_APPLIES}", f"x {COMMANDS}",
               f"x {ITS_FILES}"]  # fmt: skip
    notes = [
        f"viewfsctl store add of one layer of {len(archive) / MIB:.0f} MiB, among whose"
        f" {archive_files(bench)} files are {bench.reference.total() / MIB:.0f} MiB of artifacts;"
        " median [its 95 % interval].",
        f"{RAW}: by zlib or zstd and SHA-256, the artifacts' too, in one process. {CONTAINERD_APPLIES}:"
        f" its applier, into a directory. {COMMANDS}: gzip -dc or zstd -dc, and sha256sum."
        f" {ITS_FILES}: decoding and hashing, in one process, only the artifacts, which a table finds.",
    ]
    table = Table("First container by kind of blob", columns, notes)
    found: dict[str, object] = {}
    for kind, blob in blobs.items():
        place = directory / f"image-{len(found)}"
        layout = Layout(place)
        layout.list(layout.image_of([blob], f"{OCI}layer.v1.tar+gzip"))
        path = layout.blob(layout.layers[0])
        ways = _ways(bench, filler.program.with_name("viewfsctl"), kind, layout, path, oracle)
        if blob.table:
            alone = place / "alone"
            alone.write_bytes(_content_of_artifacts(blob))
            ways[ITS_FILES] = functools.partial(_decoded_and_hashed, alone, COMPRESSED[kind])
        samples = _samples(bench, ways)
        ratios = {name: interval(samples[OURS], samples[name]) for name in samples if name != OURS}
        cells = [show(ratios.get(name)) for name in (RAW, CONTAINERD_APPLIES, COMMANDS, ITS_FILES)]
        table.add(kind, f"{len(blob.content) / MIB:.0f}", show(figure(samples[OURS])), *cells)
        found[kind] = _found(samples, ratios)
        shutil.rmtree(place)
    section.tables.append(table)
    section.data[filler.name] = found
    return section


def _found(
    samples: Mapping[str, Mapping[int, float]], ratios: Mapping[str, Figure | None]
) -> dict[str, object]:
    return {
        "cpu_s": figure(samples[OURS]),
        "raw_ratio": ratios[RAW],
        "containerd_ratio": ratios.get(CONTAINERD_APPLIES),
        "commands_ratio": ratios[COMMANDS],
        "files_cpu_s": figure(samples[ITS_FILES]) if ITS_FILES in samples else None,
    }


def archive_files(bench: Bench) -> int:
    """How many files a layer has beside the artifacts."""
    return bench.reference.total() // (4 << 10)


def _archive(bench: Bench) -> bytes:
    """A layer of small files of text, and the artifacts behind them. As in the layers of real builders,
    each directory has an entry before the first one in it."""
    chosen = random.Random("a layer")
    words = [chosen.randbytes(chosen.randint(1, 6)).hex() for _ in range(2000)]
    files = {}
    for number in range(archive_files(bench)):
        files[f"usr/share/{number // 200}/{number}"] = " ".join(chosen.choices(words, k=800)).encode()
    files |= {path: bench.reference.backing[path].read_bytes() for path in ARTIFACTS}
    parts: dict[str, bytes] = {}
    for path, content in files.items():
        for parent in reversed(Path(path).parents[:-1]):
            parts.setdefault(str(parent), directory(str(parent)))
        parts[path] = file(path, content)
    return b"".join([*parts.values(), END])


def _gzipped(archive: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(archive) + packer.flush()


def _frame(content: bytes) -> bytes:
    """Large ones compressed: a process for each small one would take too long."""
    return zstandard(content) if len(content) >= MIB else toc.zstd_frame(content)


def _content_of_artifacts(blob: toc.Blob) -> bytes:
    """The parts of the blob that the artifacts are in, one behind the other."""
    items = json.loads(blob.table)["entries"]
    found = b""
    for at, item in enumerate(items):
        if item.get("name") not in ARTIFACTS or item["type"] != "reg":
            continue
        behind = (each["offset"] for each in items[at + 1 :]
                  if each["type"] != "chunk" and each.get("offset"))  # fmt: skip
        end = item.get("endOffset") or next(behind, None) or _table_at(blob)
        found += blob.content[item["offset"] : end]
    return found


def _table_at(blob: toc.Blob) -> int:
    """Where an eStargz has its table, by its footer."""
    return int(blob.content[-35:-19], 16)


def _oracle(bench: Bench) -> Path | None:
    if not GO.exists() or not (GOPATH / "src" / CONTAINERD / "archive").exists():
        bench.leave_out("blobs: containerd's applier is left out, there is no Go or no package")
        return None
    return build_tool("apply-layers", bench.directory)


def _ways(
    bench: Bench, viewfsctl: Path, kind: str, layout: Layout, blob: Path, oracle: Path | None
) -> dict[str, Way]:
    store, root = bench.directory / "blobs/store", bench.directory / "blobs/root"
    words = [f"--oci={layout.directory}", "-o", f"store={store},timeout=600"]
    unpacked = {"gzip": "gzip -dc", "zstd": "zstd -dc", "": "cat"}[COMPRESSED[kind]]
    ways: dict[str, Way] = {
        OURS: lambda: _children([viewfsctl, "store", "add", *words], store),
        RAW: lambda: _raw(bench, blob, COMPRESSED[kind]),
        COMMANDS: lambda: _children(["sh", "-c", f'{unpacked} "$0" | sha256sum', blob], root),
    }
    if oracle:
        ways[CONTAINERD_APPLIES] = lambda: _applied(oracle, root, blob)
    return ways


def _samples(bench: Bench, ways: Mapping[str, Way]) -> dict[str, dict[int, float]]:
    """They take turns."""
    samples: dict[str, dict[int, float]] = {name: {} for name in ways}
    for number in range(max(bench.scale.qemu_rounds // 4, 1)):
        for name, way in ways.items():
            samples[name][number] = way()
    return samples


def _children(command: list[str | Path], made: Path) -> float:
    """The seconds of a command's processes; what it MADE is removed."""
    before = _used(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = _used(resource.RUSAGE_CHILDREN)
    shutil.rmtree(made, ignore_errors=True)
    return after - before


def _applied(oracle: Path, root: Path, blob: Path) -> float:
    root.mkdir()
    return _children([oracle, root, blob], root)


def _used(whose: int) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def _raw(bench: Bench, blob: Path, coding: str) -> float:
    used = _decoded_and_hashed(blob, coding)
    began = time.process_time()
    for path in ARTIFACTS:
        hashlib.sha256(bench.reference.backing[path].read_bytes())
    return used + time.process_time() - began


def _decoded_and_hashed(blob: Path, coding: str) -> float:
    began = time.process_time()
    before = _used(resource.RUSAGE_CHILDREN)
    hashed = hashlib.sha256()
    if coding == "gzip":
        _inflate(blob, hashed.update)
    else:
        command = ["zstd", "-dcq", blob] if coding else ["cat", blob]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            while piece := os.read(process.stdout.fileno(), MIB):
                hashed.update(piece)
    return time.process_time() - began + _used(resource.RUSAGE_CHILDREN) - before


def _inflate(blob: Path, take: Callable[[bytes], object]) -> None:
    """All members."""
    with blob.open("rb") as stream:
        left = b""
        unpacker = zlib.decompressobj(31)
        while piece := left or stream.read(64 << 10):
            take(unpacker.decompress(piece))
            left = unpacker.unused_data
            if unpacker.eof:
                unpacker = zlib.decompressobj(31)
