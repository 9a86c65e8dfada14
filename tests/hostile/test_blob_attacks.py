# SPDX-License-Identifier: Apache-2.0
"""Hostile blobs and what they may take over: none makes one image's bytes appear under another's name.

`viewfsctl-liar` is viewfsctl with a decoder and an unpacker that do what a blob which has taken them
over would have them do. Whatever came of it, the image that was attacked is then added honestly to
the same store, and must be shown as it is.
"""

from __future__ import annotations

import json
import os
import struct
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from support.archive import END, file
from support.control import viewfsctl
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, urunc_json
from support.layout import CODINGS, TABLES, Layout, chain_id, digest, usual_layers
from support.resolver import build_directory
from support.stored import Store, arguments, wrong_objects
from support.view import Finished, View, run

# Of a processor and of the clock, on a busy machine, where nothing is waited for.
SECONDS_MAX = 60
# The errors that an image may be refused with.
CODES = {"ELAYER", "ENOTAPPLICABLE", "ESYSTEM", "EARTIFACT", "ECONFIG", "ENOARTIFACT"}
BEGUN, CAME_BACK = 1, 2

EVIL = b"evil" * 1000


class Attack(NamedTuple):
    """A victim's layout and one of the attacker's, and the store that both are added to."""

    store: Store
    victim: Layout
    evil: Layout
    place: Path

    def lie(self, lie: str, handed_out: bytes = b"", timeout: int = 10) -> tuple[Finished, int]:
        """Adds the attacker's image by children that LIE; says also how often they did."""
        result, handed = self.place / "result", self.place / "handed-out"
        result.write_bytes(bytes(8))
        handed.write_bytes(handed_out)
        env = {
            "LIAR": lie,
            "LIAR_BYTES": str(handed),
            "ATTEMPT_FILE": str(handed),
            "ATTEMPT_PID": str(os.getpid()),
            "ATTEMPT_RESULT": str(result),
        }
        finished = run(
            build_directory() / "tests/viewfsctl-liar", "store", "add", "--json",
            f"--oci={self.evil.directory}", "-o", f"{self.store.option},timeout={timeout}",
            env=env, seconds=SECONDS_MAX,
        )  # fmt: skip
        state, _ = struct.unpack("=ii", result.read_bytes())
        return finished, state

    def victim_is_shown_as_it_is(self) -> None:
        words = "store", "add", "--json", f"--oci={self.victim.directory}"
        finished = viewfsctl(*words, "-o", self.store.option)
        assert (finished.status, finished.stderr) == (0, ""), finished
        chain = finished.told["chain"]
        assert wrong_objects(self.store.directory) == []
        with View(self.place / "view", *arguments(self.store, image=chain)) as view:
            assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
            assert (view.root / INITRD_PATH).read_bytes() == INITRD
            assert (view.root / "urunc.json").read_bytes() == config()
            st = (view.root / KERNEL_PATH).stat()
            assert (st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o550, 5, 6)


def config() -> bytes:
    return urunc_json(initrd="/" + INITRD_PATH).content


def code(finished: Finished) -> str:
    """The error's; "" where there is none."""
    assert finished.status in (0, 2, 32), finished
    return finished.told.get("error", {}).get("code", "")


def one_layer(kernel: bytes = KERNEL) -> bytes:
    """An image of one layer."""
    return (
        file("urunc.json", config())
        + file(KERNEL_PATH, kernel, mode=0o750, uid=5, gid=6)
        + file(INITRD_PATH, INITRD)
        + END
    )


def evil_layer() -> bytes:
    """It differs from the victim's in nothing but bytes of the kernel."""
    return one_layer(b"\xff" * len(KERNEL))


@pytest.fixture
def attack(place: Path) -> Attack:
    """A victim of one layer."""
    made = Attack(Store(place / "store"), Layout(place / "victim"), Layout(place / "evil"), place)
    made.victim.list(made.victim.image([one_layer()]))
    return made


def claim(attack: Attack, coding: str = "gzip") -> None:
    """The attacker's image claims the victim's diff ids over a blob of its own."""
    attack.evil.list(
        attack.evil.image([evil_layer()], coding, diff_ids=[digest(one_layer())])
    )


