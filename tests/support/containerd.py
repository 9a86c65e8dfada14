# SPDX-License-Identifier: Apache-2.0
"""A containerd of the test's own, and containers in it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import machine, skipping
from .view import Argument, run
from .waiting import SECONDS, wait_until

STATE = Path("/run/containerd")
SHIM = "containerd-shim-runc-v2"
MAKE_IMAGE = Path(__file__).resolve().parents[1] / "e2e" / "make-image"

CONFIGURATION = """\
version = 2
root = "{place}/root"
state = "{state}"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[plugins."io.containerd.internal.v1.opt"]
  path = "{place}/opt"
"""


class Containerd:
    """Runs in PLACE, and where its shims insist on (/run/containerd), while the block runs."""

    def __init__(self, place: Path) -> None:
        for program in ("containerd", "ctr", "runc", SHIM):
            if not shutil.which(program):
                skipping.skip(f"no {program}")
        self._place = place / "containerd"
        # Outside of it control groups and the like would be taken for another's.
        self._namespace = f"viewfs-test-{os.getpid()}"

    def __enter__(self) -> Containerd:
        self._place.mkdir()
        STATE.mkdir(mode=0o711)
        configuration = self._place / "config.toml"
        configuration.write_text(CONFIGURATION.format(place=self._place, state=STATE))
        with open(self._place / "log", "wb") as log:
            command = ["containerd", "--config", configuration]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers, "containerd to answer")
        return self

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._place / "log").read_text()
        return run("ctr", "version").status == 0

    def ctr(self, *arguments: Argument, seconds: float = SECONDS) -> str:
        finished = run("ctr", "--namespace", self._namespace, *arguments, seconds=seconds)
        assert finished.status == 0, finished
        return finished.stdout

    def unpack(self, layers: int, snapshotter: str) -> str:
        """Import the demonstration's image, of LAYERS layers; its name."""
        image = self._place / "image"
        made = run(MAKE_IMAGE, "--layers", str(layers), image, seconds=300)
        assert made.status == 0, made
        archive = image / "image.tar"
        self.ctr("images", "import", "--snapshotter", snapshotter, archive, seconds=120)
        return (image / "name").read_text().strip()

    @contextmanager
    def container(self, image: str, snapshotter: str, *arguments: str) -> Iterator[Path]:
        """A running container; its bundle."""
        name = self._namespace
        busybox = "type=bind,src=/bin/busybox,dst=/busybox,options=rbind:ro"
        options = ["--snapshotter", snapshotter, "--cgroup", "", "--mount", busybox, *arguments]
        self.ctr("run", "--detach", "--null-io", *options, image, name, "/busybox", "sleep", "999")
        try:
            yield STATE / "io.containerd.runtime.v2.task" / self._namespace / name
        finally:
            # It fails with the container's exit status.
            run("ctr", "--namespace", self._namespace, "tasks", "rm", "--force", name)
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
