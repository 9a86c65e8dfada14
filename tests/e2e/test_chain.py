# SPDX-License-Identifier: Apache-2.0
"""The module that asks containerd what a container is made of, and fills the store from a View,
with real daemons: this Debian's, whose snapshotter has directories, and a newer one's, which has
disks.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import machine, scratch, shim, skipping
from support.containerd import BlockContainerd, Containerd
from support.go import build_module
from support.nothing_left import _own_places  # noqa: F401
from support.view import Argument, Finished, call, program, run, tree
from support.waiting import SECONDS, wait_until

CHAIN = shim.README.parent / "chain"
ARTIFACTS = {"boot/vmlinuz", "unikernel/initrd", "urunc.json"}
LAYERS = 8
IMAGES = {"example.invalid/other:1": LAYERS + 1, "example.invalid/own:1": LAYERS}
OTHER, OWN = IMAGES
NAME = "web-1"

ANNOTATION = "com.urunc.unikernel.hypervisor"


@pytest.fixture(scope="module")
def viewfs_chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("chain")
    return build_module(CHAIN, "./viewfs-chain", directory / "viewfs-chain")


class Host:
    """A containerd with one container that was created, whose image the program is asked about."""

    def __init__(self, containerd: Containerd, snapshotter: str, place: Path, tool: Path) -> None:
        self.containerd = containerd
        self.snapshotter = snapshotter
        self.place = place
        self.store = place / "store"
        self._tool = tool
        for name, layers in IMAGES.items():
            self.image = containerd.unpack(layers, snapshotter)
            containerd.ctr("images", "tag", self.image, name)

    def rename(self, image: str) -> None:
        """The name of the container's image means that IMAGE from now on."""
        self.containerd.ctr("images", "tag", "--force", image, self.image)

    def command(self, *words: Argument, **options: Argument) -> list[Argument]:
        known = {"address": self.containerd.address, "viewfsctl": program("viewfsctl"),
                 "store": self.store, **options}  # fmt: skip
        return [self._tool, *(f"-{name}={value}" for name, value in known.items()), *words]

    def chain(self, command: str, name: str = NAME, **options: Argument) -> Finished:
        return run(*self.command(command, self.containerd.namespace, name, **options), seconds=60)

    def show(self) -> dict[str, Any]:
        finished = self.chain("show")
        assert (finished.status, finished.stderr) == (0, ""), finished
        return json.loads(finished.stdout)

    def snapshots(self, *words: str) -> str:
        return self.containerd.ctr("snapshots", "--snapshotter", self.snapshotter, *words)

    def held(self) -> tuple[object, ...]:
        """All that a fill must undo: snapshots, leases, mounts and devices."""
        leases = self.containerd.ctr("leases", "ls", "-q").split()
        return self.snapshots("ls"), leases, machine.mounts(None), machine.loops(self.place)


@contextmanager
def container(host: Host) -> Iterator[None]:
    labelled = ["--annotation", f"{ANNOTATION}=qemu"]
    options = ["--snapshotter", host.snapshotter, *labelled]
    host.containerd.ctr("containers", "create", *options, host.image, NAME)
    try:
        yield
    finally:
        host.containerd.ctr("containers", "rm", NAME)


DAEMONS = {"overlayfs": Containerd, "blockfile": BlockContainerd}


@pytest.fixture(scope="module", params=DAEMONS)
def daemon(
    request: pytest.FixtureRequest, _own_places: None, viewfs_chain: Path
) -> Iterator[Host]:
    """It takes as long to start as all tests: they share it."""
    parent, reason = scratch.find()
    if not parent:
        skipping.skip(reason)
    with scratch.directory(parent) as place, DAEMONS[request.param](place) as containerd:
        host = Host(containerd, request.param, place, viewfs_chain)
        with container(host):
            yield host


@pytest.fixture
def host(daemon: Host, tmp_path: Path) -> Iterator[Host]:
    """With an empty store; a test leaves no view, no mount and nothing in containerd."""
    before = daemon.held()
    daemon.store = tmp_path / "store"
    yield daemon
    assert daemon.held() == before
    assert not machine.processes()


def on_a_block_device(test: Any) -> Any:
    """What does not depend on the daemon is tried with the one that requires it."""
    return pytest.mark.parametrize("daemon", ["blockfile"], indirect=True)(test)


def content_of(host: Host, digest: str) -> dict[str, Any]:
    """A document of the content store."""
    return json.loads(host.containerd.ctr("content", "get", digest))


def test_without_a_daemon_the_socket_is_named_at_once(viewfs_chain: Path, tmp_path: Path) -> None:
    socket = tmp_path / "no.sock"
    finished = run(viewfs_chain, f"-address={socket}", "show", "default", NAME, seconds=30)
    assert finished.status == 2
    assert str(socket) in finished.stderr and "no such file" in finished.stderr


