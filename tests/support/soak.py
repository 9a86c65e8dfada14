# SPDX-License-Identifier: Apache-2.0
"""Views that come and go in every way there is, on a machine that runs short of everything."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import image, machine, namespace
from .image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from .view import program, run
from .waiting import wait_until

VIEWS_MAX = 24
LAYERS = 12
IMAGES = 4
CALL_SECONDS = 60
INDEX_BYTES_MAX = 16 << 20
FEW_DESCRIPTORS = 12
MEMORY = Path("/sys/fs/cgroup/memory")
LITTLE_MEMORY = 1 << 20

INDEX = Path("/run/urunc-viewfs/.index")


@dataclass
class Live:
    """A view, and what can end it."""

    at: Path
    daemon: machine.Process  # where it survives, the process that stands by
    survives: bool = False
    lifeline: int | None = None
    foreground: subprocess.Popen[bytes] | None = None
    stopped: bool = False


@dataclass(frozen=True)
class Census:
    """What there is of everything that could leak."""

    processes: int
    mounts: int
    descriptors: int
    index_bytes: int
    index_files: int
    memory_kb: int
    connections: int

    @classmethod
    def take(cls) -> Census:
        files = list(INDEX.iterdir()) if INDEX.exists() else []
        return cls(
            processes=len(machine.processes()),
            mounts=len(machine.mounts(None)),
            descriptors=len(os.listdir("/proc/self/fd")),
            index_bytes=sum(file.stat().st_blocks * 512 for file in files),
            index_files=len(files),
            memory_kb=_available_kb(),
            connections=sum(name.isdigit() for name in os.listdir("/sys/fs/fuse/connections")),
        )


def _available_kb() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])


@dataclass
class Soak:
    """Random actions below PLACE; what each did is counted in `done`."""

    place: Path
    source: random.Random
    done: Counter[str] = field(default_factory=Counter)
    views: list[Live] = field(default_factory=list)
    images: list[list[bytes]] = field(default_factory=list)
    made: int = 0

    def __post_init__(self) -> None:
        for number in range(IMAGES):
            stack = image.crowded(LAYERS, 2)
            self.images.append(image.snapshots(self.place, stack, number * LAYERS + 1))

    def step(self) -> None:
        """One action, drawn at random: more views begin while there are few."""
        begin: list[Callable[[], None]] = [self.mount, self.mount, self.mount_scarce, self.fail]
        use: list[Callable[[], None]] = [
            self.read, self.read, self.trouble_index, self.replace_server, self.upgrade,
        ]  # fmt: skip
        end: list[Callable[[], None]] = [
            self.unmount, self.detach, self.umount_command, self.kill, self.terminate, self.freeze,
            self.cut,
        ]  # fmt: skip
        crowded = len(self.views) >= VIEWS_MAX
        choices = use + (end if crowded or (self.views and self.source.random() < 0.5) else begin)
        action = self.source.choice(choices)
        if self.views or action not in [*use, *end]:
            action()
            self.done[action.__name__] += 1

    def finish(self) -> None:
        """Take all of it away, as an operator would."""
        while self.views:
            self.umount_command()
        self._gc()
        wait_until(lambda: not machine.processes(), "all processes to end", CALL_SECONDS)
        machine.bury()

    # Beginnings.

    def _options(self, survives: bool = False) -> bytes:
        words = [lowerdir(self.source.choice(self.images))]
        words += [b"resolve=ready"] if self.source.random() < 0.3 else []
        words += [b"passthrough=off"] if self.source.random() < 0.3 else []
        words += [b"cache=none"] if self.source.random() < 0.2 else []
        words += [b"survive=on"] if survives else []
        return b",".join(words)

    def _new_place(self) -> Path:
        self.made += 1
        at = self.place / f"view-{self.made}"
        at.mkdir()
        return at

    @staticmethod
    def _id(at: Path) -> str:
        """No other soak on this machine has it."""
        return f"soak-{os.getpid()}-{at.name}"

    def mount(self) -> None:
        at = self._new_place()
        survives = self.source.random() < 0.3
        options = self._options(survives)
        command = [program(), f"--id={self._id(at)}", "-o", options, "none", at]
        kind = self.source.choice(["background", "background", "foreground", "lifeline"])
        if kind == "foreground":
            command.insert(1, "-f")
            process = subprocess.Popen(list(map(os.fsencode, command)))
            wait_until(lambda: machine.mounts_at(at), "a view in the foreground", CALL_SECONDS)
            self._keep(at, survives, foreground=process)
        elif kind == "lifeline":
            reader, writer = os.pipe()
            command.insert(1, f"--lifeline={reader}")
            finished = run(*command, pass_fds=[reader], seconds=CALL_SECONDS)
            os.close(reader)
            assert finished.status == 0, finished
            self._keep(at, survives, lifeline=writer)
        else:
            finished = run(*command, seconds=CALL_SECONDS)
            assert finished.status == 0, finished
            self._keep(at, survives)

    def _keep(self, at: Path, survives: bool, **how: object) -> None:
        # Its command line is about to become its title.
        name = f"standby of {self._id(at)}".encode() if survives else os.fsencode(at)
        # A child has its parent's title at first.
        def find() -> list[machine.Process]:
            found = [p for p in machine.processes() if self._serves(p, name)]
            return found if len(found) == 1 else []

        (daemon,) = wait_until(find, "the daemon to show", CALL_SECONDS)
        self.views.append(Live(at, daemon, survives, **how))  # type: ignore[arg-type]

    @staticmethod
    def _server(view: Live) -> int:
        """The process that serves it."""
        if not view.survives:
            return view.daemon.pid
        children = view.daemon.proc / f"task/{view.daemon.pid}/children"
        return int(wait_until(lambda: children.read_text().split(), "a server", CALL_SECONDS)[0])

    @staticmethod
    def _serves(process: machine.Process, at: bytes) -> bool:
        """The one that has /dev/fuse, of those whose words name the mountpoint."""
        if not any(at in word for word in process.arguments):
            return False
        with contextlib.suppress(OSError):
            return "/dev/fuse" in process.descriptors().values()
        return False

    def mount_scarce(self) -> None:
        """With next to no descriptors, or memory: a view or a clean failure."""
        at = self._new_place()
        # Too few descriptors are tried again, in vain here, until the time is up.
        command = [program(), "-o", self._options() + b",timeout=1", "none", at]
        if self.source.random() < 0.5:
            number = self.source.randint(4, FEW_DESCRIPTORS)
            command = ["prlimit", f"--nofile={number}", *command]
            finished = run(*command, seconds=CALL_SECONDS)
        else:
            with little_memory() as group:
                script = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
                finished = run("sh", "-c", script, group, *command, seconds=CALL_SECONDS)
                self._settle_scarce(at, finished.status)
            return
        self._settle_scarce(at, finished.status)

    def _settle_scarce(self, at: Path, status: int) -> None:
        if machine.mounts_at(at):
            self.done["  of them mounted"] += 1
            run(program("viewfsctl"), "umount", at, seconds=CALL_SECONDS)
        else:
            assert status != 0, at
        wait_until(
            lambda: not any(os.fsencode(at) in b"".join(p.arguments) for p in machine.processes()),
            "what scarcity left to end",
            CALL_SECONDS,
        )
        assert not machine.mounts_at(at)
        machine.bury()
        at.rmdir()

    def fail(self) -> None:
        at = self._new_place()
        options = self.source.choice(
            [b"lowerdir=/nowhere", self._options() + b",binary=/gone,resolve=ready", b"no=such"]
        )
        finished = run(program(), "-o", options, "none", at, seconds=CALL_SECONDS)
        assert finished.status in (1, 32), finished
        at.rmdir()

    # Use.

    def _any(self) -> Live:
        return self.source.choice(self.views)

    def read(self) -> None:
        view = self._any()
        assert (view.at / KERNEL_PATH).read_bytes() == KERNEL
        assert (view.at / INITRD_PATH).read_bytes() == INITRD
        assert json.loads((view.at / "urunc.json").read_bytes())

    def replace_server(self) -> None:
        """No reader sees that the process which serves a view is killed."""
        survivors = [view for view in self.views if view.survives]
        if not survivors:
            return
        view = self.source.choice(survivors)
        with open(view.at / KERNEL_PATH, "rb") as file:
            os.kill(self._server(view), signal.SIGKILL)
            assert (view.at / INITRD_PATH).read_bytes() == INITRD
            assert file.read() == KERNEL
        self.done["  servers replaced"] += 1

    def upgrade(self) -> None:
        """Nor that another program's process serves it."""
        view = self._any()
        wait_until(view.daemon.is_sandboxed, "the sandbox", CALL_SECONDS)
        with open(view.at / KERNEL_PATH, "rb") as file:
            finished = run(
                program("viewfsctl"), "upgrade", "--json", self._id(view.at), seconds=CALL_SECONDS
            )
            assert finished.status == 0, finished
            assert (view.at / INITRD_PATH).read_bytes() == INITRD
            assert file.read() == KERNEL
        (told,) = json.loads(finished.stdout)["views"]
        view.daemon = machine.Process(told["pid"], "urunc-viewfs", ())
        machine.bury()

    def trouble_index(self) -> None:
        """Damage it, lose it, or fill its disk."""
        ballast = INDEX.parent / "ballast"
        files = list(INDEX.iterdir()) if INDEX.exists() else []
        match self.source.randrange(4):
            case 0 if files:
                file = self.source.choice(files)
                os.truncate(file, self.source.randrange(file.stat().st_size + 1))
            case 1 if files:
                # On a full disk there may be no room for that either.
                with contextlib.suppress(OSError):
                    self.source.choice(files).write_bytes(self.source.randbytes(300))
            case 2:
                for file in files:
                    file.unlink()
            case 3 if ballast.exists():
                ballast.unlink()
            case 3 if INDEX.exists():
                with contextlib.suppress(OSError), ballast.open("wb") as full:
                    while True:
                        full.write(bytes(1 << 20))

    # Ends.

    def _pop(self) -> Live:
        return self.views.pop(self.source.randrange(len(self.views)))

    def _gone(self, view: Live) -> None:
        wait_until(lambda: not machine.is_alive(view.daemon.pid), "a daemon to end", CALL_SECONDS)
        if view.foreground:
            view.foreground.wait(CALL_SECONDS)
        if view.lifeline is not None:
            os.close(view.lifeline)
        machine.bury()
        # A supervisor removes what its view leaves when that has ended.
        wait_until(lambda: not machine.mounts_at(view.at), "a mount to go", CALL_SECONDS)
        view.at.rmdir()

    def unmount(self) -> None:
        view = self._pop()
        namespace.unmount(str(view.at), 0)
        self._gone(view)

    def detach(self) -> None:
        """While a file is in use; it is read to its end."""
        view = self._pop()
        with open(view.at / KERNEL_PATH, "rb") as file:
            namespace.unmount(str(view.at))
            assert file.read() == KERNEL
        self._gone(view)

    def umount_command(self) -> None:
        view = self._pop()
        finished = run(program("viewfsctl"), "umount", view.at, seconds=CALL_SECONDS)
        assert finished.status == 0, finished
        self._gone(view)

    def kill(self) -> None:
        self._end_by(signal.SIGKILL)

    def terminate(self) -> None:
        self._end_by(signal.SIGTERM)

    def _end_by(self, number: signal.Signals) -> None:
        """What it leaves is dead, and collected."""
        view = self._pop()
        if view.survives and number == signal.SIGKILL:
            server = self._server(view)
            view.daemon.signal(number)
            # A supervised one may have ended with it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(server, number)
        else:
            os.kill(self._server(view), number)
        wait_until(lambda: not machine.is_alive(view.daemon.pid), "a daemon to die", CALL_SECONDS)
        machine.bury()
        self._gc()
        self._gone(view)

    def _gc(self) -> None:
        finished = run(program("viewfsctl"), "gc", seconds=CALL_SECONDS)
        assert finished.status == 0, finished

    def freeze(self) -> None:
        """A stopped daemon holds nobody up who unmounts it."""
        view = self._pop()
        server = self._server(view)
        os.kill(server, signal.SIGSTOP)
        finished = run(program("viewfsctl"), "umount", view.at, seconds=CALL_SECONDS)
        assert finished.status == 0, finished
        with contextlib.suppress(ProcessLookupError):
            os.kill(server, signal.SIGCONT)
        self._gone(view)

    def cut(self) -> None:
        """The lifeline, or the signal that a foreground process takes; else as umount(8)."""
        view = self._pop()
        if view.lifeline is not None:
            os.close(view.lifeline)
            view.lifeline = None
        elif view.foreground:
            view.foreground.terminate()
        else:
            namespace.unmount(str(view.at), 0)
        self._gone(view)


