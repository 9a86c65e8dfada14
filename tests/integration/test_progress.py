# SPDX-License-Identifier: Apache-2.0
"""What is told of a fill of the store that takes long: a line on a terminal, or lines of JSON."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import namespace
from support.layout import Layout, usual_layers
from support.stored import Store, chain, tree
from support.view import program
from support.waiting import SECONDS, wait_until

FIRST_SECONDS = 1.0
"""What takes less tells nothing."""

PROGRAMS = "viewfsctl", "urunc-viewfs"

SLOTS = (4 << 60) + 1, 1 << 60
"""In the lock file: for the images that are read at once."""

CLEAR = "\r\x1b[K"
LAYER = re.compile(r"\rlayer (\d) of 3: (\d+) of (\d+) MB, \d+ MB/s\x1b\[K")


@dataclass
class Told:
    status: int
    out: str
    err: str


@contextmanager
def taken(store: Store, start: int, length: int) -> Iterator[Callable[[], None]]:
    """A range of the store's lock file is locked, until what is given is called."""
    store.directory.mkdir(mode=0o700, exist_ok=True)
    with open(store.directory / "lock", "a") as lock:
        os.fchmod(lock.fileno(), 0o600)
        request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
        fcntl.fcntl(lock, fcntl.F_OFD_SETLK, request)
        yield lock.close


def layer_lock(layer: bytes) -> int:
    """Where that of a plain layer is."""
    (word,) = struct.unpack("<Q", hashlib.sha256(layer).digest()[:8])
    return (word >> 4 | 5 << 60) + 1


def has_lock_of_image(store: Store) -> bool:
    inode = f":{(store.directory / 'lock').stat().st_ino} "
    with open("/proc/locks") as locks:
        return any(inode in line and int(line.split()[-2]) < SLOTS[0] for line in locks)


def run(
    *words: object, terminal: bool = True, meanwhile: Callable[[], None] = lambda: None,
    seen: Callable[[str], None] = lambda text: None,
) -> Told:
    """Runs a program whose stderr is a terminal, or a pipe; SEEN is given what came there so far."""
    ours, theirs = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    text = b""
    try:
        meanwhile()
        while chunk := os.read(ours, 4096):
            text += chunk
            seen(text.decode())
    except OSError:  # EIO: the other side of the terminal is closed
        pass
    finally:
        os.close(ours)
    out, _ = process.communicate(timeout=SECONDS)
    return Told(process.returncode, out.decode(), text.decode())


def run_slowly(
    store: Store, *words: object, terminal: bool = True,
    seen: Callable[[str], None] = lambda text: None,
) -> Told:
    """The same, of a program that reads no image before it has to tell of it."""
    with taken(store, *SLOTS) as release:

        def wait() -> None:
            wait_until(lambda: has_lock_of_image(store), "the fill to begin")
            begun = time.monotonic()
            wait_until(lambda: time.monotonic() - begun > FIRST_SECONDS, "time to pass")
            release()

        return run(*words, terminal=terminal, meanwhile=wait, seen=seen)


def adding(store: Store, layout: Layout, *words: str) -> list[object]:
    return [program("viewfsctl"), "store", "add", *words, f"--oci={layout.directory}",
            "-o", f"timeout=60,{store.option}"]  # fmt: skip


@pytest.fixture
def image(layout: Layout) -> Layout:
    layout.list(layout.image(usual_layers()))
    return layout


def test_a_terminal_shows_the_layer_at_work_until_the_end(store: Store, image: Layout) -> None:
    told = run_slowly(store, *adding(store, image))
    shown = LAYER.match(told.err)
    assert shown and 1 <= int(shown[1]) <= 3, told
    assert told.err.endswith(CLEAR)
    assert "\n" not in told.err, "it is one line, which is replaced"
    assert told.out.splitlines()[-1] == "added"


def test_lines_of_json_tell_it_and_the_last_one_is_the_answer(store: Store, image: Layout) -> None:
    told = run_slowly(store, *adding(store, image, "--json"))
    *lines, last = map(json.loads, told.out.splitlines())
    assert lines and last["added"] and "progress" not in last
    sizes = [layer["size"] for layer in image.layers]
    for line in lines:
        assert list(line) == ["progress"]
        progress = line["progress"]
        if "layer" in progress:
            assert (progress["layers"], progress["of"]) == (3, sizes[progress["layer"] - 1])
        assert 0 <= progress["bytes"] <= progress["of"]
        assert progress["rate"] >= 0
    assert "layer" in lines[0]["progress"]
    assert told.err == "", "the same is not told twice"


