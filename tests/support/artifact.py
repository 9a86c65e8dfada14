# SPDX-License-Identifier: Apache-2.0
"""What the installed programs say of one artifact: `viewfsctl resolve`, and a mounted view."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from . import namespace, overlay, resolver
from .result import Result

SECONDS = 30

_ALLOWED = re.compile(rb"/?[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


def is_allowed(path: bytes) -> bool:
    """Whether urunc takes PATH for an artifact's."""
    clean = not {b".", b".."} & set(path.split(b"/"))
    rooted = not path.startswith((b"-", b".."))
    return bool(_ALLOWED.fullmatch(path)) and clean and rooted and len(path) <= 4096


def expected_codes(kernel: Result, origin: bytes) -> set[str]:
    """The codes that may be given for an artifact of which the kernel says KERNEL: "" where it is
    one. ORIGIN is the path beneath its layer: urunc's rule holds there too."""
    match kernel.error:
        case "ENOENT" | "ENOTDIR":
            return {"ENOARTIFACT"}
        case "EIO":  # an invalid mark, or the layer's filesystem: they look the same
            return {"EARTIFACT", "ELAYER"}
        case None if kernel.type == "file" and is_allowed(origin) and kernel.size:
            return {""}
    return {"EARTIFACT"}


def options(layers: Sequence[bytes], path: bytes, userxattr: bool) -> bytes:
    mode = b",userxattr" if userxattr else b""
    return b"lowerdir=" + b":".join(map(overlay.escape, layers)) + b",binary=" + path + mode


def resolved(layers: Sequence[bytes], path: bytes, userxattr: bool = False) -> dict:
    """The JSON of `viewfsctl resolve` for PATH as binary."""
    finished = subprocess.run(
        [
            resolver.build_directory() / "fuse" / "viewfsctl",
            *("resolve", "--json", "--digest", "-o"),
            options(layers, path, userxattr),
        ],
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    answer = json.loads(finished.stdout)
    assert (finished.returncode == 0) == answer["bootable"] == (not finished.stderr), finished
    return answer


def resolve_fault(answer: dict, kernel: Result, origin: bytes) -> str:
    """Where the JSON does not say what the kernel does; "" if it does."""
    codes = expected_codes(kernel, origin)
    code = answer["error"]["code"] if "error" in answer else ""
    if code not in codes:
        return f"viewfsctl: code {code!r}, not one of {sorted(codes)}"
    if code:
        return ""
    [artifact] = answer["artifacts"]
    got = (artifact["size"], artifact["digest"], artifact["origin"])
    wanted = (kernel.size, f"sha256:{kernel.digest}", os.fsdecode(origin))
    return "" if got[:2] == wanted[:2] and got[2].endswith(wanted[2]) else f"viewfsctl: {artifact}"


@contextmanager
def view(
    layers: Sequence[bytes], path: bytes, directory: Path, userxattr: bool = False
) -> Iterator[bytes]:
    """A view of PATH mounted in DIRECTORY for as long as the block runs; its mountpoint."""
    mountpoint = os.fsencode(directory / "view")
    os.mkdir(mountpoint)
    read_end, write_end = os.pipe()
    command = [
        os.fsencode(resolver.build_directory() / "fuse" / "urunc-viewfs"),
        *(b"--foreground", b"--log-level=error", b"--ready-fd=%d" % write_end),
        *(b"-o", options(layers, path, userxattr), b"view", mountpoint),
    ]
    with subprocess.Popen(command, pass_fds=[write_end], stderr=subprocess.PIPE) as process:
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            ready = json.loads(pipe.readline() or b"{}")
        try:
            assert ready.get("ready"), ready
            yield mountpoint
        finally:
            if os.path.ismount(mountpoint):
                namespace.unmount(mountpoint)
            _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, errors
    os.rmdir(mountpoint)


def view_fault(mountpoint: bytes, path: bytes, kernel: Result, origin: bytes) -> str:
    """What is wrong with the mounted view's file; "" if nothing is."""
    host = os.path.join(mountpoint, path.lstrip(b"/"))
    try:
        found = os.lstat(host)
        with open(host, "rb") as file:
            content = file.read()
    except OSError as error:
        missing = expected_codes(kernel, origin) != {""}
        return "" if missing else f"view: {error}"
    if expected_codes(kernel, origin) != {""}:
        return "view: there, but must not be"
    got = Result(
        type="file" if os.path.isfile(host) and not os.path.islink(host) else "other",
        mode=found.st_mode & 0o7777,
        uid=found.st_uid,
        gid=found.st_gid,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        content=content[: len(kernel.content)],
    )
    # A view takes the write bits away.
    wanted = replace(kernel, mode=kernel.mode & ~0o222)
    return "" if got == wanted else f"view: {got}"
