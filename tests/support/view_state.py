# SPDX-License-Identifier: Apache-2.0
"""The state that a view keeps for viewfsctl upgrade, and a process that poses as a view with one.

usage: urunc-viewfs view_state.py MOUNTPOINT ID STATE [OPTION]...

Run as a program, by a Python of that name, it mounts a view of its own at MOUNTPOINT, whose root is
empty, and keeps the bytes of the file STATE as its state. Options: `open` (the state can be changed),
`more` (one more descriptor), `stateless`, `named` (as a view, whatever the program is called); a file whose path is an option is kept open to be read.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VERSION = 1
# Stands for the poser's own connection.
OWN_CONNECTION = 0xC0FFEE00
MAGIC = 0x5441545357454956
FINGERPRINT = "0" * 64
PASSTHROUGH, CACHED = 1, 2
CONFIG, BINARY, INITRD = 1, 2, 4
SEALS = 0xF  # F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE

# The first request of Linux 6.18, as far as a view keeps it.
INIT = struct.pack("<5I", 7, 45, 1 << 17, 0x73FFFFFB, 0x1FF)


def number(value: int) -> bytes:
    return struct.pack("<Q", value % 2**64)


def string(text: str | None) -> bytes:
    data = b"" if text is None else text.encode() + b"\0"
    return number(len(data)) + data


def artifact(
    path: str, roles: int, size: int, fd: int, reading: int = CACHED, mode: int = 0o100444,
    origin: str = "/origin",
) -> bytes:  # fmt: skip
    words = [roles, 1, reading, fd, mode, 0, 0, size, 8, 4096, 10**9, 5, 10**9, 7]
    return string(path) + b"".join(map(number, words)) + string(origin) + number(0) + number(0)


def missing(path: str, roles: int) -> bytes:
    return string(path) + number(roles) + number(0)


def state(
    artifacts: Sequence[bytes], connection: int = OWN_CONNECTION, magic: int = MAGIC, version: int = VERSION,
    init: bytes = INIT, resend: int = 1, supervised: int = 0, view_id: str | None = None,
    fingerprint: str = FINGERPRINT, count: int | None = None, layers: int = 3, more: bytes = b"",
) -> bytes:  # fmt: skip
    """The bytes of version 1, written down here once more: a later program must read them."""
    count = len(artifacts) if count is None else count
    return b"".join([
        number(magic), number(version), init,
        *map(number, [0, resend, supervised, 0]),
        string(view_id), string("/somewhere"), string(fingerprint),
        *map(number, [812, connection, 0]),
        number(layers), number(0), bytes(32),
        number(10**9), number(3), number(count), *artifacts, more,
    ])  # fmt: skip


# The process that poses.

_LOOKUP, _GETATTR, _OPEN, _STATFS, _OPENDIR, _IOCTL = 1, 3, 14, 17, 27, 39
_ENOENT, _ENOSYS = 2, 38


def _root() -> bytes:
    return struct.pack("<6Q10I", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40555, 2, 0, 0, 0, 4096, 0)


def _answer(opcode: int, says: bytes) -> tuple[int, bytes]:
    if opcode == _GETATTR:
        return 0, struct.pack("<QII", 0, 0, 0) + _root()
    if opcode == _OPENDIR:
        return 0, bytes(16)
    if opcode == _IOCTL:
        return 0, struct.pack("<iIII", len(says), 0, 0, 0) + says
    return (_ENOENT if opcode == _LOOKUP else _ENOSYS), b""


def _serve(connection: int, says: bytes) -> None:
    while True:
        request = os.read(connection, 1 << 18)
        _, opcode, unique = struct.unpack_from("<IIQ", request)
        if opcode in (2, 36, 42):  # FORGET, INTERRUPT, BATCH_FORGET
            continue
        error, data = _answer(opcode, says)
        try:
            os.write(connection, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)
        except FileNotFoundError:
            pass


def _keep(path: str, options: Sequence[str], minor: int) -> None:
    """The state, in a file that only these options leave open to change."""
    fd = os.memfd_create("urunc-viewfs-state", os.MFD_ALLOW_SEALING)
    os.write(fd, Path(path).read_bytes().replace(number(OWN_CONNECTION), number(minor)))
    if "open" not in options:
        fcntl.fcntl(fd, 1033, SEALS)  # F_ADD_SEALS
    os.dup2(fd, 40)
    os.close(fd)


def _main() -> None:
    at, view_id, path, *options = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    connection = os.open("/dev/fuse", os.O_RDWR)
    data = f"fd={connection},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(b"none", at.encode(), b"fuse.urunc-viewfs", 7, data.encode()) < 0:
        raise OSError(ctypes.get_errno(), at)
    request = os.read(connection, 1 << 18)
    (unique,) = struct.unpack_from("<Q", request, 8)
    init = struct.pack("<4I2H2I2HI7I", 7, 31, 1 << 17, 0, 0, 0, 1 << 17, 1, 0, 0, *[0] * 8)
    os.write(connection, struct.pack("<IiQ", 16 + 64, 0, unique) + init[:64])
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    minor = int(next(line[2] for line in lines if line[4] == at).split(":")[1])
    says = {"ready": True, "id": view_id, "mountpoint": at, "passthrough": False,
            "version": "0.2.0", "pid": os.getpid(), "fingerprint": FINGERPRINT}  # fmt: skip
    if "stateless" not in options:
        _keep(path, options, minor)
    for i, option in enumerate(o for o in options if o.startswith("/")):
        os.dup2(os.open(option, os.O_RDONLY), 41 + i)
    if "more" in options:
        os.dup2(os.pipe()[0], 44)
    os.dup2(connection, 39)
    if "named" in options:
        libc.prctl(15, b"urunc-viewfs")
    sys.stdout.write("there\n")
    sys.stdout.flush()
    os.closerange(0, 39)
    os.closerange(45, 1000)
    _serve(39, json.dumps(says).encode())


CONNECTION, STATE, FIRST_FILE = 39, 40, 41


@contextmanager
def posing(
    place: Path, view_id: str, text: bytes, *options: Any, name: str = "urunc-viewfs",
    wrapper: Sequence[str] = (),
) -> Iterator[tuple[Path, subprocess.Popen[str]]]:  # fmt: skip
    """Such a process, and where it is mounted. It may have been replaced in the end."""
    at, program, path = place / "posed", place / name, place / "state"
    at.mkdir(exist_ok=True)
    path.write_bytes(text)
    shutil.copy(sys.executable, program)
    command = [*wrapper, program, __file__, at, view_id, path, *map(str, options)]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout and process.stdout.readline() == "there\n"
        yield at, process
    finally:
        subprocess.run(["umount", "--lazy", at], check=False)
        process.kill()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    _main()