@contextlib.contextmanager
def little_memory() -> Iterator[Path]:
    """A memory cgroup with next to nothing in it. (Version 1 or 2, whichever the machine has.)"""
    parent = MEMORY if MEMORY.is_dir() else MEMORY.parent
    group = parent / f"viewfs-soak-{os.getpid()}"
    group.mkdir()
    try:
        limit = "memory.limit_in_bytes" if MEMORY.is_dir() else "memory.max"
        (group / limit).write_text(str(LITTLE_MEMORY))
        yield group
    finally:
        machine.remove_group(group)


def soak(place: Path, seconds: float, seed: int) -> tuple[Soak, Census, Census]:
    """Soak for so long; what there was before and after. The first round is not counted: what is
    made once, such as an index, is there then."""
    work = Soak(place, random.Random(seed))
    work.mount()
    work.finish()
    before = Census.take()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        work.step()
    work.finish()
    return work, before, Census.take()


def leaks(before: Census, after: Census) -> list[str]:
    """What there is more of afterwards than there may be. (Memory and connections are the whole
    machine's: they are told, and not judged.)"""
    found = [
        f"{name}: {was} before, {now} after"
        for name, was, now in (
            ("processes", before.processes, after.processes),
            ("mounts", before.mounts, after.mounts),
            ("descriptors", before.descriptors, after.descriptors),
        )
        if now > was
    ]
    if after.index_bytes > INDEX_BYTES_MAX:
        found.append(f"index: {after.index_bytes} bytes")
    return found
