# SPDX-License-Identifier: Apache-2.0
"""Add up what all test runners counted, and print the closing line of `tests/run`."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path


def _is_failed(case: ElementTree.Element) -> bool:
    return case.find("failure") is not None or case.find("error") is not None


def failed_in_cmocka(path: Path) -> list[str]:
    """The names of the tests of one cmocka group that failed."""
    return [
        f"unit-{suite.get('name')}: {case.get('name')}"
        for suite in ElementTree.parse(path).getroot().iter("testsuite")
        for case in suite.iter("testcase")
        if _is_failed(case)
    ]


def failed_in_meson(path: Path) -> list[str]:
    """The names of the tests that meson saw fail: a program, or a file of tests."""
    return [
        case.get("name", "").rpartition(" / ")[2]
        for case in ElementTree.parse(path).getroot().iter("testcase")
        if _is_failed(case)
    ]


def cmocka(path: Path) -> Counter[str]:
    """The counts of one cmocka group, written in JUnit's form."""
    suite = ElementTree.parse(path).getroot()
    total = failed = skipped = 0
    for node in suite.iter("testsuite"):
        total += int(node.get("tests", "0"))
        failed += int(node.get("failures", "0")) + int(node.get("errors", "0"))
        skipped += int(node.get("skipped", "0"))
    return Counter(passed=total - failed - skipped, failed=failed, skipped=skipped)


def corpora(path: Path) -> Counter[str]:
    """The counts of the fuzzing corpora in meson's own log: one test each."""
    counts: Counter[str] = Counter()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if ":fuzz / " not in case.get("name", ""):
            continue
        if case.find("skipped") is not None:
            counts["skipped"] += 1
        elif _is_failed(case):
            counts["failed"] += 1
        else:
            counts["passed"] += 1
    return counts


def main(directory: Path) -> int:
    counts: Counter[str] = Counter()
    missing: set[str] = set()
    failed: set[str] = set()
    for path in directory.glob("*.json"):
        result = json.loads(path.read_text())
        missing.update(result.pop("missing_in_kernel", []))
        failed.update(result.pop("failed_names", []))
        counts.update(result)
    for path in directory.glob("cmocka-*.xml"):
        counts.update(cmocka(path))
        failed.update(failed_in_cmocka(path))
    for path in directory.glob("meson-*.xml"):
        counts.update(corpora(path))
        failed.update(failed_in_meson(path))
    for reason in sorted(missing):
        print(f"not in this kernel: {reason}")
    for name in sorted(failed):
        print(f"failed: {name}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
