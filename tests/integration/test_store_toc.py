# SPDX-License-Identifier: Apache-2.0
"""The artifact store filled by the tables of contents of layer blobs, zstd:chunked and eStargz."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import skipping, toc
from support.archive import END, directory, file, hard_link, symlink
from support.control import viewfsctl
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, urunc_json
from support.layout import TABLES, Descriptor, Layout, digest, usual_layers
from support.stored import Store
from support.view import Finished, View, run

TABLE_MAX = 64 << 10
"""How much more than a file's range may be read."""


def add(store: Store, layout: Layout, *options: str) -> Finished:
    words = ",".join([store.option, *options])
    return viewfsctl("store", "add", "--json", f"--oci={layout.directory}", "-o", words)


def added(store: Store, layout: Layout, *options: str) -> dict[str, Any]:
    finished = add(store, layout, *options)
    assert (finished.status, finished.stderr) == (0, ""), finished
    return finished.told


def contents(told: dict[str, Any]) -> dict[str, str]:
    """The digests of the artifacts, by path."""
    return {answer["path"]: answer["digest"] for answer in told["answers"]}


def expected() -> dict[str, str]:
    config = urunc_json(initrd="/" + INITRD_PATH).content
    return {
        "/urunc.json": digest(config),
        "/" + KERNEL_PATH: digest(KERNEL),
        "/" + INITRD_PATH: digest(INITRD),
    }


def filed(store: Store) -> dict[str, int]:
    """How many images are filed by what."""
    return {by: len(store.files(by)) for by in ("images", "chains")}


BY_TABLE = {"images": 1, "chains": 0}
BY_STREAM = {"images": 1, "chains": 1}


def spoil_all_but(blob: Path, layer: toc.Blob, wanted: set[bytes]) -> None:
    """Overwrites all of a blob that is neither its table nor the content of a wanted file."""
    table, content = json.loads(layer.table), bytearray(layer.content)
    spoiled = bytearray(b"\xaa" * len(content))
    items = table["entries"]
    offsets = [item["offset"] for item in items if item.get("offset")]
    tail = layer.annotations.get(toc.CHUNKED + "manifest-position")
    begin = int(tail.split(":")[0]) if tail else int(content[-35:-19], 16)
    spoiled[begin:] = content[begin:]
    for at, item in enumerate(items):
        if item["type"] != "reg" or item["name"].encode() not in wanted or not item.get("offset"):
            continue
        pieces = [item]
        for piece in items[at + 1 :]:
            if piece["type"] != "chunk":
                break
            pieces.append(piece)
        end = item.get("endOffset") or min(
            offset for offset in [*offsets, begin] if offset > pieces[-1]["offset"]
        )
        spoiled[item["offset"] : end] = content[item["offset"] : end]
    blob.write_bytes(spoiled)


WANTED = {KERNEL_PATH.encode(), INITRD_PATH.encode(), b"urunc.json"}


@pytest.mark.parametrize("coding", TABLES)
def test_an_image_is_added_by_its_tables_and_filed_by_its_manifest_only(
    store: Store, layout: Layout, place: Path, coding: str
) -> None:
    manifest = layout.image(usual_layers(), coding)
    layout.list(manifest)
    told = added(store, layout)
    assert contents(told) == expected()
    assert filed(store) == BY_TABLE
    assert store.files("images")[0].name == manifest["digest"].removeprefix("sha256:")
    assert not added(store, layout)["added"]


@pytest.mark.parametrize("coding", TABLES)
def test_only_the_table_and_the_wanted_files_are_read(
    store: Store, layout: Layout, coding: str
) -> None:
    """All other bytes of the blobs are wrong."""
    made = [TABLES[coding][1](layer) for layer in padded_layers()]
    layout.list(layout.image_of(made, TABLES[coding][0]))
    for descriptor, layer in zip(layout.layers, made, strict=True):
        spoil_all_but(layout.blob(descriptor), layer, WANTED)
    assert contents(added(store, layout)) == expected()
    assert filed(store) == BY_TABLE


def padded_layers() -> list[bytes]:
    """The usual layers, among other files."""
    other = os.urandom(300_000)
    return [
        file("a", other) + layer[: -len(END)] + file("z", other[::-1]) + END
        for layer in usual_layers()
    ]


