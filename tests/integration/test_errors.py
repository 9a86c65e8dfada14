# SPDX-License-Identifier: Apache-2.0
"""What a call that fails says, and that it leaves nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import image, machine, namespace
from support.control import listed_at, stopped
from support.image import KERNEL, KERNEL_PATH, lowerdir, with_file
from support.injection import injecting
from support.stack import Chr, Dir, Entry, Fifo, File, Socket, Stack, Symlink, Whiteout
from support.view import View, call, program, refused, run
from support.waiting import wait_until

# A caller must be back this soon after the time that it set.
PATIENCE = 4


@pytest.fixture
def at(place: Path) -> Path:
    """A mountpoint; still there, and empty, after the call."""
    mountpoint = place / "view"
    mountpoint.mkdir()
    return mountpoint


def usual(place: Path) -> bytes:
    return lowerdir(image.usual().build(place / "layers"))


# EUSAGE

USAGE: dict[str, tuple[list[str], str]] = {
    "unknown-option": (["-o", "colour=red"], "'colour'"),
    "unknown-option-among-others": (["-o", "ro,uid=0,colour,gid=0"], "'colour'"),
    "case-matters": (["-o", "UID=0"], "'UID'"),
    "remount": (["-o", "remount,ro"], "'remount': .*unmount it and mount it again"),
    "user": (["-o", "user"], "'user': .*belong to root"),
    "user-of-name": (["-o", "user=joe"], "'user': .*belong to root"),
    "users": (["-o", "users"], "'users': .*belong to root"),
    "value-missing": (["-o", "binary"], "'binary' requires a value"),
    "value-empty": (["-o", "initrd="], "'initrd' requires a value"),
    "value-too-much": (["-o", "ro=1"], "'ro' does not accept a value"),
    "uid": (["-o", "uid=root"], "'uid': 'root'"),
    "uid-negative": (["-o", "uid=-1"], "'uid': '-1'"),
    "uid-none": (["-o", "uid=4294967295"], "'uid': '4294967295'"),
    "gid-large": (["-o", "gid=99999999999999999999"], "'gid': '9+'"),
    "gid-space": (["-o", "gid= 1"], "'gid': ' 1'"),
    "mode-not-octal": (["-o", "mode=0888"], "'mode': '0888'"),
    "mode-large": (["-o", "mode=01777"], "'mode': '01777'"),
    "timeout-zero": (["-o", "timeout=0"], "'timeout': '0'"),
    "timeout-large": (["-o", "timeout=86401"], "'timeout': '86401'"),
    "timeout-fraction": (["-o", "timeout=1.5"], "'timeout': '1.5'"),
    "resolve": (["-o", "resolve=soon"], "'resolve': 'soon'"),
    "passthrough": (["-o", "passthrough=maybe"], "'passthrough': 'maybe'"),
    "decode": (["-o", "decode=rot13"], "'decode': 'rot13'"),
    "uidmap": (["-o", "uidmap=0:1000"], "'uidmap': '0:1000'"),
    "uidmap-empty-range": (["-o", "uidmap=0:0:0"], "'uidmap': '0:0:0'"),
    "gidmap-large": (["-o", "gidmap=0:4294967295:2"], "'gidmap': '0:4294967295:2'"),
    "id-long": (["-o", "id=" + "i" * 256], "'id'"),
    "id-empty": (["--id="], "--id"),
    "lowerdir-empty": (["-o", "lowerdir="], "lowerdir="),
    "lowerdir-hole": (["-o", "lowerdir=:/a"], "lowerdir=:/a"),
    "lowerdir-end": (["-o", "lowerdir=/a:"], "lowerdir=/a:"),
    "lowerdir-order": (["-o", "lowerdir=/a,lowerdir+=/b"], r"lowerdir\+="),
    "unknown-argument": (["--colour"], "'--colour'"),
    "unknown-letter": (["-x"], "'-x'"),
    "argument-without-value": (["--bundle"], "'--bundle' requires a value"),
    "log-format": (["--log-format=xml"], "'xml'"),
    "log-level": (["--log-level=loud"], "'loud'"),
    "lifeline-word": (["--lifeline=x"], "--lifeline: 'x'"),
    "lifeline-closed": (["--lifeline=987"], "--lifeline=987: Bad file descriptor"),
    "lifeline-file": (["--lifeline=FILE"], r"--lifeline=\d+: a file, whose end no process sees"),
    "lifeline-directory": (["--lifeline=DIRECTORY"], r"--lifeline=\d+: a file, whose end"),
    "mounts-twice": (["--mounts=/a", "--mounts=/b"], "--mounts may be given only once"),
    "bundle-twice": (["--bundle=/a", "--bundle=/b"], "--bundle may be given only once"),
    "ready-fd-twice": (["--ready-fd=2"], "--ready-fd may be given only once"),
    "lifeline-twice": (["--lifeline=0", "--lifeline=0"], "--lifeline may be given only once"),
    "bundle-empty": (["--bundle="], "bundle"),
}


@pytest.mark.parametrize(("arguments", "naming"), USAGE.values(), ids=USAGE.keys())
def test_a_bad_option_or_value_is_named(at: Path, arguments: list[str], naming: str) -> None:
    with open(__file__) as file:
        directory = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
        numbers = {"FILE": str(file.fileno()), "DIRECTORY": str(directory)}
        for name, number in numbers.items():
            arguments = [word.replace(f"={name}", f"={number}") for word in arguments]
        words = ["none", at, *arguments] if arguments == ["--bundle"] else [*arguments, "none", at]
        finished = call(*words, pass_fds=[file.fileno(), directory])
        os.close(directory)
    refused(finished, "EUSAGE", 1, naming)


@pytest.mark.parametrize(
    ("operands", "naming"),
    [
        ([], "SOURCE and MOUNTPOINT"),
        (["none"], "MOUNTPOINT"),
        (["none", "{at}", "third"], "'third'"),
        (["", "{at}"], "SOURCE"),
        (["none", ""], "MOUNTPOINT"),
    ],
)
def test_missing_and_extra_operands_are_named(
    place: Path, at: Path, operands: list[str], naming: str
) -> None:
    words = [word.format(at=at) for word in operands]
    refused(call("-o", usual(place), *words), "EUSAGE", 1, naming)


def test_a_ready_fd_that_is_not_open_is_a_usage_error(at: Path) -> None:
    for arguments in (["--ready-fd=987"], ["--ready-fd=no"]):
        finished = subprocess.run(
            [program(), *arguments, "none", at], capture_output=True, text=True, check=False
        )
        assert finished.returncode == 1
        assert re.match("urunc-viewfs: --ready-fd", finished.stderr)


JSON: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is not JSON: unexpected end.* at byte 0"),
    "not-json": (b'[{"Type": }]', "is not JSON: .* at byte 10"),
    "cut": (b'[{"Type": "overlay"', "is not JSON"),
    "after-the-end": (b"[] x", "is not JSON"),
    "nul": (b'[{"Type"\0: ""}]', "a NUL byte at byte 8"),
    "not-an-array": (b'"x"', "not an array"),
    "object-with-nothing": (b"{}", "without 'mounts' and without 'rootfs'"),
    "mounts-not-an-array": (b'{"Mounts": {}}', "not an array"),
    "mount-not-an-object": (b"[1]", "not an object"),
    "type-not-a-string": (b'[{"Type": 1}]', "not a string"),
    "options-not-an-array": (b'[{"Type": "overlay", "Options": "x"}]', "'Options'"),
    "option-not-a-string": (b'[{"Type": "overlay", "Options": [1]}]', "'Options'"),
    "bind-of-nothing": (b'[{"Type": "bind"}]', "without 'Source'"),
    "lowerdir-with-a-hole": (
        b'[{"Type": "overlay", "Options": ["lowerdir=/a::"]}]', "lowerdir=/a::",
    ),
    "uidmap": (b'[{"Type": "overlay", "Options": ["uidmap=x"]}]', "uidmap"),
    "deep": (b"[" * 100_000, "is not JSON"),
    "large": (b"[" + b" " * (17 << 20) + b"]", "is larger than"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "naming"), JSON.values(), ids=JSON.keys())
@pytest.mark.parametrize("how", ["file", "stdin"])
def test_mounts_that_are_not_a_list_of_mounts_are_a_usage_error(
    place: Path, at: Path, how: str, text: bytes, naming: str
) -> None:
    if how == "stdin":
        finished = call("--mounts=-", "none", at, stdin=text)
    else:
        (place / "mounts").write_bytes(text)
        finished = call(f"--mounts={place}/mounts", "none", at)
    refused(finished, "EUSAGE", 1, naming)


def test_a_missing_mounts_file_is_a_usage_error(at: Path) -> None:
    finished = call("--mounts=/nowhere/m", "none", at)
    refused(finished, "EUSAGE", 1, "--mounts=/nowhere/m: No such file or directory")


# ENOTAPPLICABLE

NOT_APPLICABLE: dict[str, tuple[Any, str]] = {
    "null": (None, "holds no layers"),
    "empty": ([], "holds no layers"),
    "null-mounts": ({"Mounts": None}, "holds no layers"),
    "null-rootfs": ({"id": "web-1", "rootfs": None}, "holds no layers"),
    "no-lowerdir": ([{"Type": "overlay", "Options": None}], "holds no layers"),
    "block": ([{"Type": "ext4", "Source": "/dev/dm-1"}], "a mount of type 'ext4' is not served"),
    "block-of-a-request": (
        {"rootfs": [{"type": "ext4", "source": "/dev/dm-1"}]},
        "a mount of type 'ext4' is not served",
    ),
    "fuse": (
        [{"Type": "fuse3.fuse-overlayfs", "Options": ["lowerdir=/a:/b"]}],
        "type 'fuse3.fuse-overlayfs' is not served, only 'overlay' and a read-only 'bind'",
    ),
    "writable-bind": (
        [{"Type": "bind", "Source": "/a", "Options": ["rbind", "rw"]}],
        "the bind of '/a' is writable: a container's own tree, not an image",
    ),
    "writable-at-last": ([{"Type": "bind", "Source": "/a", "Options": ["ro,rw"]}], "is writable"),
    "writable-untold": ([{"Type": "bind", "Source": "/a"}], "is writable"),
    "several": ([{"Type": "bind", "Source": "/a"}] * 2, "2 mounts"),
    "elsewhere": ([{"Type": "bind", "Source": "/a", "Target": "/mnt"}], "target is '/mnt'"),
    "relative": ([{"Type": "overlay", "Options": ["lowerdir=1/fs:2/fs"]}], "'1/fs' is relative"),
    "relative-bind": (
        [{"Type": "bind", "Source": "fs", "Options": ["ro"]}], "'fs' is relative",
    ),
    "data-only": ([{"Type": "overlay", "Options": ["lowerdir=/a::/b"]}], "data-only"),
}  # fmt: skip


@pytest.mark.parametrize(("mounts", "naming"), NOT_APPLICABLE.values(), ids=NOT_APPLICABLE.keys())
def test_mounts_that_no_view_can_serve_are_not_applicable(
    at: Path, mounts: Any, naming: str
) -> None:
    finished = call("--mounts=-", "none", at, stdin=json.dumps(mounts).encode())
    refused(finished, "ENOTAPPLICABLE", 32, naming)


IN_JSON = ["--log-format=json"]
LOGGED_AT_DEBUG = [*IN_JSON, "--log-level=debug"]


@pytest.mark.parametrize(
    "options", [[], ["--log-level=error"], IN_JSON, LOGGED_AT_DEBUG], ids=" ".join
)
@pytest.mark.parametrize("ready_fd", [False, True], ids=["no-ready-fd", "ready-fd"])
def test_not_applicable_is_loud_only_where_a_person_reads(
    at: Path, options: list[str], ready_fd: bool
) -> None:
    """A block snapshotter's container is no error: it is logged at debug."""
    words = [*options, "--mounts=-", "none", at]
    finished = call(*words, stdin=b"[]") if ready_fd else run(program(), *words, stdin=b"[]")
    assert finished.status == 32
    if options == LOGGED_AT_DEBUG:
        line = json.loads(finished.stderr)
        assert (line["level"], line["msg"]) == ("debug", "--mounts=- holds no layers")
    elif options == IN_JSON or ready_fd:
        assert finished.stderr == ""
    else:
        assert finished.stderr == "urunc-viewfs: --mounts=- holds no layers\n"


