# SPDX-License-Identifier: Apache-2.0
"""Layers that the caller has open: --layer-fd, and paths through descriptors."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import image, machine, namespace
from support.image import KERNEL, KERNEL_PATH
from support.mounted import assert_usual, ready
from support.stack import File
from support.view import View, call, program, refused, run, tree

OPEN_TREE_CLONE, AT_FDCWD, OPEN_TREE = 1, -100, 428
_libc = ctypes.CDLL(None, use_errno=True)


def detached(directory: bytes) -> int:
    """A mount of DIRECTORY that no path leads to."""
    fd = _libc.syscall(OPEN_TREE, AT_FDCWD, directory, OPEN_TREE_CLONE)
    assert fd >= 0, os.strerror(ctypes.get_errno())
    return fd


@contextmanager
def opened(layers: list[bytes], how: str) -> Iterator[list[int]]:
    flags = {"read": os.O_RDONLY | os.O_DIRECTORY, "path": os.O_PATH}
    fds = [detached(a) if how == "detached" else os.open(a, flags[how]) for a in layers]
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def words(fds: list[int]) -> list[str]:
    return [f"--layer-fd={fd}" for fd in fds]


@pytest.mark.parametrize("how", ["read", "path", "detached"])
@pytest.mark.parametrize("background", [True, False])
def test_open_directories_are_the_layers(place: Path, how: str, background: bool) -> None:
    layers = image.usual().build(place / "layers")
    with opened(layers, how) as fds:
        with ready(place, *words(fds), pass_fds=fds, foreground=not background) as view:
            assert_usual(view)
            origin = view.ready["artifacts"][0]["origin"]
            named = "" if how == "detached" else f"{place}/layers/0"
            assert origin == f"{named}/urunc.json"
            view.wait_sandboxed()
            # Nothing of the view holds the caller's descriptors.
            for process in view.processes:
                assert not set(process.descriptors().values()) & set(map(os.fsdecode, layers))


def test_a_lazy_view_of_open_directories_is_served(place: Path) -> None:
    layers = image.usual().build(place / "layers")
    with opened(layers, "detached") as fds:
        with View(place / "view", *words(fds), pass_fds=fds) as view:
            assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_a_descriptor_may_be_given_twice(place: Path) -> None:
    (layer,) = image.with_file(File(KERNEL)).build(place / "layers")
    with opened([layer], "path") as fds:
        with ready(place, *words(fds * 2), pass_fds=fds) as view:
            assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_no_index_is_used(place: Path) -> None:
    layers = image.usual().build(place / "layers")
    with opened(layers, "path") as fds:
        with ready(place, *words(fds), "-o", f"cache={place}/index", pass_fds=fds) as view:
            assert_usual(view)
            view.wait_sandboxed()
    assert not (place / "index").exists() or not os.listdir(place / "index")


@pytest.mark.parametrize("form", ["/proc/self/fd/", "/dev/fd/", "/proc/thread-self/fd/"])
@pytest.mark.parametrize("how", ["path", "detached"])
def test_a_typed_path_through_a_descriptor_is_a_layer(place: Path, form: str, how: str) -> None:
    layers = image.usual().build(place / "layers")
    with opened(layers, how) as fds:
        option = "lowerdir=" + ":".join(f"{form}{fd}" for fd in fds)
        with ready(place, "-o", option, pass_fds=fds) as view:
            assert_usual(view)
        found = run(program("viewfsctl"), "resolve", "--json", "-o", option, pass_fds=fds)
        assert json.loads(found.stdout)["bootable"], found


def test_resolve_of_open_directories(place: Path) -> None:
    layers = image.usual().build(place / "layers")
    with opened(layers, "detached") as fds:
        found = run(program("viewfsctl"), "resolve", "--json", *words(fds), pass_fds=fds)
        assert found.status == 0, found
        artifacts = json.loads(found.stdout)["artifacts"]
        assert [a["layer"] for a in artifacts] == [0, 1, 2]


def test_five_hundred_layers_are_open(place: Path) -> None:
    (layer,) = image.with_file(File(KERNEL)).build(place / "layers")
    with opened([layer], "path") as fds:
        with ready(place, *words(fds * 500), pass_fds=fds) as view:
            assert tree(view.root) >= {KERNEL_PATH}
        (place / "view").mkdir()
        finished = call(*words(fds * 501), "none", place / "view", pass_fds=fds)
        refused(finished, "EUSAGE", 1, "--layer-fd may be given at most 500 times")


@pytest.mark.parametrize(
    ("value", "naming"),
    [
        ("2", "at least 3"), ("-1", "at least 3"), ("x", "at least 3"),
        ("9999", "--layer-fd=9999: Bad file descriptor"), ("", "--layer-fd must not be empty"),
    ],
)  # fmt: skip
def test_what_is_no_descriptor_is_a_usage_error(place: Path, value: str, naming: str) -> None:
    (place / "view").mkdir()
    refused(call(f"--layer-fd={value}", "none", place / "view"), "EUSAGE", 1, naming)


@pytest.mark.parametrize(
    "other", [["-o", "lowerdir=/a"], ["--mounts=-"], ["--bundle=/b"], ["--chain=sha256:" + "0" * 64]]
)
def test_two_forms_with_descriptors_are_a_usage_error(place: Path, other: list[str]) -> None:
    (place / "view").mkdir()
    fd = os.open(place, os.O_PATH)
    finished = call(f"--layer-fd={fd}", *other, "none", place / "view", pass_fds=[fd])
    os.close(fd)
    refused(finished, "EUSAGE", 1, "both .*--layer-fd|--layer-fd and --chain")


def test_a_descriptor_of_a_file_is_elayer(place: Path) -> None:
    (place / "view").mkdir()
    (place / "file").touch()
    fd = os.open(place / "file", os.O_RDONLY)
    finished = call(f"--layer-fd={fd}", "none", place / "view", pass_fds=[fd])
    os.close(fd)
    refused(finished, "ELAYER", 32, f"layer 0 '{place}/file': Not a directory")


def test_a_view_in_the_foreground_keeps_no_layer_busy(place: Path) -> None:
    """Once all is resolved the caller may unmount what it has opened."""
    (place / "at").mkdir()
    (layer,) = image.with_file(File(KERNEL)).build(place / "layers")
    namespace.mount(layer, str(place / "at"), None, namespace.MS_BIND)
    fd = detached(bytes(place / "at"))
    with ready(place, f"--layer-fd={fd}", pass_fds=[fd], foreground=True) as view:
        os.close(fd)
        view.wait_sandboxed()
        namespace.unmount(str(place / "at"), 0)
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        assert machine.mounts_at(place / "at") == []