def test_a_failure_takes_the_place_of_the_line(store: Store, image: Layout) -> None:
    for layer in image.layers:
        blob = image.blob(layer)
        blob.write_bytes(blob.read_bytes()[:-5])
    told = run_slowly(store, *adding(store, image))
    shown, _, message = told.err.rpartition(CLEAR)
    assert told.status == 32 and LAYER.match(shown), told
    assert message.startswith("viewfsctl: ") and "cut or damaged" in message


def test_a_call_that_runs_out_of_time_leaves_no_line(store: Store, image: Layout) -> None:
    words = [*adding(store, image)[:-1], f"timeout=4,{store.option}"]
    middle = layer_lock(usual_layers()[1])
    with taken(store, middle, 1):
        told = run_slowly(store, *words)
    assert re.search(r"MB/s\x1b\[K\r\x1b\[Kviewfsctl: .* after 4 s", told.err), told


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_what_takes_less_than_a_second_tells_nothing(
    place: Path, image: Layout, words: list[str]
) -> None:
    for number in range(20):
        begun = time.monotonic()
        told = run(*adding(Store(place / f"store-{number}"), image, *words))
        if time.monotonic() - begun < FIRST_SECONDS:
            break
    assert (told.status, told.err, "MB" in told.out, "progress" in told.out) == (0, "", False, False)


def test_stderr_that_is_no_terminal_is_told_nothing(store: Store, image: Layout) -> None:
    told = run_slowly(store, *adding(store, image), terminal=False)
    assert (told.status, told.err) == (0, "")


def test_copies_of_a_tree_are_told_too(store: Store, place: Path) -> None:
    with tree(place / "tree") as unpacked:
        words = [program("viewfsctl"), "store", "add", f"--tree={unpacked}", "-o", store.option]
        told = run_slowly(store, *words, f"--chain={chain()}")
        assert re.match(r"\rartifacts: \d+ of \d+ MB, \d+ MB/s", told.err), told
        assert told.err.endswith(CLEAR)
        told = run_slowly(store, *words, f"--chain={chain(2)}", "--json")
    *lines, last = map(json.loads, told.out.splitlines())
    assert lines
    for line in lines:
        assert line["progress"].keys() == {"bytes", "of", "rate"}
        assert 0 < line["progress"]["bytes"] <= line["progress"]["of"] == last["bytes"]


FILLER = """\
#!/bin/sh
printf '{"progress":{"layer":2,"layers":3,"bytes":4999999,"of":30000000,"rate":7000000}}\\n'
until test -e %s; do sleep 0.02; done
exec %s "$@"
"""


@pytest.mark.parametrize("what", ["view", "resolve"])
def test_a_call_that_waits_for_its_image_shows_how_far_it_is(
    store: Store, place: Path, image: Layout, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, gate, at = place / "programs", place / "gate", place / "view"
    programs.mkdir()
    at.mkdir()
    tool, viewer = (Path(shutil.copy(program(name), programs / name)) for name in PROGRAMS)
    filler = tool.rename(programs / "real")
    tool.write_text(FILLER % (gate, filler))
    tool.chmod(0o755)
    # It finds what fills the store beside itself.
    asker = Path(shutil.copy(filler, programs / "asker"))
    source = [f"--oci={image.directory}", "-o", f"timeout=60,{store.option}"]
    words = [viewer, *source, "none", at] if what == "view" else [asker, "resolve", *source]

    def seen(text: str) -> None:
        if "MB/s" in text:
            gate.touch()

    told = run(*words, seen=seen)
    assert told.status == 0, told
    if what == "view":
        namespace.unmount(str(at))
    line = "\rlayer 2 of 3: 4 of 30 MB, 7 MB/s\x1b[K"
    assert told.err.startswith(line) and told.err.replace(line, "") == CLEAR, told
    assert "progress" not in told.out