def test_other_failures_are_errors_beside_a_ready_line(at: Path) -> None:
    finished = call("--log-format=json", "-o", "lowerdir=/nowhere", "none", at)
    assert json.loads(finished.stderr)["level"] == "error"


@pytest.mark.parametrize(
    "layers",
    [
        [{b"kernel": File(KERNEL)}, {b"etc": Dir()}],
        [{b"urunc.json": Whiteout()}, {b"urunc.json": image.urunc_json()}],
    ],
    ids=["absent", "deleted"],
)
def test_an_image_without_urunc_json_is_not_applicable(place: Path, at: Path, layers: Any) -> None:
    finished = call("-o", lowerdir(Stack(layers).build(place / "layers")), "none", at)
    refused(finished, "ENOTAPPLICABLE", 32, "no /urunc.json in any of 2 layers")


# ELAYER


def test_a_missing_layer_is_elayer(place: Path, at: Path) -> None:
    option = usual(place) + os.fsencode(f":{place}/gone")
    finished = call("-o", option, "none", at)
    refused(finished, "ELAYER", 32, f"layer 3 '{place}/gone': No such file or directory")


def test_a_layer_that_is_a_file_is_elayer(place: Path, at: Path) -> None:
    (place / "file").touch()
    finished = call("-o", os.fsencode(f"lowerdir={place}/file:") + usual(place)[9:], "none", at)
    refused(finished, "ELAYER", 32, f"layer 0 '{place}/file': Not a directory")


