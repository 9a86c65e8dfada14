# SPDX-License-Identifier: Apache-2.0
"""What there is on the machine, as far as the programs under test can change it."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import struct
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from . import namespace
from .waiting import wait_until

VIEW_TYPE = "fuse.urunc-viewfs"
PROGRAMS = (
    "urunc-viewfs", "mount.urunc-viewfs", "viewfsctl", "urunc-viewfs-attempts", "viewfsctl-liar",
)  # fmt: skip

# What a view keeps for viewfsctl upgrade, and no process can change.
STATE = "/memfd:urunc-viewfs-state (deleted)"
SERVING = {"/dev/fuse", STATE}

# The kernel writes no request to a smaller buffer.
FUSE_READ_MIN = 8192

_PR_SET_CHILD_SUBREAPER = 36
_tests_pid = os.getpid()
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Mount:
    """A line of mountinfo."""

    device: str
    root: bytes
    mountpoint: bytes
    options: frozenset[str]
    type: str
    source: bytes
    super_options: tuple[bytes, ...]

    @property
    def connection(self) -> Path:
        """A FUSE mount's directory in fusectl."""
        return Path("/sys/fs/fuse/connections", self.device.split(":")[1])


def _unoctal(text: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), text)


def _parse(line: bytes) -> Mount:
    left, right = line.split(b" - ", 1)
    fields, rest = left.split(b" "), right.split(b" ")
    return Mount(
        device=fields[2].decode(),
        root=_unoctal(fields[3]),
        mountpoint=_unoctal(fields[4]),
        options=frozenset(fields[5].decode().split(",")),
        type=rest[0].decode(),
        source=_unoctal(rest[1]),
        super_options=tuple(rest[2].split(b",")),
    )


def mounts(fstype: str | None = VIEW_TYPE) -> list[Mount]:
    """The mounts of one type (None: all) in this namespace, the topmost last."""
    with open("/proc/self/mountinfo", "rb") as file:
        every = [_parse(line) for line in file.read().splitlines()]
    return [mount for mount in every if fstype in (None, mount.type)]


def mounts_at(directory: str | bytes | Path) -> list[Mount]:
    """The views that are mounted at DIRECTORY."""
    return [mount for mount in mounts() if mount.mountpoint == os.fsencode(directory)]


@dataclass(frozen=True)
class Process:
    """A live process of a program under test."""

    pid: int
    name: str
    arguments: tuple[bytes, ...]

    @property
    def proc(self) -> Path:
        return Path("/proc", str(self.pid))

    def stat(self) -> list[str]:
        """The fields of /proc/PID/stat after the command's name: [0] is the state, [1] the
        parent, [2] the process group, [3] the session, [4] the terminal."""
        return (self.proc / "stat").read_text().rpartition(")")[2].split()

    def descriptors(self) -> dict[int, str]:
        """What each open descriptor is."""
        found = {}
        for link in (self.proc / "fd").iterdir():
            try:
                found[int(link.name)] = os.readlink(link)
            except FileNotFoundError:
                continue
            except OSError as error:
                # Of a file that lies deeper than a path can say.
                found[int(link.name)] = os.strerror(error.errno)
        return found

    def status(self, field: str) -> str:
        """A field of /proc/PID/status."""
        found = re.search(rf"^{field}:\s*(.*)$", (self.proc / "status").read_text(), re.MULTILINE)
        assert found, f"no {field}"
        return found[1]

    def is_sandboxed(self) -> bool:
        """Whether it has given up what it could, and waits for requests."""
        return int(self.status("CapPrm"), 16) == 0 and self.stat()[0] == "S"

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)


def is_alive(pid: int) -> bool:
    """Zombies are dead: who is to bury them may take its time."""
    try:
        state = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def children(pid: int) -> list[int]:
    """Of a process, which may be gone meanwhile."""
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def family(pid: int) -> list[int]:
    """A process and all below it, the oldest first."""
    found = [pid]
    for member in found:
        found += children(member)
    return found


def remove_group(group: Path) -> None:
    """Remove a cgroup as soon as no process is left in it."""

    def is_removed() -> bool:
        try:
            group.rmdir()
        except OSError:
            return False
        return True

    wait_until(is_removed, f"no process to be in {group}")


def mount_namespace(pid: int) -> str:
    """Which one a process is in."""
    return os.readlink(f"/proc/{pid}/ns/mnt")


def _program_name(proc: Path) -> str:
    """What a process runs. At its end it has given up its memory, and with it the link that says
    so, before its descriptors, by which it may still hold a mount: then by the name it has."""
    try:
        return os.path.basename(os.readlink(proc / "exe"))
    except FileNotFoundError:
        return (proc / "comm").read_text().rstrip("\n")


