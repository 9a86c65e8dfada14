# SPDX-License-Identifier: Apache-2.0
"""Callers that add images of blobs at once, and images that cannot be added."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.archive import END, file
from support.control import viewfsctl
from support.image import KERNEL, KERNEL_PATH, urunc_json
from support.layout import Layout, usual_layers
from support.opened import Opened
from support.stored import Store, arguments, gc
from support.view import Finished, View, program

CALLERS = 100
REMEMBERED_SECONDS = 600


@pytest.fixture
def damaged(layout: Layout) -> Path:
    """The blob of an image's topmost layer, which is cut."""
    layout.list(layout.image(usual_layers()))
    blob = layout.blob(layout.layers[-1])
    blob.write_bytes(blob.read_bytes()[:-5])
    return blob


@pytest.fixture
def opened(layout: Layout, damaged: Path) -> Iterator[Opened]:
    counter = Opened([damaged])
    yield counter
    counter.close()


def add(store: Store, layout: Layout) -> Finished:
    return viewfsctl("store", "add", "--json", f"--oci={layout.directory}", "-o", store.option)


def last(text: str) -> dict[str, object]:
    return json.loads(text.splitlines()[-1])


@pytest.mark.takes_up_to(300)
def test_callers_at_once_cause_one_extraction(place: Path, layout: Layout) -> None:
    """As many layers are opened as by one caller; all others wait, and find the image."""
    layout.list(layout.image(usual_layers()))
    counter = Opened(map(layout.blob, layout.layers))
    assert add(Store(place / "alone"), layout).status == 0
    alone = counter.counts()
    store = Store(place / "store")
    command = [program("viewfsctl"), "store", "add", "--json", f"--oci={layout.directory}",
               "-o", f"{store.option},timeout=120"]  # fmt: skip
    callers = [
        subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        for _ in range(CALLERS)
    ]
    told = [last(caller.communicate(timeout=250)[0]) for caller in callers]
    assert counter.counts() == alone
    counter.close()
    assert [caller.returncode for caller in callers] == [0] * CALLERS
    assert sum(bool(one["added"]) for one in told) == 1
    with View(place / "view", *arguments(store, image=str(told[0]["chain"]))) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_a_broken_image_is_not_read_again_for_ten_minutes(
    store: Store, layout: Layout, damaged: Path, opened: Opened
) -> None:
    first = last(add(store, layout).stdout)["error"]
    assert isinstance(first, dict) and first["code"] == "ELAYER"
    assert opened.counts()[damaged] > 0
    again = last(add(store, layout).stdout)["error"]
    assert isinstance(again, dict) and again["code"] == "ELAYER"
    assert again["message"].startswith(first["message"]) and "10 minutes" in again["message"]
    assert opened.counts()[damaged] == 0
    (remembered,) = store.files("failed")
    before = time.time() - REMEMBERED_SECONDS - 1
    os.utime(remembered, (before, before))
    assert last(add(store, layout).stdout)["error"] == first
    assert opened.counts()[damaged] > 0


def test_what_is_remembered_for_too_long_is_removed(
    store: Store, layout: Layout, damaged: Path
) -> None:
    add(store, layout)
    (remembered,) = store.files("failed")
    assert gc(store.directory).status == 0
    assert remembered.exists()
    before = time.time() - REMEMBERED_SECONDS - 1
    os.utime(remembered, (before, before))
    assert gc(store.directory).status == 0
    assert not store.files("failed")


def test_a_failure_of_one_image_is_none_of_another(store: Store, layout: Layout, damaged: Path) -> None:
    add(store, layout)
    config = urunc_json().content
    manifest = layout.image([file("urunc.json", config) + file(KERNEL_PATH, KERNEL) + END])
    words = f"--content={layout.directory}", f"--manifest={manifest['digest']}"
    assert viewfsctl("store", "add", *words, "-o", store.option).status == 0


def test_a_missing_blob_is_not_remembered(store: Store, layout: Layout) -> None:
    """To look for it costs nothing, and it may come."""
    layout.list(layout.image(usual_layers()))
    blob = layout.blob(layout.layers[0])
    content = blob.read_bytes()
    blob.unlink()
    assert add(store, layout).status == 32
    blob.write_bytes(content)
    assert add(store, layout).status == 0


def test_damaged_memory_of_a_failure_is_none(store: Store, layout: Layout, damaged: Path) -> None:
    first = last(add(store, layout).stdout)["error"]
    (remembered,) = store.files("failed")
    remembered.write_bytes(b"x")
    assert last(add(store, layout).stdout)["error"] == first
