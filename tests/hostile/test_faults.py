# SPDX-License-Identifier: Apache-2.0
"""Calls of the system that fail, one at a time, while a view is made and read.

Whichever it is: either all works, or the call fails with a word of why, or a reader gets an error.
Nobody dies or hangs, no byte is wrong, and nothing is left.

VIEWFS_FAULTS=all tries every single one; by default some are passed over where there are many.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import filesystems, image, machine, namespace, skipping
from support.control import viewfsctl
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.stack import Dir, File, Stack, Symlink
from support.view import Finished, program, run
from support.waiting import wait_until

# Calls that fail with one error, at most, unless all are wanted.
FEW = 5
ALL = os.environ.get("VIEWFS_FAULTS") == "all"
STATUS = {
    "EUSAGE": 1, "ENOTAPPLICABLE": 32, "ELAYER": 32, "ECONFIG": 32, "ENOARTIFACT": 32,
    "EARTIFACT": 32, "EMOUNT": 32, "ESYSTEM": 2,
}  # fmt: skip
SECONDS = 30


def layers_of(place: Path) -> bytes:
    """With a merged directory, links and a file that another hides: every way through the walk."""
    stack = Stack(
        [
            {b"urunc.json": image.urunc_json(initrd=INITRD_PATH), b"unikernel": Dir()},
            {b"unikernel/kernel": Symlink(b"/real/kernel"), b"boot": Dir()},
            {b"real/kernel": File(KERNEL), INITRD_PATH.encode(): File(INITRD)},
            {b"real/kernel": File(b"hidden"), b"urunc.json": File(b"hidden")},
        ]
    )
    return lowerdir(stack.build(place / "layers"))


def read_all(root: Path) -> set[str]:
    """Read what a view shows, twice. Returns the errors there were; a wrong byte fails."""
    errors = set()
    config = image.urunc_json(initrd=INITRD_PATH).content
    contents = {KERNEL_PATH: KERNEL, INITRD_PATH: INITRD, "urunc.json": config}
    for path, content in [*contents.items()] * 2:
        try:
            # An error half-way leaves a beginning.
            with open(root / path, "rb", buffering=0) as file:
                while chunk := file.read(100_000):
                    end = file.tell()
                    assert chunk == content[end - len(chunk) : end], path
                assert file.tell() == len(content), path
        except OSError as error:
            errors.add(errno.errorcode[error.errno])
    for path in ("", "unikernel", "boot"):
        try:
            os.listdir(root / path)
        except OSError as error:
            errors.add(errno.errorcode[error.errno])
    return errors


@dataclass(frozen=True)
class Outcome:
    """How a view fared: `code` of a call that failed ("" if the view was there), `errors` of its
    readers, and all that was written."""

    code: str
    errors: set[str]
    text: str


def start(at: Path, options: bytes, wrapper: Sequence[object]) -> Finished:
    """Call urunc-viewfs through WRAPPER. Whom it leaves behind (a tracer) may keep its stdio."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    command = [*wrapper, program(), f"--ready-fd={writer}", "-o", options, "none", at]
    with os.fdopen(reader, "rb", buffering=0) as ready, tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [os.fsencode(part) for part in command],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, pass_fds=[writer],
        )  # fmt: skip
        os.close(writer)
        status = process.wait(SECONDS)
        stderr.seek(0)
        return Finished(status, "", stderr.read().decode(), (ready.read() or b"").decode())


def fare(
    at: Path, options: bytes, wrapper: Sequence[object], settles: bool = False
) -> Outcome:
    """Make a view in the background, through WRAPPER, read it, and end it, not before it has come
    to rest where it SETTLES."""
    at.mkdir(exist_ok=True)
    finished = start(at, options, wrapper)
    if finished.status == 0:
        daemon = [p.pid for p in machine.processes()]
        errors = read_all(at)
        if settles:
            (process,) = machine.processes()
            wait_until(process.is_sandboxed, "the view to come to rest")
        alive = [p.pid for p in machine.processes()]
        assert len(daemon) == 1 and alive == daemon, f"died while it was read: {finished}"
        # A descriptor whose close failed keeps the mount busy until the sandbox.
        filesystems.unmount_idle(at)
        wait_until(lambda: not machine.processes(), "the daemon to end")
        assert machine.exit_status(daemon[0]) == 0
        return Outcome("", errors, finished.stderr)
    assert finished.status > 0, f"a signal: {finished}"
    assert machine.mounts() == [], finished
    wait_until(lambda: not machine.processes(), "the processes of a call that failed to go")
    if not finished.stderr.startswith("urunc-viewfs: "):
        # The Nth call of each process is made to fail, and one was the word itself.
        assert any("write(2<" in line for line in hits_of(at.parent)), finished
        assert finished.stderr == "" and finished.ready_text, finished
    # Not told, where it is the descriptor for it that failed.
    if not finished.ready_text:
        return Outcome(f"status {finished.status}", set(), finished.stderr)
    assert finished.status == STATUS[finished.code], finished
    return Outcome(finished.code, set(), finished.stderr)


