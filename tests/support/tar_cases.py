# SPDX-License-Identifier: Apache-2.0
"""Layers that are hard to unpack: each rule of archives, whiteouts, links and compression by a case.

A case is some layers, the lowest first, as the bytes of their blobs. What they unpack to is what
containerd's applier makes of them (layers.Oracle); nothing is said of it here.
"""

from __future__ import annotations

import random
import struct
import zlib
from typing import NamedTuple

from .archive import (END, directory, field, file, gnu_name, gzipped, hard_link, header, padded,
                      pax, skippable, symlink, zstandard)  # fmt: skip


class Case(NamedTuple):
    about: str
    layers: list[bytes]


CASES: dict[str, Case] = {}


def case(name: str, about: str, *layers: bytes | tuple[bytes, bytes], **_: object) -> None:
    """A layer is ended as archives are, unless its end is given with it."""
    whole = [a + b for a, b in (x if isinstance(x, tuple) else (x, END) for x in layers)]
    CASES[name] = Case(about, whole)


def raw(layer: bytes) -> tuple[bytes, bytes]:
    return layer, b""


# fmt: off
B = file('a', 'B') + file('b', 'B') + directory('d/') + file('d/x', 'B') + file('d/y', 'B')   # the usual bottom layer

# --- whiteouts
case('w01', 'whiteout of a file', B, file('.wh.a', ''))
case('w02', 'whiteout of a directory', B, file('.wh.d', ''))
case('w03', 'whiteout inside a directory, d/ entry present', B, directory('d/') + file('d/.wh.x', ''))
case('w04', 'the same without a d/ entry', B, file('d/.wh.x', ''))
case('w05', '.wh.a, then a', B, file('.wh.a', '') + file('a', 'T'))
case('w06', 'a, then .wh.a', B, file('a', 'T') + file('.wh.a', ''))
case('w07', '.wh.d, then d/ and d/z', B, file('.wh.d', '') + directory('d/') + file('d/z', 'T'))
case('w08', '.wh.d, then d/z without d/', B, file('.wh.d', '') + file('d/z', 'T'))
case('w09', 'd/, d/z, then .wh.d', B, directory('d/') + file('d/z', 'T') + file('.wh.d', ''))
case('w10', 'whiteout of what is not there', B, file('.wh.zz', '') + file('q/.wh.zz', ''))
case('w11', 'whiteout in the bottom layer', file('.wh.b', '') + file('a', 'B'))
case('w12', 'a, then .wh.a, all in the bottom layer', file('a', 'B') + file('.wh.a', '') + file('b', 'B'))
case('w13', 'whiteouts that are a directory and a symlink', B, directory('.wh.a/') + symlink('.wh.b', 'x'))
case('w14', 'whiteout with content', B, file('.wh.a', 'hello'))
case('w15', '".wh." alone', B, file('.wh.', '') + file('t', 'T'))
case('w15b', '".wh.."', B, file('.wh..', '') + file('t', 'T'))
case('w15c', '".wh..."', B, file('.wh...', '') + file('t', 'T'))
case('w16', 'AUFS names: .wh..wh.plnk/, .wh..wh.aufs, .wh..wh.foo', B, directory('.wh..wh.plnk/') + file('.wh..wh.plnk/7', 'P') + file('.wh..wh.aufs', '') + file('.wh..wh.foo', ''))
case('w17', 'a directory component that is a whiteout name: .wh.d/z', B, file('.wh.d/z', 'T'))
case('w18', 'whiteout below a symlinked directory of the lower layer', B + symlink('ln', 'd'), file('ln/.wh.x', ''))
case('w19', 'deleted, then new one layer up', B, file('.wh.a', ''), file('a', 'T'))
case('w20', 'whiteout entry with a trailing slash, type 0', B, header('.wh.d/', b'0'))
case('w21', 'whiteout, absolute and ./ names', B, file('/.wh.a', '') + file('./.wh.b', ''))
case('w22', 'dir deleted, remade one layer up', B, file('.wh.d', ''), directory('d/') + file('d/z', 'T'))
case('w23', 'a file below a deleted directory, same layer, d/ first', B, directory('d/') + file('.wh.d', '') + file('d/z', 'T'))
case('w24', 'three layers: T adds d/z, M deletes d, B has d/x', B, file('.wh.d', ''), file('d/z', 'T'))
case('w25', 'a, .wh.a, a again', B, file('a', '1') + file('.wh.a', '') + file('a', '2'))
case('w26', 'd/e/k without entries, then d/.wh.e', B, file('d/e/k', 'T') + file('d/.wh.e', ''))
# --- opaque
case('o01', 'opaque first', B, directory('d/') + file('d/.wh..wh..opq', '') + file('d/z', 'T'))
case('o02', 'opaque last', B, directory('d/') + file('d/z', 'T') + file('d/.wh..wh..opq', ''))
case('o03', 'opaque in the middle', B, directory('d/') + file('d/z', 'T') + file('d/.wh..wh..opq', '') + file('d/z2', 'T'))
case('o04', 'opaque without a d/ entry', B, file('d/.wh..wh..opq', '') + file('d/z', 'T'))
case('o05', 'opaque root', B, file('.wh..wh..opq', '') + file('z', 'T'))
case('o06', 'opaque root, last, ./ names', B, directory('./') + file('./z', 'T') + file('./.wh..wh..opq', ''))
case('o07', 'opaque directory over a lower file', B, directory('a/') + file('a/.wh..wh..opq', '') + file('a/z', 'T'))
case('o07b', 'the same without an a/ entry', B, file('a/.wh..wh..opq', '') + file('a/z', 'T'))
case('o08', 'opaque in the bottom layer', directory('d/') + file('d/x', 'B') + file('d/.wh..wh..opq', '') + file('d/y', 'B'))
case('o09', 'opaque parent, same name deeper', B + directory('d/e/') + file('d/e/k', 'B'), directory('d/') + file('d/.wh..wh..opq', '') + directory('d/e/') + file('d/e/t', 'T'))
case('o10', 'opaque mark that is a directory entry', B, directory('d/') + directory('d/.wh..wh..opq/') + file('d/z', 'T'))
case('o11', 'opaque through a symlinked lower directory', B + symlink('ln', 'd'), file('ln/.wh..wh..opq', '') + file('ln/z', 'T'))
case('o12', 'opaque after a same-layer file that also was below', B, file('d/x', 'T') + file('d/.wh..wh..opq', ''))
case('o13', 'opaque below a whiteout name: d deleted and opaque', B, file('.wh.d', '') + file('d/.wh..wh..opq', '') + file('d/z', 'T'))
case('o14', 'opaque last, the layer has d/e/k without a d/e/ entry', B, directory('d/') + file('d/e/k', 'T') + file('d/.wh..wh..opq', ''))
case('o15', 'the same with a d/e/ entry', B, directory('d/') + directory('d/e/') + file('d/e/k', 'T') + file('d/.wh..wh..opq', ''))
case('o16', 'opaque twice, with a file between', B, directory('d/') + file('d/.wh..wh..opq', '') + file('d/z', 'T') + file('d/.wh..wh..opq', ''))
# --- hard links
case('h01', 'link in one layer', file('a', 'B') + hard_link('b', 'a'))
case('h02', 'link to a file of the lower layer', B, hard_link('k', 'd/x'))
case('h03', 'link before its target', hard_link('b', 'a') + file('a', 'B'))
case('h04', '.wh.a, then link to lower a', B, file('.wh.a', '') + hard_link('k', 'a'))
case('h05', 'link to lower a, then .wh.a (a rename)', B, hard_link('k', 'a') + file('.wh.a', ''))
case('h06', 'link to a symlink', file('a', 'B') + symlink('s', 'a') + hard_link('k', 's'))
case('h07', 'link to a directory', B, hard_link('k', 'd'))
case('h08', 'link targets /a, ./a, ../a', file('a', 'B') + hard_link('k1', '/a') + hard_link('k2', './a') + hard_link('k3', '../a'))
case('h09', 'link entry with a size and data', file('a', 'B') + hard_link('k', 'a', size=5) + padded(b'hello') + file('z', 'Z'))
case('h09b', 'link entry with a size and no data', file('a', 'B') + hard_link('k', 'a', size=5) + file('z', 'Z'))
case('h10', 'link over a replaced lower file', B, file('a', 'T') + hard_link('k', 'a'))
case('h11', 'link, then the target again', file('a', '1') + hard_link('k', 'a') + file('a', '2'))
case('h12', 'link to itself', file('a', 'B') + hard_link('a', 'a'))
case('h13', 'link over a symlinked directory', B + symlink('ln', 'd'), hard_link('k', 'ln/x'))
case('h14', 'link of a link of a lower file', B, hard_link('k', 'a') + hard_link('k2', 'k'))
case('h15', 'link to nothing', file('a', 'B') + hard_link('k', 'nope'))
case('h16', 'link to what a middle layer deleted', B, file('.wh.a', ''), hard_link('k', 'a'))
case('h17', 'link named by PAX linkpath and by K', file('a' * 90 + '/' + 'b' * 90, 'B', ) if 0 else pax(('path', 'p' * 150)) + file('p', 'B') + pax(('linkpath', 'p' * 150)) + hard_link('k', 'p') + gnu_name('p' * 150, b'K') + hard_link('k2', 'p'))
case('h18', 'link in an upper layer to a file whose other name is deleted there', file('a', 'B') + hard_link('b', 'a'), file('.wh.a', '') + hard_link('c', 'b'))
case('h19', 'link entry with another mode and owner than its target', file('a', 'B') + hard_link('k', 'a', mode=0o600, uid=7, gid=8))
case('h20', 'the same, target in the lower layer', B, hard_link('k', 'a', mode=0o600, uid=7, gid=8))
case('h21', 'link to a file behind an absolute symlink in its last component', file('t', 'B') + symlink('s', '/t') + hard_link('k', 's') + file('z', 'Z'))
# --- duplicates
case('d10', 'directory with content, then a symlink of that name, then a file through it', directory('d/') + file('d/x', '1') + directory('e/') + symlink('d', 'e') + file('d/y', '2'))
case('d01', 'file twice', file('a', '1') + file('a', '2'))
case('d02', 'file, then directory', file('a', '1') + directory('a/') + file('a/x', '2'))
case('d03', 'directory with content, then file', directory('a/') + file('a/x', '1') + file('a', '2'))
case('d04', 'directory, content, directory again with another mode', directory('d/', 0o700) + file('d/x', '1') + directory('d/', 0o711))
case('d05', 'file, then symlink', file('a', '1') + file('b', 'B') + symlink('a', 'b'))
case('d06', 'symlink, then file of that name: the target must not change', file('b', 'B') + symlink('a', 'b') + file('a', '2'))
case('d07', 'symlink to a directory, then a directory entry of that name', directory('r/') + file('r/x', 'B') + symlink('ln', 'r') + directory('ln/') + file('ln/z', 'T'))
case('d08', 'file under three spellings', file('a', '1') + file('./a', '2') + file('/a', '3'))
case('d09', 'empty directory, then symlink', directory('a/') + file('b', 'B') + symlink('a', 'b'))
# --- names
case('n01', './a', directory('./') + file('./a', 'B'))
case('n02', '/a (bima writes these)', file('/a', 'B'))
case('n03', '//a and d//x and d/./x', file('//a', 'B') + directory('d/') + file('d//x', '1') + file('d/./y', '2'))
case('n04', '../a', file('../a', 'B') + file('z', 'Z'))
case('n05', 'd/../a', directory('d/') + file('d/../a', 'B'))
case('n05b', 'nope/../a', file('nope/../a', 'B'))
case('n06', 'type 0 with a trailing slash', header('a/', b'0') + file('z', 'Z'))
case('n06b', 'type NUL with a trailing slash (old tar: a directory)', header('a/', b'\0') + file('z', 'Z'))
case('n06c', 'type 0, trailing slash, with data', file('a/', 'data') + file('z', 'Z'))
case('n07', 'root entries with attributes: ./, /, .', directory('./', 0o700, uid=5) + directory('/', 0o711, uid=6) + directory('.', 0o500) + file('z', 'Z'))
case('n08', 'empty name', file('', 'E') + file('z', 'Z'))
case('n09', 'not UTF-8', file(b'caf\xe9', 'B') + pax(('path', b'na\xefve')) + file('n', 'P'))
case('n10', 'newline, backslash, tab, star in names', file('a\nb', '1') + file('c\\d', '2') + file('e\tf', '3') + file('*', '4'))
case('n11', 'name of exactly 100 bytes; ustar prefix', file('n' * 100, '1') + file('x', '2', prefix=b'pre/fix'))
case('n12', '255 bytes by L', gnu_name('n' * 255) + file('n', 'B'))
case('n13', '256 bytes by L', gnu_name('n' * 256) + file('n', 'B') + file('z', 'Z'))
case('n14', 'path of 4500 bytes by PAX', pax(('path', '/'.join(['p' * 99] * 45))) + file('n', 'B') + file('z', 'Z'))
case('n15', 'PAX path with a NUL', pax(('path', b'a\0b')) + file('n', 'B') + file('z', 'Z'))
case('n16', 'empty PAX path', pax(('path', '')) + file('n', 'B') + file('z', 'Z'))
case('n17', 'old V7 header, bytes where ustar has its prefix', file('a', 'B', magic=b'\0' * 8, tail=b'garbage') + file('z', 'Z'))
case('n18', 'GNU magic, times where ustar has its prefix', file('a', 'B', magic=b'ustar  \0', tail=b'14567012345\00014567012345\0') + file('z', 'Z'))
case('n19', 'header name with bytes behind its NUL', header(b'a\0junk', b'0', 1) + padded(b'B'))
case('n20', 'only /, ./ and nothing else', directory('/') + directory('./'))
# --- types and extended headers
case('t01', 'global PAX header with path and size', pax(('path', 'gpath'), ('comment', 'c'), typ=b'g') + file('a', 'B') + file('b', 'B'))
case('t01b', 'global PAX header with uid', pax(('uid', '77'), typ=b'g') + file('a', 'B'))
case('t02', 'two PAX headers in a row', pax(('path', 'p1')) + pax(('mtime', '5.5')) + file('a', 'B') + file('b', 'B'))
case('t03', 'L then K then symlink', gnu_name('n' * 150) + gnu_name('t' * 150, b'K') + symlink('n', 't') + file('z', 'Z'))
case('t04', 'PAX path and L for one entry', pax(('path', 'pax')) + gnu_name('gnu') + file('a', 'B') + file('z', 'Z'))
case('t04b', 'L and PAX path for one entry', gnu_name('gnu') + pax(('path', 'pax')) + file('a', 'B') + file('z', 'Z'))
case('t05', 'type 7 (contiguous)', file('a', 'B', typ=b'7') + file('z', 'Z'))
case('t06', 'unknown type Z with data', file('a', 'data', typ=b'Z') + file('z', 'Z'))
for i, t in enumerate((b'D', b'M', b'V', b'N', b'A', b'X', b'E', b'I')): case('t07' + t.decode(), f'type {t.decode()} with data', file('a', 'data', typ=t) + file('z', 'Z'))
case('t08', 'char device 0:0 over a lower file', B, header('a', b'3', 0, dev=(0, 0)))
case('t09', 'char 1:3, block 0:0, FIFO', header('n', b'3', 0, dev=(1, 3)) + header('k', b'4', 0, dev=(0, 0)) + header('p', b'6', 0))
case('t10', 'symlink with a size and data', file('b', 'B') + header('s', b'2', 5, 0o777, link=b'b') + padded(b'hello') + file('z', 'Z'))
case('t11', 'directory with a size and data', header('q/', b'5', 5, 0o755) + padded(b'hello') + file('z', 'Z'))
case('t12', 'long name as the last thing in the archive', file('a', 'B') + gnu_name('dangling'))
case('t13', 'PAX header as the last thing in the archive', file('a', 'B') + pax(('path', 'dangling')))
case('t14', 'L applied to a global header', gnu_name('nn') + pax(('comment', 'c'), typ=b'g') + file('a', 'B'))
# sparse
def sparse_gnu(name, exts, real, data, more=()):
    h = bytearray(header(name, b'S', len(data), magic=b'ustar  \0'))
    for i, (o, n) in enumerate(exts[:4]): h[386 + 24 * i:410 + 24 * i] = field(o, 12) + field(n, 12)
    h[482] = 1 if more else 0
    h[483:495] = field(real, 12); h[148:156] = b' ' * 8; h[148:156] = b'%06o\0 ' % sum(h)
    e = b''
    if more:
        q = bytearray(512)
        for i, (o, n) in enumerate(more): q[24 * i:24 * i + 24] = field(o, 12) + field(n, 12)
        e = bytes(q)
    return bytes(h) + e + padded(data)
