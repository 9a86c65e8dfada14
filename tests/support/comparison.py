# SPDX-License-Identifier: Apache-2.0
"""The comparison itself: the kernel's answers and ours for one stack, and where they differ."""

from __future__ import annotations

import os
import random
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import artifact, namespace, overlay, resolver, scratch
from .resolver import Question
from .result import TYPES, Result
from .seccomp_deny import deny
from .strategies import Sample

# One stack in so many is put to viewfsctl, and to a mounted view, which take longer.
RESOLVED_SHARE = 4
MOUNTED_SHARE = 32

# The users and groups of a user namespace; NOBODY is not among them.
MAPPED = 65536

# The kernel's answers and ours; where both are asked; what li-resolve is started through.
Both = tuple[list[Result], list[Result]]
Within = Callable[[Callable[[], Both]], Both]
Wrapper = Sequence[str | Path]


@dataclass(frozen=True)
class Difference:
    """A question that the kernel and a program under test answer differently."""

    question: Question
    kernel: Result
    ours: Result
    note: str = ""

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        return f"{spelled(self.question)}: kernel {self.kernel}, ours {self.ours}{note}"


def spelled(question: Question) -> str:
    """QUESTION for a person; a long path is cut."""
    path = question.path
    text = repr(path if len(path) < 80 else path[:60] + b"... cut")
    return f"{text} nofollow" if question.nofollow else text


def ask_kernel(
    layers: list[bytes], questions: Sequence[Question], userxattr: bool, scratch: str | Path
) -> list[Result]:
    with overlay.Overlay(layers, scratch, userxattr) as kernel:
        return [kernel.resolve(*question) for question in questions]


def differences(
    layers: list[bytes],
    questions: Sequence[Question],
    kernel: Sequence[Result],
    ours: Sequence[Result],
    placed: bool = True,
) -> list[Difference]:
    """Where the answers are not the same, and where ours names another place than it found: that
    only if the layers are PLACED at their paths, not covered by a mount."""
    found = []
    for question, expected, got in zip(questions, kernel, ours, strict=True):
        note = misplaced(got, layers) if placed and expected == got else ""
        if expected != got or note:
            found.append(Difference(question, expected, got, note))
    return found


def misplaced(answer: Result, layers: list[bytes]) -> str:
    """What is wrong with the layer and the host's path that ANSWER names; "" if nothing is."""
    if answer.error is not None:
        return ""
    root = layers[answer.layer]
    origin = os.path.normpath(answer.origin)
    try:
        there = os.lstat(origin)
    except OSError as error:
        return f"origin {origin!r}: {error}"
    inside = origin == root or origin.startswith(root + b"/")
    same = (TYPES[stat.S_IFMT(there.st_mode)], there.st_mtime_ns) == (answer.type, answer.mtime_ns)
    return "" if inside and same else f"origin is not what layer {answer.layer} has"


def without_openat2(error: str) -> Wrapper:
    """The wrapper in which openat2(2) fails with ERROR."""
    return deny("openat2", error)


def in_user_namespace(ask: Callable[[], Both]) -> Both:
    return namespace.in_user_namespace(ask, MAPPED)


class Comparer:
    """Compares samples in DIRECTORY: li-resolve, started through WRAPPER, at every path, and with
    PROGRAMS also viewfsctl and a mounted view, for some stacks and an artifact each.

    Kernel and li-resolve are asked WITHIN, called with what asks both; layers are made outside.
    A call returns how many answers were compared, and those that differ.
    """

    def __init__(
        self,
        directory: str | Path,
        wrapper: Wrapper = (),
        programs: bool = False,
        within: Within = lambda ask: ask(),
    ) -> None:
        self._directory = str(directory)
        self._wrapper = wrapper
        self._programs = programs
        self._within = within

    def __call__(self, sample: Sample) -> tuple[int, list[Difference]]:
        questions = sample.questions()
        with scratch.directory(self._directory) as directory:
            layers = sample.stack.build(directory, sample.userxattr)

            def ask() -> Both:
                return (
                    ask_kernel(layers, questions, sample.userxattr, directory),
                    resolver.resolve_all(layers, questions, sample.userxattr, self._wrapper),
                )

            kernel, ours = self._within(ask)
            found = differences(layers, questions, kernel, ours)
            asked = len(questions)
            if self._programs and not found:
                for question, answer, origin in _artifacts(sample, layers, kernel, ours):
                    asked += 1
                    faults = _program_faults(
                        sample, layers, question.path, answer, origin, directory
                    )
                    found += [Difference(question, answer, answer, fault) for fault in faults]
        return asked, found


def _artifacts(
    sample: Sample, layers: list[bytes], kernel: list[Result], ours: list[Result]
) -> list[tuple[Question, Result, bytes]]:
    """Questions that can be put to the programs, one that has a file and one that has not, if there
    are; with the kernel's answer, and where beneath its layer the file is."""
    if sample.salt % RESOLVED_SHARE != 0:
        return []
    files, others = [], []
    for question, answer, our in zip(sample.questions(), kernel, ours, strict=True):
        if not question.nofollow and artifact.is_allowed(question.path):
            origin = our.origin[len(layers[our.layer]) + 1 :] if our.error is None else b""
            (files if answer.type == "file" else others).append((question, answer, origin))
    source = random.Random(sample.salt)
    return [source.choice(group) for group in (files, others) if group]


def _program_faults(
    sample: Sample,
    layers: list[bytes],
    path: bytes,
    kernel: Result,
    origin: bytes,
    directory: Path,
) -> list[str]:
    said = artifact.resolved(layers, path, sample.userxattr)
    faults = [artifact.resolve_fault(said, kernel, origin)]
    if sample.salt % MOUNTED_SHARE == 0:
        with artifact.view(layers, path, directory, sample.userxattr) as mountpoint:
            faults.append(artifact.view_fault(mountpoint, path, kernel, origin))
    return [fault for fault in faults if fault]