@pytest.mark.parametrize("coding", [*CODINGS, *TABLES])
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_claim_to_the_victims_diff_ids_gets_nothing_of_the_victim(
    attack: Attack, coding: str, order: str
) -> None:
    """Neither the victim's bytes by the attacker's manifest, nor the attacker's by the victim's
    chain; with a table of contents the attacker's manifest has what its own table says."""
    if order == "after":
        attack.victim_is_shown_as_it_is()
    before = {path: path.read_bytes() for path in attack.store.files()}
    claim(attack, coding)
    words = "store", "add", "--json", f"--oci={attack.evil.directory}"
    finished = viewfsctl(*words, "-o", attack.store.option)
    if coding in TABLES:
        assert code(finished) == ""
        told = finished.told
        digests = {answer["path"]: answer.get("digest") for answer in told["answers"]}
        assert digests["/" + KERNEL_PATH] == digest(b"\xff" * len(KERNEL))
        finished = viewfsctl(*words, "-o", attack.store.option + ",toc=off")
    assert code(finished) == "ELAYER", finished
    after = {path: path.read_bytes() for path in attack.store.files()}
    assert {path for path in after if path.parent.name == "chains"} == {
        path for path in before if path.parent.name == "chains"
    }
    assert before.items() <= after.items()
    attack.victim_is_shown_as_it_is()


# ------------------------------------------------------------------------------------ the decoder

# What the decoder does, and what the attacker's image can come to.
DECODER_LIES = {
    # The victim's bytes are what they claim to be: no decoder is needed to have them. But they are
    # no list of the layer's names, which is decoded, too.
    "other": {"ELAYER"},
    # What unpacks is the victim's, and what is extracted is not.
    # The names and the artifacts that are kept meanwhile are the victim's layer's, as they should be.
    "other-once": {""},
    "nothing": {"ELAYER"},
    "end-early": {"ELAYER"},
    "behind-the-end": {"ELAYER"},
    "status": {"ELAYER", "ESYSTEM"},
    "die": {"ELAYER", "ESYSTEM"},
    "spin": {"ESYSTEM"},
    "without-end": {"ESYSTEM", "ELAYER", "ENOTAPPLICABLE"},
}


def timeout_for(lie: str) -> int:
    return 2 if lie == "spin" or lie.endswith("without-end") else 10


@pytest.mark.parametrize("lie", DECODER_LIES)
def test_a_decoder_that_lies_files_nothing_under_the_victims_chain(
    attack: Attack, lie: str
) -> None:
    claim(attack)
    began = time.monotonic()
    finished, lies = attack.lie(f"decoder:{lie}", one_layer(), timeout_for(lie))
    assert lies > 0
    assert code(finished) in DECODER_LIES[lie], finished
    assert time.monotonic() - began < SECONDS_MAX
    if code(finished):
        assert not attack.store.files()
    attack.victim_is_shown_as_it_is()


def test_a_decoder_that_hands_out_other_bytes_of_its_own_image_is_elayer(attack: Attack) -> None:
    """Its image claims what it is; then nothing but that may come out."""
    attack.evil.list(attack.evil.image([evil_layer()]))
    finished, lies = attack.lie("decoder:other", one_layer())
    assert lies > 0
    assert code(finished) == "ELAYER", finished
    assert not attack.store.files()
    attack.victim_is_shown_as_it_is()


@pytest.mark.parametrize("coding", TABLES)
@pytest.mark.parametrize("lie", DECODER_LIES)
def test_a_decoder_that_lies_of_a_table_files_nothing_under_the_victims_chain(
    attack: Attack, lie: str, coding: str
) -> None:
    """Whatever it says concerns the attacker's manifest only."""
    claim(attack, coding)
    finished, lies = attack.lie(f"decoder:{lie}", one_layer(), timeout_for(lie))
    assert lies > 0
    assert code(finished) in CODES | {""}, finished
    attack.victim_is_shown_as_it_is()


# ----------------------------------------------------------------------------------- the unpacker

