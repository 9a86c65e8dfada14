# SPDX-License-Identifier: Apache-2.0
"""The artifact store filled from compressed layers: from an OCI layout or a content store."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import namespace
from support.archive import END, directory, file, hard_link, header, symlink, zstandard
from support.control import viewfsctl
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, noise, urunc_json
from support.layout import CODINGS, INDEX, MANIFEST, Layout, chain_id, digest, usual_layers
from support.opened import Opened
from support.stored import Store, arguments
from support.view import Finished, View, program, refused, run

LAYER = {"mediaType": CODINGS["gzip"][0], "digest": digest(b"layer"), "size": 5}
PLATFORM = {"os": "linux", "architecture": "amd64"}


def add(store: Store, *words: str, options: str = "") -> Finished:
    listed = ",".join(filter(None, [store.option, options]))
    return viewfsctl("store", "add", "--json", *words, "-o", listed)


def added(store: Store, *words: str, options: str = "") -> dict[str, Any]:
    finished = add(store, *words, options=options)
    assert (finished.status, finished.stderr) == (0, ""), finished
    return finished.told


def fails(finished: Finished, code: str, naming: str) -> None:
    """With a code, and files nothing."""
    told = finished.told["error"]
    assert told["code"] == code, told
    assert naming in told["message"], told
    # Of an image whose chain id is not known none is told.
    assert finished.told.get("chain") != "sha256:" + 64 * "0"


def kinds(told: dict[str, Any]) -> dict[str, str]:
    return {answer["path"]: answer["kind"] for answer in told["answers"]}


# ------------------------------------------------------------------------------------ from a layout


@pytest.mark.parametrize("coding", CODINGS)
def test_a_view_shows_an_image_that_was_added_from_a_layout(
    store: Store, layout: Layout, place: Path, coding: str
) -> None:
    layers = usual_layers()
    layout.list(layout.image(layers, coding))
    told = added(store, f"--oci={layout.directory}")
    assert (told["chain"], told["added"]) == (chain_id(layers), True)
    shutil.rmtree(layout.directory)
    with View(place / "view", *arguments(store, image=told["chain"])) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        assert (view.root / INITRD_PATH).read_bytes() == INITRD
        st = (view.root / KERNEL_PATH).stat()
        assert (st.st_mode & 0o7777, st.st_uid, st.st_gid, st.st_mtime) == (0o550, 5, 6, 1700000000)


def test_an_artifact_tells_which_layer_it_came_from(
    store: Store, layout: Layout, place: Path
) -> None:
    layers = [*usual_layers(), symlink("k", KERNEL_PATH) + END]
    layout.list(layout.image(layers))
    told = added(store, f"--oci={layout.directory}", options="binary=/k")
    origins = {answer["path"]: answer["origin"] for answer in told["answers"]}
    (kernel,) = (
        blob for blob, layer in zip(layout.layers, layers, strict=True)
        if KERNEL in layer
    )  # fmt: skip
    expected = f"{kernel['digest']}/{KERNEL_PATH}"
    assert origins["/k"] == expected
    with View(place / "view", *arguments(store, "binary=/k", image=told["chain"])) as view:
        assert {a["path"]: a["origin"] for a in view.ready["artifacts"]} == origins
    resolved = viewfsctl("resolve", "--json", f"--chain={told['chain']}", "-o",
                         f"{store.option},binary=/k")  # fmt: skip
    shown = json.loads(resolved.stdout)["artifacts"]
    assert {a["path"]: a["origin"] for a in shown} == origins


def test_an_image_is_filed_by_chain_and_by_manifest(store: Store, layout: Layout) -> None:
    manifest = layout.image(usual_layers())
    layout.list(manifest)
    told = added(store, f"--oci={layout.directory}")
    named = [f"chains/{told['chain'][7:]}", f"images/{manifest['digest'][7:]}"]
    listed = json.loads(viewfsctl("store", "list", "--json", "-o", store.option).stdout)["entries"]
    assert [entry["name"] for entry in listed if not entry["object"]][:2] == named
    assert listed[0]["answers"] == listed[1]["answers"]
    blobs = [layout.blob(blob) for blob in layout.layers]
    for blob in blobs:
        blob.rename(blob.with_suffix(".away"))
    # What is known of a manifest serves its chain, and no layer is read.
    (store.directory / named[0]).unlink()
    assert added(store, f"--oci={layout.directory}")["added"]
    assert (store.directory / named[0]).exists()
    assert not added(store, f"--oci={layout.directory}")["added"]
    # What is known of a chain does not serve a manifest, for any may claim it.
    (store.directory / named[1]).unlink()
    fails(add(store, f"--oci={layout.directory}"), "ELAYER", layout.layers[-1]["digest"])
    for blob in blobs:
        blob.with_suffix(".away").rename(blob)
    assert added(store, f"--oci={layout.directory}")["added"]
    assert (store.directory / named[1]).exists()


@pytest.mark.parametrize(
    ("place_of_kernel", "times"),
    [(KERNEL_PATH, 1), (".boot/kernel", 1), ("./kernel", 1), ("usr/lib/kernel", 2), ("/var/kernel", 2)],
)
def test_a_layer_is_decoded_once_if_its_artifacts_are_where_packers_put_them_and_else_twice(
    store: Store, layout: Layout, place_of_kernel: str, times: int
) -> None:
    """The contents of files that are likely to be asked for are kept while its names are listed."""
    binary = os.path.normpath("/" + place_of_kernel.lstrip("/"))
    config = urunc_json(binary, initrd="/" + INITRD_PATH).content
    whole = file("urunc.json", config) + file(place_of_kernel, KERNEL) + file(INITRD_PATH, INITRD) + END
    layout.list(layout.image([file("etc/below", b"x") + END, whole, file("etc/above", b"x") + END]))
    blobs = list(map(layout.blob, layout.layers))
    counter = Opened(blobs)
    told = added(store, f"--oci={layout.directory}")
    assert set(kinds(told).values()) == {"artifact"}
    counts = counter.counts()
    assert [counts[blob] for blob in blobs] == [1, times, 1]
    counter.close()
    digests = {answer["path"]: answer["digest"] for answer in told["answers"]}
    assert (digests[binary], digests["/" + INITRD_PATH]) == (digest(KERNEL), digest(INITRD))


CONFIG_PATH = "usr/share/boot.json"


LINKS = {
    "symbolic": symlink("urunc.json", CONFIG_PATH),
    "hard": hard_link("urunc.json", CONFIG_PATH),
}


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("where", ["behind", "above"])
@pytest.mark.parametrize("indented", [0, 100_000])
def test_a_layer_is_decoded_at_most_twice_where_a_link_leads_to_the_configuration(
    store: Store, layout: Layout, place: Path, link: str, where: str, indented: int
) -> None:
    """Which says where in the same layer the kernel is: not where packers put it."""
    config = b" " * indented + urunc_json("/usr/lib/kernel", initrd="/usr/lib/initrd").content
    layer = file("usr/lib/kernel", KERNEL) + file("usr/share/other.json", b'{"other": 1}')
    layer += file(CONFIG_PATH, config) + (LINKS[link] if where == "behind" else b"")
    above = [LINKS[link] + END] if where == "above" else []
    layout.list(layout.image([layer + file("usr/lib/initrd", INITRD) + END, *above]))
    log = place / "log"
    words = ["store", "add", f"--oci={layout.directory}", "-o", store.option]
    finished = run(
        "env", "LSAN_OPTIONS=detect_leaks=0", "strace", "-f", "-qq", "-e", "trace=/^open", "-o", log,
        program("viewfsctl"), *words, seconds=60,
    )  # fmt: skip
    assert finished.status == 0, finished
    assert log.read_text().count(layout.blob(layout.layers[0]).name) == 2
    assert len(store.files("objects")) == 3


@pytest.mark.parametrize("where", ["unikernel/kernel", "usr/lib/kernel"])
def test_each_page_of_an_artifact_larger_than_all_pipes_is_its_own(
    store: Store, layout: Layout, where: str
) -> None:
    """One that is kept while its layer is listed, and one that is extracted."""
    kernel = b"".join(f"{number:16}".encode() * 256 for number in range(4096))
    config = urunc_json("/" + where).content
    layout.list(layout.image([file("urunc.json", config) + file(where, kernel) + END], "plain"))
    told = added(store, f"--oci={layout.directory}")
    digests = {answer["path"]: answer["digest"] for answer in told["answers"]}
    assert digests["/" + where] == digest(kernel)


def deep_layers() -> list[bytes]:
    """An image as builders make it, with a layer for each artifact, and others below and between."""
    config = urunc_json(initrd="/" + INITRD_PATH).content
    return [
        directory("usr") + file("usr/x", b"x") + END,
        directory("opt") + file("opt/kernel", KERNEL[:5000]) + END,
        directory("unikernel") + file(KERNEL_PATH, KERNEL) + END,
        directory("etc") + file("etc/kernel", b"x") + END,
        directory("boot") + file(INITRD_PATH, INITRD) + END,
        file("urunc.json", config) + END,
    ]


def test_layers_below_those_of_the_artifacts_are_not_read(store: Store, layout: Layout) -> None:
    layout.list(layout.image(deep_layers()))
    blobs = list(map(layout.blob, layout.layers))
    counter = Opened(blobs)
    told = added(store, f"--oci={layout.directory}")
    assert set(kinds(told).values()) == {"artifact"}
    opened = counter.counts()
    counts = [opened[blob] for blob in blobs]
    counter.close()
    assert counts[:2] == [0, 0] and min(counts[2:]) > 0 and max(counts) <= 2, counts


def test_a_path_more_extracts_no_path_again_that_is_answered(store: Store, layout: Layout) -> None:
    layout.list(layout.image(deep_layers()))
    blobs = list(map(layout.blob, layout.layers))
    added(store, f"--oci={layout.directory}")
    counter = Opened(blobs)
    told = added(store, f"--oci={layout.directory}", options="binary=/opt/kernel")
    opened = counter.counts()
    counts = [opened[blob] for blob in blobs]
    counter.close()
    assert counts[0] == 0 and 0 < counts[1] <= 2 and counts[2:] == [0, 0, 0, 0], counts
    assert told["bytes"] == 5000
    digests = {answer["path"]: answer["digest"] for answer in told["answers"]}
    assert digests["/opt/kernel"] == digest(KERNEL[:5000])
    assert digests["/" + INITRD_PATH] == digest(INITRD)


def test_files_that_are_kept_for_nothing_leave_no_trace(store: Store, layout: Layout) -> None:
    """More of them than are kept, in front of those that are asked for."""
    others = b"".join(file(f"data/{number}", noise(100_000, f"{number}")) for number in range(40))
    own = file("urunc.json", urunc_json().content) + file(KERNEL_PATH, KERNEL) + END
    layout.list(layout.image([others + own]))
    told = added(store, f"--oci={layout.directory}")
    assert kinds(told) == {"/urunc.json": "artifact", "/" + KERNEL_PATH: "artifact"}
    objects = {path.name for path in store.files("objects")}
    assert objects == {answer["digest"].removeprefix("sha256:") for answer in told["answers"]}


def test_no_room_for_what_may_be_asked_for_is_no_failure(place: Path, layout: Layout) -> None:
    own = file("urunc.json", urunc_json().content) + file(KERNEL_PATH, KERNEL) + END
    layout.list(layout.image([file("data/large", noise(1 << 20) * 16) + own]))
    (place / "small").mkdir()
    namespace.mount("small", str(place / "small"), "tmpfs", 0, "size=8m,mode=0755")
    try:
        told = added(Store(place / "small/store"), f"--oci={layout.directory}")
        assert kinds(told) == {"/urunc.json": "artifact", "/" + KERNEL_PATH: "artifact"}
    finally:
        namespace.unmount(str(place / "small"))


def test_a_second_image_decodes_its_own_layers_only(store: Store, layout: Layout) -> None:
    """The names of layers that are shared are known, and no content of theirs is asked for."""
    shared = [file("etc/hostname", b"a") + symlink("boot", "unikernel") + END,
              directory("usr") + file("usr/x", b"x") + END]  # fmt: skip
    own = file("urunc.json", urunc_json().content) + file(KERNEL_PATH, KERNEL) + END
    layout.list(layout.image([*shared, own]), "first")
    added(store, f"--oci={layout.directory}:first")
    layout.list(layout.image([*shared, file("etc/second", b"x") + END, own]), "second")
    for blob in layout.layers[:2]:
        layout.blob(blob).unlink()
    told = added(store, f"--oci={layout.directory}:second", options="binary=/boot/kernel")
    assert kinds(told) == {"/urunc.json": "artifact", "/boot/kernel": "artifact"}
    second = layout.layers[2]
    layout.list(layout.image([*shared, own, file("etc/second", b"x") + END]), "third")
    layout.blob(second).unlink()
    third = add(store, f"--oci={layout.directory}:third", options="binary=/etc/hostname/none")
    assert kinds(third.told)["/etc/hostname/none"] == "absent"


@pytest.mark.parametrize("damage", [b"", b"x" * 100, "cut", "other"])
def test_a_damaged_list_of_names_is_made_again(
    store: Store, layout: Layout, damage: bytes | str
) -> None:
    layers = [*usual_layers(), file("etc/own", b"x") + END]
    layout.list(layout.image(layers), "first")
    added(store, f"--oci={layout.directory}:first")
    logs = store.files("layers")
    assert len(logs) == len(layers)
    whole = {log: log.read_bytes() for log in logs}
    for log in logs:
        if isinstance(damage, bytes):
            log.write_bytes(damage)
        else:
            log.write_bytes(whole[log][:-6] if damage == "cut" else zstandard(whole[log]))
    layout.list(layout.image([*layers, file("etc/second", b"x") + END]), "second")
    told = added(store, f"--oci={layout.directory}:second")
    assert set(kinds(told).values()) == {"artifact"}
    assert {log: log.read_bytes() for log in logs} == whole


def test_an_image_that_is_stored_opens_no_layer(store: Store, layout: Layout) -> None:
    layout.list(layout.image(usual_layers()))
    added(store, f"--oci={layout.directory}")
    for blob in layout.layers:
        layout.blob(blob).unlink()
    assert not added(store, f"--oci={layout.directory}")["added"]


def test_a_name_or_a_digest_chooses_among_images(store: Store, layout: Layout) -> None:
    other = [file("urunc.json", urunc_json().content) + file(KERNEL_PATH, b"other") + END]
    manifest = layout.image(usual_layers())
    layout.list(manifest, "docker.io/a:1")
    layout.list(layout.image(other), "docker.io/b:1")
    named = added(store, f"--oci={layout.directory}:docker.io/b:1")
    assert named["chain"] == chain_id(other)
    assert added(store, f"--oci={layout.directory}:{manifest['digest']}")["chain"] == chain_id(
        usual_layers()
    )
    where = f"--oci={layout.directory}"
    fails(add(store, where), "EUSAGE", "2 images")
    fails(add(store, where + ":c"), "EUSAGE", "no image 'c'")
    for index in ({}, {"manifests": []}):
        (layout.directory / "index.json").write_text(json.dumps(index))
        finished = add(store, where)
        fails(finished, "ELAYER", "has no image")
        assert finished.told["error"]["message"].endswith("has no image")


def test_a_given_chain_must_be_the_images(store: Store, layout: Layout) -> None:
    layers = usual_layers()
    layout.list(layout.image(layers))
    where = f"--oci={layout.directory}"
    fails(add(store, where, f"--chain={digest(b'x')}"), "EDIGEST", chain_id(layers))
    assert added(store, where, f"--chain={chain_id(layers)}")["added"]


# ------------------------------------------------------------------------------ from a content store


def test_an_image_is_added_from_a_content_store(store: Store, layout: Layout) -> None:
    manifest = layout.image(usual_layers())
    for content in (layout.directory, layout.directory / "blobs"):
        told = added(store, f"--content={content}", f"--manifest={manifest['digest']}")
        assert told["chain"] == chain_id(usual_layers())


def test_an_index_gives_the_manifest_for_the_platform(store: Store, layout: Layout) -> None:
    """And what is no manifest is not looked at."""
    arm = [file("urunc.json", urunc_json().content) + file(KERNEL_PATH, b"arm") + END]
    listed = [
        {"mediaType": "application/x-other", "digest": digest(b"nothing"), "size": 7},
        {**layout.image([arm[0][:-512]]), "platform": {"os": "unknown", "architecture": "unknown"}},
        {**layout.image(arm), "platform": {"os": "linux", "architecture": "arm64"}},
        {**layout.image(usual_layers()), "platform": PLATFORM},
    ]
    index = layout.put_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}, INDEX)
    outer = layout.put_json({"schemaVersion": 2, "manifests": [index]}, INDEX)
    words = f"--content={layout.directory}", f"--manifest={outer['digest']}"
    amd64 = added(store, *words, options="platform=linux/amd64")
    assert amd64["chain"] == chain_id(usual_layers())
    assert added(store, *words, options="platform=linux/arm64/v8")["chain"] == chain_id(arm)
    none = add(store, *words, options="platform=plan9/amd64")
    fails(none, "ENOTAPPLICABLE", "plan9/amd64")


def test_indexes_within_indexes_end(store: Store, layout: Layout) -> None:
    descriptor = layout.image(usual_layers())
    for _ in range(9):
        descriptor = layout.put_json({"schemaVersion": 2, "manifests": [descriptor]}, INDEX)
    words = f"--content={layout.directory}", f"--manifest={descriptor['digest']}"
    fails(add(store, *words), "ENOTAPPLICABLE", "too deeply")


@pytest.mark.parametrize(
    ("words", "naming"),
    [
        (["--content=/"], "--manifest is missing"),
        ([f"--manifest={digest(b'')}"], "--content is missing"),
        (["--oci=/", "--content=/"], "both --oci and --content"),
        (["--tree=/", "--oci=/"], "both --tree and --oci"),
        (["--oci="], "must not be empty"),
    ],
)
def test_a_call_that_names_no_image_is_a_usage_error(
    store: Store, words: Sequence[str], naming: str
) -> None:
    finished = add(store, *words)
    assert finished.status == 1 and naming in finished.stderr


# -------------------------------------------------------------------------------- what the layers say


def test_links_and_whiteouts_are_as_in_a_container(store: Store, layout: Layout, place: Path) -> None:
    config = urunc_json(initrd="/boot/initrd").content
    layers = [
        directory("usr") + directory("usr/boot") + file("usr/boot/kernel", KERNEL)
        + file("usr/boot/initrd", b"old") + file("urunc.json", b"old") + END,
        symlink("unikernel", "/usr/boot") + symlink("boot", "../usr/boot")
        + hard_link("usr/boot/again", "usr/boot/kernel", mode=0o600) + END,
        file("usr/boot/.wh.initrd", b"") + file("real.json", config)
        + symlink("urunc.json", "real.json") + END,
    ]  # fmt: skip
    layout.list(layout.image(layers))
    finished = add(store, f"--oci={layout.directory}", options="binary=/unikernel/kernel")
    told = finished.told
    assert told["error"]["code"] == "ENOARTIFACT"
    assert kinds(told) == {
        "/urunc.json": "artifact",
        "/unikernel/kernel": "artifact",
        "/boot/initrd": "absent",
    }
    options = arguments(store, "binary=/unikernel/kernel", image=told["chain"])
    expected = ["initrd '/boot/initrd': not in image"]
    with View(place / "view", *options, expected=expected) as view:
        assert (view.root / "unikernel/kernel").read_bytes() == KERNEL
        assert (view.root / "unikernel/kernel").stat().st_mode & 0o7777 == 0o400
        assert (view.root / "urunc.json").read_bytes() == config


def test_an_artifact_that_is_no_file_is_filed_as_that(store: Store, layout: Layout) -> None:
    layers = [file("urunc.json", urunc_json().content) + header(KERNEL_PATH, b"6") + END]
    layout.list(layout.image(layers))
    finished = add(store, f"--oci={layout.directory}")
    fails(finished, "EARTIFACT", "FIFO")
    assert kinds(json.loads(finished.stdout))["/" + KERNEL_PATH] == "other"


def test_an_image_that_is_no_unikernel_is_filed_as_that(store: Store, layout: Layout) -> None:
    layout.list(layout.image([file("etc/hostname", b"a") + END]))
    finished = add(store, f"--oci={layout.directory}")
    fails(finished, "ENOTAPPLICABLE", "urunc.json")
    assert kinds(json.loads(finished.stdout)) == {"/urunc.json": "absent"}


def test_a_layer_that_means_two_things_is_not_applicable(store: Store, layout: Layout) -> None:
    both = file("urunc.json", urunc_json().content) + file(".wh.urunc.json", b"") + END
    layout.list(layout.image([*usual_layers(), both]))
    finished = add(store, f"--oci={layout.directory}")
    fails(finished, "ENOTAPPLICABLE", "its own layer")
    assert not store.files()


# ------------------------------------------------------------------------------ damaged and hostile


def test_a_missing_blob_is_elayer_in_a_layout_and_not_applicable_in_a_content_store(
    store: Store, layout: Layout
) -> None:
    manifest = layout.image(usual_layers())
    layout.list(manifest)
    lost = layout.layers[1]
    layout.blob(lost).unlink()
    fails(add(store, f"--oci={layout.directory}"), "ELAYER", lost["digest"])
    words = f"--content={layout.directory}", f"--manifest={manifest['digest']}"
    fails(add(store, *words), "ENOTAPPLICABLE", lost["digest"])
    assert not store.files()


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_layer_is_elayer(
    store: Store, layout: Layout, coding: str, damage: str
) -> None:
    layout.list(layout.image(usual_layers(), coding))
    blob = layout.blob(layout.layers[0])
    content = bytearray(blob.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 1
    blob.write_bytes(content)
    fails(add(store, f"--oci={layout.directory}"), "ELAYER", layout.layers[0]["digest"])
    assert not store.files()


def test_bytes_that_are_not_those_of_the_diff_id_are_filed_under_no_chain(
    store: Store, layout: Layout
) -> None:
    """A manifest may claim the diff ids of another image over blobs of its own."""
    victim = usual_layers()
    evil = [file(KERNEL_PATH, b"evil") + END, *usual_layers()[1:]]
    layout.list(layout.image(evil, diff_ids=[digest(layer) for layer in victim]))
    fails(add(store, f"--oci={layout.directory}"), "ELAYER", "diff id")
    assert not store.files()


@pytest.mark.parametrize("which", ["manifest", "config"])
def test_metadata_with_another_digest_is_elayer(
    store: Store, layout: Layout, which: str
) -> None:
    manifest = layout.image(usual_layers())
    layout.list(manifest)
    path = layout.blob(manifest)
    if which == "config":
        path = layout.blob(json.loads(path.read_text())["config"])
    path.write_bytes(path.read_bytes() + b" ")
    fails(add(store, f"--oci={layout.directory}"), "ELAYER", "another digest")


@pytest.mark.parametrize(
    ("content", "naming"),
    [
        ({}, "lists no layers"),
        ({"config": {"digest": digest(b"{}")}, "layers": []}, "lists no layers"),
        ({"config": {"digest": digest(b"{}")}, "layers": [7]}, "no SHA-256 digest"),
        ({"layers": [LAYER]}, "names no configuration"),
        ({"config": {"digest": "md5:1"}, "layers": [LAYER]}, "names no configuration"),
        ({"manifests": "x"}, "lists no layers"),
    ],
)
def test_a_manifest_that_is_none_is_elayer(
    store: Store, layout: Layout, content: object, naming: str
) -> None:
    layout.list(layout.put_json(content, MANIFEST))
    fails(add(store, f"--oci={layout.directory}"), "ELAYER", naming)


def test_there_must_be_a_diff_id_for_each_layer(store: Store, layout: Layout) -> None:
    layers = usual_layers()
    layout.list(layout.image(layers, diff_ids=[digest(layer) for layer in layers[1:]]))
    fails(add(store, f"--oci={layout.directory}"), "ELAYER", "one diff id for each layer")


def test_a_layer_of_an_unknown_type_is_not_applicable(store: Store, layout: Layout) -> None:
    layout.list(layout.image(usual_layers(), media="application/vnd.oci.image.layer.v1.tar+gzip+encrypted"))
    fails(add(store, f"--oci={layout.directory}"), "ENOTAPPLICABLE", "encrypted")


def test_a_layer_that_containerd_refuses_is_elayer(store: Store, layout: Layout) -> None:
    layout.list(layout.image([*usual_layers(), file(".wh.", b"") + END]))
    fails(add(store, f"--oci={layout.directory}"), "ELAYER", "whiteout")


def test_a_blob_that_is_a_link_is_not_followed(store: Store, layout: Layout, place: Path) -> None:
    layout.list(layout.image(usual_layers()))
    blob = layout.blob(layout.layers[0])
    os.rename(blob, place / "elsewhere")
    blob.symlink_to(place / "elsewhere")
    fails(add(store, f"--oci={layout.directory}"), "ELAYER", layout.layers[0]["digest"])


def test_a_directory_that_is_no_layout_is_elayer(store: Store, place: Path) -> None:
    fails(add(store, f"--oci={place}"), "ELAYER", "no OCI layout")
    fails(add(store, f"--oci={place}/none"), "ELAYER", "no OCI layout")
