# SPDX-License-Identifier: Apache-2.0
"""Ask the project's own library, through its test program li-resolve, in the oracle's terms."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .result import CONTENT_LIMIT, Result

ANSWER_SECONDS = 60


def build_directory() -> Path:
    """Where meson built: VIEWFS_BUILD, or `build` at the top of the sources."""
    default = Path(__file__).resolve().parents[2] / "build"
    return Path(os.environ.get("VIEWFS_BUILD") or default)


def program() -> Path:
    """li-resolve's path; it need not exist."""
    return build_directory() / "tests" / "li-resolve"


class ResolverError(Exception):
    """li-resolve ended, or answered what it should not have."""


class Question(NamedTuple):
    """A path, and whether a final symlink is itself the answer (O_NOFOLLOW)."""

    path: bytes
    nofollow: bool = False


def command(
    layers: Sequence[bytes], userxattr: bool = False, executable: Path | None = None
) -> list[bytes]:
    """The command line for LAYERS, topmost first; EXECUTABLE is another build of li-resolve."""
    options = [b"--userxattr"] if userxattr else []
    return [os.fsencode(executable or program()), *options, *layers]


def _request(path: bytes, nofollow: bool) -> bytes:
    if b"\0" in path:
        raise ValueError(f"a path cannot hold a NUL: {path!r}")
    return (b"n" if nofollow else b"f") + path + b"\0"


def resolve_all(
    layers: Sequence[bytes],
    questions: Sequence[Question],
    userxattr: bool = False,
    wrapper: Sequence[str | Path] = (),
    executable: Path | None = None,
) -> list[Result]:
    """Put all QUESTIONS to one li-resolve, started through WRAPPER; the answers in that order.

    It is ten times faster than waiting for each answer before the next question.
    """
    try:
        finished = subprocess.run(
            [*wrapper, *command(layers, userxattr, executable)],
            input=b"".join(_request(*question) for question in questions),
            capture_output=True,
            timeout=ANSWER_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        count = len(questions)
        raise ResolverError(f"{count} questions took over {ANSWER_SECONDS} seconds") from None
    if finished.returncode != 0 or finished.stderr:
        raise ResolverError(f"li-resolve ended with {finished.returncode}: {finished.stderr!r}")
    answers = [parse(line) for line in finished.stdout.splitlines()]
    if len(answers) != len(questions):
        raise ResolverError(f"{len(questions)} questions, but {len(answers)} answers")
    return answers


def parse(line: bytes) -> Result:
    """One line of li-resolve's as a Result."""
    reply: dict[str, Any] = json.loads(line)
    if "error" in reply:
        if not hasattr(errno, reply["error"]):
            raise ResolverError(f"not an error's name: {line!r}")
        return Result(error=reply["error"])
    kind = reply["type"]
    content = bytes.fromhex(reply["content"]) if "content" in reply else None
    return Result(
        type=kind,
        mode=reply["mode"],
        uid=reply["uid"],
        gid=reply["gid"],
        size=None if kind == "dir" else reply["size"],
        mtime_ns=reply["mtime_ns"],
        rdev=tuple(reply["rdev"]) if kind in ("chr", "blk") else None,
        link=bytes.fromhex(reply["link"]) if kind == "symlink" else None,
        content=content,
        unreadable=reply.get("open_error"),
        digest=_digest(content, reply["size"]),
        layer=reply["layer"],
        origin=bytes.fromhex(reply["origin"]),
    )


def _digest(content: bytes | None, size: int) -> str | None:
    """Known only where the content is whole."""
    if content is None or size > CONTENT_LIMIT:
        return None
    return hashlib.sha256(content).hexdigest()


def refusal(
    layers: Sequence[bytes], userxattr: bool = False, wrapper: Sequence[str | Path] = ()
) -> tuple[int, str]:
    """Start li-resolve without a question, through WRAPPER (setpriv, say): exit status, stderr."""
    finished = subprocess.run(
        [*wrapper, *command(layers, userxattr)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=ANSWER_SECONDS,
        check=False,
    )
    return finished.returncode, os.fsdecode(finished.stderr)