def test_a_missing_layer_of_mounts_is_elayer(place: Path, at: Path) -> None:
    mounts = [{"Type": "bind", "Source": f"{place}/gone", "Options": ["ro"]}]
    finished = call("--mounts=-", "none", at, stdin=json.dumps(mounts).encode())
    refused(finished, "ELAYER", 32, f"layer 0 '{place}/gone': No such file or directory")


def test_names_are_printed_without_control_characters(place: Path, at: Path) -> None:
    """No control character and no broken UTF-8 gets out, in no form."""
    finished = call("-o", os.fsencode(str(place)) + b"\x1b[31m\n\xff", "none", at)
    refused(finished, "EUSAGE", 1, r"\\033\[31m\\012\\377")
    finished = call("-o", os.fsencode(f"lowerdir={place}/") + b"\x1b[31m\n\xff", "none", at)
    refused(finished, "ELAYER", 32, r"\\033\[31m\\012\\377': No such file")


def test_a_layer_that_may_not_be_read_is_elayer(place: Path, at: Path) -> None:
    option = usual(place) + b",userxattr,resolve=ready"
    (place / "layers/1").chmod(0)
    user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
    finished = call("-o", option, "none", at, wrapper=user)
    refused(finished, "ELAYER", 32, f"'/{KERNEL_PATH}'.*Permission denied")
    (place / "layers").chmod(0)
    finished = call("-o", option, "none", at, wrapper=user)
    refused(finished, "ELAYER", 32, f"layer 0 '{place}/layers/0': Permission denied")