UNPACKER_LIES = [
    "die", "spin", "early", "no-status", "huge", "content-unasked", "content-without-end",
    "found-without-end", "accept", "result", "reason", "content-other", "content-short",
    "content-long", "layer", "entry", "size-negative", "size-huge", "size-less", "time", "mode",
    "find-result", "find-positive", "path", "path-climbs", "unread", "unread-absent", "ask-below",
    "ask-beyond", "ask-without-end",
]  # fmt: skip
LISTER_LIES = ["name", "type", "size", "garbage", "kept-many", "kept-large", "names-without-end",
               "begin", "status", "die", "spin"]  # fmt: skip
# Nothing can be filed then.
BROKEN = {
    "die", "spin", "early", "no-status", "huge", "content-unasked", "content-without-end",
    "found-without-end", "result", "reason", "content-long", "layer", "entry", "size-negative",
    "size-huge", "size-less", "time", "find-result", "find-positive", "unread", "unread-absent",
    "ask-beyond", "ask-without-end",
}  # fmt: skip


@pytest.mark.parametrize("lie", UNPACKER_LIES)
def test_an_unpacker_that_lies_concerns_its_own_image_only(attack: Attack, lie: str) -> None:
    """An image that is what it claims to be, whose layer has taken the unpacker over."""
    layers = [evil_layer()]
    attack.evil.list(attack.evil.image(layers))
    finished, lies = attack.lie(f"unpacker:{lie}", timeout=timeout_for(lie))
    assert lies > 0
    assert code(finished) in CODES | {""}, finished
    assert "\33" not in finished.stdout + finished.stderr, "what it says is shown as text"
    if lie == "content-long":
        assert "timeout" not in finished.stdout, "what it says is bounded, not only by time"
    if lie in BROKEN:
        assert code(finished)
        assert not attack.store.files("objects")
    filed = {path.name for path in attack.store.files("chains")}
    assert filed <= {chain_id(layers).removeprefix("sha256:")}
    attack.victim_is_shown_as_it_is()


@pytest.mark.parametrize("lie", UNPACKER_LIES)
def test_no_unpacker_is_told_of_a_layer_that_is_not_what_it_claims(
    attack: Attack, lie: str
) -> None:
    claim(attack)
    finished, _ = attack.lie(f"unpacker:{lie}", timeout=timeout_for(lie))
    assert code(finished) in ("ELAYER", "ESYSTEM"), finished
    assert not attack.store.files() and not attack.store.files("layers")
    attack.victim_is_shown_as_it_is()


@pytest.mark.parametrize("lie", LISTER_LIES)
def test_a_lister_that_lies_files_nothing_of_an_image_that_claims_the_victims_diff_ids(
    attack: Attack, lie: str
) -> None:
    layers = [file("etc/evil", EVIL) + evil_layer()]
    attack.evil.list(attack.evil.image(layers, diff_ids=[digest(one_layer())]))
    finished, lies = attack.lie(f"lister:{lie}", timeout=timeout_for(lie))
    assert lies > 0
    assert code(finished) in CODES, finished
    assert not attack.store.files() and not attack.store.files("layers")
    attack.victim_is_shown_as_it_is()


@pytest.mark.parametrize("coding", TABLES)
@pytest.mark.parametrize("lie", [*UNPACKER_LIES, "range-elsewhere", "range-negative", "range-none"])
def test_an_unpacker_that_lies_of_a_table_files_nothing_under_the_victims_chain(
    attack: Attack, lie: str, coding: str
) -> None:
    claim(attack, coding)
    finished, _ = attack.lie(f"unpacker:{lie}", timeout=timeout_for(lie))
    assert code(finished) in CODES | {""}, finished
    assert not attack.store.files("chains")
    attack.victim_is_shown_as_it_is()


