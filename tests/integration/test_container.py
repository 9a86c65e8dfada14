# SPDX-License-Identifier: Apache-2.0
"""--container: a running container, found by its id in containerd's state directories."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import image, namespace
from support.control import viewfsctl
from support.mounted import USUAL_TREE, bind, make_bundle, overlay
from support.view import Finished, View, call, program, refused, run, tree

TASKS = "io.containerd.runtime.v2.task"
ID = "4f1c" + "0123456789ab" * 5
WHERE = {
    "containerd": "/run/containerd",
    "k3s": "/run/k3s/containerd",
    "docker": "/run/docker/containerd/daemon",
}


@contextmanager
def container(place: Path, state: Path, name: str, layers: list[bytes]) -> Iterator[Path]:
    """A bundle of NAMESPACE/ID with a mounted root filesystem, below STATE."""
    bundle = state / TASKS / name
    bundle.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(make_bundle(place), bundle)
    with overlay(bundle / "rootfs", layers):
        yield bundle


@pytest.fixture
def layers(place: Path) -> list[bytes]:
    return image.usual().build(place / "layers")


def resolve(*arguments: str) -> Finished:
    return run(program("viewfsctl"), "resolve", "--json", *arguments)


def error(*arguments: str) -> tuple[str, str]:
    finished = resolve(*arguments)
    assert finished.status == (1 if "EUSAGE" in finished.stdout else 32)
    told = json.loads(finished.stdout)["error"]
    return told["code"], told["message"]


@pytest.mark.parametrize("wanted", [ID, ID[:1], f"default/{ID}", f"default/{ID[:4]}"])
def test_a_view_of_a_container_is_found_by_the_beginning_of_its_id(
    place: Path, layers: list[bytes], wanted: str
) -> None:
    """And has the container's id, which another view can be listed by."""
    state = place / "state"
    where = f"--state-dir={state}"
    with container(place, state, f"default/{ID}", layers):
        with View(place / "view", f"--container={wanted}", where) as view:
            assert tree(view.root) == USUAL_TREE
            assert view.ready["id"] == ID
            (same,) = json.loads(call_list("--json", f"--container={wanted}", where))["views"]
            assert same["mountpoint"] == str(view.root)
            with View(place / "other", f"--container={wanted}", where, "--id=other") as other:
                assert other.ready["id"] == "other"
                listed = json.loads(call_list("--json", f"--container={wanted}", where))["views"]
                assert [one["mountpoint"] for one in listed] == [str(view.root)]


def call_list(*arguments: str) -> str:
    finished = viewfsctl("list", *arguments)
    assert (finished.status, finished.stderr) == (0, ""), finished
    return finished.stdout


@pytest.mark.parametrize("where", list(WHERE))
def test_the_usual_state_directories_are_searched(
    place: Path, layers: list[bytes], where: str
) -> None:
    """In a mount namespace of its own, whose /run is empty."""
    found = json.loads(in_empty_run(place, WHERE[where], layers, {}))
    assert found["bootable"]


def test_a_users_own_containerd_is_searched(place: Path, layers: list[bytes]) -> None:
    runtime = "/run/user/1000"
    told = in_empty_run(place, f"{runtime}/containerd", layers, {"XDG_RUNTIME_DIR": runtime})
    assert json.loads(told)["bootable"]


def in_empty_run(place: Path, state: str, layers: list[bytes], env: dict[str, str]) -> str:
    """What resolve prints of the container below STATE, where only this one is."""
    told = place / "told"

    def attempt() -> None:
        namespace.enter_private()
        namespace.mount("tmpfs", "/run", "tmpfs", 0)
        with container(place, Path(state), f"k8s.io/{ID}", layers):
            finished = run(program("viewfsctl"), "resolve", "--json", "--container=4f1c", env=env)
            told.write_text(finished.stdout)

    namespace.in_child(attempt)
    return told.read_text()


