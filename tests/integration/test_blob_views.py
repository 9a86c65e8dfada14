# SPDX-License-Identifier: Apache-2.0
"""Views of images that are named by their blobs: what fills the store for them, and when."""

from __future__ import annotations

import concurrent.futures
import fcntl
import json
import os
import re
import shutil
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import image, machine, namespace
from support.archive import END, file
from support.control import listed_at, viewfsctl
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir, urunc_json
from support.layout import CODINGS, INDEX, MANIFEST, OCI, Descriptor, Layout, chain_id, digest, usual_layers
from support.stack import File, Stack
from support.stored import Store, tree
from support.view import Argument, Finished, View, call, program, refused
from support.view import tree as listing
from support.waiting import wait_until

SHOWN = {"urunc.json", "boot/", INITRD_PATH, "unikernel/", KERNEL_PATH}
# containerd's mounts of an image that a block snapshotter keeps, as a shim gets them.
BLOCK = json.dumps([{"Type": "ext4", "Source": "/dev/loop7", "Options": ["rw"]}]).encode()


@pytest.fixture
def store(place: Path) -> Store:
    return Store(place / "store")


@pytest.fixture
def layout(place: Path) -> Layout:
    """With the usual image."""
    made = Layout(place / "layout")
    made.manifest = made.image(usual_layers())
    made.list(made.manifest)
    return made


def oci(layout: Layout, store: Store, *options: str) -> list[str]:
    """The words of a view of the layout's image."""
    return [f"--oci={layout.directory}", "-o", ",".join([store.option, *options])]


def content(
    layout: Layout, store: Store, *options: str, manifest: Descriptor | None = None
) -> list[str]:
    """The same, as if the layout were containerd's content store."""
    named = (manifest or layout.manifest)["digest"]
    words = [f"--content={layout.directory}", f"--manifest={named}"]
    return [*words, "-o", ",".join([store.option, *options])]


def mounted(words: Sequence[Argument], at: Path, **how: object) -> None:
    """A view of it shows the usual image."""
    with View(at, *words, **how) as view:
        assert listing(view.root) == SHOWN
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        assert (view.root / INITRD_PATH).read_bytes() == INITRD


def fails(words: Sequence[Argument], code: str, naming: str, **how: object) -> Finished:
    finished = call(*words, "label", "/mnt", **how)
    refused(finished, code, {"EUSAGE": 1, "ESYSTEM": 2}.get(code, 32), naming)
    return finished


def wait_filled(store: Store) -> None:
    """Until it has the image, and the process that filled it has ended."""
    wait_until(lambda: store.files("images"), "the image to be filed")
    wait_until(lambda: not machine.processes(["viewfsctl"]), "the process to end")


# ------------------------------------------------------------------------------------- a layout


@pytest.mark.parametrize("coding", CODINGS)
def test_a_view_of_a_layout_waits_for_its_image(store: Store, place: Path, coding: str) -> None:
    layout = Layout(place / "layout")
    manifest = layout.image(usual_layers(), coding)
    layout.list(manifest)
    with View(place / "view", *oci(layout, store)) as view:
        assert listing(view.root) == SHOWN
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        st = (view.root / KERNEL_PATH).stat()
        assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o550, 5, 6)
        assert view.ready["image"] == {"manifest": manifest["digest"]}
        origins = {a["path"]: a["origin"] for a in view.ready["artifacts"]}
        assert origins[f"/{KERNEL_PATH}"] == f"{layout.layers[0]['digest']}/{KERNEL_PATH}"
        assert listed_at(view.root)["image"] == {"manifest": manifest["digest"]}
    assert len(store.files("objects")) == 3


def test_a_relative_layout_and_store_are_of_the_callers_directory(
    layout: Layout, store: Store, place: Path
) -> None:
    mounted(["--oci=layout", "-o", "store=store"], place / "view", cwd=place)
    assert store.files("objects")


def test_a_filled_image_opens_no_blob(layout: Layout, store: Store, place: Path) -> None:
    mounted(oci(layout, store), place / "view")
    shutil.rmtree(layout.directory / "blobs")
    (layout.directory / "blobs").mkdir()
    mounted(oci(layout, store, "ingest=no"), place / "view")
    shutil.rmtree(layout.directory)
    mounted(content(layout, store, "ingest=no"), place / "view")
    chain = f"--chain={chain_id(usual_layers())}"
    mounted([chain, "-o", store.option], place / "view")
    mounted([chain, *content(layout, store, "ingest=no")], place / "view")


