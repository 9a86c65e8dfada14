# SPDX-License-Identifier: Apache-2.0
"""What a containerd shim does around `urunc create` and `urunc delete`, in two ways: straight from
packaging/containerd/README.md, and by the program of the example that lies beside that.
"""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import namespace
from .build import SOURCE
from .view import call, program
from .waiting import SECONDS

README = SOURCE / "packaging/containerd/README.md"
EXAMPLE = README.parent / "example"
DIRECTORY = Path("/run/urunc-viewfs")
NAMESPACE = "default"

_UMOUNT_NOFOLLOW = 0x8


def mountpoint(container: str, of: str = NAMESPACE) -> Path:
    """Where the view of a container of one of containerd's namespaces goes."""
    return DIRECTORY / of / container


def examples(language: str) -> list[str]:
    """The examples in the README in LANGUAGE."""
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Made:
    """What came of making a view: its ready line, or why there is none."""

    ready: dict[str, Any] | None
    code: str = ""
    message: str = ""


class Shim(ABC):
    """One way to be a shim. Each call may be another process's."""

    @abstractmethod
    def make(
        self,
        container: str,
        mounts: Any,
        *options: str,
        stored: Sequence[str] = (),
        of: str = NAMESPACE,
        seconds: float = 10,
    ) -> Made:
        """Make the view of a container, before it is created, out of containerd's MOUNTS. Where
        they have no directories STORED says which image it is: "chain=…", "content=…" and
        "manifest=…"."""

    @abstractmethod
    def delete(self, container: str, of: str = NAMESPACE) -> None:
        """Remove it, if it is there."""


class Direct(Shim):
    """By the words of the README."""

    def make(
        self,
        container: str,
        mounts: Any,
        *options: str,
        stored: Sequence[str] = (),
        of: str = NAMESPACE,
        seconds: float = 10,
    ) -> Made:
        at = mountpoint(container, of)
        at.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            at.mkdir(mode=0o700)
        words = [word for option in (f"timeout={seconds:.0f}", *options) for word in ("-o", option)]
        words += [f"--{name}" for name in stored]
        finished = call(
            *("--mounts=-", f"--id={container}", "--log-format=json", *words),
            *("--", "urunc-viewfs", at),
            stdin=json.dumps(mounts).encode(),
        )  # fmt: skip
        if finished.status == 0:
            assert finished.ready["ready"] is True
            return Made(finished.ready)
        with suppress(OSError):
            at.rmdir()
        return Made(None, finished.code, finished.ready["error"]["message"])

    def delete(self, container: str, of: str = NAMESPACE) -> None:
        at = mountpoint(container, of)
        while True:
            try:
                while True:
                    namespace.unmount(str(at), namespace.MNT_DETACH | _UMOUNT_NOFOLLOW)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT):
                    raise
            try:
                at.rmdir()
                return
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise


@dataclass(frozen=True)
class Example(Shim):
    """By the example, built."""

    binary: Path

    def command(self, *words: str, wrapper: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start it, through WRAPPER (strace, say); it finds the program under test on PATH."""
        path = f"{program().parent}:{os.environ['PATH']}"
        return subprocess.Popen(
            [*wrapper, self.binary, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PATH": path},
        )

    def _run(self, *words: str, stdin: bytes = b"") -> bytes:
        with self.command(*words) as process:
            stdout, stderr = process.communicate(stdin, timeout=SECONDS)
        assert (process.returncode, stderr) == (0, b""), stderr
        return stdout

    def make(
        self,
        container: str,
        mounts: Any,
        *options: str,
        stored: Sequence[str] = (),
        of: str = NAMESPACE,
        seconds: float = 10,
    ) -> Made:
        flags = [f"-timeout={seconds:f}s", *(f"-{name}" for name in stored)]
        words = [*flags, "create", of, container, *options]
        said = json.loads(self._run(*words, stdin=json.dumps(mounts).encode()))
        if said["view"] is not None:
            return Made({"ready": True, **said["view"]})
        # What is to be said aloud.
        assert said["level"] == ("debug" if said.get("code") == "ENOTAPPLICABLE" else "warning")
        return Made(None, said.get("code", ""), said["reason"])

    def delete(self, container: str, of: str = NAMESPACE) -> None:
        assert self._run("delete", of, container) == b""