def test_show_tells_what_a_view_requires(host: Host) -> None:
    said = host.show()
    chain = json.loads(host.snapshots("info", NAME))["Parent"]
    assert (said["id"], said["snapshotter"], said["snapshot"]) == (NAME, host.snapshotter, NAME)
    assert (said["image"], said["chain"]) == (host.image, chain)
    assert said["annotations"][ANNOTATION] == "qemu"
    blobs = Path(said["content"]) / "blobs/sha256"
    assert (blobs / said["manifest"].removeprefix("sha256:")).is_file()
    manifest = content_of(host, said["manifest"])
    assert len(manifest["layers"]) == LAYERS
    (mount,) = said["mounts"]
    assert mount["Type"] == {"overlayfs": "overlay", "blockfile": "ext4"}[host.snapshotter]


def artifacts_of(at: Path, *words: Argument, stdin: bytes | None = None) -> set[str]:
    """What a view shows that is mounted AT (made), and removed."""
    at.mkdir()
    made = call("-o", "resolve=ready", *words, "--", "label", at, stdin=stdin)
    assert made.status == 0, made
    shown = {path for path in tree(at) if not path.endswith("/")}
    assert run("umount", at).status == 0
    wait_until(lambda: not machine.processes(), "the daemon to end")
    return shown


@pytest.mark.parametrize("daemon", ["overlayfs"], indirect=True)
def test_what_show_prints_is_what_a_view_accepts(host: Host, tmp_path: Path) -> None:
    shown = host.chain("show").stdout.encode()
    assert artifacts_of(tmp_path / "view", "--mounts=-", stdin=shown) == ARTIFACTS


def test_a_name_that_means_another_image_or_none_gives_no_manifest(host: Host) -> None:
    before = host.show()
    without = {key: value for key, value in before.items() if key != "manifest"}
    host.rename(OTHER)
    assert host.show() == without
    host.containerd.ctr("images", "rm", "--sync", host.image)
    assert host.show() == without
    host.rename(OWN)
    assert host.show() == before


def test_a_fill_stores_the_image_once_and_leaves_nothing(host: Host, tmp_path: Path) -> None:
    before = host.held()
    calls = tmp_path / "calls"
    control = wrapper(tmp_path, f'echo "$2" >>{calls}')
    fill = host.command("fill", host.containerd.namespace, NAME, viewfsctl=control)
    both = [subprocess.Popen(fill) for _ in range(2)]
    assert [process.wait(SECONDS) for process in both] == [0, 0]
    assert host.chain("fill", viewfsctl=control).status == 0
    assert calls.read_text() == "add\n"
    assert host.held() == before
    words = [f"--chain={host.show()['chain']}", "-o", f"store={host.store}"]
    assert artifacts_of(tmp_path / "view", *words) == ARTIFACTS


def wrapper(place: Path, command: str) -> Path:
    """viewfsctl, where `store` does COMMAND first."""
    path = place / "viewfsctl-wrapper"
    script = f'#!/bin/sh\n[ "$1" != store ] || {{ {command}; }}\nexec {program("viewfsctl")} "$@"\n'
    path.write_text(script)
    path.chmod(0o755)
    return path


@on_a_block_device
@pytest.mark.parametrize("control", ["exit 3", "exec /nowhere/viewfsctl", ""], ids=str)
def test_a_fill_that_fails_leaves_nothing(host: Host, tmp_path: Path, control: str) -> None:
    before = host.held()
    finished = host.chain(
        "fill", viewfsctl=wrapper(tmp_path, control) if control else "/nowhere/viewfsctl"
    )
    assert finished.status == 2 and finished.stderr.startswith("viewfs-chain: "), finished
    assert host.held() == before


@contextmanager
def hanging_fill(host: Host) -> Iterator[subprocess.Popen[bytes]]:
    """A fill that copies for ever."""
    control = wrapper(host.store.parent, "exec sleep 999")
    with subprocess.Popen(host.command("fill", host.containerd.namespace, NAME, viewfsctl=control),
                          stderr=subprocess.PIPE) as process:  # fmt: skip
        wait_until(lambda: machine.loops(host.place), "the View to be mounted")
        yield process


@on_a_block_device
def test_a_fill_that_is_told_to_end_leaves_nothing(host: Host) -> None:
    before = host.held()
    with hanging_fill(host) as process:
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 2
        assert time.monotonic() - start < 4
    assert host.held() == before


@on_a_block_device
def test_a_fill_that_is_killed_leaves_only_what_containerd_removes(host: Host) -> None:
    """The mount and the processes end with it; the View has a lease that expires."""
    before = host.held()
    with hanging_fill(host) as process:
        process.kill()
    wait_until(lambda: not machine.loops(host.place), "the mount to end")
    (lease,) = host.containerd.ctr("leases", "ls", "-q").split()
    assert "containerd.io/gc.expire" in host.containerd.ctr("leases", "ls")
    assert f"urunc-viewfs-{lease}" in host.snapshots("ls")
    # What containerd does when the time is over.
    host.containerd.ctr("leases", "rm", "--sync", lease)
    assert host.held() == before


@on_a_block_device
def test_wrong_words_are_a_usage_error(host: Host) -> None:
    for words in [[], ["show"], ["look", "a", "b"], ["show", "a", "b", "c"], ["-colour", "show"]]:
        finished = run(*host.command(*words))
        assert (finished.status, "usage: viewfs-chain" in finished.stderr) == (1, True), finished
    missing = host.chain("show", "web-2")
    assert missing.status == 2 and "web-2" in missing.stderr
