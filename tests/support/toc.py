# SPDX-License-Identifier: Apache-2.0
"""Layer blobs with a table of contents, zstd:chunked and eStargz, made of plain archives.

As github.com/containers/storage and github.com/containerd/stargz-snapshotter make them, but for the
compression, which is weak, and the order of an eStargz, which stays. `tests/oracle/long --tables`
uses theirs (Maker).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from .archive import BLOCK, END, file, skippable
from .build import SOURCE

CHUNKED = "io.github.containers.zstd-chunked."
ESTARGZ = "containerd.io/snapshot/stargz/toc.digest"
# As small as the pieces can be that a file is cut into, so that small files have several.
PIECE = 4096

TYPES = {b"0": "reg", b"1": "hardlink", b"2": "symlink", b"3": "char", b"4": "block", b"5": "dir",
         b"6": "fifo"}  # fmt: skip


class Unmakeable(Exception):
    """An archive that the makers refuse, too."""


class Entry(NamedTuple):
    """A file of an archive: all that stands before its content, what that says, and the content."""

    head: bytes
    fields: dict[str, Any]
    content: bytes


class Blob(NamedTuple):
    content: bytes
    annotations: dict[str, str]
    plain: bytes
    """What it decodes to."""
    table: bytes
    """The JSON."""


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    return int(field.strip(b"\0 ") or b"0", 8)


def _text(field: bytes) -> str:
    """As Go's JSON has it: bytes that are no UTF-8 are lost."""
    return field.split(b"\0")[0].decode("utf-8", "replace")


def _records(content: bytes) -> dict[bytes, bytes]:
    found = {}
    while content:
        length, _, rest = content.partition(b" ")
        size = int(length) - len(length) - 1
        record = rest[:size]
        key, _, value = record[:-1].partition(b"=")
        if len(record) < size or not record.endswith(b"\n") or (key in (b"path", b"linkpath") and b"\0" in value):
            raise Unmakeable("no record")
        found[key] = value
        content = content[int(length) :]
    return found


def _time(seconds: int, nanoseconds: int = 0) -> str:
    try:
        at = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    except (OverflowError, ValueError) as error:
        raise Unmakeable(f"{seconds} s: no date") from error
    return at + (f".{nanoseconds:09d}".rstrip("0") if nanoseconds else "") + "Z"


def _entry(block: bytes, ahead: dict[bytes, bytes]) -> dict[str, Any]:
    """What a header says, with what was said ahead of it."""
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    name = (prefix + "/" if prefix else "") + _text(block[:100])
    name = _text(ahead[b"path"]) if ahead.get(b"path") else name
    typ = block[156:157]
    if typ == b"\0":
        typ = b"5" if name.endswith("/") else b"0"
    if typ not in TYPES:
        raise Unmakeable(f"type {typ!r}")
    seconds, _, fraction = ahead.get(b"mtime", b"%d" % _number(block[136:148])).partition(b".")
    return {
        "type": TYPES[typ],
        "name": name,
        "linkName": _text(ahead.get(b"linkpath") or block[157:257]),
        "mode": _number(block[100:108]),
        "size": int(ahead.get(b"size", _number(block[124:136]))) if typ == b"0" else 0,
        "uid": int(ahead.get(b"uid", _number(block[108:116]))),
        "gid": int(ahead.get(b"gid", _number(block[116:124]))),
        "time": (int(seconds), int((fraction.decode() + "0" * 9)[:9])),
    }


def _checked(block: bytes) -> bytes:
    """A header; what is none ends an archive for the makers."""
    summed = block[:148] + b" " * 8 + block[156:]
    sums = sum(summed), sum(byte - 256 if byte > 127 else byte for byte in summed)
    if len(block) < BLOCK or _number(block[148:156]) not in sums:
        raise Unmakeable("no header")
    return block


def entries(archive: bytes) -> Iterator[Entry]:
    at, head, pax, gnu = 0, b"", {}, {}
    while archive[at : at + BLOCK].strip(b"\0"):
        begin, block = at, _checked(archive[at : at + BLOCK])
        typ, size, at = block[156:157], _number(block[124:136]), at + BLOCK
        if typ in (b"x", b"L", b"K"):
            if size > 1 << 20:
                raise Unmakeable("too large")
            content = archive[at : at + size]
            if typ == b"x":
                pax = _records(content)
            elif content.strip(b"\0"):
                gnu[b"path" if typ == b"L" else b"linkpath"] = content.split(b"\0")[0]
            at += size + -size % BLOCK
            head += archive[begin:at]
            continue
        fields = _entry(block, {**pax, **gnu})
        size = fields["size"]
        if not 0 <= size <= len(archive) - at:
            raise Unmakeable("cut")
        yield Entry(head + block, fields, archive[at : at + size])
        at += size + -size % BLOCK
        head, pax, gnu = b"", {}, {}


def _listed(fields: dict[str, Any], time: str) -> dict[str, Any]:
    kept = {key: value for key, value in fields.items() if value and key != "time"}
    return {**kept, **({"modtime": time} if time else {})}


def zstd_frame(content: bytes) -> bytes:
    """A frame of zstd that holds CONTENT as it is."""
    frame = struct.pack("<IBQ", 0xFD2FB528, 0xE0, len(content))
    pieces = [content[at : at + (128 << 10)] for at in range(0, len(content), 128 << 10)] or [b""]
    for number, piece in enumerate(pieces):
        last = number == len(pieces) - 1
        frame += struct.pack("<I", len(piece) << 3 | last)[:3] + piece
    return frame