@pytest.mark.parametrize("coding", TABLES)
def test_little_more_than_the_table_and_the_files_is_read(
    store: Store, layout: Layout, place: Path, coding: str
) -> None:
    made = [TABLES[coding][1](layer) for layer in padded_layers()]
    layout.list(layout.image_of(made, TABLES[coding][0]))
    log = place / "log"
    finished = run(
        "env", "LSAN_OPTIONS=detect_leaks=0",
        *["strace", "-f", "-qq", "-y", "-e", "trace=read,pread64", "-o", log],
        *[viewfsctl_program(), "store", "add", f"--oci={layout.directory}", "-o", store.option],
        seconds=60,
    )  # fmt: skip
    assert finished.status == 0, finished
    names = {layout.blob(descriptor).name for descriptor in layout.layers}
    read = sum(
        int(size)
        for name, size in re.findall(r"sha256/(\w+)>.*\) = (\d+)$", log.read_text(), re.MULTILINE)
        if name in names
    )
    wanted = sum(len(layer.table) for layer in made) + len(KERNEL) + len(INITRD) + 1000
    assert wanted / 20 < read < wanted + 9 * TABLE_MAX


@pytest.mark.parametrize("coding", TABLES)
def test_a_table_is_read_once_for_the_configuration_and_once_for_all_that_it_names(
    store: Store, layout: Layout, place: Path, coding: str
) -> None:
    """One of so many files that they are not kept."""
    many = b"".join(file(f"usr/share/{number}", b"x") for number in range(1500))
    many += b"".join(map(directory, ("unikernel", "boot")))
    layers = [many + b"".join(layer[: -len(END)] for layer in usual_layers()) + END]
    layout.list(layout.image(layers, coding))
    log = place / "log"
    finished = run(
        "env", "LSAN_OPTIONS=detect_leaks=0", "strace", "-f", "-qq", "-e", "trace=/^open", "-o", log,
        *[viewfsctl_program(), "store", "add", f"--oci={layout.directory}", "-o", store.option],
        seconds=60,
    )  # fmt: skip
    assert finished.status == 0, finished
    opened = log.read_text().count(layout.blob(layout.layers[0]).name)
    assert opened == 2 + len(WANTED)


def viewfsctl_program() -> Path:
    from support.view import program

    return program("viewfsctl")


@pytest.mark.parametrize("coding", TABLES)
def test_toc_off_reads_the_blobs_whole(store: Store, layout: Layout, coding: str) -> None:
    layout.list(layout.image(usual_layers(), coding))
    assert contents(added(store, layout, "toc=off")) == expected()
    assert filed(store) == BY_STREAM


@pytest.mark.parametrize("coding", TABLES)
def test_toc_off_reads_an_image_again_that_was_added_by_its_tables(
    store: Store, layout: Layout, coding: str
) -> None:
    layout.list(layout.image(usual_layers(), coding))
    added(store, layout)
    assert added(store, layout, "toc=off")["added"]
    assert filed(store) == BY_STREAM


@pytest.mark.parametrize("coding", TABLES)
def test_whiteouts_and_links_are_as_without_a_table(
    store: Store, layout: Layout, place: Path, coding: str
) -> None:
    lower, *upper = usual_layers()
    config = urunc_json(initrd="/boot/initrd").content
    layers = [
        file("boot/old", INITRD, mode=0o600) + file("urunc.json", b"old") + END,
        lower,
        file("unikernel/.wh.initrd", b"")
        + hard_link("boot/initrd", "boot/old", mode=0o640, uid=3)
        + file("conf/real", config)
        + file(".wh.urunc.json", b"")
        + symlink("urunc.json", "/conf/real")
        + END,
    ]
    layout.list(layout.image(layers, coding))
    by_table = added(store, layout)
    assert filed(store) == BY_TABLE
    other = Store(place / "other")
    assert contents(added(other, layout, "toc=off")) == contents(by_table)
    assert contents(by_table)["/boot/initrd"] == digest(INITRD)


def test_layers_with_and_without_a_table_are_one_image(store: Store, layout: Layout) -> None:
    made = [
        toc.Blob(layer, {}, layer, b"") if number == 1 else toc.chunked(layer)
        for number, layer in enumerate(usual_layers())
    ]
    layout.list(layout.image_of(made, TABLES["zstd:chunked"][0]))
    assert contents(added(store, layout)) == expected()
    assert filed(store) == BY_TABLE


# --------------------------------------------------------------------- tables that are not believed


