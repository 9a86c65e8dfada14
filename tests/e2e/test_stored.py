# SPDX-License-Identifier: Apache-2.0
"""A container whose disk is a block device: its image has no directories, and is stored once.

Another Debian's containerd keeps the disk as a file; the guest boots in QEMU.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import machine, shim, skipping
from support.containerd import BlockContainerd
from support.go import build_module, go
from support.nothing_left import _nothing_left, _own_places, place  # noqa: F401
from support.shim import mountpoint
from support.view import Argument, Finished, call, program, run
from support.waiting import wait_until

# Guests boot in emulation.
pytestmark = pytest.mark.takes_up_to(800)

SNAPSHOTTER = "blockfile"
LAYERS = 8
ARTIFACTS = {"boot/vmlinuz", "unikernel/initrd", "urunc.json"}
MARK = "container-id"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Host:
    """A machine with the block snapshotter and an artifact store, and what its shims do."""

    def __init__(self, containerd: BlockContainerd, place: Path, tools: Path) -> None:
        self.containerd = containerd
        self.store = place / "store"
        self._place = place
        self._tools = tools
        self.image = containerd.unpack(LAYERS, SNAPSHOTTER, *containerd.guest())

    def snapshots(self, *words: str) -> str:
        return self.containerd.ctr("snapshots", "--snapshotter", SNAPSHOTTER, *words)

    def info(self, key: str) -> dict[str, Any]:
        return json.loads(self.snapshots("info", key))

    def held(self) -> tuple[object, ...]:
        """All that a fill must undo: snapshots, leases, mounts and devices."""
        leases = self.containerd.ctr("leases", "ls", "-q").split()
        return self.snapshots("ls"), leases, machine.mounts(None), machine.loops(self._place)

    def fill(self, name: str) -> Finished:
        """By the program that does it with containerd's own library, for a container's image."""
        options = {"address": self.containerd.address, "viewfsctl": program("viewfsctl"),
                   "store": self.store}  # fmt: skip
        words = [f"-{name}={value}" for name, value in options.items()]
        command = [self._tools / "viewfs-chain", *words, "fill", self.containerd.namespace, name]
        return run(*command, seconds=60)

    def example(self, *words: str, stdin: bytes) -> Finished:
        """Run the example of a shim, which finds the programs on PATH."""
        path = f"{program().parent}:{os.environ['PATH']}"
        return run(self._tools / "shim", *words, stdin=stdin, env={"PATH": path}, seconds=60)

    def manifest(self) -> str:
        """What containerd calls the image's target; it may be an index."""
        (line,) = (
            line for line in self.containerd.ctr("images", "ls").splitlines()
            if line.split()[0] == self.image
        )  # fmt: skip
        return next(word for word in line.split() if word.startswith("sha256:"))

    @property
    def content(self) -> Path:
        """containerd's content store."""
        return self.containerd.root_directory / "io.containerd.content.v1.content"

    def layout(self) -> Path:
        """The image as an OCI layout, as ctr exports it."""
        archive, directory = self._place / "exported.tar", self._place / "layout"
        self.containerd.ctr("images", "export", archive, self.image, seconds=120)
        directory.mkdir()
        assert run("tar", "-C", directory, "-xf", archive).status == 0
        return directory

    def fill_by_hand(self, key: str) -> Finished:
        """As the README does it at a shell, for a container's snapshot."""
        _, _, commands, _ = shim.examples("sh")
        tools = self._place / "bin"
        tools.mkdir(exist_ok=True)
        ctr = shlex.join(map(str, self.containerd.program("ctr")))
        for name, text in {
            "ctr": f'{ctr} "$@"',
            "viewfsctl": f'{program("viewfsctl")} "$@" -o store={self.store}',
        }.items():
            (tools / name).write_text(f"#!/bin/sh\nexec {text}\n")
            (tools / name).chmod(0o755)
        env = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "namespace": self.containerd.namespace, "snapshotter": SNAPSHOTTER, "id": key,
        }  # fmt: skip
        return run("sh", "-eu", "-c", commands, env=env, seconds=60)

    def stored(self) -> list[Path]:
        return [path for path in (self.store / "objects").rglob("*") if path.is_file()]