def test_a_missing_source_is_elayer(place: Path, at: Path) -> None:
    refused(call(place / "gone", at), "ELAYER", 32, "SOURCE '.*/gone': No such file")
    (place / "file").touch()
    refused(call(place / "file", at), "ELAYER", 32, "SOURCE '.*/file': Not a directory")


def test_more_than_4096_layers_are_elayer(place: Path, at: Path) -> None:
    (layer,) = Stack([{}]).build(place / "layers")
    # More than one argument can hold.
    options = [part for _ in range(4097) for part in (b"-o", b"lowerdir+=" + layer)]
    finished = call(*options, "none", at)
    refused(finished, "ELAYER", 32, "4097 layers")


# ECONFIG


def coded(**changed: Any) -> bytes:
    """A urunc.json with CHANGED values, as they are; None leaves one out."""
    values = json.loads(image.urunc_json().content)
    for name, value in changed.items():
        values[image.PREFIX + name] = value
        if value is None:
            del values[image.PREFIX + name]
    return json.dumps(values).encode()


CONFIGURATIONS: dict[str, tuple[Entry, str]] = {
    "empty": (File(b""), "/urunc.json is not JSON"),
    "not-json": (File(b"binary=/kernel"), "/urunc.json is not JSON: .* at byte 0"),
    "cut": (File(coded()[:-1]), "/urunc.json is not JSON"),
    "after-the-end": (File(coded() + b"x"), "/urunc.json is not JSON"),
    "nul": (File(coded() + b"\0"), "/urunc.json is not JSON: a NUL byte"),
    "array": (File(b"[]"), "/urunc.json: not an object"),
    "null": (File(b"null"), "/urunc.json: not an object"),
    "deep": (File(b"[" * 10_000), "/urunc.json is not JSON"),
    "large": (File(b" " * ((1 << 20) + 1)), "/urunc.json is larger than 1048576 bytes"),
    "number": (File(coded(binary=1)), "binary'"),
    "object": (File(coded(cmdline={})), "cmdline'"),
    "not-base64": (File(coded(binary="/kernel!")), "binary' is not standard base64"),
    "not-base64-elsewhere": (File(coded(cmdline="a b")), "cmdline' is not standard base64"),
    "url-base64": (File(coded(binary="_-__")), "binary' is not standard base64"),
    "not-padded": (File(coded(binary="L2s")), "binary' is not standard base64"),
    "nul-inside": (File(coded(binary="AGE=")), "binary' is not without a NUL byte"),
    "no-binary": (File(coded(binary=None)), "binary' is missing"),
    "empty-binary": (File(coded(binary="")), "binary' is missing"),
    "no-type": (File(coded(unikernelType=None)), "unikernelType' is missing"),
    "no-hypervisor": (File(coded(hypervisor=None)), "hypervisor' is missing"),
    "nothing": (File(b"{}"), "is missing"),
    "directory": (Dir(), "/urunc.json: not a regular file"),
    "fifo": (Fifo(), "/urunc.json: not a regular file"),
    "socket": (Socket(), "/urunc.json: not a regular file"),
    "device": (Chr(1, 5), "/urunc.json: not a regular file"),
    "link-to-directory": (Symlink(b"/"), "/urunc.json: not a regular file"),
    "loop": (Symlink(b"urunc.json"), "/urunc.json: Too many levels of symbolic links"),
}