def changed_annotation(layer: toc.Blob) -> toc.Blob:
    """The digest of another table."""
    wrong = {
        key: digest(b"other") if value.startswith("sha256:") else value
        for key, value in layer.annotations.items()
    }
    return layer._replace(annotations=wrong)


def without_annotation(layer: toc.Blob) -> toc.Blob:
    return layer._replace(annotations={})


def odd_position(position: str) -> Callable[[toc.Blob], toc.Blob]:
    def change(layer: toc.Blob) -> toc.Blob:
        wrong = {key: position if "position" in key else "sha256:x" if "position" in position else value
                 for key, value in layer.annotations.items()}  # fmt: skip
        return layer._replace(annotations=wrong)

    return change


NOT_VOUCHED = {
    "another-digest": changed_annotation,
    "no-annotation": without_annotation,
    "position-of-text": odd_position("a:b:c:d"),
    "position-is-short": odd_position("1:2:3"),
    "position-is-long": odd_position("1:2:3:1:5"),
    "position-behind-the-end": odd_position("999999999:5:5:1"),
    "position-is-huge": odd_position("18446744073709551615:5:5:1"),
    "position-is-negative": odd_position("-1:5:5:1"),
    "table-is-too-large": odd_position(f"1:{33 << 20}:5:1"),
    "table-is-too-large-plain": odd_position(f"1:5:{151 << 20}:1"),
    "table-of-another-type": odd_position("1:5:5:2"),
}


@pytest.mark.parametrize("coding", TABLES)
@pytest.mark.parametrize("how", NOT_VOUCHED)
def test_a_table_that_the_manifest_does_not_vouch_for_is_not_used(
    store: Store, layout: Layout, coding: str, how: str
) -> None:
    if how.startswith(("position", "table")) and coding == "estargz":
        return
    made = [NOT_VOUCHED[how](TABLES[coding][1](layer)) for layer in usual_layers()]
    layout.list(layout.image_of(made, TABLES[coding][0]))
    assert contents(added(store, layout)) == expected()
    assert filed(store) == BY_STREAM


@pytest.mark.parametrize("coding", TABLES)
def test_a_table_whose_bytes_were_changed_is_not_used(
    store: Store, layout: Layout, coding: str
) -> None:
    """By which the blob, too, has another digest; what counts is that of its plain bytes."""
    layout.list(layout.image(usual_layers(), "zstd:chunked"))
    for descriptor in layout.layers:
        blob = layout.blob(descriptor)
        content = bytearray(blob.read_bytes())
        at = content.index(b'"version": 1')
        content[at : at + 12] = b'"version": 2'
        blob.write_bytes(content)
    assert contents(added(store, layout)) == expected()
    assert filed(store) == BY_STREAM


def lying(coding: str, layer: bytes, change: Callable[[list[Descriptor]], None]) -> toc.Blob:
    """A blob with a table that is vouched for, and that CHANGE has changed."""
    made = TABLES[coding][1](layer)
    table = json.loads(made.table)
    change(table["entries"])
    return with_table(coding, made, json.dumps(table).encode())


def with_table(coding: str, made: toc.Blob, table: bytes) -> toc.Blob:
    """The blob with another table."""
    if coding == "estargz":
        last = file("stargz.index.json", made.table, mode=0, mtime=0) + END
        before = made.content[: int(made.content[-35:-19], 16)]
        return toc.with_estargz_table(before, made.plain[: -len(last)], table)
    at = int(made.annotations[toc.CHUNKED + "manifest-position"].split(":")[0])
    return toc.with_chunked_table(made.content[: at - 8], made.plain, table)


def kernel_of(items: list[Descriptor]) -> Descriptor:
    return next(item for item in items if item["name"] == KERNEL_PATH and item["type"] == "reg")


def set_in_kernel(**members: object) -> Callable[[list[Descriptor]], None]:
    return lambda items: kernel_of(items).update(members)


