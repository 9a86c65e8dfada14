# SPDX-License-Identifier: Apache-2.0
"""A containerd of the test's own, and containers in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from . import debian, guest, machine, skipping
from .filesystems import image_file, run as run_tool
from .view import Argument, run
from .waiting import SECONDS, wait_until

STATE = Path("/run/containerd")
SHIM = "containerd-shim-runc-v2"
MAKE_IMAGE = Path(__file__).resolve().parents[1] / "e2e" / "make-image"

DISK_SIZE = 96 << 20

CONFIGURATION = """\
version = 2
root = "{place}/root"
state = "{state}"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[plugins."io.containerd.internal.v1.opt"]
  path = "{place}/opt"
{plugins}"""

BLOCKFILE = """\
[plugins."io.containerd.snapshotter.v1.blockfile"]
  scratch_file = "{scratch}"
  fs_type = "ext4"
"""


class Containerd:
    """Runs in PLACE, and where its shims insist on (/run/containerd), while the block runs."""

    needed: Sequence[str] = ("containerd", "ctr", "runc", SHIM)

    def __init__(self, place: Path) -> None:
        for program in self.needed:
            if not shutil.which(program):
                skipping.skip(f"no {program}")
        self._place = place / "containerd"
        # Outside of it control groups and the like would be taken for another's.
        self.namespace = f"viewfs-test-{os.getpid()}"

    @property
    def address(self) -> Path:
        return STATE / "containerd.sock"

    @property
    def root_directory(self) -> Path:
        return self._place / "root"

    def program(self, name: str) -> list[Argument]:
        """The words that run one of its programs."""
        return [name]

    def _plugins(self) -> str:
        """What the configuration says of them; its directory is there."""
        return ""

    def __enter__(self) -> Self:
        self._place.mkdir()
        STATE.mkdir(mode=0o711)
        configuration = self._place / "config.toml"
        plugins = self._plugins()
        text = CONFIGURATION.format(place=self._place, state=STATE, plugins=plugins)
        configuration.write_text(text)
        with open(self._place / "log", "wb") as log:
            command = [*self.program("containerd"), "--config", configuration]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers, "containerd to answer")
        return self

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._place / "log").read_text()
        return run(*self.program("ctr"), "version").status == 0

    def ctr(self, *arguments: Argument, seconds: float = SECONDS) -> str:
        command = [*self.program("ctr"), "--namespace", self.namespace]
        finished = run(*command, *arguments, seconds=seconds)
        assert finished.status == 0, finished
        return finished.stdout

    def unpack(self, layers: int, snapshotter: str, *options: Argument) -> str:
        """Import the demonstration's image, of LAYERS layers made with OPTIONS; its name."""
        image = self._place / "image"
        made = run(MAKE_IMAGE, "--layers", str(layers), *options, image, seconds=300)
        assert made.status == 0, made
        archive = image / "image.tar"
        self.ctr("images", "import", "--snapshotter", snapshotter, archive, seconds=120)
        return (image / "name").read_text().strip()

    @contextmanager
    def container(self, image: str, snapshotter: str, *arguments: str) -> Iterator[Path]:
        """A running container; its bundle."""
        name = self.namespace
        busybox = "type=bind,src=/bin/busybox,dst=/busybox,options=rbind:ro"
        options = ["--snapshotter", snapshotter, "--cgroup", "", "--mount", busybox, *arguments]
        self.ctr("run", "--detach", "--null-io", *options, image, name, "/busybox", "sleep", "999")
        try:
            yield STATE / "io.containerd.runtime.v2.task" / self.namespace / name
        finally:
            # It fails with the container's exit status.
            run("ctr", "--namespace", self.namespace, "tasks", "rm", "--force", name)
            self.ctr("containers", "rm", name)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(SECONDS)
        for shim in machine.processes([SHIM]):
            with suppress(ProcessLookupError):
                shim.signal(signal.SIGKILL)
        wait_until(lambda: not machine.processes([SHIM]), "the shims to end")
        machine.bury()
        shutil.rmtree(STATE)
        # What views keep of its layers.
        shutil.rmtree("/run/urunc-viewfs", ignore_errors=True)


class BlockContainerd(Containerd):
    """Another release's, which keeps the disks of containers as files: snapshotter "blockfile"."""

    needed = ("mkfs.ext4",)

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        # This machine's may be too old for it.
        self.root = debian.containers(guest.SUITE)

    def program(self, name: str) -> list[Argument]:
        """It brings its own C library."""
        loader = self.root / "lib64/ld-linux-x86-64.so.2"
        libraries = self.root / "lib/x86_64-linux-gnu"
        return [loader, "--library-path", libraries, self.root / "usr/bin" / name]

    def _plugins(self) -> str:
        scratch = image_file(self._place, "scratch", DISK_SIZE)
        run_tool("mkfs.ext4", "-q", "-F", scratch)
        return BLOCKFILE.format(scratch=scratch)

    def guest(self) -> list[Argument]:
        """Options of make-image: a kernel that has a disk."""
        module = self._place / "virtio_blk.ko"
        module.write_bytes(guest.module("virtio_blk"))
        return ["--kernel", guest.kernel(), "--module", module]
