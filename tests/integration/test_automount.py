# SPDX-License-Identifier: Apache-2.0
"""A view that is mounted on demand, by a real automount(8)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import machine, namespace, skipping
from support.examples import in_document
from support.image import KERNEL, KERNEL_PATH
from support.installed import assert_mounted
from support.view import program
from support.waiting import SECONDS, wait_until

pytestmark = pytest.mark.usefixtures("installed")

# Of a mount that is asked for; it takes milliseconds, and hung for the whole time limit.
QUICK_SECONDS = 5


def _automounts(place: Path) -> list[machine.Mount]:
    below = os.fsencode(place) + b"/"
    return [mount for mount in machine.mounts("autofs") if mount.mountpoint.startswith(below)]


@contextmanager
def automounting(place: Path, master: str, option: bytes, *entries: str) -> Iterator[None]:
    """An automount(8) of this mount namespace, with a map of ENTRIES below MASTER."""
    daemon = shutil.which("automount")
    if not daemon:
        skipping.skip("no automount (package autofs)")
    # The parser of maps removes the colon from ":/".
    layers = os.fsdecode(option).removeprefix("lowerdir=").split(":")
    options = ",".join(f"lowerdir+={layer}" for layer in layers)
    (place / "map").write_text("".join(f"{entry.format(options=options)}\n" for entry in entries))
    (place / "master").write_text(f"{master} {place}/map --timeout=300\n")
    for directory in filter(os.path.exists, ("/etc/auto.master.d",)):
        namespace.mount("tmpfs", directory, "tmpfs")
    with (place / "log").open("w+") as log:
        process = subprocess.Popen(
            [daemon, "--foreground", "--verbose", "--dont-check-daemon",
             f"--pid-file={place}/pid", place / "master"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,  # whose process group autofs lets pass
        )  # fmt: skip
        with process:
            try:
                # It first mounts one elsewhere, to ask for the kernel's version.
                wait_until(lambda: _automounts(place), "automount to begin")
                yield
            finally:
                for mount in reversed(machine.mounts()):
                    namespace.unmount(mount.mountpoint)
                process.terminate()
                process.wait(SECONDS)
                for mount in reversed(machine.mounts("autofs")):
                    namespace.unmount(mount.mountpoint)
                namespace.unmount("/etc/auto.master.d")
                print((place / "log").read_text())


FORMS = {
    "the type": "-fstype=urunc-viewfs,{options} :none",
    "a subtype": "-fstype=fuse.urunc-viewfs,{options} :none",
    "mount.fuse3": "-fstype=fuse3,{options} :urunc-viewfs\\#none",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("kind", ["indirect", "direct"])
def test_automount_mounts_a_view_when_it_is_used(
    place: Path, option: bytes, kind: str, form: str
) -> None:
    at = place / "auto/view"
    master, key = (place / "auto", "view") if kind == "indirect" else ("/-", at)
    (place / "auto").mkdir()
    with automounting(place, str(master), option, f"{key} {form}"):
        assert machine.mounts() == []
        start = time.monotonic()
        assert (at / KERNEL_PATH).read_bytes() == KERNEL
        assert time.monotonic() - start < QUICK_SECONDS
        assert_mounted(at)
        # And once more, after it was unmounted.
        namespace.unmount(str(at), 0)
        wait_until(lambda: not machine.processes(), "the view to end")
        assert (at / KERNEL_PATH).read_bytes() == KERNEL


@pytest.mark.parametrize("document", ["README.md", "mount.urunc-viewfs.8"])
def test_the_documents_line_of_a_map_mounts_a_view(
    place: Path, option: bytes, document: str
) -> None:
    (line,) = (example.text for example in in_document(document) if example.kind == "autofs")
    layers = os.fsdecode(option).removeprefix("lowerdir=").split(":")[::-1]
    line = re.sub(r"/layers/(\d)", lambda found: layers[int(found[1])], line)
    (place / "auto").mkdir()
    with automounting(place, str(place / "auto"), option, line):
        assert (place / "auto/guest" / KERNEL_PATH).read_bytes() == KERNEL
        assert_mounted(place / "auto/guest")


def test_a_layer_may_be_mounted_on_demand(place: Path, option: bytes) -> None:
    """The call is one that has to wait for the automounter, as any other is."""
    shutil.move(place / "layers", place / "real")
    (place / "auto").mkdir()
    (place / "view").mkdir()
    layers = ":".join(str(place / "auto" / str(n)) for n in range(3))
    entry = f"* -fstype=bind,ro :{place}/real/&"
    with automounting(place, str(place / "auto"), option, entry):
        command = [program(), "-o", f"lowerdir={layers}", "none", place / "view"]
        assert subprocess.run(command, timeout=SECONDS, check=False).returncode == 0
        assert (place / "view" / KERNEL_PATH).read_bytes() == KERNEL
        namespace.unmount(str(place / "view"), 0)
        wait_until(lambda: not machine.processes(), "the view to end")
        for mount in reversed(machine.mounts(None)):
            if mount.mountpoint.startswith(os.fsencode(place / "auto") + b"/"):
                namespace.unmount(mount.mountpoint)


def test_a_mountpoint_may_be_mounted_on_demand(place: Path, option: bytes) -> None:
    """A caller who is not of the automounter's waits for it, and mounts on what comes."""
    (place / "auto").mkdir()
    (place / "real/disk/view").mkdir(parents=True)
    entry = f"disk -fstype=bind :{place}/real/disk"
    at = place / "auto/disk/view"
    with automounting(place, str(place / "auto"), option, entry):
        command = [program(), "-o", option, "none", at]
        assert subprocess.run(command, timeout=SECONDS, check=False).returncode == 0
        assert_mounted(at)
        namespace.unmount(str(at), 0)
        wait_until(lambda: not machine.processes(), "the view to end")
        namespace.unmount(str(place / "auto/disk"), 0)
