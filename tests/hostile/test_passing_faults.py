# SPDX-License-Identifier: Apache-2.0
"""Faults of layers that pass are tried again, for a while; those that do not are told as they are."""

from __future__ import annotations

import errno
import os
import re
import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import image
from support.control import listed_at, viewfsctl
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.injection import injecting
from support.lease import Lease
from support.scanner import FAN_ACCESS_PERM, FAN_OPEN_PERM, Scanner
from support.view import View, call, program, refused, run
from support.waiting import wait_until


@pytest.fixture
def layers(place: Path) -> list[bytes]:
    return image.usual().build(place / "layers")


@pytest.fixture
def at(place: Path) -> Path:
    mountpoint = place / "view"
    mountpoint.mkdir()
    return mountpoint


def file_of(layers: Sequence[bytes], number: int, path: str) -> Path:
    return Path(os.fsdecode(layers[number]), path)


def initrd_of(layers: Sequence[bytes]) -> Path:
    return file_of(layers, 2, INITRD_PATH)


def error_of(path: Path) -> int:
    """What a look-up fails with, or 0."""
    try:
        path.stat()
        return 0
    except OSError as error:
        return error.errno or -1


# Leases.


@contextmanager
def lazy_while_leased(place: Path, layers: list[bytes], *more: str) -> Iterator[tuple[Lease, View]]:
    """A lease on the initrd, and a lazy view, which says that it is unavailable, or one of MORE."""
    why = "|".join(["Resource temporarily unavailable", *more])
    line = f"initrd '/{INITRD_PATH}': .*({why})"
    with Lease(initrd_of(layers)) as lease, View(
        place / "view", "-o", lowerdir(layers), foreground=True, expected=[line]
    ) as view:
        yield lease, view


@pytest.mark.parametrize("leased", ["boot/initrd.img", "unikernel/kernel", "urunc.json"])
def test_a_lease_that_is_given_back_in_time_does_not_fail_the_mount(
    place: Path, layers: list[bytes], leased: str
) -> None:
    number = {"urunc.json": 0, "unikernel/kernel": 1}.get(leased, 2)
    with Lease(file_of(layers, number, leased)) as lease:
        lease.release_when_wanted()
        with View(place / "view", "-o", lowerdir(layers) + b",resolve=ready") as view:
            assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
            assert (view.root / INITRD_PATH).read_bytes() == INITRD


def test_a_lease_that_is_kept_is_a_layers_failure_within_the_timeout(
    at: Path, layers: list[bytes]
) -> None:
    with Lease(initrd_of(layers)):
        start = time.monotonic()
        finished = call("-o", lowerdir(layers) + b",resolve=ready,timeout=2", "none", at)
        took = time.monotonic() - start
    refused(finished, "ELAYER", 32, "initrd '/boot/initrd.img': .*Resource temporarily unavailable")
    # Only what went on failing is told, and the caller is not kept longer than it said.
    assert 1.5 < took < 2 + 4


def test_a_lazy_view_looks_again_when_a_lease_is_given_back(
    place: Path, layers: list[bytes]
) -> None:
    with lazy_while_leased(place, layers) as (lease, view):
        assert error_of(view.root / INITRD_PATH) == errno.EIO
        # What is not leased is not affected.
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        lease.release()
        wait_until(lambda: error_of(view.root / INITRD_PATH) == 0, "the initrd to be found")
        assert (view.root / INITRD_PATH).read_bytes() == INITRD
        view.wait_sandboxed()
        shown = listed_at(view.root)
        assert [artifact["path"] for artifact in shown["artifacts"]][-1] == "/" + INITRD_PATH
        assert not shown.get("missing")


def test_a_lease_that_is_given_back_needs_no_look_up_to_be_noticed(
    place: Path, layers: list[bytes]
) -> None:
    with Lease(initrd_of(layers)) as lease, View(place / "view", "-o", lowerdir(layers)) as view:
        wait_until(lease.is_wanted, "the view to look for its artifacts")
        lease.release()
        view.wait_sandboxed()
        assert (view.root / INITRD_PATH).read_bytes() == INITRD


def test_a_fault_that_lasts_is_given_up_after_some_requests_and_told(
    place: Path, layers: list[bytes]
) -> None:
    with lazy_while_leased(place, layers) as (_, view):
        errors = [error_of(view.root / INITRD_PATH) for _ in range(80)]
        view.wait_sandboxed()
        assert errors[0] == errno.EIO
        assert set(errors) <= {errno.EIO, errno.ENOENT}
        assert error_of(view.root / INITRD_PATH) == errno.ENOENT
        # A listing shows what a look-up finds.
        assert os.listdir(view.root / "boot") == []
        assert listed_at(view.root)["missing"] == ["/" + INITRD_PATH]
        table = viewfsctl("list").stdout
        assert re.search(r"MISSING(?s:.*) /boot/initrd\.img ", table), table


MANY = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


