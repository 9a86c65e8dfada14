# SPDX-License-Identifier: Apache-2.0
"""Blobs that exceed a limit, or are damaged: each gets its code, in bounded time and memory.

What exceeds a limit of ours is ENOTAPPLICABLE, with the reason; what is damaged, or what containerd
refuses too, is ELAYER, with the blob's digest and the archive's entry.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import resource
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import machine
from support.archive import (BLOCK, END, directory, file, gnu_name, hard_link, header, pax,
                             skippable, symlink, zstandard)  # fmt: skip
from support.image import KERNEL, KERNEL_PATH
from support.layout import MANIFEST, OCI, Layout, digest, usual_layers
from support.resolver import build_directory
from support.stored import Store
from support.toc import Blob, zstd_frame
from support.view import Finished, program, run
from support.waiting import wait_until


TAR, GZIP, ZSTD = (OCI + "layer.v1.tar" + end for end in ("", "+gzip", "+zstd"))
ENTRIES = int(os.environ.get("VIEWFS_ENTRIES", 300_000))
"""Of a layer of very many; beyond a million it may be refused."""
BOMB_MIB = int(os.environ.get("VIEWFS_BOMB_MIB", 256))
MEMORY_MAX = 16 << 20
"""Bytes of each process, but for a window of zstd."""


def add(store: Store, layout: Layout, seconds: int = 60) -> Finished:
    options = f"{store.option},timeout={seconds}"
    words = "store", "add", "--json", f"--oci={layout.directory}", "-o", options
    return run(program("viewfsctl"), *words, seconds=seconds + 30)


def fails(finished: Finished, code: str, *naming: str) -> None:
    told = finished.told["error"]
    assert told["code"] == code, told
    for words in naming:
        assert words in told["message"], told


def with_blob(layout: Layout, content: bytes, media: str, plain: bytes = b"") -> str:
    """Lists the usual image with one more layer on top. Returns its digest."""
    layers = [Blob(layer, {}, layer, b"") for layer in usual_layers()]
    manifest = layout.image_of([*layers, Blob(content, {}, plain or content, b"")], media)
    layout.list(manifest)
    return digest(content)


@contextmanager
def watched() -> Iterator[list[int]]:
    """Appends the most memory that a process of viewfsctl had at any look."""
    most, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.005):
            for process in machine.processes():
                try:
                    most[0] = max(most[0], int(process.status("VmHWM").split()[0]) << 10)
                except (OSError, AssertionError):
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield most
    finally:
        ended.set()
        watcher.join()


# --------------------------------------------------------------------------------- the limits, by name


def test_a_manifest_of_more_than_4_mib_is_not_applicable(store: Store, layout: Layout) -> None:
    layout.list(layout.put(b'{"x":"' + b"y" * (4 << 20) + b'"}', MANIFEST))
    fails(add(store, layout), "ENOTAPPLICABLE", "larger than 4 MiB")


def test_a_manifest_of_too_many_layers_is_not_applicable(store: Store, layout: Layout) -> None:
    layer = Blob(END, {}, END, b"")
    layout.list(layout.image_of([layer] * 501, TAR))
    fails(add(store, layout), "ENOTAPPLICABLE", "500 layers")


def bomb(size: int, coding: str) -> tuple[bytes, int]:
    """A layer of one file of SIZE zeros, compressed as far as that goes."""
    head = header("zeros", b"0", size)
    if coding == "gzip":
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        parts = [packer.compress(head)]
        parts += [packer.compress(bytes(1 << 20)) for _ in range(size >> 20)]
        return b"".join([*parts, packer.compress(END), packer.flush()]), size
    # A block of zstd can stand for 128 KiB of one byte.
    block = struct.pack("<I", (128 << 10) << 3 | 1 << 1)[:3] + b"\0"
    frames = zstd_frame(head)
    for _ in range(size >> 20):
        frames += struct.pack("<IBQ", 0xFD2FB528, 0xE0, 1 << 20) + block * 7
        frames += struct.pack("<I", (128 << 10) << 3 | 1 << 1 | 1)[:3] + b"\0"
    return frames + zstd_frame(END), size


def plain_digest(size: int) -> str:
    hashed = hashlib.sha256(header("zeros", b"0", size))
    for _ in range(size >> 20):
        hashed.update(bytes(1 << 20))
    hashed.update(END)
    return "sha256:" + hashed.hexdigest()


@pytest.mark.takes_up_to(600)
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_bomb_takes_little_memory(store: Store, layout: Layout, coding: str) -> None:
    """Zeros are a layer as any other up to 64 GiB; nothing is kept of them."""
    content, size = bomb(BOMB_MIB << 20, coding)
    ids = [digest(layer) for layer in usual_layers()] + [plain_digest(size)]
    layers = [Blob(layer, {}, layer, b"") for layer in usual_layers()]
    layout.list(layout.image_of([*layers, Blob(content, {}, b"", b"")], GZIP, ids))
    with watched() as most:
        finished = add(store, layout, 60 + BOMB_MIB // 10)
    if BOMB_MIB < 64 << 10:
        assert finished.status == 0, finished
    else:
        fails(finished, "ENOTAPPLICABLE", "more than 64 GiB")
    assert 0 < most[0] < MEMORY_MAX


def test_an_artifact_of_more_than_4_gib_is_not_applicable(store: Store, layout: Layout) -> None:
    """A sparse one of no data: nothing is written of it."""
    sparse = (
        pax(("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", KERNEL_PATH),
            ("GNU.sparse.realsize", str((4 << 30) + 1)))
        + file("GNUSparseFile.0/k", b"1\n4294967297\n0\n".ljust(512, b"\0"))
        + END
    )  # fmt: skip
    content = gzip.compress(sparse)
    name = with_blob(layout, content, GZIP, sparse)
    fails(add(store, layout), "ENOTAPPLICABLE", "4 GiB", name)
    assert not store.files()


MANY = {
    "files": (header, b"d%05d/%08d"),
    "directories": (directory, b"d%05d_%08d"),
    "links": (lambda name: symlink(name, "unikernel/kernel"), b"d%05d/%08d"),
    "hard links": (lambda name: hard_link(name, KERNEL_PATH), b"d%05d/%08d"),
}


def many(count: int, kind: str) -> bytes:
    """An archive of COUNT entries, 1000 to a directory, compressed. The first one is a file."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    make, form = MANY[kind]
    first = make((form % (0, 0)).decode())
    total = sum(first[:148]) + 8 * 32 + sum(first[156:])
    parts = [packer.compress(file(KERNEL_PATH, KERNEL))]
    for number in range(count):
        name = form % (number // 1000, number)
        # Its digits are all that differs from the first one's.
        summed = total + sum(name) - sum(first[: len(name)])
        parts.append(packer.compress(
            name + first[len(name) : 148] + b"%06o\0 " % summed + first[156:]
        ))  # fmt: skip
    return b"".join([*parts, packer.compress(END), packer.flush()])


@pytest.mark.takes_up_to(600)
@pytest.mark.parametrize("kind", MANY)
def test_many_entries_take_bounded_memory_and_time(store: Store, layout: Layout, kind: str) -> None:
    count = ENTRIES if kind in ("files", "directories") else ENTRIES // 6
    content = many(count, kind)
    with_blob(layout, content, GZIP, gzip.decompress(content))
    began = time.monotonic()
    with watched() as most:
        finished = add(store, layout, 60 + count // 10_000)
    seconds = time.monotonic() - began
    print(f"{count} {kind}: {seconds:.1f} s, {most[0] >> 20} MiB, status {finished.status}")
    # A link to an artifact changes its attributes, and all such links are kept.
    if kind == "hard links" or (finished.status and count > 1_000_000):
        fails(finished, "ENOTAPPLICABLE", "too many or too large entries")
    else:
        assert finished.status == 0, finished
    assert 0 < most[0] < MEMORY_MAX


def many_targets(count: int) -> bytes:
    """Symbolic links whose targets do not compress, of 4 KiB each."""
    chosen = random.Random(count)
    targets = (chosen.randbytes(4000).replace(b"\0", b"x") for _ in range(count))
    links = (pax(("linkpath", to)) + symlink(f"l{n}", "x") for n, to in enumerate(targets))
    return b"".join(links) + END


@pytest.mark.parametrize(("links", "is_kept"), [(1_900, True), (2_300, False)])
def test_a_list_of_names_of_more_than_8_mib_is_not_kept(
    store: Store, layout: Layout, links: int, is_kept: bool
) -> None:
    top = with_blob(layout, many_targets(links), TAR)
    assert add(store, layout).status == 0
    kept = {path.name for path in store.files("layers")}
    assert kept and (top.removeprefix("sha256:") in kept) == is_kept


def test_a_list_of_names_of_more_than_64_mib_is_not_applicable(store: Store, layout: Layout) -> None:
    top = with_blob(layout, many_targets(17_500), TAR)
    fails(add(store, layout), "ENOTAPPLICABLE", top, "too many or too large entries")


@pytest.mark.parametrize("log", [29, 31])
def test_a_zstd_window_of_more_than_256_mib_is_not_applicable(
    store: Store, layout: Layout, log: int
) -> None:
    layer = file("a", "x") + END
    content = zstandard(layer, "--ultra", f"--long={log}", "--no-content-size")
    # A frame of so few bytes is given a small window: say the larger one.
    content = content[:5] + bytes([(log - 10) << 3]) + content[6:]
    name = with_blob(layout, content, ZSTD, layer)
    with watched() as most:
        finished = add(store, layout)
    fails(finished, "ENOTAPPLICABLE", "256 MiB", name)
    assert most[0] < MEMORY_MAX
    assert not store.files()


def test_a_zstd_window_of_256_mib_is_read(store: Store, layout: Layout) -> None:
    """containerd reads it."""
    layer = file("a", "x") + END
    content = zstandard(layer, "--ultra", "--long=28", "--no-content-size")
    content = content[:5] + bytes([(28 - 10) << 3]) + content[6:]
    with_blob(layout, content, ZSTD, layer)
    assert add(store, layout).status == 0


def test_an_archive_of_too_many_sparse_regions_is_not_applicable(
    store: Store, layout: Layout
) -> None:
    count = (1 << 20) + 1
    content = f"{count}\n".encode() + b"".join(b"%d\n0\n" % at for at in range(count))
    content += b"\0" * (-len(content) % BLOCK)
    layer = (
        pax(("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "s"),
            ("GNU.sparse.realsize", str(count)))
        + file("GNUSparseFile.0/s", content)
        + END
    )  # fmt: skip
    name = with_blob(layout, gzip.compress(layer, 1), GZIP, layer)
    with watched() as most:
        finished = add(store, layout)
    fails(finished, "ENOTAPPLICABLE", "too many or too large", name)
    assert most[0] < MEMORY_MAX + (64 << 20)


def cpu_limit(process: machine.Process) -> tuple[int, int]:
    """Of seconds; zeros where it has ended."""
    try:
        return resource.prlimit(process.pid, resource.RLIMIT_CPU)
    except ProcessLookupError:
        return (0, 0)


def test_a_decoder_that_takes_too_much_processor_time_is_not_applicable(
    store: Store, layout: Layout, place: Path
) -> None:
    """By a decoder that spins, whose limit is made to be over."""
    layout.list(layout.image(usual_layers()))
    result = place / "result"
    result.write_bytes(bytes(8))
    env = {"LIAR": "decoder:spin", "ATTEMPT_RESULT": str(result), "ATTEMPT_FILE": str(result),
           "ATTEMPT_PID": str(os.getpid())}  # fmt: skip

    def end_it() -> None:
        def spinning() -> list[machine.Process]:
            limited = [process for process in machine.processes()
                       if 0 < cpu_limit(process)[0] <= 600]
            return [process for process in limited if int(process.stat()[11]) >= 20]

        process = wait_until(spinning, "a decoder to spin", 60)[0]
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (0, cpu_limit(process)[1]))

    ender = threading.Thread(target=end_it)
    ender.start()
    options = f"{store.option},timeout=60"
    finished = run(
        build_directory() / "tests/viewfsctl-liar", "store", "add", "--json",
        f"--oci={layout.directory}", "-o", options, env=env, seconds=90,
    )  # fmt: skip
    ender.join()
    fails(finished, "ENOTAPPLICABLE", "takes too long", layout.layers[-1]["digest"])


# ------------------------------------------------------------------------- what containerd refuses, too

REFUSED: dict[str, tuple[bytes, str]] = {
    "a PAX header of 2 MiB": (
        file("before") + pax(("comment", "c" * (2 << 20))) + file("a", "B"), "entry 1 ''",
    ),
    "a long name of 2 MiB": (gnu_name("d/" * (1 << 20) + "x") + file("a", "B"), "entry 0 ''"),
    "a size that is negative": (header("a", b"0", rawsize=b"\xff" * 12), "entry 0 ''"),
    "a size beyond the end": (file("x") + header("a", b"0", 1 << 40), "entry 2"),
    "a size beyond numbers": (
        file("x") + pax(("size", "99999999999999999999")) + header("a"), "entry 1 ''",
    ),
    "a path of 4500 bytes": (
        file("x") + pax(("path", "/".join(["p" * 99] * 45))) + file("n"), "entry 1 'pppp",
    ),
    "a name of 256 bytes": (gnu_name("n" * 256) + file("n"), "entry 0 'nnnn"),
    "a file as a directory": (file("a") + file("a/x"), "entry 1 'a/x'"),
    "a hard link to nothing": (
        file("a") + hard_link(KERNEL_PATH, "c"), f"entry 1 '{KERNEL_PATH}'",
    ),
    "a loop of links": (
        symlink("l1", "l2") + symlink("l2", "l1") + file("l1/z"), "entry 2 'l1/z'",
    ),
    "an unknown type": (file("a") + file("b", typ=b"Z"), "entry 1 'b'"),
    "a wrong checksum": (file("a") + header("b", badsum=1), "entry 1 ''"),
    "a whiteout of nothing": (directory("a/") + file("a/.wh."), "entry 1 'a/.wh.'"),
    "an escape in a name": (file("\33[31m/.wh."), "entry 0 '"),
}  # fmt: skip


@pytest.mark.parametrize("how", REFUSED)
def test_a_layer_that_containerd_refuses_is_elayer_with_digest_and_entry(
    store: Store, layout: Layout, how: str
) -> None:
    layer, entry = REFUSED[how]
    name = with_blob(layout, gzip.compress(layer + END), GZIP, layer + END)
    with watched() as most:
        finished = add(store, layout)
    fails(finished, "ELAYER", name, entry)
    assert "\33" not in finished.stdout + finished.stderr
    assert most[0] < MEMORY_MAX
    assert not store.files()


# ------------------------------------------------------------------------------------ cut and flipped


def cut(content: bytes, chosen: random.Random) -> bytes:
    return content[: chosen.randrange(1, len(content))]


def flipped(content: bytes, chosen: random.Random) -> bytes:
    changed = bytearray(content)
    changed[chosen.randrange(len(content))] ^= 1 << chosen.randrange(8)
    return bytes(changed)


def torn(content: bytes, chosen: random.Random) -> bytes:
    """A piece of it is missing."""
    at = chosen.randrange(len(content) - 1)
    return content[:at] + content[at + chosen.randrange(1, len(content) - at) :]


CODED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": lambda layer: zstandard(layer, "--check"),
}


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("damage", [cut, flipped, torn])
def test_a_damaged_blob_is_elayer_or_what_it_was(
    place: Path, layout: Layout, damage: Callable[[bytes, random.Random], bytes], coding: str
) -> None:
    """Where a changed bit means nothing the layer is what its diff id says."""
    chosen = random.Random(f"{damage.__name__} {coding}")
    layers = usual_layers()
    blobs = [CODED[coding](layer) for layer in layers]
    for number in range(8):
        damaged = [damage(blobs[0], chosen), *blobs[1:]]
        made = Layout(place / f"layout-{number}")
        made.list(made.image_of(
            [Blob(blob, {}, layer, b"") for blob, layer in zip(damaged, layers, strict=True)], GZIP
        ))  # fmt: skip
        store = Store(place / f"store-{number}")
        finished = add(store, made)
        told = finished.told
        if finished.status == 0:
            kernel = next(a for a in told["answers"] if a["path"] == "/" + KERNEL_PATH)
            assert kernel["digest"] == digest(KERNEL)
            continue
        fails(finished, "ELAYER", made.layers[0]["digest"])
        assert not store.files()


def test_skippable_frames_without_end_are_no_layer(store: Store, layout: Layout) -> None:
    content = skippable(b"\0" * 1000) * 20_000
    name = with_blob(layout, content, ZSTD, b"x")
    with watched() as most:
        finished = add(store, layout)
    fails(finished, "ELAYER", name)
    assert most[0] < MEMORY_MAX


def test_gzip_members_of_nothing_are_no_layer(store: Store, layout: Layout) -> None:
    content = gzip.compress(b"", mtime=0) * 100_000
    name = with_blob(layout, content, GZIP, b"x")
    fails(add(store, layout), "ELAYER", name)
