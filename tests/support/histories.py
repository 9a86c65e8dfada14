# SPDX-License-Identifier: Apache-2.0
"""Histories of an index and its layers: whatever befell either, the answer is that of the layers."""

from __future__ import annotations

import functools
import os
import random
import shutil
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import namespace, resolver, search
from .resolver import Question
from .stack import EPOCH_NS, SECOND_NS, TRUSTED, USER, build_layer, settle
from .strategies import USUAL, Sample

POOL = 100
STEPS = 6
LAYERS = 4
OWN_PATHS = 10
STRANGE = 6


@dataclass
class Tally:
    """What was tried so far."""

    seed: int
    histories: int = 0
    answers: int = 0
    wrong: int = 0

    def __str__(self) -> str:
        return (
            f"index: {self.histories} histories, {self.answers} answers, {self.wrong} wrong,"
            f" seed {self.seed}"
        )


class WrongAnswer(AssertionError):
    """With an index the answer is another one than without."""


class History:
    """One life of layers below PLACE, and of an index beside them."""

    def __init__(
        self, place: Path, pool: Sequence[Sample], source: random.Random, executable: Path | None
    ) -> None:
        self.executable = executable
        self.source = source
        self.pool = pool
        self.store, self.layers, self.index = (place / n for n in ("store", "layers", "index"))
        self.store.mkdir()
        self.layers.mkdir()
        self.log: list[str] = []
        drawn = [self._build(number) for number in range(LAYERS)]
        self.questions = self._questions(drawn)

    def _questions(self, samples: Sequence[Sample]) -> list[Question]:
        """Few, so that the same paths are asked for again and again; what lies in them too."""
        own = [path for layer in map(self._paths, range(LAYERS)) for path in layer]
        asked = self.source.sample(own, min(OWN_PATHS, len(own)))
        asked += [path + b"/" + self.source.choice(USUAL) for path in asked]
        strange = [question for sample in samples for question in sample.questions()]
        return [Question(path) for path in asked] + self.source.sample(strange, STRANGE)

    def _paths(self, number: int) -> list[bytes]:
        root = os.fsencode(self.store / str(number))
        return [
            os.path.relpath(os.path.join(parent, name), root)
            for parent, directories, files in os.walk(root)
            for name in [*directories, *files]
        ]

    def _build(self, number: int) -> Sample:
        sample = self.source.choice(self.pool)
        layer = self.source.choice(sample.stack.layers)
        prefix = USER if sample.userxattr else TRUSTED
        root = os.fsencode(self.store / str(number))
        build_layer(layer, root, prefix, EPOCH_NS + number * SECOND_NS)
        return sample

    def run(self) -> int:
        """Returns how many answers were compared."""
        steps: list[Callable[[], None]] = [
            self.replace, self.rewrite, self.remount, self.remount_changed, self.damage, self.lose,
        ]  # fmt: skip
        self.mount()
        try:
            asked = self.ask()
            for _ in range(STEPS):
                if self.source.random() < 0.5:
                    step = self.source.choice(steps)
                    self.log.append(step.__name__)
                    step()
                asked += self.ask()
            return asked
        finally:
            self.unmount()

    def mount(self) -> None:
        namespace.mount(str(self.store), str(self.layers), None, namespace.MS_BIND)

    def unmount(self) -> None:
        namespace.unmount(str(self.layers))

    def ask(self) -> int:
        """The same questions with the index and without, about all layers or those below some."""
        first = self.source.choice([0, 0, 1, 2])
        userxattr = self.source.random() < 0.2
        layers = [os.fsencode(self.layers / str(n)) for n in range(first, LAYERS)]
        if self.source.random() < 0.2:
            layers[0], layers[1] = layers[1], layers[0]
        self.log.append(f"ask from {first}")
        if self.source.random() < 0.8:
            settle()
        option = [b"--index=" + os.fsencode(self.index)]
        known = resolver.resolve_all(
            option + layers, self.questions, userxattr, executable=self.executable
        )
        fresh = resolver.resolve_all(layers, self.questions, userxattr)
        for question, got, wanted in zip(self.questions, known, fresh, strict=True):
            places = [(answer.layer, answer.origin) for answer in (got, wanted)]
            if got != wanted or places[0] != places[1]:
                raise WrongAnswer(f"{question}: {got}, and without index {wanted}: {self.log}")
        return len(known)

    # What can happen to layers.

    def replace(self) -> None:
        """Another directory at the same path, as soon as can be."""
        for number in self.source.sample(range(LAYERS), self.source.randint(1, 3)):
            shutil.rmtree(self.store / str(number))
            self._build(number)

    def rewrite(self) -> None:
        """What stands at a file's path is another file, or a whiteout. (A layer in use may not be
        changed; but where it is, nobody is shown what is not there any more.)"""
        for path in self._files()[:2]:
            new = path.with_name("new")
            if self.source.random() < 0.5:
                os.mknod(new, stat.S_IFCHR, os.makedev(0, 0))
            else:
                new.write_bytes(self.source.randbytes(self.source.randint(1, 50)))
            new.rename(path)

    def remount(self) -> None:
        self.unmount()
        self.mount()

    def remount_changed(self) -> None:
        """As after a boot: meanwhile anything may have been done, deep in a layer."""
        self.unmount()
        for directory in self._directories()[:3]:
            path = directory / os.fsdecode(self.source.choice(USUAL))
            if not directory.is_dir():
                continue  # it lay in one that has gone
            if os.path.lexists(path):
                is_directory = stat.S_ISDIR(path.lstat().st_mode)
                shutil.rmtree(path) if is_directory else path.unlink()
            elif self.source.random() < 0.5:
                os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
            else:
                path.write_bytes(b"new")
        self.mount()

    def _directories(self) -> list[Path]:
        """In a layer, but not its root: that would not be the same any more."""
        found = [
            Path(parent)
            for number in range(LAYERS)
            for parent, _, _ in os.walk(self.store / str(number))
            if Path(parent) != self.store / str(number)
        ]
        self.source.shuffle(found)
        return found

    def _files(self) -> list[Path]:
        """Plain files of the layers, without marks."""
        found = [
            path
            for number in range(LAYERS)
            for path in (self.store / str(number) / os.fsdecode(p) for p in self._paths(number))
            if _is_plain(path)
        ]
        self.source.shuffle(found)
        return found

    # What can happen to an index.

    def damage(self) -> None:
        names = sorted(os.listdir(self.index))
        for name in self.source.sample(names, min(len(names), 3)):
            path = self.index / name
            content = bytearray(path.read_bytes())
            # Nothing of it may be left from the last time.
            match self.source.randrange(5) if content else 2:
                case 0:
                    content[self.source.randrange(len(content))] ^= 1 << self.source.randrange(8)
                case 1:
                    del content[self.source.randrange(len(content)) :]
                case 2:
                    content[:] = self.source.randbytes(len(content))
                case 3:
                    content[:] = (self.index / self.source.choice(names)).read_bytes()
                case 4:
                    content[4:5] = b"\2"
            path.write_bytes(content)

    def lose(self) -> None:
        for name in sorted(os.listdir(self.index)):
            if self.source.random() < 0.5:
                (self.index / name).unlink()


def _is_plain(path: Path) -> bool:
    st = path.lstat()
    marks = os.listxattr(path, follow_symlinks=False)
    return stat.S_ISREG(st.st_mode) and st.st_size > 0 and not marks


@functools.cache
def _pool(seed: int) -> Sequence[Sample]:
    return search.collect(POOL, seed)


def run(
    directory: Path, histories: int, tally: Tally, executable: Path | None = None
) -> None:
    """So many histories of TALLY's seed, each in a directory of its own below DIRECTORY; with an
    index EXECUTABLE is asked, another build of li-resolve."""
    pool = _pool(tally.seed)
    for number in range(histories):
        place = directory / f"history-{number}"
        place.mkdir()
        try:
            source = random.Random(f"{tally.seed}/{number}")
            tally.answers += History(place, pool, source, executable).run()
        except WrongAnswer:
            tally.wrong += 1
            raise
        tally.histories += 1
        shutil.rmtree(place)
