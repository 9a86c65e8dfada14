# SPDX-License-Identifier: Apache-2.0
"""What can be typed, as --help and the manual say it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .build import SOURCE
from .view import program, run

MANUAL = SOURCE / "packaging" / "man"

# Every command has them; where they are said differs.
COMMON = {"-h", "--help", "-V", "--version"}

Choices = Mapping[str, frozenset[str]]


@dataclass
class Words:
    """The options of one program or command; mount options with the fixed words they take; and the
    commands, of which the manual is asked by commands_in_the_manual()."""

    options: set[str] = field(default_factory=set)
    mount_options: dict[str, frozenset[str]] = field(default_factory=dict)
    commands: set[str] = field(default_factory=set)


def _options(text: str) -> list[str]:
    return re.findall(r"(?:^|[\s,\[|])(--?[A-Za-z][\w-]*)", text)


def _choices(value: str) -> frozenset[str]:
    """The words in lazy|ready; what stands for something of the caller's is in capitals."""
    return frozenset(word for word in value.split("|") if re.fullmatch("[a-z]+", word))


def help_of(name: str, *command: str) -> Words:
    """What `NAME COMMAND --help` says."""
    finished = run(program(name), *command, "--help")
    assert (finished.status, finished.stderr) == (0, ""), finished
    found = Words()
    section = ""
    for line in finished.stdout.splitlines():
        if line.endswith(":"):
            section = line
        item = re.split(r" {2,}", line.strip())[0]
        if section == "Mount options:":
            match = re.match(r"-o ([\w+.-]+)(?:=(\S+))?$", item)
            if match:
                found.mount_options[match[1]] = _choices(match[2] or "")
        elif line.startswith("  ") and item.startswith("-"):
            found.options.update(_options(item))
        elif section == "Commands:" and line.startswith("  "):
            found.commands.add(item.split()[0])
    return found


def page(name: str) -> str:
    """The source of a page of the manual, such as viewfsctl.8."""
    return (MANUAL / f"{name}.scd").read_text()


def sections(text: str, level: str = "#") -> dict[str, str]:
    """By their headings."""
    parts = re.split(rf"^{level} (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def _plain(text: str) -> str:
    """Without scdoc's marks."""
    return re.sub(r"\\(.)", r"\1", re.sub(r"(?<!\\)\*|(?<![\w\\])_|(?<!\\)_(?!\w)", "", text))


def _terms(section: str) -> Iterable[str]:
    """The lines that something indented explains."""
    for term in re.findall(r"^([*_].*)\n\t", section, re.MULTILINE):
        yield _plain(term)


def manual_of(name: str) -> Words:
    """What the page of a program says."""
    parts = sections(page(name))
    found = Words()
    for term in _terms(parts["OPTIONS"]):
        found.options.update(_options(term))
    for term in _terms(parts.get("MOUNT OPTIONS", "")):
        for option in term.split(", "):
            key, _, value = option.partition("=")
            found.mount_options[key] = _choices(value)
    return found


def commands_in_the_manual() -> dict[str, set[str]]:
    """The commands of viewfsctl and the options of each, but for the common ones."""
    found = {}
    commands = sections(page("viewfsctl.8"))["COMMANDS"]
    for heading, text in sections(commands, "##").items():
        offered = {option for term in _terms(text) for option in _options(term)}
        # The synopsis; scdoc does not format what stands in a heading.
        assert re.fullmatch(r"[a-z]+", heading), heading
        synopsis = text.strip().partition("\n")[0]
        assert synopsis.startswith(f"*viewfsctl {heading}*"), synopsis
        named = set(_options(_plain(synopsis)))
        assert offered == named, f"'{synopsis}' and what follows it differ"
        found[heading] = offered
    return found