LIES: dict[str, Callable[[list[Descriptor]], None]] = {
    "digest-of-another": set_in_kernel(digest=digest(b"x")),
    "digest-of-nothing": set_in_kernel(digest=""),
    "digest-of-another-kind": set_in_kernel(digest="sha512:" + "0" * 128),
    "offset-of-the-start": set_in_kernel(offset=0),
    "offset-behind-the-end": set_in_kernel(offset=1 << 40, endOffset=1 << 41),
    "offset-negative": set_in_kernel(offset=-5),
    "offset-huge": set_in_kernel(offset=(1 << 63) - 1),
    "offset-of-another": set_in_kernel(offset=1),
    "size-less": set_in_kernel(size=7),
    "size-more": set_in_kernel(size=len(KERNEL) + 1),
    "size-huge": set_in_kernel(size=(1 << 63) - 1),
    "size-negative": set_in_kernel(size=-1),
    "size-no-number": set_in_kernel(size="7"),
    "size-beyond-numbers": set_in_kernel(size=1 << 64),
    "time-of-text": set_in_kernel(modtime="yesterday"),
    "type-unknown": set_in_kernel(type="socket"),
    "name-no-text": set_in_kernel(name=7),
    "name-with-nul": set_in_kernel(name="a\0b"),
    "name-lost": set_in_kernel(name="a\N{REPLACEMENT CHARACTER}"),
    "inner-offset-huge": set_in_kernel(innerOffset=1 << 60, endOffset=1),
}


@pytest.mark.parametrize("coding", TABLES)
@pytest.mark.parametrize("lie", LIES)
def test_a_table_that_lies_is_not_used(
    store: Store, layout: Layout, coding: str, lie: str
) -> None:
    """The blobs are read instead, and are what they are."""
    made = [lying(coding, layer, LIES[lie]) if number == 0 else TABLES[coding][1](layer)
            for number, layer in enumerate(usual_layers())]  # fmt: skip
    layout.list(layout.image_of(made, TABLES[coding][0]))
    assert contents(added(store, layout)) == expected()


BROKEN = {
    "nothing": b"",
    "no-json": b"\xff\xfe",
    "no-object": b"[]",
    "no-entries": b'{"version":1}',
    "no-version": b'{"entries":[]}',
    "version-2": b'{"version":2,"entries":[]}',
    "cut": b'{"version":1,"entries":[{"type":"reg"',
    "more": b'{"version":1,"entries":[]} x',
    "deep": b'{"version":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"entries":[]}',
    "entries-twice": b'{"version":1,"entries":[],"entries":[]}',
    "long-name": b'{"version":1,"entries":[{"type":"reg","name":"' + b"a" * 70_000 + b'"}]}',
}


@pytest.mark.parametrize("coding", TABLES)
@pytest.mark.parametrize("how", BROKEN)
def test_a_table_that_is_none_is_not_used(
    store: Store, layout: Layout, coding: str, how: str
) -> None:
    made = [with_table(coding, TABLES[coding][1](layer), BROKEN[how]) for layer in usual_layers()]
    layout.list(layout.image_of(made, TABLES[coding][0]))
    assert contents(added(store, layout)) == expected()
    assert filed(store) == BY_STREAM


@pytest.mark.parametrize(("mebibytes", "is_used"), [(149, True), (151, False)])
def test_a_table_of_more_than_150_mib_is_not_used(
    store: Store, layout: Layout, mebibytes: int, is_used: bool
) -> None:
    """It is as good as any, and has blanks in it."""
    config = urunc_json().content
    made = toc.estargz(file("urunc.json", config) + file(KERNEL_PATH, KERNEL) + END)
    table = made.table.replace(b"{", b"{" + b" " * (mebibytes << 20), 1)
    large = with_table("estargz", made, table)
    layout.list(layout.image_of([large], TABLES["estargz"][0]))
    found = contents(added(store, layout))
    assert found == {"/urunc.json": digest(config), "/" + KERNEL_PATH: digest(KERNEL)}
    assert filed(store) == (BY_TABLE if is_used else BY_STREAM)


@pytest.mark.parametrize("coding", TABLES)
def test_what_the_table_of_an_estargz_says_not_of_itself_is_read_from_the_blob(
    store: Store, layout: Layout, coding: str
) -> None:
    layout.list(layout.image(usual_layers(), coding))
    finished = add(store, layout, "initrd=/stargz.index.json")
    told = finished.told
    kinds = {answer["path"]: answer["kind"] for answer in told["answers"]}
    assert kinds["/stargz.index.json"] == ("artifact" if coding == "estargz" else "absent")
    assert contents_are_right(told)


def contents_are_right(told: dict[str, Any]) -> bool:
    return all(
        answer.get("digest", "") in (expected().get(answer["path"]), "")
        or answer["path"] == "/stargz.index.json"
        for answer in told["answers"]
    )