@pytest.mark.parametrize(("entry", "naming"), CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_an_unusable_urunc_json_is_econfig(
    place: Path, at: Path, entry: Entry, naming: str
) -> None:
    stack = Stack([{b"urunc.json": entry, KERNEL_PATH.encode(): File(KERNEL)}])
    finished = call("-o", lowerdir(stack.build(place / "layers")), "none", at)
    refused(finished, "ECONFIG", 32, naming)


@pytest.mark.parametrize(("entry", "naming"), CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_urunc_json_is_not_read_when_binary_and_initrd_are_given(
    place: Path, at: Path, entry: Entry, naming: str
) -> None:
    """Nor looked into. It is shown if it can be shown, and if it cannot, that is said once."""
    del naming
    stack = Stack([{b"urunc.json": entry, KERNEL_PATH.encode(): File(KERNEL)}])
    options = f"binary={KERNEL_PATH},initrd={KERNEL_PATH}"
    with View(at, "-o", lowerdir(stack.build(place / "layers")), "-o", options) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        shown = isinstance(entry, File) and entry.content != b""
        assert (view.root / "urunc.json").exists() == shown
    at.mkdir()


@pytest.mark.parametrize("value", ["b64:L2s=", "L2s=", "/a.b", "b64:L2 s="], ids=str)
def test_decode_auto_accepts_plain_and_prefixed_values(place: Path, at: Path, value: str) -> None:
    config = File(coded(binary=value))
    stack = Stack([{b"urunc.json": config, b"k": File(b"1"), b"a.b": File(b"2")}])
    options = lowerdir(stack.build(place / "layers")) + b",decode=auto"
    if value == "b64:L2 s=":
        refused(call("-o", options, "none", at), "ECONFIG", 32, "standard base64")
        return
    with View(at, "-o", options) as view:
        assert set(os.listdir(view.root)) == {"urunc.json", "a.b" if value == "/a.b" else "k"}
    at.mkdir()


BUNDLES: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "config.json: No such file or directory"),
    "not-json": (b"{", "config.json is not JSON"),
    "array": (b"[]", "config.json: not an object"),
    "no-root": (b"{}", "'root.path' is missing"),
    "root-without-path": (b'{"root": {}}', "'root.path' is missing"),
    "path-not-a-string": (b'{"root": {"path": 1}}', "'root.path' is missing"),
    "annotations": (b'{"root": {"path": "/proc/sys"}, "annotations": []}', "config.json: "),
}


@pytest.mark.parametrize(("text", "naming"), BUNDLES.values(), ids=BUNDLES.keys())
def test_an_unusable_config_json_is_econfig(
    place: Path, at: Path, text: bytes | None, naming: str
) -> None:
    bundle = place / "bundle"
    (bundle / "rootfs").mkdir(parents=True)
    (place / "layer").mkdir()
    namespace.mount(str(place / "layer"), str(bundle / "rootfs"), None, 0x1000)
    if text is not None:
        (bundle / "config.json").write_bytes(text.replace(b"/proc/sys", b"rootfs"))
    refused(call(f"--bundle={bundle}", "none", at), "ECONFIG", 32, naming)
    namespace.unmount(str(bundle / "rootfs"))


def test_a_missing_bundle_is_econfig(at: Path) -> None:
    finished = call("--bundle=/nowhere", "none", at)
    refused(finished, "ECONFIG", 32, "/nowhere: No such file or directory")


# ENOARTIFACT and EARTIFACT


@pytest.mark.parametrize(
    "layer",
    [
        {},
        {b"unikernel/kernel": Whiteout()},
        {b"unikernel": Whiteout()},
        {b"unikernel": File(b"")},
        {b"unikernel/kernel": Symlink(b"/nowhere")},
    ],
    ids=["absent", "deleted", "directory-deleted", "below-a-file", "dangling"],
)
def test_a_missing_artifact_is_enoartifact(
    place: Path, at: Path, layer: dict[bytes, Entry]
) -> None:
    stack = Stack([layer, {b"urunc.json": image.urunc_json()}])
    options = lowerdir(stack.build(place / "layers")) + b",resolve=ready"
    finished = call("-o", options, "none", at)
    message = "^binary '/unikernel/kernel': not in any of 2 layers$"
    refused(finished, "ENOARTIFACT", 32, message)


UNFIT: dict[str, tuple[Entry, str]] = {
    "empty": (File(b""), "is empty"),
    "link-to-empty": (Symlink(b"/empty"), "is empty"),
    "directory": (Dir(), "a directory, not a regular file"),
    "fifo": (Fifo(), "a FIFO, not a regular file"),
    "socket": (Socket(), "a socket, not a regular file"),
    "device": (Chr(1, 5), "a device, not a regular file"),
    "link-to-directory": (Symlink(b"/"), "a directory, not a regular file"),
    "loop": (Symlink(b"kernel"), "Too many levels of symbolic links"),
    "long-link": (Symlink(b"x" * 300), "File name too long"),
    "metacopy": (File(b"", marks=(("metacopy", b""),)), "redirect or metacopy mark"),
}