def test_a_name_or_a_digest_chooses_among_images(layout: Layout, store: Store, place: Path) -> None:
    other = layout.image([file("urunc.json", urunc_json().content) + file(KERNEL_PATH, b"b") + END])
    layout.list(other, "docker.io/b:1")
    for ref in ("docker.io/b:1", other["digest"]):
        words = [f"--oci={layout.directory}:{ref}", "-o", store.option]
        with View(place / "view", *words) as view:
            assert (view.root / KERNEL_PATH).read_bytes() == b"b"
    fails(oci(layout, store), "EUSAGE", "2 images")
    fails([f"--oci={layout.directory}:c", "-o", store.option], "EUSAGE", "no image 'c'")


def test_a_new_path_is_added_to_an_image_that_is_stored(
    store: Store, place: Path
) -> None:
    layout = Layout(place / "layout")
    layers = [*usual_layers(), file("other", b"other") + END]
    layout.manifest = layout.image(layers)
    layout.list(layout.manifest)
    with View(place / "view", *oci(layout, store)):
        pass
    fails(oci(layout, store, "binary=/other", "ingest=no"), "ENOTAPPLICABLE", "no answer for '/other'")
    with View(place / "view", *oci(layout, store, "binary=/other")) as view:
        assert (view.root / "other").read_bytes() == b"other"


def test_what_the_image_lacks_is_said_as_of_layers(store: Store, place: Path) -> None:
    layout = Layout(place / "layout")
    layout.list(layout.image([file("etc/hostname", b"a") + END]))
    fails(oci(layout, store), "ENOTAPPLICABLE", "no /urunc.json in image")
    fails(oci(layout, store, "binary=/none", "resolve=ready"), "ENOARTIFACT", "'/none': not in image")


# --------------------------------------------------------------------------------- a content store


def test_an_image_of_a_content_store_is_added_in_the_background(
    layout: Layout, store: Store, place: Path
) -> None:
    finished = call(*content(layout, store), "label", place)
    assert (finished.code, finished.stderr) == ("ENOTAPPLICABLE", ""), finished
    assert "it is being added" in finished.ready["error"]["message"]
    wait_filled(store)
    mounted(content(layout, store), place / "view")


def test_a_content_store_may_be_waited_for_and_a_layout_not(
    layout: Layout, store: Store, place: Path
) -> None:
    mounted(content(layout, store, "ingest=wait"), place / "view")
    shutil.rmtree(store.directory)
    finished = call(*oci(layout, store, "ingest=later"), "label", place)
    assert finished.code == "ENOTAPPLICABLE"
    wait_filled(store)


def test_an_image_is_not_added_if_the_caller_says_so(layout: Layout, store: Store) -> None:
    fails(content(layout, store, "ingest=no"), "ENOTAPPLICABLE", "lacks image")
    fails(oci(layout, store, "ingest=no"), "ENOTAPPLICABLE", "lacks image")
    assert not store.directory.exists()


def test_an_index_leads_to_the_manifest_for_the_platform(
    layout: Layout, store: Store, place: Path
) -> None:
    arm = [file("urunc.json", urunc_json().content) + file(KERNEL_PATH, b"arm") + END]
    amd64, arm64 = ({"os": "linux", "architecture": name} for name in ("amd64", "arm64"))
    listed = [
        {"mediaType": "application/x-other", "digest": digest(b"nothing"), "size": 7},
        {**layout.image(arm), "platform": arm64},
        {**layout.image(usual_layers()), "platform": amd64},
    ]
    index = layout.put_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}, INDEX)
    mounted(content(layout, store, "platform=linux/amd64", "ingest=wait", manifest=index), place / "view")
    words = content(layout, store, "platform=linux/arm64/v8", "ingest=wait", manifest=index)
    with View(place / "view", *words) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == b"arm"
        assert view.ready["image"] == {"manifest": listed[1]["digest"]}
    # By the manifest itself the platform does not matter.
    mounted(content(layout, store, "platform=plan9/386", manifest=listed[2]), place / "view")
    words = content(layout, store, "platform=plan9/386", manifest=index)
    fails(words, "ENOTAPPLICABLE", "no manifest for plan9/386")