@contextmanager
def lazy_without_descriptors(
    place: Path, layers: list[bytes]
) -> Iterator[tuple[View, tuple[int, int]]]:
    """A lazy view that is left those of stdio, and one more number than poll(2) needs, while a lease
    keeps it from its sandbox; and the limit that it had."""
    with lazy_while_leased(place, layers, "Too many open files") as (lease, view):
        wait_until(lease.is_wanted, "the view to look for its artifacts")
        before = resource.prlimit(view.daemon.pid, resource.RLIMIT_NOFILE, (3, MANY))
        lease.release()
        yield view, before


def test_a_lazy_view_without_descriptors_looks_again_when_there_are_some(
    place: Path, layers: list[bytes]
) -> None:
    """While a lease keeps it from its sandbox, descriptors become few (EMFILE)."""
    with lazy_without_descriptors(place, layers) as (view, before):
        assert error_of(view.root / INITRD_PATH) == errno.EIO
        resource.prlimit(view.daemon.pid, resource.RLIMIT_NOFILE, before)
        wait_until(lambda: error_of(view.root / INITRD_PATH) == 0, "the initrd to be found")
        assert (view.root / INITRD_PATH).read_bytes() == INITRD
        view.wait_sandboxed()
        assert not listed_at(view.root).get("missing")


def test_a_view_that_stays_without_descriptors_lacks_its_artifact(
    place: Path, layers: list[bytes]
) -> None:
    with lazy_without_descriptors(place, layers) as (view, _):
        assert {error_of(view.root / INITRD_PATH) for _ in range(80)} <= {errno.EIO, errno.ENOENT}
        view.wait_sandboxed()
        assert error_of(view.root / INITRD_PATH) == errno.ENOENT
        assert listed_at(view.root)["missing"] == ["/" + INITRD_PATH]


# Other faults, each of which passes after some attempts.

OF_LAYERS = [
    "openat2:error=ENOMEM:when=1..3",
    "openat2:error=ENFILE:when=2..4",
    "openat2:error=EIO:when=3..5",
    "openat2:error=EMFILE:when=1..3",
    "openat2:error=EINTR:when=2..4",
    "openat2:error=ETIMEDOUT:when=1..2",
    "fstatfs:error=EIO:when=1",
]


@pytest.mark.parametrize("fault", OF_LAYERS)
def test_other_faults_that_pass_do_not_fail_the_mount(
    place: Path, layers: list[bytes], fault: str
) -> None:
    log = place / "strace"
    options = lowerdir(layers) + b",resolve=ready,cache=none"
    with View(place / "view", "-o", options, wrapper=injecting(log, fault), foreground=True) as view:
        assert (view.root / INITRD_PATH).read_bytes() == INITRD
    assert "(INJECTED)" in log.read_text()


def test_a_limit_of_the_callers_own_does_not_pass(at: Path, layers: list[bytes]) -> None:
    """From none to enough descriptors: what lacks one fails at once."""
    options = lowerdir(layers) + b",resolve=ready"
    codes = []
    for limit in range(3, 24):
        code = f"resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))"
        wrapper = ["/usr/bin/python3", "-c",
                   f"import os, resource, sys; {code}; os.execv(sys.argv[1], sys.argv[1:])"]  # fmt: skip
        start = time.monotonic()
        finished = run(*wrapper, program(), "-o", options, "none", at)
        assert time.monotonic() - start < 5, (limit, finished)
        codes.append(finished.status)
        if finished.status == 0:
            break
        assert "oo many open files" in finished.stderr or "shared" in finished.stderr, finished
    assert codes[-1] == 0 and 2 in codes
    assert run(program("viewfsctl"), "umount", at).status == 0


# A scanner that denies.


@pytest.mark.parametrize("event", [FAN_OPEN_PERM, FAN_ACCESS_PERM], ids=["open", "read"])
def test_a_scanner_that_denies_urunc_json_is_no_mark_of_overlayfs(
    at: Path, layers: list[bytes], event: int
) -> None:
    with Scanner(file_of(layers, 0, "urunc.json"), event) as scanner:
        finished = call("-o", lowerdir(layers), "none", at)
        assert scanner.denied > 0
    refused(finished, "ELAYER", 32, "config '/urunc.json': .*Operation not permitted$")


def test_a_scanner_that_denies_an_artifact_is_no_mark_of_overlayfs(
    at: Path, layers: list[bytes]
) -> None:
    with Scanner(initrd_of(layers)) as scanner:
        start = time.monotonic()
        finished = call("-o", lowerdir(layers) + b",resolve=ready", "none", at)
        assert scanner.denied > 0
        # It does not pass: it is not tried again.
        assert time.monotonic() - start < 5
    refused(finished, "ELAYER", 32, "initrd '/boot/initrd.img': .*Operation not permitted$")


def test_an_artifact_that_a_scanner_denies_is_missing_in_a_lazy_view(
    place: Path, layers: list[bytes]
) -> None:
    line = "initrd '/boot/initrd.img': .*Operation not permitted$"
    with Scanner(initrd_of(layers)), View(
        place / "view", "-o", lowerdir(layers), foreground=True, expected=[line]
    ) as view:
        view.wait_sandboxed()
        assert error_of(view.root / INITRD_PATH) == errno.ENOENT
        assert listed_at(view.root)["missing"] == ["/" + INITRD_PATH]