@pytest.mark.parametrize(("entry", "naming"), UNFIT.values(), ids=UNFIT.keys())
def test_an_artifact_that_is_no_regular_file_is_eartifact(
    place: Path, at: Path, entry: Entry, naming: str
) -> None:
    stack = with_file(entry)
    stack.layers[0][b"empty"] = File(b"")
    option = lowerdir(stack.build(place / "layers"))
    finished = call("-o", option + b",resolve=ready", "none", at)
    refused(finished, "EARTIFACT", 32, f"^binary '/{KERNEL_PATH}'.*{naming}")
    # A lazy view lacks it, and says so.
    with View(at, "-o", option) as view:
        view.wait_sandboxed()
        assert listed_at(at)["missing"] == ["/" + KERNEL_PATH]
    at.mkdir()


def test_an_artifact_behind_a_redirect_is_eartifact(place: Path, at: Path) -> None:
    redirect = Dir(marks=(("redirect", b"/elsewhere"),))
    lower = {b"urunc.json": image.urunc_json(), b"elsewhere/kernel": File(KERNEL)}
    stack = Stack([{b"unikernel": redirect}, lower])
    layers = stack.build(place / "layers")
    finished = call("-o", lowerdir(layers) + b",resolve=ready", "none", at)
    refused(finished, "EARTIFACT", 32, "behind a redirect or metacopy mark")


@pytest.mark.parametrize(
    "path",
    ["/", ".", "..", "../kernel", "/..", "/a/../b", "/a//b", "a/", "./a", "-a", "/a b", "/ä",
     "/a:b", "/" + "a/" * 2048],
    ids=lambda path: path[:10],
)  # fmt: skip
@pytest.mark.parametrize("how", ["urunc.json", "option"])
def test_a_path_that_is_not_allowed_is_rejected(place: Path, at: Path, how: str, path: str) -> None:
    """Known before anything is looked up, lazy or not."""
    if how == "option":
        options = usual(place) + b",binary=" + path.encode()
    else:
        layers = Stack([{b"urunc.json": image.urunc_json(path)}]).build(place / "layers")
        options = lowerdir(layers)
    refused(call("-o", options, "none", at), "EARTIFACT", 32, "^binary '")


@pytest.mark.parametrize(
    ("binary", "initrd"), [("/a", "/a/b"), ("/a/b/c", "/a"), ("/urunc.json/a", "/b")]
)
def test_an_artifact_below_another_is_eartifact(
    place: Path, at: Path, binary: str, initrd: str
) -> None:
    options = usual(place) + f",binary={binary},initrd={initrd}".encode()
    finished = call("-o", options, "none", at)
    refused(finished, "EARTIFACT", 32, "lies below '/(a|urunc.json)', which is a file")


# EMOUNT


def test_a_missing_mountpoint_is_emount(place: Path) -> None:
    finished = call("-o", usual(place), "none", place / "gone")
    refused(finished, "EMOUNT", 32, f"'{place}/gone': No such file or directory")
    assert not (place / "gone").exists()


def test_a_mountpoint_that_is_a_file_is_emount(place: Path) -> None:
    (place / "file").touch()
    finished = call("-o", usual(place), "none", place / "file")
    refused(finished, "EMOUNT", 32, f"'{place}/file': Not a directory")


def test_a_mountpoint_with_another_view_is_emount(place: Path, at: Path) -> None:
    option = usual(place)
    with View(at, "-o", option, "--id=one") as view:
        finished = call("-o", option, "--id=two", "none", at)
        assert (finished.status, finished.code) == (32, "EMOUNT")
        assert f"'{at}'" in finished.stderr
        assert "live view" in finished.stderr
        assert finished.stderr.count("\n") == 1
        assert len(machine.mounts_at(at)) == 1
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
    at.mkdir()


def test_a_mount_that_the_kernel_refuses_is_emount(place: Path, at: Path) -> None:
    """As it does where a namespace has as many mounts as it may have."""
    wrapper = injecting(place / "log", "move_mount:error=ENOSPC")
    finished = call("-o", usual(place), "none", at, wrapper=wrapper)
    refused(finished, "EMOUNT", 32, f"^mount on '{at}': No space left on device$")


# ESYSTEM


def test_missing_privilege_is_esystem(place: Path, at: Path) -> None:
    option = usual(place)
    wrapper = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--"]
    finished = call("-o", option, "none", at, wrapper=wrapper)
    refused(finished, "ESYSTEM", 2, "trusted.overlay.* marks cannot be read.*userxattr")
    finished = call("-o", option + b",userxattr", "none", at, wrapper=wrapper)
    refused(finished, "ESYSTEM", 2, f"'{at}': requires CAP_SYS_ADMIN or fusermount3")


def test_a_missing_device_is_esystem(place: Path, at: Path) -> None:
    option = usual(place)
    with machine.private_dev():
        refused(call("-o", option, "none", at), "ESYSTEM", 2, "/dev/fuse: No such file")


