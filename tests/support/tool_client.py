# SPDX-License-Identifier: Apache-2.0
"""Ask the test programs that answer requests on stdin with lines of JSON on stdout."""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from . import skipping
from .resolver import build_directory

ANSWER_SECONDS = 30


class ToolClient:
    """One process of a test program for as long as the `with` block runs: starting one for each
    question would take most of the time."""

    def __init__(
        self, name: str, wrapper: Sequence[str] = (), pass_fds: Sequence[int] = ()
    ) -> None:
        self._program = build_directory() / "tests" / name
        if not self._program.exists():
            skipping.skip(f"{self._program} is not built (VIEWFS_BUILD names the directory)")
        self._wrapper = wrapper
        self._pass_fds = pass_fds

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [*self._wrapper, str(self._program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=self._pass_fds,
        )
        return self

    def __exit__(self, *_: object) -> None:
        with self._process as process:
            assert process.stdin and process.stdout
            process.stdin.close()
            rest = process.stdout.read()
        assert (process.returncode, rest) == (0, b"")

    def ask(self, request: bytes) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(request)
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], ANSWER_SECONDS)[0]:
            self._process.kill()
            raise TimeoutError(f"no answer to {request!r}")
        return json.loads(self._process.stdout.readline())


@dataclass(frozen=True)
class Layers:
    """Where our programs take the layers to be; else CODE says why there are none."""

    paths: tuple[bytes, ...] = ()
    code: str = ""
    message: str = ""

    def below(self, base: bytes) -> list[bytes]:
        """The paths, which must all lie below BASE, relative to it."""
        assert not self.code, self
        assert all(path.startswith(base + b"/") for path in self.paths), self
        return [path[len(base) + 1 :] for path in self.paths]


class Sources(ToolClient):
    """Which layers a command line means (source-layers), whether they are there or not."""

    def __init__(self, wrapper: Sequence[str] = (), pass_fds: Sequence[int] = ()) -> None:
        super().__init__("source-layers", wrapper, pass_fds)

    def layers(self, *words: str | bytes) -> Layers:
        """Of the words after `viewfsctl resolve`."""
        encoded = [w.encode("utf-8", "surrogateescape") if isinstance(w, str) else w for w in words]
        if any(not word or b"\0" in word for word in encoded):
            raise ValueError(f"cannot be asked: {encoded}")
        answer = self.ask(b"".join(word + b"\0" for word in encoded) + b"\0")
        if "error" in answer:
            return Layers(code=answer["error"], message=answer["message"])
        return Layers(tuple(bytes.fromhex(path) for path in answer["layers"]))
