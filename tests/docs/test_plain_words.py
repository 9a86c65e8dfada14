# SPDX-License-Identifier: Apache-2.0
"""Messages, --help, the manual and the documents use plain words, and none that was replaced; code
uses no name that was replaced; comments follow the rules on pronouns; a test's name is a sentence.

Each pattern is a regular expression that ignores case, in which a space stands for any white space,
with an example that it must find.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from support.build import SOURCE
from support.view import program, run

PROGRAMS = ["urunc-viewfs", "mount.urunc-viewfs", "viewfsctl"]
COMMANDS = ["resolve", "list", "umount", "upgrade", "gc", "index", "store", "doctor"]
DOCUMENTS = [
    "README.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "NEWS.md",
    "fuse/README.md",
    "layerindex/README.md",
    "packaging/containerd/README.md",
    "packaging/containerd/URUNC.md",
    "tests/README.md",
    "packaging/static/install",
    *(
        str(path.relative_to(SOURCE))
        for pattern in ("man/*.scd", "completions/*urunc-viewfs*", "containerd/**/*.go")
        for path in sorted((SOURCE / "packaging").glob(pattern))
    ),
]
# It says which words were replaced.
MAY_NAME_OLD_WORDS = {"NEWS.md"}

OLD_WORDS = {
    r"\b(un)?seal(ed|s|ing)?\b": "a view is sealed",
    r"sandbox (is )?\"?whole\b": "the sandbox is whole",
    r"\bview_digest\b|\bFNV\b": "an FNV hash",
    r"viewfsctl cache\b|\bcache\(5\)": "run viewfsctl cache clear",
    r"\bmend(s|ed|ing)?\b": "the fault and its mend",
    r"(?<!process)(^|[\s(])titles?\b": "the title of the view",
    r"\bdrafts?\b": "the draft of the line",
    r"\bservers\b|\ba server\b": "a server for each view",
    r"\bserving_want\b|\bserving\.[ch]\b": "see serving.c",
    r"\bkeepers?\b|\bkeep\(\)|\bbounded\.[ch]\b|\bbackground\.[ch]\b": "the keeper waits",
    r"\bcheckups?\b": "a checkup of the host",
    r"\bsentences\.h\b|\bSAY_[A-Z]": "SAY_CACHE",
    r"\bboot\.[ch]\b": "read by boot.c",
    r"\bsource forms?\b|\btyped (layers?|paths?|names?)\b|\bdiscovered\b": "typed layers",
    r"\bstruct overlay\b": "struct overlay",
    r"\bobserv(ed|ations?)\b|\breaches? of (a|the) cursor\b": "what was observed",
    r"\bmarks\.[ch]\b": "marks.h",
    r"\b(un)?settle(s|d)?\b": "once the view is settled",
    r"\bbur(y|ies|ied)\b|\bdetach_this\b": "the mount is buried",
    r"\bstruct making\b|\bintroduce\(\)|\bannounce\(\)": "struct making",
    r"\b(launcher|ctl)_words\b|\b(call's )?words are off\b": "The call's words\nare off.",
    r"\bshortages?\b|\bnumber_parse\b|\btext_print\b|\bstruct held\b": "a shortage of memory",
    r"\bis_mounted\b|\bis_fuse\b|\bhas_id\b": "is_fuse(fd)",
}
OLD_PHRASES = {
    "did not say hello": "the kernel did not say hello",
    "the way there is blocked|given up after": "the way there is blocked, given up after 10 s",
    "one argument too many": "'x' is one argument too many",
    "left without a word|died before it was ready": "died before it was ready: it left without a word",
    "words are off": "The call's words are off",
    "the machine lacks": "The machine lacks something",
    "accepted without effect|always on stays on": "Accepted without effect are those that",
    "owners mapped, as containerd means it|from C on": "Show owners mapped, as containerd means it",
    "what no view works with|only to who mounts|nobody sees it": "An error is what no view works with",
    "nothing but what none can leave out": "a program that does nothing but what none can leave out",
    "hypervisor who answers": "it is the hypervisor who answers",
    "asks a view anything": "None of these commands asks a view anything that it could",
    "gets (his|their) own code to run|owns the host by": "whoever gets his own code to run at this point",
    "costs no more than a miss": "that it is another one for the same content costs no more than a miss",
}
PRONOUNS = {
    r"\bnobody\b|\bno one\b": "nobody needs it",
    r"\bwhoever\b|\bwhomever\b": "whoever mounts it",
    r"\b(some|any|every)(body|one)\b": "somebody may write it",
    r"\b(he|his|him|himself)\b": "who says that he serves a view",
    r"\blets? go\b|\bletting go\b": "the caller lets go of it",
    r"\b(is|are|was|were) to be\b": "a file that is to be read",
    r"\bfor good\b|\bfor ever\b": "it is given up for good",
    r"\bby itself\b|\bby themselves\b": "it ends by itself",
}
RULES = {
    **PRONOUNS,
    r"(^|[.:;,(] ?)who (is|may|has|can|writes?|names?|asks?|mounts?|wants?)\b": "Who writes an entry",
    r"(^|[.:;] )(what|that which) (is|was|has|may|can|must)\b(?![^.:]*\?)": "What is missing is made",
    r"\bit takes (CAP_|Linux|a |an |no |the )": "it takes CAP_SYS_ADMIN",
    r"\b(that|which) takes (CAP_|no |any )": "that takes CAP_SYS_ADMIN",
    r"\b(accepts|takes) no value\b|\bneeds a value\b": "'x' takes no value",
    r"\b(is|are) off\b(?! by)": "the option is off",
    r"\bof no use\b|\bcannot be had\b": "entries of no use",
    r"\bleads? nowhere\b": "a path that leads nowhere",
    r"\bwithout a word\b|\bsays? nothing\b": "it ends without a word",
    r"\bif nothing else is said\b|\bas .{1,20} means it\b": "unsigned, if nothing else is said",
}
NAMES = r"""SEAL_WHOLE view_digest serving_want SAY_[A-Z_]+ mountpoint_bury mountpoint_detach_this
    launcher_words ctl_words is_shortage number_parse text_print is_mounted is_fuse has_id""".split()

TEST = re.compile(r"^(?:def|static void) test_(\w+)\(", re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


def compiled(patterns: Iterable[str]) -> list[re.Pattern[str]]:
    return [re.compile(each.replace(" ", r"\s+"), re.IGNORECASE | re.MULTILINE) for each in patterns]


REPLACED, PHRASES, BY_RULE = (compiled(each) for each in (OLD_WORDS, OLD_PHRASES, RULES))
IN_COMMENTS = compiled(PRONOUNS)


def found_in(text: str, *lists: list[re.Pattern[str]]) -> list[str]:
    patterns = sum(lists or (REPLACED, PHRASES, BY_RULE), [])
    return [match.group(0).strip() for each in patterns for match in each.finditer(text)]


def messages() -> str:
    """The string literals of the messages, adjacent ones joined."""
    text = (SOURCE / "fuse/base/messages.h").read_text().replace("\\\n", " ")
    return "\n".join(re.sub(r'"\s+"', "", line) for line in re.findall(r"#define MSG_.*", text))


def code() -> list[Path]:
    return [path for room in ("fuse", "layerindex") for path in (SOURCE / room).rglob("*.[ch]")]


def comments(source: str) -> str:
    return "\n".join(re.sub(r"\n\s*\*", " ", each) for each in COMMENT.findall(source))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_uses_plain_words(name: str) -> None:
    lists = (PHRASES, BY_RULE) if name in MAY_NAME_OLD_WORDS else ()
    assert found_in((SOURCE / Path(name)).read_text(), *lists) == []


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


def test_every_command_is_read() -> None:
    listed = re.findall(r"^  ([a-z]+) ", run(program("viewfsctl"), "--help").stdout, re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


def test_comments_use_plain_pronouns() -> None:
    files = code()
    assert len(files) > 150
    found = {
        str(path.relative_to(SOURCE)): words
        for path in files
        if (words := found_in(comments(path.read_text()), IN_COMMENTS))
    }
    assert found == {}


def test_code_has_no_name_that_was_replaced() -> None:
    old = re.compile(rf"\b({'|'.join(NAMES)})\b")
    assert {path.name for path in code() if old.search(path.read_text())} == set()


@pytest.mark.parametrize("pattern", [*OLD_WORDS, *OLD_PHRASES, *RULES])
def test_a_planted_example_is_found(pattern: str) -> None:
    example = {**OLD_WORDS, **OLD_PHRASES, **RULES}[pattern]
    assert found_in(example, compiled([pattern]))
    assert found_in(f"A view is read-only.\n{example}\nIt ends with its mount.\n")


def test_a_planted_comment_is_found() -> None:
    source = "int x; /* Waits for\n * ever: nobody\n * reads. */\nint y; // by itself\n"
    assert found_in(comments(source), IN_COMMENTS) == ["nobody", "for  ever", "by itself"]


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