def processes(
    names: Container[str] = PROGRAMS, inside: str | None = None
) -> list[Process]:
    """Live processes of the programs under test (or of other NAMES), in this mount namespace (or
    INSIDE another): elsewhere others may be testing too."""
    wanted = inside or mount_namespace(os.getpid())
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mount_namespace(int(entry)) != wanted:
                continue
            name = _program_name(Path("/proc", entry))
            arguments = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if name.removesuffix(" (deleted)") in names and is_alive(int(entry)):
            found.append(Process(int(entry), name, tuple(arguments)))
    return sorted(found, key=lambda process: process.pid)


def adopt_orphans() -> None:
    """Become the parent of daemons whose parent has left: their exit status can then be read, and
    descendants() finds them."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> dict[int, str]:
    """The names of the live processes that this test process started, directly or not, in any
    namespace. A process of another test, or of the machine, is never one of them: with
    adopt_orphans() a daemon too stays below this process."""
    children: dict[int, list[int]] = {}
    names = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            head, _, rest = Path("/proc", entry, "stat").read_text(errors="replace").rpartition(")")
        except OSError:
            continue
        state, parent = rest.split()[:2]
        children.setdefault(int(parent), []).append(int(entry))
        if state not in "ZX":
            names[int(entry)] = head.partition("(")[2]
    found = {}
    pending = [_tests_pid]
    while pending:
        for pid in children.get(pending.pop(), []):
            pending.append(pid)
            if pid in names:
                found[pid] = names[pid]
    return found


def bury() -> None:
    """Collect the children that have ended and that nobody waits for."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def exit_status(pid: int) -> int:
    """Of an adopted process, once it has ended; a signal is negative."""
    _, status = wait_until(lambda: _ended(pid), f"the end of process {pid}")
    return os.waitstatus_to_exitcode(status)


def _ended(pid: int) -> tuple[int, int] | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return (ended, status) if ended else None


def abort_views() -> None:
    """Make every request to a view of this namespace fail, so that whoever hangs comes back."""
    for mount in mounts():
        with suppress(OSError):
            (mount.connection / "abort").write_text("1")


def sweep() -> list[str]:
    """Remove what is left of views; returns what that was."""
    left = []
    for process in processes():
        left.append(f"process {process.pid}: {b' '.join(process.arguments)!r}")
        with suppress(ProcessLookupError):
            process.signal(signal.SIGKILL)
    for mount in reversed(mounts()):
        left.append(f"mount at {mount.mountpoint!r}")
        namespace.unmount(mount.mountpoint)
    return left


@contextmanager
def private_dev(*names: str) -> Iterator[Path]:
    """A /dev that holds null, and the devices NAMES of the real one, while the block runs."""
    real = {name: os.stat(f"/dev/{name}") for name in ("null", *names)}
    with namespace.tmpfs("/dev"):
        for name, st in real.items():
            os.mknod(f"/dev/{name}", st.st_mode, st.st_rdev)
            os.chmod(f"/dev/{name}", st.st_mode & 0o7777)
        yield Path("/dev")


@contextmanager
def silent_fuse(directory: Path) -> Iterator[Path]:
    """A FUSE filesystem at DIRECTORY that never answers: who asks it anything waits, until the
    block ends."""
    connection = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    directory.mkdir(exist_ok=True)
    options = f"fd={connection},rootmode=40000,user_id=0,group_id=0"
    try:
        namespace.mount("silent", str(directory), "fuse", 0, options)
        try:
            yield directory
        finally:
            namespace.unmount(str(directory))
    finally:
        # The last descriptor: whatever still waits now fails.
        os.close(connection)


@contextmanager
def stuck_fuse(directory: Path) -> Iterator[int]:
    """A FUSE filesystem at DIRECTORY, and its connection. A process whose request was read from
    there cannot be killed until the block ends."""
    connection = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    directory.mkdir(exist_ok=True)
    options = f"fd={connection},rootmode=40000,user_id=0,group_id=0"
    try:
        namespace.mount("stuck", str(directory), "fuse", 0, options)
        try:
            request = os.read(connection, FUSE_READ_MIN)
            (unique,) = struct.unpack_from("<Q", request, 8)
            init = struct.pack("<IIII48x", 7, 31, 0, 0)
            os.write(connection, struct.pack("<IiQ", 16 + len(init), 0, unique) + init)
            yield connection
        finally:
            namespace.unmount(str(directory))
    finally:
        os.close(connection)


def loops(place: Path) -> list[str]:
    """The loop devices of files below PLACE."""
    files = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            files.append(path.read_text())
    return [file for file in files if file.startswith(f"{place}/")]


def is_sanitized(program: Path) -> bool:
    """Whether it was built with AddressSanitizer."""
    return b"__asan_init" in program.read_bytes()


NO_LEAK_CHECK = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
"""For a program whose sanitizer could not search for leaks: without descriptors or processes it
hangs."""
