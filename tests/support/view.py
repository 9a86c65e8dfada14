# SPDX-License-Identifier: Apache-2.0
"""Run the programs under test, and mount views with them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from . import machine, namespace
from .resolver import build_directory
from .waiting import SECONDS, wait_until

Argument = str | bytes | Path


def program(name: str = "urunc-viewfs") -> Path:
    """Of the build directory; to test a package, of the directory that VIEWFS_PROGRAMS names."""
    installed = os.environ.get("VIEWFS_PROGRAMS")
    return Path(installed) / name if installed else build_directory() / "fuse" / name


@dataclass(frozen=True)
class Finished:
    """How a call ended, and all it said."""

    status: int
    stdout: str
    stderr: str
    ready_text: str = ""

    @property
    def ready(self) -> dict[str, Any]:
        """The ready line, which must be exactly one."""
        assert self.ready_text.endswith("\n"), f"no line: {self.ready_text!r}"
        assert self.ready_text.count("\n") == 1, f"not one line: {self.ready_text!r}"
        return json.loads(self.ready_text)

    @property
    def told(self) -> dict[str, Any]:
        """The answer of a command with --json: the last line. Where it took a while, lines of
        progress come before it."""
        return json.loads(self.stdout.splitlines()[-1])

    @property
    def code(self) -> str:
        """Of a call that failed."""
        assert self.ready["ready"] is False
        return self.ready["error"]["code"]


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def run(
    *command: Argument,
    stdin: bytes | None = None,
    cwd: Argument | None = None,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    user: str | None = None,
    seconds: float = SECONDS,
) -> Finished:
    """Run COMMAND to its end, and to the end of its output: a daemon that kept stdout or stderr
    open would be seen here, as a time-out."""
    process = subprocess.Popen(
        [os.fsencode(part) for part in command],
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=None if env is None else {**os.environ, **env},
        pass_fds=pass_fds,
        user=user,
    )
    with process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            machine.sweep()
            raise
    return Finished(process.returncode, _text(stdout), _text(stderr))


def call(
    *arguments: Argument,
    wrapper: Sequence[Argument] = (),
    pass_fds: Sequence[int] = (),
    **how: Any,
) -> Finished:
    """Run urunc-viewfs with --ready-fd, through WRAPPER (setpriv, say), to the end of that too."""
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as ready:
        try:
            finished = run(
                *wrapper,
                program(),
                f"--ready-fd={writer}",
                *arguments,
                pass_fds=(writer, *pass_fds),
                **how,
            )
        finally:
            os.close(writer)
        ready_text = _text(_read_rest(ready))
    return replace(finished, ready_text=ready_text)


def _read_rest(pipe: IO[bytes]) -> bytes:
    """What is in PIPE, whose end must be there: nobody may still hold the other side."""
    os.set_blocking(pipe.fileno(), False)
    chunks = []
    while chunk := os.read(pipe.fileno(), 1 << 16):
        chunks.append(chunk)
    return b"".join(chunks)


def refused(
    finished: Finished, code: str, status: int, naming: str, program_name: str = "urunc-viewfs"
) -> None:
    """Assert that a call failed with CODE and STATUS, in one sentence that names the thing (a
    regular expression), and that the ready line says the same; ENOTAPPLICABLE only there."""
    assert finished.code == code, finished
    assert finished.status == status, finished
    message = finished.ready["error"]["message"]
    assert re.search(naming, message), f"{message!r} does not name {naming!r}"
    lines = finished.stderr.splitlines()
    if code == "ENOTAPPLICABLE":
        assert lines == []
    else:
        assert lines.pop(0) == f"{program_name}: {message}"
    assert finished.stdout == ""
    tried = [f"Try '{program_name} --help' for more information."]
    assert lines in ([], tried) if code == "EUSAGE" else not lines, lines
    assert machine.mounts() == []
    wait_until(lambda: not machine.processes(), "the processes of a call that failed to go")


# What a view in the foreground says of its beginning and end.
LIFE = r"view ready on '|view on '.*' ended: "


class View:
    """A view at DIRECTORY (made, and removed) for as long as the `with` block runs.

    Mounting must be silent, and so must the view until its end, but for the lines (regular
    expressions) in EXPECTED, and in the foreground the lines that it is ready and has ended. Leaving the block unmounts it, if the block has not, and asserts that
    the daemon then ends with 0 and leaves nothing.
    """

    def __init__(
        self,
        directory: Path,
        *arguments: Argument,
        source: Argument = "none",
        foreground: bool = False,
        expected: Sequence[str] = (),
        wrapper: Sequence[Argument] = (),
        **how: Any,
    ) -> None:
        self.root = directory
        self.status = 0
        self._waited = False
        self._arguments = [*arguments, "--", source, directory]
        self._foreground = foreground
        self._expected = list(expected)
        self._wrapper = wrapper
        self._how = how

    def __enter__(self) -> View:
        self.root.mkdir(exist_ok=True)
        before = {process.pid for process in machine.processes()}
        # A file, not a pipe: nobody empties a pipe meanwhile.
        self._stderr = tempfile.TemporaryFile(buffering=0)
        if self._foreground:
            self._start_foreground()
        else:
            finished = call(*self._arguments, wrapper=self._wrapper, **self._how)
            self._stderr.write(finished.stderr.encode())
            assert finished.status == 0, finished
            assert finished.stdout == ""
            self.ready = finished.ready
        assert self.ready["ready"] is True, self.ready
        self.processes = [p for p in machine.processes() if p.pid not in before]
        self.daemon_pid = self.daemon.pid
        # With a lifeline the daemon is another process's child, whose status can be read.
        supervisors = [p.pid for p in self.processes if p.pid == int(self.daemon.stat()[1])]
        self.adopted_pid = supervisors[0] if supervisors else self.daemon_pid
        return self

    def _start_foreground(self) -> None:
        reader, writer = os.pipe()
        arguments = ["-f", f"--ready-fd={writer}", *self._arguments]
        with os.fdopen(reader, "r") as ready:
            self.process = subprocess.Popen(
                list(map(os.fsencode, [*self._wrapper, program(), *arguments])),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=(writer, *self._how.get("pass_fds", ())),
            )
            os.close(writer)
            # A wrapper that stays holds the other end too.
            text = ready.readline() + ("" if self._wrapper else ready.read())
        assert text.count("\n") == 1, f"not one line: {text!r} {self.stderr()!r}"
        self.ready = json.loads(text)

    @property
    def mount(self) -> machine.Mount:
        """The view's line in mountinfo; there must be one."""
        (mount,) = machine.mounts_at(self.root)
        return mount

    @property
    def daemon(self) -> machine.Process:
        """The process that serves it."""
        return next(p for p in self.processes if "/dev/fuse" in p.descriptors().values())

    def stderr(self) -> str:
        """What was written so far."""
        size = os.fstat(self._stderr.fileno()).st_size
        return _text(os.pread(self._stderr.fileno(), size, 0))

    def wait_sandboxed(self) -> machine.Process:
        """Until its daemon, which is returned, has given up all that it can."""
        daemon = self.daemon
        wait_until(daemon.is_sandboxed, "the daemon to be sandboxed")
        return daemon

    def unmount(self) -> None:
        """As umount(8) does, without MNT_DETACH: nobody may be using it."""
        namespace.unmount(os.fsencode(self.root), 0)

    def wait_gone(self) -> None:
        """Until no process of it is left; the daemon must have ended with `status`."""
        wait_until(
            lambda: not any(machine.is_alive(p.pid) for p in self.processes),
            "the view's processes to end",
        )
        if self._foreground:
            assert self.process.wait(SECONDS) == self.status
        elif not self._waited:
            assert machine.exit_status(self.adopted_pid) == self.status
        self._waited = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is not None:
                self._abandon()
                return
            if machine.mounts_at(self.root):
                self.unmount()
            self.wait_gone()
            self._check_stderr()
            assert machine.mounts_at(self.root) == []
            self.root.rmdir()
        finally:
            self._stderr.close()

    def _abandon(self) -> None:
        print("stderr:", self.stderr())
        for process in self.processes:
            if machine.is_alive(process.pid):
                process.signal(signal.SIGKILL)
        while machine.mounts_at(self.root):
            namespace.unmount(os.fsencode(self.root))

    def _check_stderr(self) -> None:
        lines = self.stderr().splitlines()
        if self._foreground:
            lines = [line for line in lines if not re.search(LIFE, line)]
        assert len(lines) == len(self._expected), f"{lines} for {self._expected}"
        for line, pattern in zip(lines, self._expected):
            assert re.search(pattern, line), f"{line!r} is not {pattern!r}"


def tree(root: Path) -> set[str]:
    """Every path below ROOT, as a walk finds it; directories end in a slash."""
    found = set()
    for parent, directories, files in os.walk(root, onerror=_raise):
        below = os.path.relpath(parent, root)
        found.update(os.path.normpath(os.path.join(below, name)) + "/" for name in directories)
        found.update(os.path.normpath(os.path.join(below, name)) for name in files)
    return found


def _raise(error: OSError) -> None:
    raise error