# Memory.


@pytest.fixture(scope="session")
def failing_malloc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if not compiler:
        skipping.skip("no C compiler")
    source = Path(__file__).with_name("failing-malloc.c")
    library = tmp_path_factory.mktemp("failing") / "failing-malloc.so"
    flags = ["-shared", "-fPIC", "-O1", "-w", "-D_GNU_SOURCE"]
    subprocess.run([compiler, *flags, "-o", library, source], check=True)
    return library


def symbols(path: Path | str, *options: str) -> dict[str, list[str]]:
    """The functions in PATH, by name: what nm(1) says of each before its type."""
    lines = run("nm", "--defined-only", *options, path).stdout.splitlines()
    rows = [line.split() for line in lines]
    return {row[-1]: row[:-2] for row in rows if len(row) > 2 and row[-2] in "tT"}


@pytest.fixture(scope="session")
def functions_of_json_c(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where they are in the program: json-c is an archive in it."""
    directory = run("pkg-config", "--variable=libdir", "json-c").stdout.strip()
    places = symbols(program(), "--print-size")
    found = [places[name] for name in symbols(f"{directory}/libjson-c.a") if name in places]
    assert len(found) > 50
    path = tmp_path_factory.mktemp("json-c") / "functions"
    path.write_text("".join(f"{start} {size}\n" for start, size in found))
    return path


def counts(rest: bool) -> Iterator[int]:
    """1, 2, 3 … and, unless all are wanted, with growing gaps. Where the REST fails too, which the
    program waits for to pass, every fifth."""
    n = 1
    while True:
        yield n
        n += 5 if rest else 1 if ALL or n < 30 else 3


# With an index: one that is made, and one that speaks for all layers, in each view anew.
@pytest.mark.parametrize("resolve", ["lazy", "ready", "lazy,new-index", "ready,known-index"])
@pytest.mark.parametrize("rest", [False, True], ids=["one", "all-from-there"])
def test_each_failed_allocation_is_an_error_or_a_working_view(
    place: Path, failing_malloc: Path, functions_of_json_c: Path, resolve: str, rest: bool
) -> None:
    resolve, _, state = resolve.partition(",")
    options = layers_of(place) + b",resolve=" + resolve.encode()
    if rest:
        options += b",timeout=1"
    index = place / "index"
    if state:
        options += b",cache=" + bytes(index)
        assert fare(place / "view", options, []) == Outcome("", set(), "")
        assert len(os.listdir(index)) == 4
    report = place / "report"
    codes: dict[str, int] = {}
    wrong: list[str] = []
    for n in counts(rest):
        if state == "new-index":
            shutil.rmtree(index, ignore_errors=True)
        env = {
            "LD_PRELOAD": str(failing_malloc),
            "FAIL_AT": str(n),
            "FAIL_REPORT": str(report),
            "FAIL_SPARED": str(functions_of_json_c),
        }
        if rest:
            env["FAIL_ON"] = "1"
        outcome = fare(place / "view", options, ["env", *(f"{k}={v}" for k, v in env.items())])
        if not report.exists():
            skipping.skip("nothing can be preloaded: linked statically")
        if report.read_bytes() == b"\0":
            assert (outcome.code, outcome.errors) == ("", set())
            break
        report.unlink()
        codes[outcome.code] = codes.get(outcome.code, 0) + 1
        # An artifact that is given up is missing.
        told = {"EIO", "ENOMEM", "ENOENT"}
        if outcome.code not in ("", "ESYSTEM") or not outcome.errors <= told:
            wrong.append(f"allocation {n}: {outcome}")
        # What is there is whole.
        if state:
            assert viewfsctl("cache", "verify", index).status == 0, n
        assert n < 2000
    assert not wrong, "\n".join(wrong)
    assert codes.get("ESYSTEM", 0) > 5, codes


# The kernel. strace makes one call of a name fail, and then never again.


@dataclass(frozen=True)
class Fault:
    """Calls NAMES that fail with each of ERRORS, and what may come of it besides nothing at all:
    CODES of the call, and ERRORS of the readers."""

    names: str
    errors: Sequence[str]
    codes: frozenset[str] = frozenset({"ESYSTEM"})
    readers: frozenset[str] = frozenset({"EIO"})
    options: bytes = b""
    # Whether there must be a ready line: not where the call that fails is one on its descriptor.
    told: bool = True
    # Whether the calls are made when the view comes to rest.
    settles: bool = False


def fault(
    names: str, errors: str, codes: str = "ESYSTEM", readers: str = "EIO", **more: object
) -> Fault:
    words = [frozenset(text.split()) for text in (codes, readers)]
    return Fault(names, errors.split(), *words, **more)


LACKS = "ENOMEM EMFILE ENFILE"
FAULTS: dict[str, Fault] = {
    "openat2": fault("openat2", "EIO EACCES", "ELAYER", "EIO ENOENT"),
    "openat2-lacks": fault("openat2", LACKS),
    "openat2-unknown": fault("openat2", "ENOSYS EPERM", "", ""),
    "openat2-again": fault("openat2", "EAGAIN EINTR", "", ""),
    "openat": fault(
        "openat,open", "EIO EACCES", "ESYSTEM ELAYER EMOUNT ENOTAPPLICABLE", "EIO ENOENT"
    ),
    "openat-lacks": fault("openat,open", LACKS),
    "read": fault("read", "EIO", "ESYSTEM ELAYER ECONFIG EMOUNT"),
    "read-interrupted": fault("read", "EINTR", "", ""),
    "pread": fault("pread64", "EIO", options=b",passthrough=off"),
    "pread-interrupted": fault("pread64", "EINTR", "", "", options=b",passthrough=off"),
    "ioctl": fault("ioctl", "EPERM ENOMEM ELOOP EIO", "", ""),
    "ioctl-insisted": fault("ioctl", "EPERM ELOOP", "EMOUNT", "", options=b",passthrough=on"),
    "mount": fault(
        "fsopen,fsconfig,fsmount,move_mount", "EPERM ENOMEM EBUSY ENODEV EINVAL", "ESYSTEM EMOUNT", ""
    ),
    "getxattr": fault("getxattr", "EIO EOPNOTSUPP ENODATA", "ELAYER"),
    "fstat": fault("newfstatat,fstat", "EIO", "ELAYER ESYSTEM EMOUNT"),
    "stat-lacks": fault("newfstatat,fstat,stat,lstat", "ENOMEM", "ESYSTEM"),
    "statfs": fault("fstatfs,statfs", "EIO ENOMEM", "ELAYER ESYSTEM EMOUNT"),
    "statx": fault("statx", "EIO ENOSYS ENOMEM", "ESYSTEM EMOUNT ELAYER"),
    "readlinkat": fault("readlinkat,readlink", "EIO ENOMEM", "ELAYER ESYSTEM EMOUNT"),
    "clone": fault("clone,clone3,fork,vfork", "EAGAIN ENOMEM", "ESYSTEM", ""),
    "pipe": fault("pipe2,pipe", "EMFILE ENFILE", "ESYSTEM", ""),
    "signalfd": fault("signalfd4", "EMFILE ENOMEM", "ESYSTEM", ""),
    "dup": fault("dup2,dup3,fcntl", "EMFILE EBUSY", "ESYSTEM EMOUNT ELAYER", told=False),
    "mmap": fault("mmap,mprotect", "ENOMEM", "ESYSTEM", "EIO ENOMEM"),
    "madvise": fault("madvise,munmap", "ENOMEM EINVAL", "", "", settles=True),
    "poll": fault("poll,ppoll", "EINTR", "", ""),
    "waiting": fault("wait4,rt_sigprocmask,setsid", "EINTR EPERM", "ESYSTEM", ""),
    "chdir": fault("chdir", "ENOMEM EIO", "ESYSTEM", ""),
    "close": fault("close", "EIO EINTR", "", ""),
    "close-range": fault("close_range", "ENOSYS EPERM ENOMEM"),
    "write": fault("write", "EIO ENOMEM", "ESYSTEM EMOUNT", "", told=False),
    "capget": fault("capget", "EPERM", "ESYSTEM", ""),
    # NEW is an index that is not there yet, INDEX one that speaks for all layers.
    "index-written": fault(
        "mkdir,getdents64,linkat,write", "EIO ENOSPC", "EUSAGE ESYSTEM EMOUNT", "",
        options=b",cache=NEW", told=False,
    ),
    "index-opened": fault(
        "openat,fstat,newfstatat,fstatfs", "EIO ENOMEM",
        "EUSAGE ESYSTEM ELAYER EMOUNT ENOTAPPLICABLE", options=b",cache=NEW",
    ),
    "index-read": fault(
        "openat,read,fstat,newfstatat,fstatfs,statx", "EIO ENOMEM",
        "EUSAGE ESYSTEM ELAYER ECONFIG EMOUNT ENOTAPPLICABLE", options=b",cache=INDEX",
    ),
}  # fmt: skip


def trace(place: Path, names: str, *more: str) -> list[object]:
    """A wrapper that writes down the calls NAMES; with MORE it makes them fail."""
    return ["strace", "-D", "-y", "-qq", "-o", place / "log", f"--trace={names}", *more, "--"]


def lines_of(place: Path) -> list[str]:
    """What strace wrote, to its end."""
    wait_until(lambda: not machine.processes(["strace"]), "strace to end")
    return (place / "log").read_text(errors="replace").splitlines()


@dataclass(frozen=True, order=True)
class Call:
    """The calls that are to fail: of NAME, the Nth of any process, or of the FIRST process alone."""

    name: str
    n: int
    first: bool

    def fails(self, error: str) -> list[str]:
        """What strace is told."""
        inject = f"--inject={self.name}:error={error}:when={self.n}"
        return [inject] if self.first else ["-f", inject]


def own_calls(lines: list[str], names: str) -> list[Call]:
    """The program's calls NAMES.

    Not the dynamic loader's, before the program sets what it inherits: as strace counts by process,
    no other process's of such a number can fail either. And not the receiving of requests: with an
    error there the connection is at its end. Where it has the number of a call of the first
    process, only that one is followed. From the second request on every run reads in another order.
    """
    wanted = re.compile(rf"(\d+) +({names.replace(',', '|')})\(")
    count: Counter[tuple[str, str]] = Counter()
    loaders: dict[str, int] | None = None
    found: set[tuple[str, int]] = set()
    received: set[tuple[str, int]] = set()
    requests: Counter[str] = Counter()
    for line in lines:
        if loaders is None and " umask(" in line:
            loaders = {name: n for (_, name), n in count.items()}
        match = wanted.match(line)
        if not match:
            continue
        pid, name = match.groups()
        count[pid, name] += 1
        call = (name, count[pid, name])
        if name == "read" and "</dev/fuse>" in line:
            received.add(call)
            requests[pid] += 1
        elif name == "read" and requests[pid] > 1:
            received.add(call)
        elif loaders is not None and call[1] > loaders.get(name, 0):
            found.add(call)
    return sorted(Call(*call, first=call in received) for call in found)


def some(found: list[Call]) -> list[Call]:
    """FEW of those FOUND, evenly, first and last included."""
    if ALL or len(found) <= FEW:
        return found
    return [found[round(n * (len(found) - 1) / (FEW - 1))] for n in range(FEW)]


def hits_of(place: Path) -> list[str]:
    """The lines of calls that were made to fail."""
    return [line for line in lines_of(place) if "INJECTED" in line]


def fare_unless_missed(
    place: Path, options: bytes, fault: Fault, one: Call, error: str
) -> Outcome | None:
    """None where it was the receiving of a request that failed, in a process that read in another
    order than when the calls were counted: that is the end of a view, as it should be."""
    try:
        wrapper = trace(place, fault.names, *one.fails(error))
        return fare(place / "view", options, wrapper, fault.settles)
    except AssertionError:
        if not any("read(" in line and "</dev/fuse>" in line for line in hits_of(place)):
            raise
        machine.sweep()
        machine.bury()
        return None


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_each_failed_system_call_is_an_error_or_a_working_view(place: Path, fault: Fault) -> None:
    if not shutil.which("strace"):
        skipping.skip("no strace")
    at, index = place / "view", place / "index"
    new, warm = b"=NEW" in fault.options, b"=INDEX" in fault.options
    options = re.sub(b"=(NEW|INDEX)", lambda _: b"=" + bytes(index), fault.options)
    layers = layers_of(place) + options
    if warm:
        assert fare(at, layers, []) == Outcome("", set(), "")
    wrapper = trace(place, fault.names + ",umask", "-f")
    assert fare(at, layers, wrapper, fault.settles) == Outcome("", set(), "")
    found = some(own_calls(lines_of(place), fault.names))
    known = {"", *fault.codes, *([] if fault.told else ["status 1", "status 2", "status 32"])}
    wrong = []
    reached = 0
    for error in fault.errors:
        for one in found:
            # What fails a call in one form is a reader's in the other.
            options = layers + (b",resolve=ready" if one.n % 2 else b"")
            if new:
                shutil.rmtree(index, ignore_errors=True)
            outcome = fare_unless_missed(place, options, fault, one, error)
            if not outcome:
                continue
            hits = hits_of(place)
            reached += len(hits)
            if outcome.code not in known or not outcome.errors <= fault.readers:
                wrong.append(f"{error} of {one}: {outcome} {hits}")
            # What is there is whole.
            assert viewfsctl("cache", "verify", index).status == 0, (error, one)
    assert not wrong, "\n".join(wrong)
    assert reached > 0