class Container:
    """One that was created, and whose disk is there."""

    def __init__(self, host: Host, name: str) -> None:
        self.name = name
        self._host = host
        self.chain: str = host.info(name)["Parent"]
        words = host.snapshots("mounts", "/target", name).split()
        assert words[:3] == ["mount", "-t", "ext4"] and words[4:6] == ["/target", "-o"], words
        self.mounts = [{"Type": "ext4", "Source": words[3], "Options": words[6].split(",")}]
        self.disk = Path(words[3])

    def write_mark(self) -> None:
        """What its disk alone has."""
        file = self.disk.parent / MARK
        file.write_text(self.name)
        run("debugfs", "-w", "-R", f"write {file} {MARK}", self.disk)
        file.unlink()

    @property
    def view(self) -> Path:
        return mountpoint(self.name)

    def start(self, *words: Argument) -> Finished:
        """Make its view, as the README says, with more WORDS."""
        self.view.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.view.mkdir(mode=0o700, exist_ok=True)
        finished = call(
            *("--mounts=-", f"--chain={self.chain}", f"--id={self.name}", *words),
            *("-o", f"store={self._host.store}", "--", "urunc-viewfs", self.view),
            stdin=json.dumps(self.mounts).encode(),
        )
        if finished.status:
            self.view.rmdir()
        return finished

    def start_by_example(self) -> None:
        """The same by the example of a shim, which makes the view where start() does."""
        words = [f"-chain={self.chain}", "create", shim.NAMESPACE, self.name]
        words += [f"store={self._host.store}"]
        made = self._host.example(*words, stdin=json.dumps(self.mounts).encode())
        view = json.loads(made.stdout)["view"]
        assert view and view["mountpoint"] == str(self.view), made

    def stop(self) -> None:
        shim.Direct().delete(self.name)

    def boot(self) -> list[str]:
        """What the guest says: of the kernel in the view, with the container's disk."""
        drive = f"file={self.disk},format=raw,if=virtio,file.locking=off"
        return boot(self.view, "-drive", drive)


def boot(view: Path, *words: Argument) -> list[str]:
    """What the guest says that QEMU boots from a VIEW."""
    command = [
        *("qemu-system-x86_64", "-accel", "tcg", "-M", "q35", "-m", "256M", "-no-reboot"),
        *("-nodefaults", "-display", "none", "-serial", "stdio", *words),
        *("-kernel", view / "boot/vmlinuz", "-initrd", view / "unikernel/initrd"),
        *("-append", "console=ttyS0 reboot=t panic=-1 quiet"),
    ]
    finished = run(*command, seconds=300)
    assert finished.status == 0, finished
    found = re.findall(r"^urunc-viewfs guest: (.*?)\r?$", finished.stdout, re.MULTILINE)
    assert found, finished.stdout
    return found


@contextmanager
def container(host: Host, name: str) -> Iterator[Container]:
    host.containerd.ctr("containers", "create", "--snapshotter", SNAPSHOTTER, host.image, name)
    try:
        made = Container(host, name)
        made.write_mark()
        yield made
    finally:
        host.containerd.ctr("containers", "rm", name)


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example of a shim, and what it does with containerd's own library."""
    tmp_path = tmp_path_factory.mktemp("tools")
    build_module(shim.README.parent / "chain", "./viewfs-chain", tmp_path / "viewfs-chain")
    go(shim.EXAMPLE, "build", "-o", tmp_path / "shim", "./shim")
    return tmp_path


@pytest.fixture
def host(place: Path, tools: Path) -> Iterator[Host]:
    for needed in ("qemu-system-x86_64", "debugfs"):
        if not shutil.which(needed):
            skipping.skip(f"no {needed}")
    with BlockContainerd(place) as containerd:
        yield Host(containerd, place, tools)


def assert_boots(container: Container) -> None:
    """From the view, with a disk that nobody else has and that still holds all of the image."""
    assert container.start().ready["ready"]
    assert_guest_boots(container)


def assert_guest_boots(container: Container) -> None:
    try:
        said = container.boot()
        assert said[0].startswith("up, kernel 6.12."), said
        disk = {line.split()[2]: line.split()[1] for line in said if line.startswith("disk: ")}
        assert disk[f"/disk/{MARK}"] == hashlib.sha256(container.name.encode()).hexdigest()
        assert disk["/disk/urunc.json"] == sha256(container.view / "urunc.json")
    finally:
        container.stop()