def make_names(state: Path, *names: str) -> None:
    for name in names:
        (state / TASKS / name).mkdir(parents=True)


def test_an_ambiguous_id_names_two_that_fit(place: Path) -> None:
    make_names(place, "default/ab1", "k8s.io/ab2", "k8s.io/c")
    code, message = error("--container=ab", f"--state-dir={place}")
    assert code == "EUSAGE"
    assert "'default/ab1'" in message and "'k8s.io/ab2'" in message
    finished = viewfsctl("list", "--container=ab", f"--state-dir={place}")
    assert finished.status == 1 and "'default/ab1'" in finished.stderr


def test_the_same_id_in_two_namespaces_is_ambiguous_unless_one_is_named(place: Path) -> None:
    make_names(place, "default/web", "moby/web")
    code, message = error("--container=web", f"--state-dir={place}")
    assert code == "EUSAGE" and "'moby/web'" in message
    code, message = error("--container=moby/web", f"--state-dir={place}")
    assert code == "ECONFIG" and f"{TASKS}/moby/web/config.json" in message


def test_a_whole_id_counts_before_one_that_begins_so(place: Path) -> None:
    make_names(place, "a/web-1", "b/web", "c/web-2")
    code, message = error("--container=web", f"--state-dir={place}")
    assert code == "ECONFIG" and f"{TASKS}/b/web/config.json" in message


@pytest.mark.parametrize("wanted", ["x", "../a/web", "a/web/", "a", "we/b", ".", "..", "/web", "b/"])
def test_an_unknown_id_is_not_applicable(place: Path, wanted: str) -> None:
    """A name that would lead elsewhere is none."""
    make_names(place, "a/web", "a/.hidden")
    assert error(f"--container={wanted}", f"--state-dir={place}") == (
        "ENOTAPPLICABLE", f"--container={wanted}: no such container in '{place}'"
    )  # fmt: skip


def test_two_state_directories_that_are_one_are_not_ambiguous(
    place: Path, layers: list[bytes]
) -> None:
    told = place / "told"

    def attempt() -> None:
        namespace.enter_private()
        namespace.mount("tmpfs", "/run", "tmpfs", 0)
        with container(place, Path("/run/containerd"), f"default/{ID}", layers):
            os.makedirs("/run/k3s/containerd")
            with bind(b"/run/containerd", Path("/run/k3s/containerd")):
                told.write_text(resolve(f"--container={ID}").stdout)

    namespace.in_child(attempt)
    assert json.loads(told.read_text())["bootable"]


def test_a_missing_state_directory_is_a_usage_error(place: Path) -> None:
    code, message = error("--container=x", f"--state-dir={place}/none")
    assert (code, message) == ("EUSAGE", f"--state-dir={place}/none: No such file or directory")


def test_a_state_directory_without_a_container_is_a_usage_error(place: Path) -> None:
    (place / "view").mkdir()
    finished = call(f"--state-dir={place}", "none", place / "view")
    refused(finished, "EUSAGE", 1, "--container is missing")
    assert viewfsctl("list", f"--state-dir={place}").status == 1


@pytest.mark.parametrize("other", [["-o", "lowerdir=/a"], ["--mounts=-"], ["--bundle=/b"]])
def test_a_container_and_another_source_are_a_usage_error(place: Path, other: list[str]) -> None:
    (place / "view").mkdir()
    finished = call("--container=x", *other, "none", place / "view")
    refused(finished, "EUSAGE", 1, "both .* and --container")


def test_the_store_is_asked_for_a_container_without_layers(place: Path) -> None:
    """As beside --bundle."""
    chain = "sha256:" + "0" * 64
    make_names(place, "a/web")
    store = ["-o", f"store={place}/store", f"--chain={chain}"]
    code, message = error("--container=none", f"--state-dir={place}", *store)
    assert code == "ENOTAPPLICABLE" and f"lacks image {chain}" in message