case('s01', 'GNU sparse: 4 KiB hole, 512 data, hole to 16 KiB', sparse_gnu('a', [(4096, 512), (16384, 0)], 16384, b'D' * 512) + file('z', 'Z'))
case('s02', 'GNU sparse with an extension block', sparse_gnu('a', [(i * 4096, 512) for i in range(4)], 24576, b'D' * 512 * 6, [(16384, 512), (20480, 512), (24576, 0)]) + file('z', 'Z'))
case('s03', 'PAX sparse 0.0', pax(('GNU.sparse.size', '16384'), ('GNU.sparse.numblocks', '2'), ('GNU.sparse.offset', '4096'), ('GNU.sparse.numbytes', '512'), ('GNU.sparse.offset', '16384'), ('GNU.sparse.numbytes', '0')) + file('a', b'D' * 512) + file('z', 'Z'))
case('s04', 'PAX sparse 0.1', pax(('GNU.sparse.name', 'real'), ('GNU.sparse.size', '16384'), ('GNU.sparse.numblocks', '2'), ('GNU.sparse.map', '4096,512,16384,0')) + file('GNUSparseFile.0/a', b'D' * 512) + file('z', 'Z'))
case('s05', 'PAX sparse 1.0', pax(('GNU.sparse.major', '1'), ('GNU.sparse.minor', '0'), ('GNU.sparse.name', 'real'), ('GNU.sparse.realsize', '16384')) + file('GNUSparseFile.0/a', padded(b'2\n4096\n512\n16384\n0\n') + b'D' * 512) + file('z', 'Z'))
case('s06', 'GNU sparse, extents overlap', sparse_gnu('a', [(0, 1024), (512, 512)], 16384, b'D' * 1536) + file('z', 'Z'))
case('s07', 'GNU sparse, extent beyond the real size', sparse_gnu('a', [(16384, 512)], 8192, b'D' * 512) + file('z', 'Z'))
case('s08', 'PAX sparse 1.0, real size 8 GiB, no data', pax(('GNU.sparse.major', '1'), ('GNU.sparse.minor', '0'), ('GNU.sparse.name', 'real'), ('GNU.sparse.realsize', str(1 << 33))) + file('GNUSparseFile.0/a', padded(b'1\n8589934592\n0\n')) + file('z', 'Z'))
# --- sizes, sums
case('z01', 'PAX size over a header size of 0', pax(('size', '5')) + header('a', b'0', 0) + padded(b'hello') + file('z', 'Z'))
case('z02', 'base-256 size', header('a', b'0', rawsize=b'\x80' + (5).to_bytes(11, 'big')) + padded(b'hello') + file('z', 'Z'))
case('z03', 'size with leading spaces and no NUL', header('a', b'0', rawsize=b'          5 ') + padded(b'hello') + file('z', 'Z'))
case('z04', 'negative base-256 size', header('a', b'0', rawsize=b'\xff' * 12) + file('z', 'Z'))
case('z05', 'PAX size of 9 GiB, then the end', raw(pax(('size', str(9 << 30))) + header('a', b'0', 0) + padded(b'hello')))
case('z06', 'size with a digit 9', header('a', b'0', rawsize=b'00000000009\0') + file('z', 'Z'))
case('z07', 'empty size field', header('a', b'0', rawsize=b'\0' * 12) + file('z', 'Z'))
case('z08', 'PAX size on a hard link', file('a', 'B') + pax(('size', '5')) + hard_link('k', 'a') + file('z', 'Z'))
case('z09', 'PAX size negative', pax(('size', '-5')) + header('a', b'0', 0) + file('z', 'Z'))
case('z10', 'wrong checksum', file('a', 'B') + header('b', b'0', 1, badsum=1) + padded(b'B') + file('z', 'Z'))
case('z11', 'checksum over signed bytes', file(b'\xe9', 'B', signed=1) + file('z', 'Z'))
# --- ends
case('e01', 'no end-of-archive', raw(file('a', 'B')))
case('e02', 'one zero block at the end', (file('a', 'B'), b'\0' * 512))
case('e03', 'one zero block, then entries', file('a', 'B') + b'\0' * 512 + file('b', 'B'))
case('e04', 'two zero blocks, then entries', file('a', 'B') + b'\0' * 1024 + file('b', 'B'))
case('e05', 'garbage behind the end', (file('a', 'B'), END + b'garbage' * 100))
case('e06', 'cut in a header', raw(file('a', 'B') + header('b')[:300]))
case('e07', 'cut in the data', raw(file('a', 'B') + header('b', b'0', 2000) + b'x' * 700))
case('e08', 'cut in the padding', raw(file('a', 'B') + header('b', b'0', 5) + b'hello'))
case('e09', 'no byte at all', raw(b''))
case('e10', 'two zero blocks and nothing else', b'')
case('e11', 'zero blocks first, then entries', b'\0' * 1024 + file('a', 'B'))
case('e12', 'garbage only', raw(b'this is no archive ' * 60))
case('e13', 'a name of zeros but a valid header later: one zero block first', b'\0' * 512 + file('a', 'B'))
# --- compression
T = file('a', 'B') + file('b', 'B' * 3000) + file('z', 'Z') + END
case('g01', 'gzip, three members, cut inside a header', raw(gzipped(T[:300]) + gzipped(T[300:1500]) + gzipped(T[1500:])))
case('g02', 'gzip, garbage behind', raw(gzipped(T) + b'garbage'))
case('g03', 'gzip, zeros behind', raw(gzipped(T) + b'\0' * 1000))
case('g04', 'gzip, trailer cut off', raw(gzipped(T)[:-5]))
case('g05', 'gzip, wrong CRC', raw(gzipped(T)[:-8] + b'\1\2\3\4' + gzipped(T)[-4:]))
case('g06', 'gzip with FEXTRA, FNAME, FCOMMENT, FHCRC', raw((lambda hd: hd + struct.pack('<H', zlib.crc32(hd) & 0xffff))(b'\x1f\x8b\x08\x1e\0\0\0\0\0\x03\x03\0abcname\0comment\0') + gzipped(T)[10:]))
case('g07', 'gzip of nothing', raw(gzipped(b'')))
case('g08', 'gzip, the tar ends in the first member, another tar in the second', raw(gzipped(T) + gzipped(file('later', 'L') + END)))
case('g09', 'gzip cut in the middle, after z is complete', raw(gzipped(T + random.Random(9).randbytes(4000))[:-2000]))
case('g10', 'gzip in gzip', raw(gzipped(gzipped(T))))
case('g11', 'gzip said, plain tar given', raw(T), kind=['gzip'])
case('g12', 'plain said, gzip given', raw(gzipped(T)), kind=['tar'])
case('g13', 'gzip said, zstd given', raw(zstandard(T)), kind=['gzip'])
case('g14', 'zstd said, gzip given', raw(gzipped(T)), kind=['zstd'])
case('g15', 'gzip, wrong length in the trailer', raw(gzipped(T)[:-4] + b'\1\2\3\4'))
case('c01', 'zstd, three frames', raw(zstandard(T[:300]) + zstandard(T[300:1500]) + zstandard(T[1500:])))
case('c02', 'zstd, skippable frame first', raw(skippable(b'hi') + zstandard(T)))
case('c03', 'zstd, skippable frames between and last', raw(zstandard(T[:600]) + skippable(b'hi', 5) + zstandard(T[600:]) + skippable(b'bye', 15)))
case('c04', 'zstd, garbage behind', raw(zstandard(T) + b'garbage!'))
case('c05', 'zstd, cut off', raw(zstandard(T)[:-9]))
case('c06', 'zstd, wrong checksum', raw(zstandard(T, '--check')[:-4] + b'\1\2\3\4'))
Z = T[:-1024] + file('big', b'q' * (3 << 20)) + END
case('c07', 'zstd, window 128 MiB (--long=27)', raw(zstandard(Z, '--long=27', '--no-content-size')))
case('c08', 'zstd, window 256 MiB (--long=28)', raw(zstandard(Z, '--long=28', '--no-content-size')))
case('c09', 'zstd, window 2 GiB (--long=31)', raw(zstandard(Z, '--ultra', '--long=31', '--no-content-size')))
case('c10', 'zstd, the tar ends in the first frame, another tar in the second', raw(zstandard(T) + zstandard(file('later', 'L') + END)))
case('c11', 'zstd, empty frame only', raw(zstandard(b'')))
case('c12', 'zstd, wrong checksum behind the end of the tar', raw(zstandard(T) + zstandard(b'more', '--check')[:-4] + b'\1\2\3\4'))
# --- parents and replaced kinds
case('p01', 'missing parents', file('m/n/o', 'B'))
case('p02', 'a file as parent, one layer', file('a', 'B') + file('a/x', 'T') + file('z', 'Z'))
case('p03', 'a lower file as parent', B, file('a/x', 'T'))
case('p04', 'a lower file, then a/ and a/x', B, directory('a/') + file('a/x', 'T'))
case('p05', 'a symlink as parent, one layer', directory('r/') + symlink('ln', 'r') + file('ln/x', 'T'))
case('p06', 'a lower symlink as parent', B + symlink('ln', 'd'), file('ln/z', 'T'))
case('p07', 'an absolute lower symlink as parent', B + symlink('ln', '/d'), file('ln/z', 'T'))
case('p08', 'a symlink that climbs out, as parent', directory('etc/') + symlink('ln', '../../../etc') + file('ln/z', 'T'))
case('p08b', 'the same from below', directory('etc/') + symlink('ln', '../../../etc'), file('ln/z', 'T'))
case('p09', 'a dangling symlink as parent', symlink('ln', 'nope') + file('ln/z', 'T'))
case('p09b', 'the same from below', symlink('ln', 'nope'), file('ln/z', 'T'))
case('p10', 'a symlink loop as parent', symlink('l1', 'l2') + symlink('l2', 'l1') + file('l1/z', 'T'))
case('p11', 'merged /usr: lower lib -> usr/lib; upper lib/ and lib/z', directory('usr/') + directory('usr/lib/') + file('usr/lib/u', 'B') + symlink('lib', 'usr/lib'), directory('lib/') + file('lib/z', 'T'))
case('p12', 'a directory replaced by a symlink', B + directory('e/') + file('e/k', 'B'), symlink('d', 'e'))
case('p13', 'a directory replaced by a file', B, file('d', 'T'))
case('p14', 'a file replaced by a directory', B, directory('a/') + file('a/z', 'T'))
case('p15', 'directory attributes replaced, children merged', B, directory('d/', 0o700, uid=5))
case('p16', 'set-uid, sticky, foreign owners', file('a', 'B', mode=0o4755, uid=70000, gid=2097151) + directory('t/', 0o1777))
case('p17', 'a symlink to a file as parent', file('a', 'B') + symlink('ln', 'a') + file('ln/x', 'T') + file('z', 'Z'))
case('p18', 'symlink two levels up as parent, and ..: ln -> d/e; ln/../z', directory('d/') + directory('d/e/') + symlink('ln', 'd/e') + file('ln/../z', 'T'))
case('p19', 'a lower symlink to a file, replaced by a file', B + symlink('s', 'a'), file('s', 'T'))
case('p20', 'symlink of an upper layer as parent of a lower file: T d -> e', B, symlink('q', 'd') + file('q/z', 'T'))
# --- xattrs, PAX oddities
case('x01', 'SCHILY.xattr.user.foo', pax(('SCHILY.xattr.user.foo', 'bar')) + file('a', 'B'))
case('x02', 'SCHILY.xattr.trusted.overlay.opaque=y on a directory', B, pax(('SCHILY.xattr.trusted.overlay.opaque', 'y')) + directory('d/') + file('d/z', 'T'))
case('x03', 'SCHILY.xattr.user.overlay.opaque=y on a directory', B, pax(('SCHILY.xattr.user.overlay.opaque', 'y')) + directory('d/') + file('d/z', 'T'))
case('x04', 'LIBARCHIVE.xattr', pax(('LIBARCHIVE.xattr.user.foo', 'YmFy')) + file('a', 'B'))
case('x05', 'PAX uid and mtime with fractions', pax(('uid', '4000000'), ('mtime', '1700000001.123456789')) + file('a', 'B'))
case('x06', 'malformed PAX record', pax(raw=b'99 path=short\n') + file('a', 'B') + file('z', 'Z'))
case('x07', 'PAX path climbs: ../p', pax(('path', '../p')) + file('a', 'B') + file('z', 'Z'))
case('x08', 'PAX hdrcharset=BINARY', pax(('hdrcharset', 'BINARY'), ('path', b'\xff\xfe')) + file('a', 'B') + file('z', 'Z'))
case('x09', 'PAX record of 2 MiB', pax(('comment', 'c' * (2 << 20))) + file('a', 'B') + file('z', 'Z'))
case('x10', 'PAX path twice in one header', pax(('path', 'p1'), ('path', 'p2')) + file('a', 'B'))
case('x11', 'L of 2 MiB', gnu_name('d/' * (1 << 20) + 'x') + file('a', 'B') + file('z', 'Z'))
case('x12', 'PAX path with a trailing slash on a file', pax(('path', 'dir/')) + file('a', 'B') + file('z', 'Z'))
case('x13', 'PAX record without newline', pax(raw=b'12 path=abc\0') + file('a', 'B') + file('z', 'Z'))
