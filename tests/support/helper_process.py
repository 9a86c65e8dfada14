# SPDX-License-Identifier: Apache-2.0
"""A process of its own that does what it is told: it stands for a program that is not ours.

It is a fork of the test, so that nothing need be found on a disk that it may not see any more, and
it leads a process group and a session of its own, as what a service manager starts.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, Self, TypeVar

Result = TypeVar("Result")


class Gone(Exception):
    """It died of what it was told."""


class HelperProcess:
    """Such a process for as long as the `with` block runs."""

    def __enter__(self) -> Self:
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _serve(theirs)
        theirs.close()
        self.status: int | None = None
        self._stream = ours.makefile("rwb")
        ours.close()
        self.call(os.setsid)
        return self

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Have it call FUNCTION; what that returns or raises travels as a pickle."""
        self.tell(function, *arguments)
        return self.outcome()

    def tell(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Have it call FUNCTION, and do not wait."""
        pickle.dump((function, arguments), self._stream)
        self._stream.flush()

    def outcome(self) -> Any:
        """Of what it was told."""
        try:
            raised, result = pickle.load(self._stream)
        except EOFError:
            self._wait()
            raise Gone(self.status) from None
        if raised:
            raise result
        return result

    def kill(self) -> None:
        """With all of its process group, at once."""
        if self.status is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._wait()

    def _wait(self) -> None:
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)

    def __exit__(self, *_: object) -> None:
        self.kill()
        with suppress(BrokenPipeError):
            self._stream.close()


def _serve(end: socket.socket) -> NoReturn:
    """Until the test closes the other end; never returns, so that no test runs twice."""
    # What it dies of is the test's to judge.
    faulthandler.disable()
    try:
        stream = end.makefile("rwb")
        while True:
            function, arguments = pickle.load(stream)
            pickle.dump(_outcome(function, arguments), stream)
            stream.flush()
    finally:
        os._exit(0)


def _outcome(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return False, function(*arguments)
    except Exception as error:
        return True, error
