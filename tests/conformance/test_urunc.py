# SPDX-License-Identifier: Apache-2.0
"""urunc's own order of doing things: the shim makes the view before urunc creates the container.
urunc reads the configuration, binds the view into the monitor's root, pivots, becomes the
container's user and executes the monitor. In the end the bundle is removed with everything in it,
and then the view.

urunc binds in one of two ways: the view's directory at /cntrRootfs, as it does for other kinds of
root filesystems, or each file, with bare MS_BIND. VIEWFS_PROGRAMS names a directory of installed
programs.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import machine, stored
from support.helper_process import HelperProcess
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH
from support.layout import Layout, chain_id, usual_layers
from support.monitor import Monitor, digest
from support.shim import Direct, Example, Shim, mountpoint
from support.stack import File
from support.task import BOX, CONTENT, NOBODY, assert_serves, daemon
from support.waiting import wait_until

VIEW_FILE = "rootfs-view.json"  # in the bundle, for urunc: where the view is


@dataclass(frozen=True)
class Way:
    """How urunc binds a view into the monitor's root, and where its files are then."""

    directory: str  # "": each file at its own path

    def bind(self, monitor: Monitor, view: Path) -> None:
        if self.directory:
            monitor.bind_directory(view, self.directory)
        else:
            monitor.bind(view, CONTENT)

    def path(self, name: str) -> str:
        return os.path.join("/", self.directory, name)


WAYS = {"directory": Way("cntrRootfs"), "files": Way("")}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


class Container:
    """One that is taken from step to step, by the process of a shim, urunc's own and the monitor's;
    each step may be the last."""

    STEPS = ["make", "create", "bind", "enter", "open", "remove", "delete"]

    def __init__(
        self, shim: Shim, bundle: Path, way: Way, mounts: Any, *options: str, **how: Any
    ) -> None:
        self._shim = shim
        self._bundle = bundle
        self._way = way
        self._make = partial(shim.make, BOX, mounts, *options, **how)
        self.host = HelperProcess()
        self.urunc = HelperProcess()
        self.monitor = Monitor(bundle / "monRootfs", NOBODY)

    def make(self) -> None:
        self.ready = self.host.call(self._make).ready
        assert self.ready
        self.host.call(write_view, self._bundle, Path(self.ready["mountpoint"]))
        self.daemon = daemon()

    def create(self) -> None:
        """urunc learns from the bundle where the view is, and from the view what to boot."""
        self.view = self.urunc.call(read_view, self._bundle)
        self.configured = self.urunc.call(configured, self.view)

    def bind(self) -> None:
        self._way.bind(self.monitor, self.view)

    def enter(self) -> None:
        self.monitor.leave()

    def open(self) -> None:
        """The kernel is read, and the initrd mapped, as QEMU does."""
        self.kernel = self.monitor.open(self._way.path(self.configured["binary"]))
        self.initrd = self.monitor.map(self.monitor.open(self._way.path(self.configured["initrd"])))

    def remove(self) -> None:
        self.urunc.call(shutil.rmtree, self._bundle)

    def delete(self) -> None:
        self.host.call(self._shim.delete, BOX)

    def read(self) -> None:
        """What the monitor has open."""
        assert self.monitor.digest(self.kernel) == digest(KERNEL)
        assert self.monitor.digest_mapped(self.initrd) == digest(INITRD)

    def take(self, steps: list[str]) -> None:
        for step in steps:
            getattr(self, step)()


def write_view(bundle: Path, view: Path) -> None:
    (bundle / VIEW_FILE).write_text(json.dumps({"Mountpoint": str(view)}))


def read_view(bundle: Path) -> Path:
    return Path(json.loads((bundle / VIEW_FILE).read_text())["Mountpoint"])


def configured(view: Path) -> dict[str, str]:
    """What urunc.json names, decoded, as paths of the image."""
    said = json.loads((view / "urunc.json").read_text())
    names = {"binary": "com.urunc.unikernel.binary", "initrd": "com.urunc.unikernel.initrd"}
    decoded = {role: base64.b64decode(said[name]).decode() for role, name in names.items()}
    return {role: path.lstrip("/") for role, path in decoded.items()}


@contextmanager
def container(*arguments: Any, **how: Any) -> Iterator[Container]:
    """One of a Container's arguments."""
    made = Container(*arguments, **how)
    with made.host, made.urunc, made.monitor:
        yield made


def test_each_step_finds_what_the_one_before_it_left(
    shim: Shim, bundle: Path, mounts: list[dict[str, Any]], way: Way
) -> None:
    """The view is there before urunc creates, and until it has deleted."""
    with container(shim, bundle, way, mounts) as running:
        running.take(["make", "create"])
        assert running.configured == {"binary": KERNEL_PATH, "initrd": INITRD_PATH}
        running.take(["bind", "enter"])
        for path in CONTENT:
            flags = running.monitor.call(os.statvfs, way.path(path)).f_flag
            for flag in (os.ST_RDONLY, os.ST_NODEV, os.ST_NOSUID, os.ST_NOEXEC):
                assert flags & flag
        if way.directory:
            assert set(running.monitor.call(os.listdir, way.path(""))) == {
                "unikernel", "boot", "urunc.json",
            }  # fmt: skip
        running.take(["open", "remove"])
        assert_serves(mountpoint(BOX))
        running.read()
        running.take(["delete", "delete"])
        assert machine.mounts() == []
        running.read()
        assert machine.is_alive(running.daemon.pid)
    wait_until(lambda: not machine.processes(), "the daemon to end with the monitor")


# Crashes


def crash_daemon(running: Container) -> None:
    running.daemon.signal(signal.SIGKILL)
    wait_until(lambda: not machine.is_alive(running.daemon.pid), "the daemon to die")