@pytest.mark.parametrize("form", ["typed", "userxattr", "source"])
def test_a_missing_proc_is_esystem(place: Path, at: Path, form: str) -> None:
    """As in a careless chroot: no mark could be read, and none must be taken for absent."""
    option = usual(place)
    words = {"typed": ["-o", option, "none"], "userxattr": ["-o", option + b",userxattr", "none"],
             "source": [place / "layers/0"]}[form]  # fmt: skip
    hide = ["unshare", "--mount", "--", "sh", "-c", 'umount -l /proc && exec "$@"', "sh"]
    finished = call(*words, at, wrapper=hide)
    # A sanitizer misses /proc too.
    lines = finished.stderr.splitlines(keepends=True)
    ours = "".join(line for line in lines if line.startswith("urunc-viewfs: "))
    refused(replace(finished, stderr=ours), "ESYSTEM", 2, "^/proc is not mounted$")


def test_a_missing_working_directory_matters_to_relative_paths_only(place: Path, at: Path) -> None:
    """What is absolute does not need it."""
    gone = place / "gone"
    leave = ["sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh"]
    gone.mkdir()
    finished = call("-o", "lowerdir=layer", "none", at, wrapper=leave, cwd=gone)
    refused(finished, "ESYSTEM", 2, "^working directory: No such file or directory$")
    gone.mkdir()
    with View(at, "-o", usual(place), wrapper=leave, cwd=gone) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
    at.mkdir()


def test_too_few_descriptors_are_esystem(place: Path, at: Path) -> None:
    option = usual(place)
    for files in range(4, 18):
        wrapper = ["prlimit", f"--nofile={files}:{files}", "--"]
        # They might become free, and are tried again for as long.
        words = ("-o", option + b",resolve=ready,timeout=1", "none", at)
        finished = call(*words, wrapper=wrapper, env=machine.NO_LEAK_CHECK)
        if finished.status == 0:
            assert machine.mounts_at(at)
            namespace.unmount(str(at), 0)
            break
        if finished.ready_text:
            refused(finished, "ESYSTEM", 2, "Too many open files")
        assert machine.mounts() == []
    else:
        pytest.fail("17 descriptors must do")


def back_soon(*arguments: Any, naming: str = r"not ready after 1 s \(-o timeout=") -> None:
    start = time.monotonic()
    finished = call("-o", "timeout=1", *arguments)
    took = time.monotonic() - start
    refused(finished, "ESYSTEM", 2, naming)
    assert 0.9 < took < PATIENCE


@pytest.mark.parametrize("resolve", ["lazy", "ready"])
def test_a_layer_that_never_answers_is_a_timeout(place: Path, at: Path, resolve: str) -> None:
    with machine.silent_fuse(place / "silent") as silent:
        option = f"resolve={resolve},lowerdir={silent}:{place}"
        back_soon("-o", option, "none", at)


def test_a_source_that_never_answers_is_a_timeout(place: Path, at: Path) -> None:
    with machine.silent_fuse(place / "silent") as silent:
        back_soon(silent, at)


