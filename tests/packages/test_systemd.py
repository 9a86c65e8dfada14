# SPDX-License-Identifier: Apache-2.0
"""Views under a real systemd, which is process 1 of a PID namespace here: the units and examples as
they are installed, and the README's line of fstab."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import namespace
from support.examples import in_document
from support.image import configuration, encode, noise
from support.installation import install
from support.system import System
from support.systemd import Systemd, require, systemd
from support.waiting import wait_until

# Of a mount that is asked for: it takes milliseconds, and it once took the whole time limit.
QUICK_SECONDS = 5

KERNEL = "unikernel/kernel"


@pytest.fixture
def system(place: Path) -> Iterator[System]:
    """This machine with the programs installed, and with the layers that the examples name."""
    require()
    layers = place / "layers"
    for name, content in {
        f"0/{KERNEL}": noise(70_000),
        "1/unikernel/initrd": noise(700),
        "2/urunc.json": encode(configuration(f"/{KERNEL}", "/unikernel/initrd")),
    }.items():
        (layers / name).parent.mkdir(parents=True)
        (layers / name).write_bytes(content)
    with System(place, Path("/")) as system:
        install(system.root)
        # What this machine would start, and mount, is no matter of these tests.
        shutil.rmtree(system.root / "etc/systemd/system")
        for name in ("etc/systemd/system", "layers", "srv/guest"):
            (system.root / name).mkdir(parents=True, exist_ok=True)
        (system.root / "etc/fstab").write_text("")
        system.places["/layers"] = layers
        yield system


def under_systemd(system: System, *scenes: Callable[[Systemd], None]) -> None:
    def run() -> None:
        with systemd() as started:
            for scene in scenes:
                scene(started)

    namespace.in_root(system.root, system.places, run)


def is_mounted(started: Systemd) -> bool:
    return started.attempt("grep -F -- ' - fuse.urunc-viewfs ' /proc/self/mountinfo")[0] == 0


def is_served(started: Systemd) -> bool:
    return started.attempt("pidof urunc-viewfs")[0] == 0


def assert_mounted_on_demand(started: Systemd) -> None:
    assert not is_mounted(started)
    start = time.monotonic()
    started.run(f"cmp /srv/guest/{KERNEL} /layers/0/{KERNEL}")
    assert time.monotonic() - start < QUICK_SECONDS
    assert is_mounted(started)
    assert started.run("systemctl is-active srv-guest.mount") == "active\n"


def install_examples(system: System) -> None:
    examples = system.root / "usr/share/doc/urunc-viewfs/examples"
    shutil.copytree(examples, system.root / "etc/systemd/system", dirs_exist_ok=True)


def test_the_example_units_mount_a_view_at_the_first_access(system: System) -> None:
    install_examples(system)

    def scene(started: Systemd) -> None:
        started.run("systemctl start srv-guest.automount")
        assert_mounted_on_demand(started)
        # And once more, after it was unmounted.
        started.run("systemctl stop srv-guest.mount")
        wait_until(lambda: not is_served(started), "the view to end")
        assert_mounted_on_demand(started)
        started.run("systemctl stop srv-guest.automount")
        wait_until(lambda: not is_served(started), "the view to end")
        assert not is_mounted(started)

    under_systemd(system, scene)


def test_the_example_mounts_a_view_without_the_automount_unit(system: System) -> None:
    install_examples(system)

    def scene(started: Systemd) -> None:
        started.run("systemctl start srv-guest.mount")
        assert is_mounted(started)
        result = "systemctl show --value --property=Result srv-guest.mount"
        assert started.run(result) == "success\n"
        started.run("umount /srv/guest")
        wait_until(lambda: not is_served(started), "the view to end")
        wait_until(
            lambda: started.attempt("systemctl is-active srv-guest.mount")[1] == "inactive\n",
            "systemd to notice",
        )

    under_systemd(system, scene)


def test_the_readmes_line_of_fstab_mounts_a_view_at_the_first_access(system: System) -> None:
    (line,) = (
        example.text
        for example in in_document("README.md")
        if example.kind == "fstab" and "x-systemd.automount" in example.text
    )
    (system.root / "etc/fstab").write_text(line)

    def scene(started: Systemd) -> None:
        # systemd read fstab when it began.
        started.run("systemctl start local-fs.target")
        assert_mounted_on_demand(started)

    under_systemd(system, scene)


def test_an_idle_view_is_unmounted_and_comes_again(system: System) -> None:
    install_examples(system)
    directory = system.root / "etc/systemd/system/srv-guest.automount.d"
    directory.mkdir()
    (directory / "idle.conf").write_text("[Automount]\nTimeoutIdleSec=1s\n")

    def scene(started: Systemd) -> None:
        started.run("systemctl start srv-guest.automount")
        assert_mounted_on_demand(started)
        wait_until(lambda: not is_served(started), "the idle view to end")
        assert_mounted_on_demand(started)

    under_systemd(system, scene)


def test_the_service_is_contained_as_far_as_it_can_do_its_work(system: System) -> None:
    """It removes a dead view and an object of the store that no image names; its settings are in
    force."""

    def scene(started: Systemd) -> None:
        layer, at, store = "/tmp/layer", "/tmp/view", "/var/cache/urunc-viewfs"
        objects = f"find {store}/objects -type f"
        started.run(f"mkdir -p {layer} && echo kernel >{layer}/kernel && mount -o bind,ro {layer} {layer}")
        chain = f"sha256:{'1' * 64}"
        started.run(f"viewfsctl store add --chain={chain} --tree={layer} -o binary=/kernel")
        started.run(f"find {store} -type f ! -path '*/objects/*' -delete")
        assert len(started.run(objects).splitlines()) == 1
        started.run(f"mkdir {at} && urunc-viewfs -o lowerdir={layer},binary=/kernel none {at}")
        started.run("kill -KILL $(pidof urunc-viewfs)")
        wait_until(lambda: not is_served(started), "the view to die")
        started.run("systemctl start urunc-viewfs-gc.service")
        assert not is_mounted(started)
        assert started.run(objects) == ""
        shown = started.run("systemctl show urunc-viewfs-gc.service")
        for setting in ("NoNewPrivileges=yes", "MemoryDenyWriteExecute=yes", "RestrictRealtime=yes"):
            assert f"\n{setting}\n" in shown
        # What would give it another mount namespace stays away.
        for setting in ("ProtectSystem=no", "ProtectHome=no", "PrivateTmp=no", "PrivateDevices=no"):
            assert f"\n{setting}\n" in shown

    under_systemd(system, scene)


def test_the_service_removes_dead_views(system: System) -> None:
    """It runs as systemd runs it, in the mount namespace where the views are."""
    install_examples(system)

    def scene(started: Systemd) -> None:
        started.run("systemctl start srv-guest.mount urunc-viewfs-gc.timer")
        started.run("systemctl start urunc-viewfs-gc.service")
        assert is_mounted(started)
        started.run("kill -KILL $(pidof urunc-viewfs)")
        wait_until(lambda: not is_served(started), "the view to die")
        assert is_mounted(started)
        started.run("systemctl start urunc-viewfs-gc.service")
        assert not is_mounted(started)
        assert started.run("systemctl show --value --property=Result urunc-viewfs-gc") == "success\n"

    under_systemd(system, scene)