def crash_shim(running: Container) -> None:
    running.host.kill()


def crash_urunc(running: Container) -> None:
    running.urunc.kill()


def crash_monitor(running: Container) -> None:
    running.monitor.kill()


@pytest.mark.parametrize("crash", [crash_daemon, crash_shim, crash_urunc, crash_monitor])
@pytest.mark.parametrize("last", Container.STEPS)
@pytest.mark.parametrize(("by", "bound"), [("direct", "files"), ("example", "directory")])
def test_a_crash_after_any_step_leaves_what_another_shim_removes(
    request: pytest.FixtureRequest,
    bundle: Path,
    mounts: list[dict[str, Any]],
    by: str,
    bound: str,
    last: str,
    crash: Callable[[Container], None],
) -> None:
    """Whatever was the last step, whoever died: the rest is removed by another shim, twice, and the
    same container can be made again."""
    shim = Direct() if by == "direct" else request.getfixturevalue("example")
    with container(shim, bundle, WAYS[bound], mounts) as running:
        steps = Container.STEPS[: Container.STEPS.index(last) + 1]
        running.take(steps)
        crash(running)
        if "open" in steps and crash is not crash_monitor:
            if crash is not crash_daemon or running.ready["passthrough"]:
                running.read()
        elif "delete" not in steps and crash is not crash_daemon:
            assert_serves(mountpoint(BOX))
        for _ in range(2):
            shim.delete(BOX)
        running.monitor.kill()
        wait_until(lambda: not machine.processes(), "the daemon to end")
        if bundle.exists():
            shutil.rmtree(bundle)
        shim.delete(BOX)
    assert shim.make(BOX, mounts).ready
    assert_serves(mountpoint(BOX))
    shim.delete(BOX)


# The same container again


# A block device's, as its shim gets it. No view opens it: there is none.
DISK = [{"Type": "ext4", "Source": "/dev/nowhere/disk", "Options": ["rw", "loop"]}]


@pytest.fixture
def store(place: Path) -> stored.Store:
    """With two images: the usual one, and another one."""
    store = stored.Store(place / "store")
    for number, kernel in (1, KERNEL), (2, b"another"):
        files = {**stored.usual_tree(), KERNEL_PATH.encode(): File(kernel, mode=0o755)}
        with stored.tree(place / "tree", files) as tree:
            store.must_add(tree, image=stored.chain(number))
    return store


def named(number: int) -> list[str]:
    """An image of the store, as a shim names it."""
    return [f"chain={stored.chain(number)}"]


SOURCES = ["directories", "store"]


@pytest.mark.parametrize("source", SOURCES)
def test_a_second_start_of_a_container_boots_what_the_first_one_booted(
    shim: Shim,
    bundle: Path,
    mounts: list[dict[str, Any]],
    store: stored.Store,
    source: str,
    way: Way,
) -> None:
    """Its configuration and its kernel are where they were: nothing was moved."""
    how = {"directories": {}, "store": {"stored": named(1)}}[source]
    for _ in range(2):
        with container(
            shim, bundle, way, DISK if how else mounts, store.option, **how
        ) as running:
            running.take(["make", "create", "bind", "enter", "open"])
            running.read()
        shutil.rmtree(bundle / "monRootfs")
        (bundle / "monRootfs").mkdir()
        shim.delete(BOX)
        wait_until(lambda: not machine.processes(), "the daemon to end")


def test_a_second_start_before_the_deletion_finds_the_view(
    shim: Shim, store: stored.Store
) -> None:
    """The first one's deletion was skipped, because the shim died, say."""
    first, second = (
        shim.make(BOX, DISK, store.option, stored=named(1)).ready for _ in range(2)
    )
    assert first and first == second
    shim.delete(BOX)


@pytest.mark.parametrize("before", SOURCES)
def test_a_container_of_the_same_name_and_a_new_image_gets_a_new_view(
    example: Example, mounts: list[dict[str, Any]], store: stored.Store, before: str
) -> None:
    """The old one's deletion was skipped."""
    old = {"directories": {}, "store": {"stored": named(1)}}[before]
    assert example.make(BOX, mounts if not old else DISK, store.option, **old).ready
    process = daemon()
    refused = Direct().make(BOX, DISK, store.option, stored=named(2))
    assert (refused.ready, refused.code) == (None, "EMOUNT")
    assert example.make(BOX, DISK, store.option, stored=named(2)).ready
    assert (mountpoint(BOX) / KERNEL_PATH).read_bytes() == b"another"
    wait_until(lambda: not machine.is_alive(process.pid), "the old daemon to end")
    example.delete(BOX)


def test_an_image_that_is_not_stored_leaves_the_container_to_a_copy(
    shim: Shim, store: stored.Store
) -> None:
    made = shim.make(BOX, DISK, store.option, stored=named(3))
    assert (made.ready, made.code) == (None, "ENOTAPPLICABLE")
    assert not mountpoint(BOX).exists()


def test_an_image_of_the_content_store_is_stored_for_its_next_container(
    shim: Shim, place: Path
) -> None:
    content = Layout(place / "content")
    manifest = content.image(usual_layers())["digest"]
    image = [
        f"chain={chain_id(usual_layers())}",
        f"content={content.directory}",
        f"manifest={manifest}",
    ]
    option = f"store={place / 'store'}"
    made = shim.make(BOX, DISK, option, stored=image)
    assert (made.ready, made.code) == (None, "ENOTAPPLICABLE")
    wait_until(lambda: shim.make(BOX, DISK, option, stored=image).ready, "the image to be stored")
    assert_serves(mountpoint(BOX))
    shim.delete(BOX)
    wait_until(lambda: not machine.processes(["viewfsctl"]), "the process that stored it to end")
