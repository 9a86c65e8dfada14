# SPDX-License-Identifier: Apache-2.0
"""digest.binary= and its kin: a view is mounted only if its artifacts have these digests."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from support import image, machine
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.stack import File, Stack
from support.view import View, call, program, refused, run

OTHER = "sha256:" + hashlib.sha256(b"other").hexdigest()


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.fixture
def layers(place: Path) -> list[bytes]:
    (place / "view").mkdir()
    return image.usual().build(place / "layers")


def content_of(layers: list[bytes]) -> dict[str, bytes]:
    """What `resolve --digest` says of each role."""
    finished = run(program("viewfsctl"), "resolve", "--json", "-o", lowerdir(layers), "none")
    artifacts = json.loads(finished.stdout)["artifacts"]
    return {a["role"]: Path(a["origin"]).read_bytes() for a in artifacts}


@pytest.mark.parametrize("passthrough", ["on", "off"])
def test_a_view_of_pinned_artifacts_is_mounted(
    place: Path, layers: list[bytes], passthrough: str
) -> None:
    pins = "".join(f",digest.{role}={digest(it)}" for role, it in content_of(layers).items())
    assert pins.count("digest.") == 3
    options = lowerdir(layers) + f",passthrough={passthrough}{pins}".encode()
    with View(place / "view", "-o", options) as view:
        found = {a["role"]: a["digest"] for a in view.ready["artifacts"]}
        assert found == {role: digest(it) for role, it in content_of(layers).items()}
        view.wait_sandboxed()
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        assert (view.root / INITRD_PATH).read_bytes() == INITRD


@pytest.mark.parametrize("role", ["binary", "initrd", "config"])
def test_another_digest_fails_the_mount(place: Path, layers: list[bytes], role: str) -> None:
    options = lowerdir(layers) + f",digest.{role}={OTHER}".encode()
    finished = call("-o", options, "none", place / "view")
    refused(finished, "EDIGEST", 32, f"{role} '.*' has the digest sha256:.*'digest.{role}'")
    resolved = run(program("viewfsctl"), "resolve", "-o", options, "none")
    assert resolved.status == 32
    assert f"digest.{role}" in resolved.stderr


def test_what_resolve_prints_can_be_pinned(place: Path, layers: list[bytes]) -> None:
    finished = run(
        program("viewfsctl"), "resolve", "--json", "--digest", "-o", lowerdir(layers), "none"
    )
    artifacts = json.loads(finished.stdout)["artifacts"]
    pins = "".join(f",digest.{a['role']}={a['digest']}" for a in artifacts)
    with View(place / "view", "-o", lowerdir(layers) + pins.encode()):
        pass


def test_an_image_without_the_artifact_fails_the_mount(place: Path) -> None:
    (place / "view").mkdir()
    content: dict[bytes, File] = {b"kernel": File(KERNEL)}
    layers = Stack([content]).build(place / "layers")
    for role in "initrd", "config":
        options = lowerdir(layers) + f",binary=/kernel,digest.{role}={OTHER}".encode()
        refused(
            call("-o", options, "none", place / "view"), "EDIGEST", 32, f"the image has no {role}"
        )


def test_one_file_of_two_roles_is_pinned_for_each(place: Path, layers: list[bytes]) -> None:
    both = f",binary=/{KERNEL_PATH},initrd=/{KERNEL_PATH}"
    pinned = f"{both},digest.binary={digest(KERNEL)},digest.initrd="
    with View(place / "view", "-o", lowerdir(layers) + f"{pinned}{digest(KERNEL)}".encode()):
        pass
    (place / "view").mkdir()
    finished = call("-o", lowerdir(layers) + f"{pinned}{OTHER}".encode(), "none", place / "view")
    refused(finished, "EDIGEST", 32, "digest.initrd")


@pytest.mark.parametrize("value", ["", "sha256:", "sha512:" + "0" * 64, OTHER.upper(), OTHER[:-1]])
def test_what_is_no_digest_is_a_usage_error(place: Path, layers: list[bytes], value: str) -> None:
    options = lowerdir(layers) + f",digest.binary={value}".encode()
    refused(call("-o", options, "none", place / "view"), "EUSAGE", 1, "digest.binary")


def test_the_same_call_requires_the_same_digests(place: Path, layers: list[bytes]) -> None:
    """A view that was made without them does not say what it holds."""
    pin = f",digest.binary={digest(KERNEL)}".encode()
    with View(place / "view", "-o", lowerdir(layers) + pin) as view:
        for option in pin, b"":
            assert call("-o", lowerdir(layers) + option, "none", view.root).ready == view.ready
        for option in f",digest.binary={OTHER}", f",digest.initrd={digest(INITRD)}":
            again = call("-o", lowerdir(layers) + option.encode(), "none", view.root)
            assert (again.status, again.code) in [(32, "EMOUNT"), (32, "EDIGEST")]
    with View(place / "view", "-o", lowerdir(layers) + b",resolve=ready") as view:
        again = call("-o", lowerdir(layers) + pin, "none", view.root)
        assert (again.status, again.code) == (32, "EMOUNT")


def test_nothing_is_left_of_a_pin_that_does_not_hold(place: Path, layers: list[bytes]) -> None:
    before = os.listdir(place)
    call("-o", lowerdir(layers) + f",digest.binary={OTHER}".encode(), "none", place / "view")
    assert os.listdir(place) == before
    assert machine.processes() == []
