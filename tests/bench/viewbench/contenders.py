# SPDX-License-Identifier: Apache-2.0
"""Who takes part: the builds of urunc-viewfs, and what else could be done in a view's place.

A contender says how a stack is shown at a directory: the command, and what takes it away again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import rust
from .builds import Build, compilers
from .material import ARTIFACTS, BINARY, Stack


@dataclass(frozen=True)
class Start:
    """One way to show a stack at a directory."""

    argv: Sequence[str | Path]
    root: Path | None
    """Below it are the artifacts; None if the contender shows none."""
    unmount: Sequence[Path] = ()
    """In this order."""
    unlink: Sequence[Path] = ()
    cwd: Path = Path("/")
    flat: bool = False
    """The artifacts are side by side, without the directories above them."""

    def artifact(self, path: str) -> Path | None:
        """Where an artifact of the image is found."""
        if self.root is None:
            return None
        return self.root / (Path(path).name if self.flat else path)


@dataclass(frozen=True)
class Contender:
    """The command is made anew for each stack and each directory to show it at."""

    name: str
    start: Callable[[Stack, Path], Start]
    build: Build | None = None
    """Of a view; None for a peer."""
    absent: str | None = None
    """Why it takes no part."""
    sizes: Sequence[int] | None = field(default=None)
    """The numbers of layers that it is shown for; None: all."""

    def takes(self, stack: Stack) -> bool:
        """Whether its figures for this stack would say anything new."""
        return self.sizes is None or len(stack.layers) in self.sizes


NOOP = "a process that does nothing"
FLOOR = {"dynamic": "the least, dynamic", "static": "the least, static"}
"""What no program that mounts a FUSE filesystem of layers can be quicker than, by its linkage."""
DUTIES = {"dynamic": "its system calls, dynamic", "static": "its system calls, static"}
"""What no program that keeps a view's contract can be quicker than."""
DUTIES_WARM = {linkage: f"{name}, index warm" for linkage, name in DUTIES.items()}
"""The same where the layers are known already."""
DUTIES_FAULTS = {
    linkage: f"{name}, and a view's page faults" for linkage, name in DUTIES.items()
}
"""The same for a program that is as large as a view."""
OVERLAY = "mount -t overlay"
FUSE_OVERLAYFS = "fuse-overlayfs"
SURVIVES = "survive=on"
"""The machine's, in C."""
FUSE_OVERLAYFS_2 = "fuse-overlayfs 2"
"""In Rust, with passthrough: the peer to beat."""
COPY = "copy all artifacts"
LAYER = "the layer's own file"
STORED_HIT = "stored"
"""An image that the artifact store has."""
STORED_FIRST = "first container: tree filled"
STORED_WARM = "directories, index warm"
STORED_SNAPSHOT = "a snapshot mounted"
"""What a stored image is compared with."""
FALLBACK = "view, no passthrough"


def view(build: Build, extra: Sequence[str] = (), name: str | None = None) -> Contender:
    """A build of urunc-viewfs, told its layers by lowerdir=."""

    def start(stack: Stack, target: Path) -> Start:
        lower = "lowerdir=" + ":".join(map(str, stack.layers))
        argv = [build.program, "-o", lower, *extra, "bench", target]
        return Start(argv, target, [target])

    return Contender(name or build.name, start, build)


def surviving(build: Build) -> Contender:
    """The same with a process that stands by."""
    return view(build, ["-o", "survive=on"], f"{build.name}, {SURVIVES}")


def _noop(programs: Path) -> Contender:
    return Contender(NOOP, lambda _stack, _target: Start([programs / "noop"], None))


def _floor(program: Path, name: str, *words: str) -> Contender:
    """It shows nothing: see floor.c, and duties.c for those with words before the layers."""

    def start(stack: Stack, target: Path) -> Start:
        return Start([program, *words, ":".join(map(str, stack.layers)), target], None, [target])

    return Contender(name, start)


def duties(programs: Path, linkage: str, faults: int = 0) -> Contender:
    """A view's bare system calls; with FAULTS more page faults."""
    name = DUTIES_FAULTS[linkage] if faults else DUTIES[linkage]
    plain = _floor(programs / f"duties-{linkage}", name, "open")
    if not faults:
        return plain

    def start(stack: Stack, target: Path) -> Start:
        least = plain.start(stack, target)
        return Start([*least.argv, str(faults)], least.root, least.unmount)

    return Contender(name, start)


def _tmpfs(programs: Path, size: int) -> Contender:
    def start(_stack: Stack, target: Path) -> Start:
        argv = [programs / "peer", "mount", "tmpfs", "tmpfs", target, "mode=755"]
        return Start(argv, None, [target])

    return Contender("mount(2) of a tmpfs", start, sizes=[size])


def _bind(programs: Path, size: int) -> Contender:
    def start(stack: Stack, target: Path) -> Start:
        argv = [programs / "peer", "bind", stack.layers[0], target]
        return Start(argv, None, [target])

    return Contender("mount(2) of a bind", start, sizes=[size])


def overlay() -> Contender:
    """Through mount(8), as a person or a program that links no libmount does it."""

    def start(stack: Stack, target: Path) -> Start:
        lower = "ro,lowerdir=" + ":".join(stack.names)
        argv = [_found("mount"), "-t", "overlay", "overlay", "-o", lower, target]
        return Start(argv, target, [target], cwd=stack.directory)

    return Contender(OVERLAY, start)


