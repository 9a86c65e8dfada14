# SPDX-License-Identifier: Apache-2.0
"""Messages, --help, the manual and the documents use plain words, and none that was replaced."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.build import SOURCE
from support.view import program, run

PROGRAMS = ["urunc-viewfs", "mount.urunc-viewfs", "viewfsctl"]
COMMANDS = ["resolve", "list", "umount", "gc", "index", "doctor"]
DOCUMENTS = [
    "README.md",
    "SECURITY.md",
    "packaging/containerd/README.md",
    *sorted(str(path.relative_to(SOURCE)) for path in (SOURCE / "packaging/man").glob("*.scd")),
]

# Each is a regular expression that ignores case; a space stands for any white space.
OLD_WORDS = [
    r"\bsealed\b",
    r"\bunsealed\b",
    r"sandbox whole\b",
    r"\bmend(s|ed)?\b",
    r"\bkeeper\b",
    r"\bcheckup\b",
    r"viewfsctl cache\b",
]
OLD_PHRASES = [
    "did not say hello",
    "the way there is blocked",
    "one argument too many",
    "left without a word",
    "(call's )?words are off",
    "the machine lacks",
    "accepted without effect",
    "owners mapped, as containerd means it",
    "what no view works with",
    "only to who mounts",
    "nothing but what none can leave out",
    "hypervisor who answers",
    "asks a view anything",
    "gets his own code to run",
    "costs no more than a miss",
]
RULES = [
    r"\bnobody\b",
    r"\bwhoever\b",
    r"\blets? go of\b",
    r"\b(is|are) to be\b",
    r"\bfor good\b",
    r"\bby itself\b",
    r"\bsomebody\b",
    r"(^|[.:;,] )who (may|writes?|names?|asks?|mounts?)\b",
    r"\bit takes (CAP_|Linux|a |an )",
    r"\bno one\b",
]
TEST = re.compile(r"^(?:def|static void) test_(\w+)\(", re.MULTILINE)
FORBIDDEN = [
    re.compile(each.replace(" ", r"\s+"), re.IGNORECASE | re.MULTILINE)
    for each in OLD_WORDS + OLD_PHRASES + RULES
]


def found_in(text: str) -> list[str]:
    return [match.group(0) for pattern in FORBIDDEN for match in pattern.finditer(text)]


def messages() -> str:
    """The string literals of the messages, adjacent ones joined."""
    text = (SOURCE / "fuse/base/messages.h").read_text().replace("\\\n", " ")
    return "\n".join(re.sub(r'"\s+"', "", line) for line in re.findall(r"#define MSG_.*", text))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_uses_plain_words(name: str) -> None:
    assert found_in((SOURCE / Path(name)).read_text()) == []


def test_messages_use_plain_words() -> None:
    text = messages()
    assert text.count("MSG_") > 50
    assert found_in(text) == []


@pytest.mark.parametrize(
    "call", [*([name] for name in PROGRAMS), *(["viewfsctl", name] for name in COMMANDS)], ids=" ".join
)
def test_help_uses_plain_words(call: list[str]) -> None:
    shown = run(program(call[0]), *call[1:], "--help")
    assert shown.status == 0
    assert found_in(shown.stdout) == []


@pytest.mark.parametrize(
    "text",
    ["nobody needs it", "The call's words\nare off.", "a view is sealed", "Who writes an entry", "mended"],
)
def test_a_planted_word_is_found(text: str) -> None:
    assert found_in(text)


def too_short(source: str) -> list[str]:
    """Names of tests that cannot be a sentence: it has a subject and a verb, and says of what."""
    return [name for name in TEST.findall(source) if name.count("_") < 2]


def test_the_name_of_each_test_is_a_sentence() -> None:
    files = [*SOURCE.glob("tests/*/test_*.py"), *SOURCE.glob("tests/unit/test-*.c")]
    assert len(files) > 80
    found = {path.name: short for path in files if (short := too_short(path.read_text()))}
    assert found == {}, "these names do not say what must hold"


def test_a_planted_short_name_is_found() -> None:
    planted = "def test_use() -> None:\nstatic void test_a_row(void **state)\n"
    assert too_short(planted) == ["use", "a_row"]
    assert too_short("def test_a_view_is_found() -> None:\n") == []
