# SPDX-License-Identifier: Apache-2.0
"""What the shells' completions offer."""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterable

from .build import SOURCE
from .doc_options import Choices
from .waiting import SECONDS

COMPLETIONS = SOURCE / "packaging" / "completions"

# One that a mount option takes.
WORD = re.compile("[a-z]+")


def _output(*command: str, cwd: str | None = None) -> list[str]:
    finished = subprocess.run(
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert finished.stderr == "", finished.stderr
    return finished.stdout.splitlines()


def _choices(offers: Iterable[str]) -> Choices:
    """From offers such as name, name= and name=word."""
    found: dict[str, frozenset[str]] = {}
    for offer in offers:
        name, _, word = offer.partition("=")
        found[name] = found.get(name, frozenset()) | ({word} if word else set())
    return found


class Bash:
    """As bash-completion drives it."""

    LIBRARY = "/usr/share/bash-completion/bash_completion"

    def _offers(self, *typed: str) -> set[str]:
        """What TAB would show after TYPED, whose last word is unfinished."""
        # readline's word breaks are words of their own.
        parts = [part for word in typed for part in re.split("([=:])", word)]
        words = [*filter(None, parts[:-1]), parts[-1]]
        line = " ".join(typed)
        script = f"""
            source {self.LIBRARY}
            source {COMPLETIONS}/urunc-viewfs.bash
            compopt() {{ :; }}
            COMP_WORDS=({shlex.join(words)})
            COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)} COMP_CWORD={len(words) - 1}
            read -r _ _ function _ < <(complete -p {typed[0]})
            $function {typed[0]} {shlex.quote(words[-1])} {shlex.quote(words[-2])}
            ((${{#COMPREPLY[@]}} == 0)) || printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        # Without directories to offer.
        with tempfile.TemporaryDirectory() as empty:
            return set(_output("bash", "--norc", "-c", script, cwd=empty))

    def commands(self) -> set[str]:
        return {offer for offer in self._offers("viewfsctl", "") if not offer.startswith("-")}

    def options(self, *command: str) -> set[str]:
        return {offer.rstrip("=") for offer in self._offers(*command, "-")}

    def mount_options(self, *command: str) -> Choices:
        """After another one, as the first one is completed too."""
        offers = set()
        for offer in self._offers(*command, "-o", "ro,"):
            assert offer.startswith("ro,")
            offers.add(offer[3:])
            if offer.endswith("="):
                words = filter(WORD.fullmatch, self._offers(*command, "-o", offer))
                offers.update(offer[3:] + word for word in words)
        return _choices(offers)


class Zsh:
    """What zsh's own functions are told; what they make of it is zsh's."""

    STUBS = """
        _arguments() { print -rl -- "$@" }
        _values() { print -rl -- "$@" }
        _alternative() { print -rl -- "$@" }
        _files() { : }
        compset() { : }
    """

    def _told(self, service: str, then: str = "") -> list[str]:
        """The specifications for SERVICE, or those that THEN, some functions of ours, give."""
        quiet = ">/dev/null" if then else ""
        load = f"service={service}; source {COMPLETIONS}/_urunc-viewfs {quiet}"
        return _output("zsh", "-f", "-c", f"{self.STUBS}\n{load}\n{then}")

    def _specifications(self, *command: str) -> list[str]:
        if len(command) == 1:
            return self._told(command[0])
        return self._told(command[0], f"words=({command[1]}); _viewfsctl_command")

    def commands(self) -> set[str]:
        return set(re.findall(r"(\w+)\\:", "\n".join(self._told("viewfsctl"))))

    def options(self, *command: str) -> set[str]:
        specifications = "\n".join(self._specifications(*command))
        return set(re.findall(r"^(?:\(.*?\)|\*)?(-[\w-]+)[=+]?\[", specifications, re.MULTILINE))

    def mount_options(self, *command: str) -> Choices:
        assert any("-o+" in line and "_viewfs_mount_options" in line
                   for line in self._specifications(*command))  # fmt: skip
        offers = []
        for line in self._told("urunc-viewfs", "_viewfs_mount_options"):
            match = re.match(r"\*?([\w+.-]+)\[.*?\](?::[^:]*(?::(.*))?)?$", line)
            if match:
                words = self._words(match[2] or "")
                offers += [match[1], *(f"{match[1]}={word}" for word in words)]
        return _choices(offers)

    def _words(self, action: str) -> list[str]:
        """The fixed ones that an action offers, itself or by a function of ours."""
        if action.startswith("_viewfs"):
            action = "".join(self._told("urunc-viewfs", action))
        found = re.search(r"\((.*)\)", action)
        return found[1].split() if found else []


class Fish:
    """As fish itself completes."""

    def _offers(self, *typed: str) -> list[str]:
        script = f"source {COMPLETIONS}/urunc-viewfs.fish; complete -C {shlex.quote(' '.join(typed))}"
        return [line.split("\t")[0] for line in _output("fish", "--no-config", "-c", script)]

    def commands(self) -> set[str]:
        return set(self._offers("viewfsctl", ""))

    def options(self, *command: str) -> set[str]:
        return {offer.rstrip("=") for offer in self._offers(*command, "-")}

    def mount_options(self, *command: str) -> Choices:
        offers = self._offers(*command, "-o", "ro,")
        return _choices(offer.removeprefix("ro,") for offer in offers)