def test_of_a_filled_image_no_more_is_read_than_the_index_that_leads_to_its_manifest(
    layout: Layout, store: Store, place: Path
) -> None:
    inner = {**layout.image(usual_layers()), "platform": {"os": "linux", "architecture": "amd64"}}
    index = layout.put_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [inner]}, INDEX)
    options = "platform=linux/amd64", "ingest=wait"
    mounted(content(layout, store, *options, manifest=index), place / "view")
    layout.blob(inner).unlink()
    mounted(content(layout, store, *options, manifest=index), place / "view")
    layout.listed.clear()
    layout.list(index)
    mounted(oci(layout, store, *options), place / "view")


# ------------------------------------------------------------------------------ beside other forms


def test_directories_win_over_the_blobs(store: Store, place: Path) -> None:
    other = {b"urunc.json": urunc_json(), KERNEL_PATH.encode(): File(b"of the layers")}
    (layer,) = Stack([other]).build(place / "layers")
    mounts = json.dumps([{"Type": "bind", "Source": os.fsdecode(layer), "Options": ["ro"]}]).encode()
    words = ["--mounts=-", "--content=/nowhere", f"--manifest={digest(b'')}", "-o", store.option]
    with View(place / "view", *words, stdin=mounts) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == b"of the layers"
    assert not store.directory.exists()


@pytest.mark.parametrize("mounts", [BLOCK, b"[]", b"null"], ids=["ext4", "empty", "null"])
def test_mounts_without_directories_lead_to_the_blobs(
    layout: Layout, store: Store, place: Path, mounts: bytes
) -> None:
    words = ["--mounts=-", *content(layout, store, "ingest=wait")]
    mounted(words, place / "view", stdin=mounts)
    fails(["--mounts=-", *content(layout, store)], "EUSAGE", "not JSON", stdin=b"{")


def test_annotations_of_a_bundle_name_what_is_added(
    layout: Layout, store: Store, place: Path
) -> None:
    bundle = place / "bundle"
    (bundle / "rootfs").mkdir(parents=True)
    values = image.configuration("/" + INITRD_PATH)
    config = {"root": {"path": "rootfs"}, "annotations": values}
    (bundle / "config.json").write_text(json.dumps(config))
    with namespace.tmpfs(bundle / "rootfs"):
        words = [f"--bundle={bundle.name}", *content(layout, store, "ingest=wait")]
        with View(place / "view", *words, cwd=place) as view:
            assert listing(view.root) == {"urunc.json", "boot/", INITRD_PATH}


@pytest.mark.parametrize("stored", ["nothing", "manifest", "chain"])
def test_a_manifest_of_another_chain_is_edigest(
    layout: Layout, store: Store, place: Path, stored: str
) -> None:
    other = [file("urunc.json", urunc_json().content) + file(KERNEL_PATH, b"b") + END]
    manifest = layout.image(other)
    if stored == "manifest":
        with View(place / "view", *content(layout, store, "ingest=wait", manifest=manifest)):
            pass
        chain = digest(b"another")
    else:
        chain = chain_id(usual_layers())
    if stored == "chain":
        with tree(place / "tree") as unpacked:
            store.must_add(unpacked, image=chain)
    words = [f"--chain={chain}", *content(layout, store, manifest=manifest)]
    fails(words, "EDIGEST", chain_id(other))
    # Blobs that are gone say nothing against an image that the store has by its chain id.
    if stored == "chain":
        shutil.rmtree(layout.directory)
        mounted(words, place / "view")


def test_a_chain_that_the_store_lacks_is_filled_from_the_blobs(
    layout: Layout, store: Store, place: Path
) -> None:
    chain = chain_id(usual_layers())
    words = [f"--chain={chain}", *content(layout, store, "ingest=wait")]
    with View(place / "view", *words) as view:
        assert view.ready["image"] == {"chain": chain}


def test_answers_by_chain_and_by_manifest_complete_each_other(
    layout: Layout, store: Store, place: Path
) -> None:
    """A table of contents, say, adds answers by manifest only."""
    chain = chain_id(usual_layers())
    words = [f"--chain={chain}", *content(layout, store)]
    mounted(content(layout, store, "ingest=wait"), place / "view")
    store.facts(chain).unlink()
    with tree(place / "tree", {b"urunc.json": urunc_json()}) as unpacked:
        store.add(unpacked, "-o", "binary=/other", image=chain)
    mounted([*words, "-o", "ingest=no"], place / "view")