def chunked(
    archive: bytes, pack: Callable[[bytes], bytes] = zstd_frame, piece_size: int = PIECE
) -> Blob:
    """A zstd:chunked, whose frames PACK makes."""
    blob, plain, listed, padding = bytearray(), bytearray(), [], b""
    for entry in entries(archive):
        before = padding + entry.head
        padding = b"\0" * (-len(entry.content) % BLOCK)
        plain += before + entry.content
        blob += pack(before)
        item = _listed(entry.fields, _time(*entry.fields["time"]))
        listed.append(item)
        if not entry.content:
            continue
        item.update(digest=digest(entry.content), offset=len(blob))
        for at in range(0, len(entry.content), piece_size):
            piece = entry.content[at : at + piece_size]
            if at > 0:
                listed.append({"type": "chunk", "name": item["name"], "chunkOffset": at,
                               "offset": len(blob), "chunkSize": len(piece),
                               "chunkDigest": digest(piece)})  # fmt: skip
            blob += pack(piece)
        item["endOffset"] = len(blob)
    blob += zstd_frame(padding + END)
    table = json.dumps({"version": 1, "entries": listed}).encode()
    return with_chunked_table(bytes(blob), bytes(plain + padding + END), table)


def with_chunked_table(blob: bytes, plain: bytes, table: bytes) -> Blob:
    packed = zstd_frame(table)
    at = len(blob) + 8
    split = zstd_frame(base64.b64encode(b"tar-split"))
    blob += skippable(packed) + skippable(split)
    footer = [at, len(packed), len(table), 1, at + len(packed) + 8, len(split), 9]
    blob += skippable(struct.pack("<7Q", *footer) + b"GNUlInUx")
    annotations = {
        CHUNKED + "manifest-checksum": digest(packed),
        CHUNKED + "manifest-position": f"{at}:{len(packed)}:{len(table)}:1",
    }
    return Blob(blob, annotations, plain, table)


def estargz(archive: bytes, level: int = 1, piece_size: int = PIECE) -> Blob:
    """An eStargz, compressed by LEVEL."""
    blob, plain, listed, pending = bytearray(), bytearray(), [], b""
    for entry in entries(archive):
        pending += entry.head
        seconds, nanoseconds = entry.fields["time"]
        seconds += nanoseconds >= 5 * 10**8
        item = _listed(entry.fields, _time(seconds) if seconds else "")
        listed.append(item)
        if item["type"] == "reg":
            item["digest"] = digest(entry.content)
        for at in range(0, len(entry.content), piece_size):
            blob += gzip.compress(pending, level)
            plain += pending
            pending = entry.content[at : at + piece_size]
            if at > 0:
                item = {"type": "chunk", "name": item["name"], "chunkOffset": at}
                listed.append(item)
            item.update(offset=len(blob), chunkSize=len(pending), chunkDigest=digest(pending))
        pending += b"\0" * (-len(entry.content) % BLOCK)
    blob += gzip.compress(pending, level)
    table = json.dumps({"version": 1, "entries": listed}, indent="\t").encode()
    return with_estargz_table(bytes(blob), bytes(plain + pending), table)


def with_estargz_table(blob: bytes, plain: bytes, table: bytes) -> Blob:
    """PLAIN is what BLOB decodes to, which is all but the table."""
    at = len(blob)
    last = file("stargz.index.json", table, mode=0, mtime=0) + END
    blob += gzip.compress(last, 1)
    extra = b"SG" + struct.pack("<H", 22) + b"%016xSTARGZ" % at
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff" + struct.pack("<H", len(extra)) + extra
    blob += head + b"\x01\0\0\xff\xff" + struct.pack("<II", zlib.crc32(b""), 0)
    return Blob(blob, {ESTARGZ: digest(table)}, plain + last, table)


MAKERS = {"zstd:chunked": chunked, "estargz": estargz}
FORMS = {"zstd:chunked": "chunked", "estargz": "estargz"}
"""As unpack-layers names them."""


class Maker:
    """Those programs' own code, built in DIRECTORY by the Go on PATH, which fetches it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.program = directory / "table-maker"
        subprocess.run(
            [shutil.which("go") or "go", "build", "-buildvcs=false", "-o", self.program, "."],
            cwd=SOURCE / "tests/tools/table-maker",
            env={**os.environ, "CGO_ENABLED": "0"},
            check=True,
        )

    def make(self, form: str, archive: bytes) -> Blob:
        """Its plain bytes are not said."""
        plain, out = self.directory / "archive", self.directory / "blob"
        plain.write_bytes(archive)
        done = subprocess.run([self.program, form, plain, out], capture_output=True, check=False)
        if done.returncode:
            raise Unmakeable(done.stderr.decode(errors="replace"))
        content = out.read_bytes()
        return Blob(content, json.loads(done.stdout), b"", _table(form, content))


def _table(form: str, content: bytes) -> bytes:
    """As the blob's own footer says where it is."""
    if form == "estargz":
        at = int(content[-35:-19], 16)
        plain = zlib.decompressobj(31).decompress(content[at:])
        return plain[BLOCK : BLOCK + _number(plain[124:136])]
    if content[-8:] != b"GNUlInUx":
        raise Unmakeable("no footer")
    at, size, _ = struct.unpack("<3Q", content[-64:-40])
    packed = content[at : at + size]
    return subprocess.run(["zstd", "-dcq"], input=packed, capture_output=True, check=True).stdout