def facts(host: Host, chain: str) -> list[dict[str, Any]]:
    """The answers that the store has of an image; where each is from may differ."""
    words = ("store", "list", "--json", "-o", f"store={host.store}")
    listed = json.loads(run(program("viewfsctl"), *words).stdout)["entries"]
    (entry,) = (entry for entry in listed if entry["name"] == f"chains/{chain[7:]}")
    answers = [{**answer, "origin": None} for answer in entry["answers"]]
    return sorted(answers, key=lambda answer: answer["path"])


def test_an_image_on_a_block_snapshotter_is_stored_once(host: Host) -> None:
    before = host.held()
    with container(host, "first") as first:
        # Without the store there is nothing to show, and the container starts as ever.
        missed = first.start()
        assert (missed.status, missed.code) == (32, "ENOTAPPLICABLE"), missed
        untouched = sha256(first.disk)
        there = host.held()

        assert host.fill("first").status == 0
        assert host.held() == there
        objects = {path: path.stat().st_ino for path in host.stored()}
        assert len(objects) == len(ARTIFACTS)

        with container(host, "second") as second:
            assert second.chain == first.chain
            assert_boots(second)
            # The same container again: nothing was moved out of its disk.
            marked = sha256(second.disk)
            second.start_by_example()
            assert_guest_boots(second)
            assert sha256(second.disk) == marked
        assert_boots(first)
        assert sha256(first.disk) == untouched

        # A second fill is free.
        assert host.fill("first").status == 0
        assert {path: path.stat().st_ino for path in host.stored()} == objects
    assert host.held() == before


def test_an_image_that_is_stored_by_hand_outlives_its_image(host: Host) -> None:
    """By chain id: no tag, no blob and no snapshot is needed."""
    with container(host, "only") as only:
        chain, mounts = only.chain, only.mounts
        there = host.held()
        assert host.fill_by_hand("only").status == 0
        assert host.held() == there
    host.containerd.ctr("images", "rm", "--sync", host.image)
    assert chain not in host.snapshots("ls")
    at = mountpoint("later")
    at.mkdir(mode=0o700, parents=True)
    finished = call(f"--chain={chain}", "-o", f"store={host.store}", "--", "urunc-viewfs", at)
    assert finished.ready["ready"], (finished, mounts)
    assert {str(path.relative_to(at)) for path in at.rglob("*") if path.is_file()} == ARTIFACTS
    shim.Direct().delete("later")


def test_an_image_is_stored_from_containerds_content_as_from_a_view(host: Host) -> None:
    """With equal results, and no operation of the snapshotter."""
    with container(host, "first") as first:
        assert host.fill("first").status == 0
        objects = {path.name for path in host.stored()}
        answers = facts(host, first.chain)
        shutil.rmtree(host.store)

        words = [f"--content={host.content}", f"--manifest={host.manifest()}"]
        there = host.held()
        missed = first.start(*words)
        assert (missed.status, missed.code) == (32, "ENOTAPPLICABLE"), missed
        wait_until(host.stored, "the image to be added in the background")
        wait_until(lambda: not machine.processes(["viewfsctl"]), "the process to end")
        assert host.held() == there
        assert {path.name for path in host.stored()} == objects
        assert facts(host, first.chain) == answers
        untouched = sha256(first.disk)
        assert first.start(*words).ready["image"] == {"chain": first.chain}
        assert_guest_boots(first)
        assert sha256(first.disk) == untouched


def test_an_oci_layout_boots_at_a_shell(host: Host, place: Path) -> None:
    """As README says; no containerd is needed."""
    layout = host.layout()
    host.containerd.ctr("images", "rm", "--sync", host.image)
    options = ("-o", f"store={host.store}")
    added = run(program("viewfsctl"), "store", "add", f"--oci={layout}", *options, seconds=60)
    assert added.status == 0, added
    at = place / "mnt"
    at.mkdir()
    finished = call(f"--oci={layout}", *options, "--", "none", at)
    assert finished.ready["ready"], finished
    assert {str(path.relative_to(at)) for path in at.rglob("*") if path.is_file()} == ARTIFACTS
    try:
        said = boot(at)
        assert said[0].startswith("up, kernel 6.12."), said
    finally:
        run("umount", at)