def _overlay_alone(programs: Path) -> Contender:
    def start(stack: Stack, target: Path) -> Start:
        lower = "lowerdir=" + ":".join(stack.names)
        argv = [programs / "peer", "mount", "overlay", "overlay", target, lower]
        return Start(argv, target, [target], cwd=stack.directory)

    return Contender("mount(2) of an overlay", start)


def _overlay_binds(programs: Path) -> Contender:
    """What bringing the artifacts to a bundle by the kernel's own means would be: the image's root,
    and each artifact bound out of it."""

    def start(stack: Stack, target: Path) -> Start:
        merged, bound = target / "merged", target / "bound"
        places = [bound / path for path in ARTIFACTS]
        merged.mkdir(exist_ok=True)
        for place in places:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        lower = "lowerdir=" + ":".join(stack.names)
        argv = [programs / "peer", "overlay-binds", lower, merged, bound, *ARTIFACTS]
        return Start(argv, bound, [*places, merged], cwd=stack.directory)

    return Contender("an overlay and three binds", start)


def fuse_overlayfs() -> Contender:
    """The whole root filesystem, merged in user space."""
    program = _found("fuse-overlayfs")
    return _fuse_overlayfs(FUSE_OVERLAYFS, program, _not_installed("fuse-overlayfs"))


def fuse_overlayfs_2() -> Contender:
    """The same, written anew."""
    return _fuse_overlayfs(FUSE_OVERLAYFS_2, rust.program(), rust.absent())


def _fuse_overlayfs(name: str, program: str | Path, absent: str | None) -> Contender:
    def start(stack: Stack, target: Path) -> Start:
        lower = "lowerdir=" + ":".join(map(str, stack.layers))
        return Start([program, "-o", lower, target], target, [target])

    return Contender(name, start, absent=absent)


def _unionfs_fuse() -> Contender:
    def start(stack: Stack, target: Path) -> Start:
        branches = ":".join(f"{layer}=RO" for layer in stack.layers)
        return Start([_found("unionfs-fuse"), "-o", "ro", branches, target], target, [target])

    return Contender("unionfs-fuse", start, absent=_not_installed("unionfs-fuse"))


def _mergerfs() -> Contender:
    def start(stack: Stack, target: Path) -> Start:
        branches = ":".join(map(str, stack.layers))
        return Start([_found("mergerfs"), "-o", "ro", branches, target], target, [target])

    return Contender("mergerfs", start, absent=_not_installed("mergerfs"))


def _squashfuse(image: Path | None) -> Contender:
    """An image made beforehand: what a snapshotter that keeps one file per image could do."""

    def start(_stack: Stack, target: Path) -> Start:
        return Start([_found("squashfuse"), image or "", target], target, [target])

    absent = _not_installed("squashfuse")
    if image is None:
        absent = _not_installed("mksquashfs")
    return Contender("squashfuse", start, absent=absent)


def copy(programs: Path, tmpfs: Path) -> Contender:
    """What urunc does today. In urunc no process is started for it, and the time of one is little
    beside the copying."""

    def start(stack: Stack, target: Path) -> Start:
        directory = tmpfs / target.relative_to(target.anchor)
        directory.mkdir(parents=True, exist_ok=True)
        sources = [stack.backing[path] for path in ARTIFACTS]
        copies = [directory / source.name for source in sources]
        argv = [programs / "peer", "copy", directory, *sources]
        return Start(argv, directory, unlink=copies, flat=True)

    return Contender(COPY, start)


def starters(
    builds: Sequence[Build], programs: Path, image: Path | None, tmpfs: Path, size: int
) -> Iterator[Contender]:
    """All whose start is measured, the measure of all others first. What does not depend on the
    layers is shown for SIZE of them only."""
    yield _noop(programs)
    yield from map(view, builds)
    for linkage in compilers(builds):
        yield _floor(programs / f"floor-{linkage}", FLOOR[linkage])
        yield duties(programs, linkage)
        yield _floor(programs / f"duties-{linkage}", DUTIES_WARM[linkage], "identify")
    yield _tmpfs(programs, size)
    yield _bind(programs, size)
    yield _overlay_alone(programs)
    yield overlay()
    yield _overlay_binds(programs)
    yield fuse_overlayfs()
    yield fuse_overlayfs_2()
    yield _unionfs_fuse()
    yield _mergerfs()
    yield _squashfuse(image)
    once = copy(programs, tmpfs)
    yield Contender(once.name, once.start, sizes=[size])


def readers(builds: Sequence[Build], programs: Path, tmpfs: Path) -> Iterator[Contender]:
    """Those whose files are read, or that are kept mounted; the layer's own file is added where it
    is the measure. What a view is where the kernel has no passthrough is shown for one build."""
    yield from map(view, builds)
    yield view(builds[0], ["-o", "passthrough=off"], FALLBACK)
    yield overlay()
    yield fuse_overlayfs()
    yield fuse_overlayfs_2()
    yield copy(programs, tmpfs)


def first_artifact(start: Start) -> Path | None:
    """The file whose first bytes end the second measurement."""
    return start.artifact(BINARY)


def _found(program: str) -> str:
    """posix_spawn wants a path. The command of a program that is absent is never run."""
    return shutil.which(program) or program


def _not_installed(program: str) -> str | None:
    return None if shutil.which(program) else f"{program} is not installed"
