# SPDX-License-Identifier: Apache-2.0
"""viewfsctl resolve, and the words that all programs share."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from support import image, machine, namespace
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.resolver import build_directory
from support.stack import Dir, File, Stack, Whiteout
from support.view import Finished, View, program, run
from support.waiting import SECONDS

# A busy machine's, beyond the time that was set.
PATIENCE = 4


def resolve(*arguments: Any, **how: Any) -> Finished:
    return run(program("viewfsctl"), "resolve", *arguments, **how)


@pytest.fixture
def layers(place: Path) -> list[bytes]:
    return image.usual().build(place / "layers")


def expected_artifacts(place: Path) -> list[dict[str, Any]]:
    config = os.stat(place / "layers/0/urunc.json").st_size
    rows = [
        ("config", "/urunc.json", 0, config),
        ("binary", "/" + KERNEL_PATH, 1, len(KERNEL)),
        ("initrd", "/" + INITRD_PATH, 2, len(INITRD)),
    ]
    return [
        {"role": role, "path": path, "layer": layer, "origin": f"{place}/layers/{layer}{path}",
         "size": size}
        for role, path, layer, size in rows
    ]  # fmt: skip


def test_the_answer_is_a_table_of_artifacts(place: Path, layers: list[bytes]) -> None:
    finished = resolve("-o", lowerdir(layers))
    assert (finished.status, finished.stderr) == (0, "")
    title, *rows = (line.split() for line in finished.stdout.splitlines())
    assert title == ["ROLE", "PATH", "SIZE", "LAYER", "ORIGIN"]
    assert rows == [
        [a["role"], a["path"], str(a["size"]), str(a["layer"]), a["origin"]]
        for a in expected_artifacts(place)
    ]
    assert machine.mounts() == []


def in_time(*arguments: Any) -> Finished:
    start = time.monotonic()
    finished = resolve("-o", "timeout=1", *arguments)
    assert 0.9 < time.monotonic() - start < 1 + PATIENCE
    return finished


def test_a_layer_that_never_answers_is_a_timeout(place: Path) -> None:
    with machine.silent_fuse(place / "silent") as silent:
        option = f"lowerdir={silent}:{place}"
        finished = in_time("-o", option)
        assert (finished.status, finished.stdout) == (2, "")
        message = "not done after 1 s (-o timeout=…)"
        assert finished.stderr == f"viewfsctl: {message}\n"
        finished = in_time("--json", "-o", option)
        told = json.loads(finished.stdout)
        error = {"code": "ESYSTEM", "message": message}
        assert told == {"bootable": False, "artifacts": [], "error": error}


def test_a_source_and_mounts_that_never_answer_are_a_timeout(place: Path) -> None:
    with machine.silent_fuse(place / "silent") as silent:
        assert in_time(silent).status == 2
    fifo = place / "fifo"
    os.mkfifo(fifo)
    assert in_time(f"--mounts={fifo}").status == 2


def test_an_empty_kernel_is_not_bootable(place: Path) -> None:
    layers = image.with_file(File(b"")).build(place / "layers")
    finished = resolve("--json", "-o", lowerdir(layers))
    assert finished.status == 32
    told = json.loads(finished.stdout)
    assert (told["bootable"], told["error"]["code"]) == (False, "EARTIFACT")
    assert "is empty" in told["error"]["message"]


def test_json_holds_the_artifacts(place: Path, layers: list[bytes]) -> None:
    finished = resolve("--json", "-o", lowerdir(layers))
    assert (finished.status, finished.stderr) == (0, "")
    assert json.loads(finished.stdout) == {
        "bootable": True,
        "layers": 3,
        "artifacts": expected_artifacts(place),
    }


def test_it_is_what_a_view_then_holds(place: Path, layers: list[bytes]) -> None:
    told = json.loads(resolve("--json", "-o", lowerdir(layers)).stdout)["artifacts"]
    with View(place / "view", "-o", lowerdir(layers) + b",resolve=ready") as view:
        assert view.ready["artifacts"] == told


@pytest.mark.parametrize("form", ["json", "table"])
def test_digests_are_those_of_sha256sum(place: Path, layers: list[bytes], form: str) -> None:
    paths = [a["origin"] for a in expected_artifacts(place)]
    sums = run("sha256sum", *paths).stdout.splitlines()
    expected = ["sha256:" + line.split()[0] for line in sums]
    assert expected[1] == "sha256:" + hashlib.sha256(KERNEL).hexdigest()
    finished = resolve("--digest", *(["--json"] if form == "json" else []), "-o", lowerdir(layers))
    assert finished.status == 0
    if form == "json":
        assert [a["digest"] for a in json.loads(finished.stdout)["artifacts"]] == expected
    else:
        assert re.findall(r"sha256:[0-9a-f]{64}", finished.stdout) == expected


@pytest.mark.parametrize("json_form", [False, True], ids=["table", "json"])
def test_a_missing_artifact_is_shown_with_its_error(place: Path, json_form: bool) -> None:
    """What is there is shown all the same."""
    stack = Stack(
        [
            {b"urunc.json": image.urunc_json(initrd="/" + INITRD_PATH)},
            {INITRD_PATH.encode(): Whiteout(), KERNEL_PATH.encode(): File(KERNEL)},
            {INITRD_PATH.encode(): File(INITRD)},
        ]
    )
    arguments = ["-o", lowerdir(stack.build(place / "layers"))]
    finished = resolve(*arguments, *(["--json"] if json_form else []))
    message = f"initrd '/{INITRD_PATH}': not in any of 3 layers"
    assert finished.status == 32
    assert finished.stderr == f"viewfsctl: {message}\n"
    if json_form:
        told = json.loads(finished.stdout)
        assert told["bootable"] is False
        assert told["error"] == {"code": "ENOARTIFACT", "message": message}
        assert [a["role"] for a in told["artifacts"]] == ["config", "binary"]
    else:
        assert [line.split()[0] for line in finished.stdout.splitlines()] == [
            "ROLE", "config", "binary",
        ]  # fmt: skip


def test_what_follows_a_missing_artifact_is_shown(place: Path) -> None:
    config = image.urunc_json(initrd="/" + INITRD_PATH)
    stack = Stack([{b"urunc.json": config, INITRD_PATH.encode(): File(INITRD)}])
    finished = resolve("--json", "-o", lowerdir(stack.build(place / "layers")))
    assert finished.status == 32
    assert [a["role"] for a in json.loads(finished.stdout)["artifacts"]] == ["config", "initrd"]


FAILURES: dict[str, tuple[dict[bytes, Any] | None, list[str], str, int]] = {
    "usage": ({}, ["-o", "colour=red"], "EUSAGE", 1),
    "not-a-unikernel": ({b"etc": Dir()}, [], "ENOTAPPLICABLE", 32),
    "layer": (None, [], "ELAYER", 32),
    "config": ({b"urunc.json": File(b"x")}, [], "ECONFIG", 32),
    "artifact": ({b"k": Dir()}, ["-o", "binary=/k"], "EARTIFACT", 32),
    "no-artifact": ({}, ["-o", "binary=/k"], "ENOARTIFACT", 32),
}


@pytest.mark.parametrize(
    ("layer", "arguments", "code", "status"), FAILURES.values(), ids=FAILURES.keys()
)
def test_the_exit_status_says_whether_the_view_could_boot(
    place: Path, layer: dict[bytes, Any] | None, arguments: list[str], code: str, status: int
) -> None:
    if layer is not None:
        Stack([layer]).build(place)
    finished = resolve("--json", "-o", f"lowerdir={place}/0", *arguments)
    assert finished.status == status
    first, *rest = finished.stderr.splitlines()
    assert first.startswith("viewfsctl: ")
    if code == "EUSAGE":
        assert rest == ["Try 'viewfsctl resolve --help' for more information."]
        assert finished.stdout == ""
    else:
        assert rest == []
        assert json.loads(finished.stdout)["error"]["code"] == code
        assert json.loads(finished.stdout)["bootable"] is False


def test_a_user_may_resolve_with_userxattr(layers: list[bytes]) -> None:
    """A person may look at what they can read, if they say which marks count."""
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    command = [*user, program("viewfsctl"), "resolve", "-o"]
    finished = run(*command, lowerdir(layers))
    assert finished.status == 2
    assert "userxattr" in finished.stderr
    assert run(*command, lowerdir(layers) + b",userxattr").status == 0


# From wherever a view would come


def assert_found(place: Path, finished: Finished) -> None:
    assert (finished.status, finished.stderr) == (0, "")
    assert json.loads(finished.stdout)["artifacts"] == expected_artifacts(place)


def test_typed_layers_are_resolved(place: Path, layers: list[bytes]) -> None:
    relative = "lowerdir=0:1:2"
    assert_found(place, resolve("--json", "-o", relative, cwd=place / "layers"))
    assert_found(place, resolve("--json", "-o", relative, "-o", f"basedir={place}/layers"))
    # SOURCE is a label then.
    assert_found(place, resolve("--json", "-o", lowerdir(layers), "/nowhere"))


def test_containerds_mounts_are_resolved(place: Path, layers: list[bytes]) -> None:
    mounts = [{"Type": "overlay", "Options": [os.fsdecode(lowerdir(layers))]}]
    text = json.dumps(mounts).encode()
    assert_found(place, resolve("--json", "--mounts=-", stdin=text))
    (place / "mounts").write_bytes(text)
    assert_found(place, resolve("--json", "--mounts", place / "mounts"))


def test_a_mounted_overlay_and_a_bundle_are_resolved(place: Path, layers: list[bytes]) -> None:
    rootfs = place / "bundle/rootfs"
    rootfs.mkdir(parents=True)
    (place / "bundle/config.json").write_text('{"root": {"path": "rootfs"}}')
    namespace.mount("overlay", str(rootfs), "overlay", namespace.MS_RDONLY, lowerdir(layers))
    assert_found(place, resolve("--json", rootfs))
    assert_found(place, resolve("--json", f"--bundle={place}/bundle"))
    namespace.unmount(str(rootfs))


def test_a_directory_is_resolved(place: Path) -> None:
    Stack([{b"urunc.json": image.urunc_json("/k"), b"k": File(KERNEL)}]).build(place)
    finished = resolve("--json", place / "0")
    assert finished.status == 0
    assert json.loads(finished.stdout)["layers"] == 1


# What all programs say of themselves

PROGRAMS = {
    "urunc-viewfs": ["urunc-viewfs"],
    "viewfsctl": ["viewfsctl"],
    "viewfsctl-resolve": ["viewfsctl", "resolve"],
    "mount.urunc-viewfs": ["mount.urunc-viewfs"],
}
VERSIONED = {name: words for name, words in PROGRAMS.items() if name != "mount.urunc-viewfs"}


# The library stands alone, and a process that runs once per container is to load nothing.
OF_A_SANITIZER = {"libasan", "libubsan", "libm"}


@pytest.mark.parametrize("name", ["tests/li-resolve", "fuse/urunc-viewfs"])
def test_each_program_loads_libc_only(name: str) -> None:
    headers = run("readelf", "-dW", build_directory() / name).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[([^].]+)\.so", headers))
    if "libasan" in needed:
        needed -= OF_A_SANITIZER
    # The loader itself is no library, though a linker may name it.
    assert {name for name in needed if not name.startswith("ld-linux")} == {"libc"}


@pytest.mark.parametrize("words", PROGRAMS.values(), ids=PROGRAMS.keys())
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_goes_to_stdout(words: list[str], option: str) -> None:
    finished = run(program(words[0]), *words[1:], option)
    assert (finished.status, finished.stderr) == (0, "")
    assert finished.stdout.startswith(f"Usage: {' '.join(words)}")
    assert max(map(len, finished.stdout.splitlines())) <= 120


@pytest.mark.parametrize("words", VERSIONED.values(), ids=VERSIONED.keys())
@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version_names_the_features(words: list[str], option: str) -> None:
    finished = run(program(words[0]), *words[1:], option)
    assert (finished.status, finished.stderr) == (0, "")
    assert re.match(rf"{words[0]} \d+\.\d+\.\d+\n", finished.stdout)
    for feature in ("libfuse", "kernel", "passthrough", "sandbox", "landlock"):
        assert feature in finished.stdout


def test_the_version_as_json_names_every_argument_and_option() -> None:
    """A caller learns from it what it may use."""
    finished = run(program(), "--version=json")
    assert (finished.status, finished.stderr) == (0, "")
    (line,) = finished.stdout.splitlines()
    said = json.loads(line)
    text = run(program(), "--version").stdout
    build, kernel = said["features"]["build"], said["features"]["kernel"]
    for word in (f"urunc-viewfs {said['version']}", build["libfuse"], kernel["release"]):
        assert word in text
    help_text = run(program(), "--help").stdout
    assert set(re.findall(r"^ .*?--([a-z-]+)", help_text, re.MULTILINE)) == set(build["arguments"])
    shown = set(re.findall(r"^  -o ([a-z+.-]+)", help_text, re.MULTILINE))
    assert shown <= set(build["options"]) and "binary" in shown
    assert not {"remount", "user", "colour"} & set(build["options"])
    assert (kernel["dev_fuse"], kernel["openat2"]) == (True, True)
    sandboxed = kernel["landlock"] > 0 and not machine.is_sanitized(program())
    assert ("landlock" in kernel["sandbox"]) == sandboxed
    refused = run(program(), "--version=xml")
    assert (refused.status, "'xml' is not json" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    "words",
    [*([*words, "--help"] for words in PROGRAMS.values()),
     *([*words, "--version"] for words in VERSIONED.values()),
     ["urunc-viewfs", "--version=json"],
     ["viewfsctl", "resolve", "-o", "{option}"],
     ["viewfsctl", "resolve", "--json", "-o", "{option}"]],
    ids=" ".join,
)  # fmt: skip
def test_an_answer_that_cannot_be_written_is_an_error(
    layers: list[bytes], words: list[str]
) -> None:
    """A full disk: whoever asked must not take what little arrived for the answer."""
    option = os.fsdecode(lowerdir(layers))
    command = [word.format(option=option) for word in words]
    with open("/dev/full", "wb") as full:
        finished = subprocess.run(
            [program(command[0]), *command[1:]],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
    assert finished.returncode == 2
    assert finished.stderr == f"{words[0]}: stdout: No space left on device\n"


def test_viewfsctl_without_arguments_prints_its_commands() -> None:
    assert run(program("viewfsctl")) == run(program("viewfsctl"), "--help")


def test_help_names_every_option() -> None:
    text = run(program(), "--help").stdout
    for word in (
        "--foreground", "--ready-fd", "--log-format", "--log-level", "--id", "--lifeline",
        "--mounts", "--bundle", "lowerdir", "lowerdir+", "binary", "initrd", "timeout", "resolve",
        "decode", "sandbox", "userxattr", "uid=", "gid=", "mode=", "uidmap", "gidmap", "basedir",
    ):  # fmt: skip
        assert word in text, word


@pytest.mark.parametrize(
    ("words", "message", "asked"),
    [
        (["urunc-viewfs", "--colour"], "unknown argument '--colour'", "urunc-viewfs"),
        (["urunc-viewfs"], "SOURCE and MOUNTPOINT are missing", "urunc-viewfs"),
        (["viewfsctl", ""], "unknown command ''", "viewfsctl"),
        (["viewfsctl", "paint"], "unknown command 'paint'", "viewfsctl"),
        (["viewfsctl", "lsit"], "unknown command 'lsit': did you mean 'list'?", "viewfsctl"),
        (["viewfsctl", "x" * 5000], f"unknown command '{'x' * 4078}", "viewfsctl"),
        (["viewfsctl", "resolve"], "SOURCE is missing", "viewfsctl resolve"),
        (["viewfsctl", "resolve", "--colour"], "unknown argument '--colour'", "viewfsctl resolve"),
        (["viewfsctl", "resolve", "a", "b"], "unexpected argument 'b'", "viewfsctl resolve"),
        (["mount.urunc-viewfs"], "SOURCE and MOUNTPOINT are missing", "mount.urunc-viewfs"),
        (["mount.urunc-viewfs", "a"], "MOUNTPOINT is missing", "mount.urunc-viewfs"),
        (["mount.urunc-viewfs", "a", "b", "-x"], "unknown argument '-x'", "mount.urunc-viewfs"),
        (["mount.urunc-viewfs", "a", "b", "-nxv"], "unknown argument '-x'", "mount.urunc-viewfs"),
        (["mount.urunc-viewfs", "a", "b", "--x"], "unknown argument '--x'", "mount.urunc-viewfs"),
        (["mount.urunc-viewfs", "a", "b", "-o"], "'-o' requires a value", "mount.urunc-viewfs"),
        (["urunc-viewfs", "a", "b", "-fxh"], "unknown argument '-x'", "urunc-viewfs"),
        (["urunc-viewfs", "a", "b", "-fo"], "'-fo' requires a value", "urunc-viewfs"),
        (["urunc-viewfs", "a", "b", "--help=x"], "'--help' does not accept a value", "urunc-viewfs"),
        (["urunc-viewfs", "--lifelien=3", "a", "b"], "unknown argument '--lifelien=3': did you mean '--lifeline'?", "urunc-viewfs"),
        (["urunc-viewfs", "-o", "timout=3", "a", "b"], "unknown mount option 'timout': did you mean 'timeout'?", "urunc-viewfs"),
        (["viewfsctl", "resolve", "--digset", "a"], "unknown argument '--digset': did you mean '--digest'?", "viewfsctl resolve"),
        (["mount.urunc-viewfs", "a", "b", "--hlep"], "unknown argument '--hlep': did you mean '--help'?", "mount.urunc-viewfs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_usage_error_is_one_line_and_a_hint(words: list[str], message: str, asked: str) -> None:
    finished = run(program(words[0]), *words[1:])
    assert (finished.status, finished.stdout) == (1, "")
    assert finished.stderr.splitlines() == [
        f"{words[0]}: {message}",
        f"Try '{asked} --help' for more information.",
    ]