@pytest.mark.parametrize(
    ("words", "naming"),
    [
        (["--content=/"], "--manifest is missing"),
        ([f"--manifest={digest(b'')}"], "--content is missing"),
        (["--content=/", "--manifest=sha256:1"], "--manifest: 'sha256:1'"),
        (["--oci="], "must not be empty"),
        (["--oci=/", "--mounts=-"], "both --oci and --mounts"),
        (["--oci=/", "--bundle=/"], "both --oci and --bundle"),
        (["--oci=/", f"--chain={digest(b'')}"], "both --oci and --chain"),
        (["--oci=/", "--content=/", f"--manifest={digest(b'')}"], "both --oci and --content"),
        (["--oci=/", "-o", "lowerdir=/"], "both --oci and -o lowerdir="),
        (["-o", "lowerdir=/", "--content=/", f"--manifest={digest(b'')}"],
         "both -o lowerdir= and --content"),
        (["--oci=/", "-o", "ingest=never"], "ingest"),
        (["--oci=/", "-o", "toc=on"], "toc"),
    ],
)  # fmt: skip
def test_a_call_that_names_no_image_or_two_is_a_usage_error(
    words: Sequence[str], naming: str
) -> None:
    fails(words, "EUSAGE", naming)


# ------------------------------------------------------------------------------- blobs in trouble


@pytest.mark.parametrize("what", ["manifest", "config", "layer"])
def test_a_missing_blob_is_elayer_of_a_layout_and_not_applicable_of_a_content_store(
    layout: Layout, store: Store, what: str
) -> None:
    config = json.loads(layout.blob(layout.manifest).read_text())["config"]
    lost = {"manifest": layout.manifest, "config": config, "layer": layout.layers[1]}[what]
    layout.blob(lost).unlink()
    fails(oci(layout, store), "ELAYER", lost["digest"])
    shutil.rmtree(store.directory, ignore_errors=True)
    words = content(layout, store, "ingest=wait")
    fails(words, "ENOTAPPLICABLE", lost["digest"])


@pytest.mark.parametrize("what", ["manifest", "config", "layer"])
@pytest.mark.parametrize("form", [oci, content])
def test_a_damaged_blob_is_elayer(
    layout: Layout, store: Store, what: str, form: Callable[..., list[str]]
) -> None:
    config = json.loads(layout.blob(layout.manifest).read_text())["config"]
    bad = {"manifest": layout.manifest, "config": config, "layer": layout.layers[1]}[what]
    blob = layout.blob(bad)
    blob.write_bytes(blob.read_bytes()[:-1])
    fails(form(layout, store, "ingest=wait"), "ELAYER", bad["digest"])


@pytest.mark.parametrize(
    ("text", "code", "naming"),
    [
        (b"{", "ELAYER", "index.json is not JSON"),
        (b'{"manifests":' + b"[" * 100, "ELAYER", "index.json is not JSON"),
        (b"[]", "ELAYER", "no image"),
        (b'{"manifests":{}}', "ELAYER", "no image"),
        (b'{"manifests":[1,null,{"digest":7},{"digest":"md5:0"}]}', "ELAYER", "no image"),
        (b" " * (4 << 20) + b"{}", "ELAYER", "no OCI layout"),
        (None, "ELAYER", "no OCI layout"),
    ],
    ids=["cut", "deep", "array", "object", "odd", "large", "missing"],
)
def test_an_index_that_is_none_is_refused(
    layout: Layout, store: Store, text: bytes | None, code: str, naming: str
) -> None:
    (layout.directory / "index.json").unlink()
    if text is not None:
        (layout.directory / "index.json").write_bytes(text)
    fails(oci(layout, store), code, naming)


def test_a_layer_of_an_unknown_type_is_not_applicable(store: Store, place: Path) -> None:
    layout = Layout(place / "layout")
    layout.list(layout.image(usual_layers(), media=OCI + "layer.v1.tar+encrypted"))
    fails(oci(layout, store), "ENOTAPPLICABLE", "encrypted")


@pytest.mark.parametrize("ingest", ["wait", "later"])
def test_an_image_that_is_unusable_is_not_read_again_for_ten_minutes(
    layout: Layout, store: Store, place: Path, ingest: str
) -> None:
    blob = layout.blob(layout.layers[1])
    good = blob.read_bytes()
    blob.write_bytes(good[:-1])
    words = content(layout, store, f"ingest={ingest}")
    failed = store.directory / "failed" / layout.manifest["digest"].removeprefix("sha256:")
    call(*words, "label", place)
    wait_until(failed.exists, "the failure to be remembered")
    wait_until(lambda: not machine.processes(), "the processes to end")
    # The code of that failure, though the blobs are as they must be, or gone, by now.
    blob.write_bytes(good)
    fails(words, "ELAYER", f"{layout.layers[1]['digest']}.*within the last 10 minutes")
    fails(oci(layout, store), "ELAYER", layout.layers[1]["digest"])
    fails(oci(layout, store, "ingest=no"), "ENOTAPPLICABLE", "lacks image")
    os.utime(failed, (time.time() - 601,) * 2)
    mounted(oci(layout, store), place / "view")


