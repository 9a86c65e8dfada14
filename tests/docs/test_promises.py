# SPDX-License-Identifier: Apache-2.0
"""Each promise that promises.toml quotes stands in its document, and the tests that hold it exist."""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path

import pytest
from planted import FAULTS
from support.build import SOURCE

PROMISES: dict[str, dict[str, list[str]]] = tomllib.loads(
    Path(__file__).with_name("promises.toml").read_text()
)
DEFINED = re.compile(r"^(?:def|static void) (test_\w+)\(", re.MULTILINE)


def plain(text: str) -> str:
    """TEXT without markup, in one line."""
    return " ".join(re.sub(r"[*_`\\]", "", text).split())


@functools.cache
def defined_in(name: str) -> frozenset[str]:
    path = SOURCE / "tests" / name
    return frozenset(DEFINED.findall(path.read_text())) if path.is_file() else frozenset()


def missing_tests(tests: list[str]) -> list[str]:
    pairs = [(each, *each.partition("::")[::2]) for each in tests]
    return [each for each, file, name in pairs if name not in defined_in(file)]


@pytest.mark.parametrize("document", PROMISES)
def test_each_promise_stands_in_its_document(document: str) -> None:
    text = plain((SOURCE / document).read_text())
    assert [quoted for quoted in PROMISES[document] if plain(quoted) not in text] == []


@pytest.mark.parametrize("document", PROMISES)
def test_each_promise_is_held_by_tests_that_exist(document: str) -> None:
    for quoted, tests in PROMISES[document].items():
        assert tests, quoted
        assert missing_tests(tests) == [], quoted


def test_each_planted_fault_replaces_a_text_that_is_there() -> None:
    """And breaks a promise that is listed: tests/docs/plant can plant all of them."""
    texts = {fault.file: (SOURCE / fault.file).read_text() for fault in FAULTS}
    assert [fault for fault in FAULTS if fault.old not in texts[fault.file]] == []
    assert [fault for fault in FAULTS if fault.promise not in PROMISES[fault.document]] == []
    assert len(FAULTS) >= 20


def test_each_document_makes_promises() -> None:
    pages = {str(path.relative_to(SOURCE)) for path in (SOURCE / "packaging/man").glob("*.scd")}
    documents = {"README.md", "SECURITY.md", "packaging/containerd/README.md", *pages}
    assert set(PROMISES) == documents
    assert sum(map(len, PROMISES.values())) > 120


def test_a_planted_fault_in_the_list_is_found() -> None:
    here = "docs/test_promises.py"
    assert missing_tests([f"{here}::test_each_document_makes_promises"]) == []
    assert missing_tests([f"{here}::test_of_no_one", "docs/none.py::test_x"]) != []
    assert plain("a *view* is\n\t_read_-only") == "a view is read-only"