def test_mounts_that_never_end_are_a_timeout(at: Path) -> None:
    reader, writer = os.pipe()
    try:
        start = time.monotonic()
        process = subprocess.run(
            [program(), "-o", "timeout=1", "--mounts=-", "none", at],
            stdin=reader, capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert process.returncode == 2
        assert "not ready after 1 s" in process.stderr
        assert time.monotonic() - start < PATIENCE
    finally:
        os.close(reader)
        os.close(writer)


def test_a_live_view_that_does_not_answer_is_emount(place: Path, at: Path) -> None:
    """It is not asked: that a process serves it is enough."""
    option = usual(place)
    with View(at, "-o", option) as view:
        with stopped(view):
            start = time.monotonic()
            finished = call("-o", option + b",id=other", "none", at)
            assert time.monotonic() - start < PATIENCE
        assert (finished.status, finished.code) == (32, "EMOUNT")
        assert len(machine.mounts_at(at)) == 1
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
    at.mkdir()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("foreground", [False, True])
def test_an_interrupted_call_ends_and_leaves_nothing(
    place: Path, at: Path, foreground: bool, number: signal.Signals
) -> None:
    with machine.silent_fuse(place / "silent") as silent:
        with subprocess.Popen(
            [program(), *(["-f"] if foreground else []), "-o", f"lowerdir={silent}", "none", at],
            stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            wait_until(lambda: len(machine.processes()) == 2, "the server to start")
            process.send_signal(number)
            _, stderr = process.communicate(timeout=PATIENCE)
        assert process.returncode == 2
        assert stderr == "urunc-viewfs: interrupted\n"
        wait_until(lambda: not machine.processes(), "the server to go")


def test_a_call_that_is_interrupted_says_so_wherever_it_is(place: Path, at: Path) -> None:
    """While it reads large mounts, say: its memory is in the middle of something then."""
    text = json.dumps([{"Type": "overlay", "Options": [f"x-{n}=y" for n in range(200_000)]}])
    words = ["--log-format=json", "--mounts=-", "none", at]
    for part in range(1, 41):
        with subprocess.Popen(
            [program(), *words], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin and process.stderr
            process.stdin.write(text[: len(text) * part // 40])
            process.stdin.flush()
            process.terminate()
            stderr = process.stderr.read()
            with suppress(BrokenPipeError):
                process.stdin.close()
        assert (process.returncode, stderr.count("\n")) == (2, 1), (part, stderr)
        assert json.loads(stderr)["msg"] == "interrupted"
        wait_until(lambda: not machine.processes(), "the server to go")


# A bug of ours


@pytest.mark.parametrize("foreground", [False, True], ids=["background", "foreground"])
@pytest.mark.parametrize("at_call", ["flock", "fsmount", "ioctl", "move_mount", "setsid", "chdir"])
def test_a_server_that_dies_before_ready_is_reported(
    place: Path, at: Path, at_call: str, foreground: bool
) -> None:
    """Wherever it is: before the mount, with it, and when it is about to say that it is ready."""
    wrapper = injecting(place / "log", f"{at_call}:signal=SIGKILL")
    arguments = [*(["-f"] if foreground else []), "-o", usual(place), "none", at]
    finished = call(*arguments, wrapper=wrapper)
    assert "killed by SIGKILL" in (place / "log").read_text()
    refused(finished, "ESYSTEM", 4, "^the view's process exited before it was ready: Killed$")


@pytest.mark.parametrize("written", ["link", "view/", "./view"])
def test_a_mount_that_a_dead_server_left_is_removed(place: Path, at: Path, written: str) -> None:
    """It is found by whatever name the caller gave."""
    (place / "link").symlink_to("view")
    wrapper = injecting(place / "log", "setsid:signal=SIGKILL")
    finished = call("-o", usual(place), "none", written, wrapper=wrapper, cwd=place)
    refused(finished, "ESYSTEM", 4, "^the view's process exited before it was ready")


def test_a_server_that_cannot_be_killed_loses_its_mount(place: Path, at: Path) -> None:
    """It is attached, and neither answers nor ends."""
    wrapper = injecting(place / "log", "setsid:signal=SIGSTOP", "kill:retval=0")
    options = usual(place) + b",timeout=1"
    with ThreadPoolExecutor() as pool:
        made = pool.submit(call, "-o", options, "none", at, wrapper=wrapper)
        by_signal = re.compile(r"^(\d+) .*stopped by SIGSTOP", re.MULTILINE)
        (log := place / "log").touch()
        server = wait_until(lambda: by_signal.search(log.read_text()), "the server to stop")
        assert len(machine.mounts_at(at)) == 1
        # Only then: strace waits for it.
        wait_until(lambda: machine.mounts_at(at) == [], "the mount to be removed")
        os.kill(int(server[1]), signal.SIGKILL)
        refused(made.result(), "ESYSTEM", 2, "^not ready after 1 s")


# In every form


FAILURES: dict[str, Callable[[Path], list[Any]]] = {
    "usage": lambda place: ["-o", "colour=red", "none", place / "view"],
    "layer": lambda place: ["-o", "lowerdir=/nowhere", "none", place / "view"],
    "mount": lambda place: ["-o", usual(place), "none", place / "gone"],
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
@pytest.mark.parametrize("foreground", [[], ["-f"]], ids=["background", "foreground"])
def test_an_error_as_json_is_one_line(
    place: Path, at: Path, foreground: list[str], failure: Callable[[Path], list[Any]]
) -> None:
    arguments = [*foreground, *failure(place)]
    finished = call("--log-format=json", "--id=web-1", *arguments)
    (line,) = finished.stderr.splitlines()
    logged = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*(Z|[+-]\d\d:\d\d)", logged.pop("time"))
    assert logged == {
        "level": "error",
        "msg": finished.ready["error"]["message"],
        "subsystem": "viewfs",
        "containerID": "web-1",
    }
    # Where the words about the form come after those that are wrong, too.
    if arguments[0] != "-f":
        words = [*arguments[:-2], "--id=web-1", "--log-format=json", *arguments[-2:]]
        assert len(call(*words).stderr.splitlines()) == 1


@pytest.mark.parametrize("text", ["ä", '"', 'ä"', "\\", "\\é"], ids=ascii)
def test_a_long_message_is_cut_between_characters(at: Path, text: str) -> None:
    """What is too long is cut once, and not within a character."""
    finished = call("--log-format=json", "-o", text * 5000, "none", at)
    message = finished.ready["error"]["message"]
    assert message.startswith("unknown mount option '") and len(message) > 1000
    assert json.loads(finished.stderr)["msg"] == message


def test_the_first_fault_is_reported(at: Path) -> None:
    finished = call("-o", "colour=red,uid=x", "--log-format=xml", "none", at)
    refused(finished, "EUSAGE", 1, "'colour'")
