# SPDX-License-Identifier: Apache-2.0
"""Tar archives by the byte, right or wrong on purpose, and compressed."""

from __future__ import annotations

import gzip
import struct
import subprocess

BLOCK = 512
END = b"\0" * 2 * BLOCK


def field(value: int, size: int) -> bytes:
    """A number as a header has it: octal, or base 256 where that cannot say it."""
    if value < 0:
        return value.to_bytes(size, "big", signed=True)
    if value < 8 ** (size - 1):
        return b"%0*o\0" % (size - 1, value)
    return b"\x80" + value.to_bytes(size - 1, "big")


def header(
    name: str | bytes, typ: bytes = b"0", size: int = 0, mode: int = 0o644, uid: int = 0,
    gid: int = 0, mtime: int = 1700000000, link: str | bytes = b"", magic: bytes = b"ustar\00000",
    prefix: bytes = b"", dev: tuple[int, int] = (0, 0), rawsize: bytes | None = None,
    badsum: int = 0, signed: int = 0, tail: bytes | None = None,
) -> bytes:  # fmt: skip
    """RAWSIZE is the size field as it is, BADSUM is added to the checksum, SIGNED sums signed bytes,
    TAIL is put where ustar has its prefix."""
    name = name.encode() if isinstance(name, str) else name
    link = link.encode() if isinstance(link, str) else link
    block = bytearray(BLOCK)
    block[0:100] = name[:100].ljust(100, b"\0")
    block[100:108] = field(mode, 8)
    block[108:116] = field(uid, 8)
    block[116:124] = field(gid, 8)
    block[124:136] = field(size, 12) if rawsize is None else rawsize
    block[136:148] = field(mtime, 12)
    block[148:156] = b" " * 8
    block[156:157] = typ
    block[157:257] = link[:100].ljust(100, b"\0")
    block[257:265] = magic
    if magic.startswith(b"ustar"):
        block[329:337] = field(dev[0], 8)
        block[337:345] = field(dev[1], 8)
    block[345 : 345 + len(prefix)] = prefix
    if tail is not None:
        block[345 : 345 + len(tail)] = tail
    total = sum(byte - 256 if signed and byte > 127 else byte for byte in block)
    block[148:156] = b"%06o\0 " % (total + badsum)
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % BLOCK)


def file(name: str | bytes, content: str | bytes = b"x", **how: object) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    typ, size = how.pop("typ", b"0"), how.pop("size", len(content))
    return header(name, typ, size, **how) + padded(content)  # type: ignore[arg-type]


def directory(name: str | bytes, mode: int = 0o755, **how: object) -> bytes:
    return header(name, b"5", 0, mode, **how)  # type: ignore[arg-type]


def symlink(name: str | bytes, to: str | bytes, **how: object) -> bytes:
    return header(name, b"2", 0, 0o777, link=to, **how)  # type: ignore[arg-type]


def hard_link(name: str | bytes, to: str | bytes, **how: object) -> bytes:
    return header(name, b"1", how.pop("size", 0), link=to, **how)  # type: ignore[arg-type]


def record(key: str | bytes, value: str | bytes) -> bytes:
    """One record of a PAX header, which begins with its own length."""
    key = key.encode() if isinstance(key, str) else key
    value = value.encode() if isinstance(value, str) else value
    length = len(key) + len(value) + 3
    while len(b"%d %s=%s\n" % (length, key, value)) != length:
        length = len(b"%d %s=%s\n" % (length, key, value))
    return b"%d %s=%s\n" % (length, key, value)


def pax(*records: tuple, typ: bytes = b"x", raw: bytes | None = None) -> bytes:
    content = b"".join(record(*one) for one in records) if raw is None else raw
    return header("PaxHeaders/x", typ, len(content)) + padded(content)


def gnu_name(name: str | bytes, typ: bytes = b"L") -> bytes:
    content = (name.encode() if isinstance(name, str) else name) + b"\0"
    return header("././@LongLink", typ, len(content), magic=b"ustar  \0") + padded(content)


def zstandard(content: bytes, *options: str) -> bytes:
    command = ["zstd", "-q", "-c", *options]
    return subprocess.run(command, input=content, stdout=subprocess.PIPE, check=True).stdout


def skippable(content: bytes, number: int = 0) -> bytes:
    return struct.pack("<II", 0x184D2A50 + number, len(content)) + content


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, 6, mtime=0)