def test_a_store_that_cannot_be_filled_says_why(layout: Layout, store: Store) -> None:
    fails(oci(layout, store, "store-size=1K"), "ESYSTEM", "no room")


# ------------------------------------------------------------------------ the process that fills it


SCRIPT = """\
#!/bin/sh
{{
	cat /proc/$$/stat /proc/$$/limits /proc/$$/cgroup
	ls -l /proc/$$/fd /proc/$$/cwd
	ionice -p $$
	grep SigBlk /proc/$$/status
}} >{place}/seen.$$
echo "$*" >{place}/words.$$
mv {place}/seen.$$ {place}/started.$$
until test -e {place}/gate; do sleep 0.02; done
exec {program} "$@"
"""


class Filler:
    """In the place of viewfsctl, for as long as the `with` block runs: a process that waits before
    it does its work until open() is called."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self.programs = place / "programs"
        self.programs.mkdir()
        shutil.copy(program(), self.programs)
        script = self.programs / "viewfsctl"
        script.write_text(SCRIPT.format(place=place, program=program("viewfsctl")))
        script.chmod(0o755)

    def started(self) -> list[Path]:
        return list(self._place.glob("started.*"))

    def open(self) -> None:
        (self._place / "gate").touch()


@pytest.fixture
def filler(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filler]:
    made = Filler(place)
    monkeypatch.setenv("VIEWFS_PROGRAMS", str(made.programs))
    yield made
    made.open()
    wait_until(lambda: not machine.processes(["viewfsctl"]), "the fill to end")


@contextmanager
def image_lock(store: Store, manifest: Descriptor) -> Iterator[Callable[[], None]]:
    """The lock of a process that adds the image; what is given releases it."""
    store.directory.mkdir(mode=0o700, exist_ok=True)
    (word,) = struct.unpack("<Q", bytes.fromhex(manifest["digest"][7:])[:8])
    start = (word >> 4 | 1 << 60) + 1
    with open(store.directory / "lock", "w") as lock:
        os.fchmod(lock.fileno(), 0o600)
        request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, 1, 0)
        fcntl.fcntl(lock, fcntl.F_OFD_SETLK, request)
        yield lock.close


def test_the_process_is_on_its_own(
    layout: Layout, store: Store, place: Path, filler: Filler
) -> None:
    reader, writer = os.pipe()
    finished = call(*content(layout, store), "label", place, cwd=place, pass_fds=(writer,))
    os.close(writer)
    # Not even while it runs is any of the caller's descriptors open.
    assert (finished.code, os.read(reader, 1)) == ("ENOTAPPLICABLE", b"")
    os.close(reader)
    (started,) = wait_until(filler.started, "the process to start")
    seen = started.read_text()
    pid, *_, = fields = seen.split()
    assert fields[5] == pid, "it leads a session"
    assert int(fields[6]) == 0, "it has no terminal"
    descriptors = {line.split(" -> ")[1] for line in seen.splitlines() if " -> " in line}
    assert descriptors <= {"/dev/null", "/", str(filler.programs / "viewfsctl"), f"{place}/seen.{pid}"}
    assert "idle" in seen
    (core,) = (line for line in seen.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    assert f"\n{Path('/proc/self/cgroup').read_text()}" in seen
    assert "SigBlk:\t0000000000000000" in seen
    filler.open()
    wait_filled(store)
    mounted(content(layout, store), place / "view")


def test_the_process_logs_to_syslog(layout: Layout, store: Store, place: Path) -> None:
    layout.blob(layout.layers[0]).write_bytes(b"x")
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with machine.private_dev("fuse", "null") as dev, datagrams as log:
        log.bind(str(dev / "log"))
        log.settimeout(20)
        assert call(*content(layout, store), "label", place).code == "ENOTAPPLICABLE"
        line = log.recv(4096).decode()
        wait_until(lambda: not machine.processes(), "the process to end")
    assert re.match(r"<27>.*viewfsctl\[\d+\]: blob " + layout.layers[0]["digest"], line), line


def test_a_fill_outlives_the_time_of_its_caller(
    layout: Layout, store: Store, place: Path, filler: Filler
) -> None:
    start = time.monotonic()
    finished = call(*oci(layout, store, "timeout=1"), "label", place)
    assert time.monotonic() - start < 10
    assert finished.code == "ENOTAPPLICABLE"
    assert "not added to the artifact store after 1 s" in finished.ready["error"]["message"]
    assert len(filler.started()) == 1
    filler.open()
    wait_filled(store)
    mounted(oci(layout, store, "ingest=no"), place / "view")


def test_a_caller_that_is_killed_does_not_end_the_fill(
    layout: Layout, store: Store, place: Path, filler: Filler
) -> None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(call, *oci(layout, store, "timeout=60"), "label", place)
        wait_until(filler.started, "the process to start")
        for process in machine.processes(["urunc-viewfs"]):
            process.signal(9)
        assert waiting.result().status < 0
    filler.open()
    wait_filled(store)


def test_calls_for_an_image_that_is_being_added_start_no_other_process(
    layout: Layout, store: Store, place: Path, filler: Filler
) -> None:
    filler.open()
    with image_lock(store, layout.manifest) as release:
        later = call(*content(layout, store), "label", place)
        assert "it is being added" in later.ready["error"]["message"]
        waited = call(*oci(layout, store, "timeout=1"), "label", place)
        assert "after 1 s" in waited.ready["error"]["message"]
        assert not filler.started()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            joined = pool.submit(mounted, oci(layout, store), place / "view")
            wait_until(lambda: machine.processes(["urunc-viewfs"]), "the call to start")
            release()
            # The process that had the lock ended without the image: another one is started.
            joined.result()
    assert len(filler.started()) == 1


def test_many_calls_at_once_all_get_the_image(layout: Layout, store: Store, place: Path) -> None:
    views = [View(place / f"view{n}", *oci(layout, store)) for n in range(12)]
    with concurrent.futures.ThreadPoolExecutor(len(views)) as pool:
        results = list(pool.map(lambda view: call(*oci(layout, store), "none", view.root), views)
                       if all([view.root.mkdir() is None for view in views]) else [])
    assert [finished.status for finished in results] == [0] * len(views), results
    for view in views:
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        namespace.unmount(os.fsencode(view.root), 0)
    assert len(store.files("objects")) == 3


def test_without_viewfsctl_it_is_said_that_the_image_cannot_be_added(
    layout: Layout, store: Store, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "programs").mkdir()
    shutil.copy(program(), place / "programs")
    monkeypatch.setenv("VIEWFS_PROGRAMS", str(place / "programs"))
    for form in (oci, content):
        fails(form(layout, store), "ENOTAPPLICABLE", "programs/viewfsctl': No such file")


# ------------------------------------------------------------------------------------- resolve


def test_resolve_adds_the_image_as_a_view_does(layout: Layout, store: Store) -> None:
    told = json.loads(viewfsctl("resolve", "--json", "--digest", *oci(layout, store)).stdout)
    assert (told["bootable"], told["image"]) == (True, {"manifest": layout.manifest["digest"]})
    binary = {a["role"]: a for a in told["artifacts"]}["binary"]
    assert binary["digest"] == digest(KERNEL)
    assert binary["origin"] == f"{layout.layers[0]['digest']}/{KERNEL_PATH}"
    shutil.rmtree(store.directory)
    later = viewfsctl("resolve", "--json", *content(layout, store))
    assert (later.status, json.loads(later.stdout)["error"]["code"]) == (32, "ENOTAPPLICABLE")
    wait_filled(store)
    assert viewfsctl("resolve", *content(layout, store)).status == 0


# ------------------------------------------------------------------------------------- once mounted


def test_the_same_call_again_is_the_same_view(layout: Layout, store: Store, place: Path) -> None:
    other = layout.image([file("urunc.json", urunc_json().content) + file(KERNEL_PATH, KERNEL) + END])
    with View(place / "view", *oci(layout, store)) as view:
        again = call(*oci(layout, store), "none", view.root)
        assert (again.status, again.ready["image"]) == (0, view.ready["image"])
        # Named in the other form it is the same image.
        again = call(*content(layout, store), "none", view.root)
        assert (again.status, again.ready["image"]) == (0, view.ready["image"])
        words = content(layout, store, "ingest=wait", manifest=other)
        assert call(*words, "none", view.root).code == "EMOUNT"