@pytest.mark.parametrize("position", ["below", "above"])
@pytest.mark.parametrize("lie", ["accept", "content-other", "content-short", "path", "mode"])
def test_an_unpacker_that_lies_of_a_shared_layer_harms_no_other_image(
    place: Path, lie: str, position: str
) -> None:
    """The victim's layers, with one of the attacker's: what is known of a layer serves all images."""
    attack = Attack(Store(place / "store"), Layout(place / "victim"), Layout(place / "evil"), place)
    attack.victim.list(attack.victim.image(usual_layers()))
    own = file("etc/evil", EVIL) + END
    layers = [own, *usual_layers()] if position == "below" else [*usual_layers(), own]
    attack.evil.list(attack.evil.image(layers))
    finished, lies = attack.lie(f"unpacker:{lie}")
    assert lies > 0
    assert code(finished) in CODES | {""}, finished
    attack.victim_is_shown_as_it_is()


@pytest.mark.parametrize("lie", LISTER_LIES)
def test_a_lister_that_lies_concerns_its_own_layer_only(place: Path, lie: str) -> None:
    """What it says is kept for all images that have the layer, and for no other one."""
    attack = Attack(Store(place / "store"), Layout(place / "victim"), Layout(place / "evil"), place)
    attack.victim.list(attack.victim.image(usual_layers()))
    own = file("etc/evil", EVIL) + END
    attack.evil.list(attack.evil.image([*usual_layers(), own]))
    finished, lies = attack.lie(f"lister:{lie}", timeout=timeout_for(lie))
    assert lies > 0
    assert code(finished) in CODES | {""}, finished
    attack.victim_is_shown_as_it_is()


# ----------------------------------------------------------------------------- what a child may do


@pytest.mark.parametrize("child", ["decoder", "unpacker", "lister"])
def test_a_child_gets_less_than_a_gibibyte_of_memory(attack: Attack, child: str) -> None:
    attack.evil.list(attack.evil.image([file("etc/evil", EVIL) + evil_layer()]))
    finished, lies = attack.lie(f"{child}:memory")
    assert lies > 0
    assert code(finished) in ("ESYSTEM", "ELAYER"), finished
    assert not attack.store.files()
    finished, lies = attack.lie(f"{child}:half-the-memory")
    assert lies > 0
    assert not code(finished), finished


# System calls by the numbers of x86-64, which no child needs.
CALLS = {
    "write": 1, "open": 2, "close": 3, "fstat": 5, "lseek": 8, "mprotect": 10, "ioctl": 16,
    "pread64": 17, "pwrite64": 18, "access": 21, "mremap": 25, "madvise": 28, "dup": 32,
    "getpid": 39, "sendfile": 40, "socket": 41, "sendmsg": 46, "clone": 56, "fork": 57,
    "execve": 59, "kill": 62, "fcntl": 72, "truncate": 76, "ftruncate": 77, "rename": 82,
    "unlink": 87, "ptrace": 101, "prctl": 157, "arch_prctl": 158, "setrlimit": 160, "futex": 202,
    "openat": 257, "splice": 275, "vmsplice": 278, "pipe2": 293, "prlimit64": 302,
    "process_vm_readv": 310, "memfd_create": 319, "bpf": 321, "execveat": 322,
    "io_uring_setup": 425, "pidfd_getfd": 438,
}  # fmt: skip
ATTEMPTS = ["open-shadow", "execute", "start-process", "signal-neighbour", "map-code", "change-code",
            "call-otherwise"]  # fmt: skip


@pytest.mark.parametrize("child", ["decoder", "unpacker"])
@pytest.mark.parametrize("name", [*ATTEMPTS, *CALLS])
def test_a_child_that_tries_what_it_does_not_need_ends(
    attack: Attack, name: str, child: str
) -> None:
    if name in CALLS and os.uname().machine != "x86_64":
        pytest.skip("the numbers are x86-64's")
    attack.evil.list(attack.evil.image([evil_layer()]))
    tried = f"call:{CALLS[name]}" if name in CALLS else name
    finished, state = attack.lie(f"{child}:attempt:{tried}")
    assert state == BEGUN, "it did not come back"
    assert code(finished) in ("ESYSTEM", "ELAYER"), finished
    assert not attack.store.files()


def test_what_a_child_tries_is_noticed(attack: Attack) -> None:
    """So that the test above can fail: read(2) is allowed."""
    attack.evil.list(attack.evil.image([evil_layer()]))
    _, state = attack.lie("decoder:attempt:call:0")
    assert state == CAME_BACK
