# SPDX-License-Identifier: Apache-2.0
"""Every row of the table, put to the kernel and to the library.

test_the_kernel_does_what_the_row_says proves the table and the oracle;
test_a_view_does_what_the_row_says holds li-resolve against the kernel over the same directories, at
the row's own paths and at every other path that the layers have.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from cases import CASES, ROWS, Ask, Case
from support import comparison, namespace, overlay, resolver, skipping
from support.comparison import Within, Wrapper
from support.result import Result

EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.ident)
UNPRIVILEGED = [case for case in CASES if case.unprivileged]
PRIVILEGED = [case for case in CASES if not case.unprivileged]


@contextmanager
def built(case: Case, directory: Path) -> Iterator[list[bytes]]:
    """CASE's layers with its mounts, which go away before the directory does."""
    with ExitStack() as mounts:
        for index in case.tmpfs:
            (directory / str(index)).mkdir()
            mounts.enter_context(namespace.tmpfs(directory / str(index)))
        layers = case.stack.build(directory, case.userxattr)
        for index, path in case.covered:
            target = os.path.join(layers[index], path)
            mounts.enter_context(namespace.tmpfs(target))
            Path(os.fsdecode(target), "over").touch()
        yield layers


def with_kernel(case: Case, layers: list[bytes], scratch: Path, asks: list[Ask]) -> list[Result]:
    """The kernel's answers, after its listings were held against the table."""
    with overlay.Overlay(layers, scratch, case.userxattr) as kernel:
        for listing in case.listings():
            assert kernel.names(listing.path or b"/") == listing.listed(), listing.path
        return [kernel.resolve(*ask.question) for ask in asks]


def check_kernel(case: Case, layers: list[bytes], scratch: Path) -> list[str]:
    """Where the kernel does not say what the row expects."""
    wrong = []
    asks = case.asks()
    for ask, answer in zip(asks, with_kernel(case, layers, scratch, asks), strict=True):
        got = {name: getattr(answer, name) for name in ask.expected}
        if got != ask.expected:
            asked = comparison.spelled(ask.question)
            wrong.append(f"{asked}: expected {ask.expected}, kernel {answer}")
    return wrong


def every_ask(case: Case) -> list[Ask]:
    """The row's own, and whatever else the layers give reason to ask."""
    asks = case.asks()
    for path in case.stack.paths():
        for variant in (path, path + b"/", path + b"/..", path + b"/nope"):
            asks += [Ask(variant, nofollow, {}) for nofollow in (False, True)]
    for _, path in case.covered:
        asks.append(Ask(path + b"/over", False, {}))
    return asks


def need_resolver() -> None:
    if not os.access(resolver.program(), os.X_OK):
        skipping.skip(f"{resolver.program()} is not built (VIEWFS_BUILD names the build directory)")


def test_the_table_has_every_row() -> None:
    numbers = {int(case.ident.split("-")[1]) for case in CASES}
    assert numbers == set(range(1, ROWS + 1))
    assert len({case.ident for case in CASES}) == len(CASES)


@EVERY_CASE
def test_the_kernel_does_what_the_row_says(case: Case, layer_directory: Path) -> None:
    with built(case, layer_directory) as layers:
        if case.unprivileged:
            wrong = namespace.in_user_namespace(
                lambda: check_kernel(case, layers, layer_directory)
            )
        else:
            wrong = check_kernel(case, layers, layer_directory)
    assert not wrong, "\n".join(wrong)


def check_view(
    case: Case, directory: Path, within: Within = lambda ask: ask(), wrapper: Wrapper = ()
) -> None:
    """Hold li-resolve, started through WRAPPER, against the kernel; both are asked WITHIN."""
    need_resolver()
    asks = every_ask(case)
    questions = [ask.question for ask in asks]
    with built(case, directory) as layers:
        kernel, ours = within(
            lambda: (
                with_kernel(case, layers, directory, asks),
                resolver.resolve_all(layers, questions, case.userxattr, wrapper),
            )
        )
        found = comparison.differences(layers, questions, kernel, ours, placed=not case.covered)
    assert not found, "\n".join([case.note, *map(str, found)])


@pytest.mark.parametrize("case", PRIVILEGED, ids=lambda case: case.ident)
def test_a_view_does_what_the_row_says(case: Case, layer_directory: Path) -> None:
    check_view(case, layer_directory)


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
@pytest.mark.parametrize("case", PRIVILEGED, ids=lambda case: case.ident)
def test_a_view_does_what_the_row_says_without_openat2(
    case: Case, error: str, layer_directory: Path
) -> None:
    check_view(case, layer_directory, wrapper=comparison.without_openat2(error))


@pytest.mark.parametrize(
    "case", [case for case in PRIVILEGED if case.userxattr], ids=lambda case: case.ident
)
def test_a_view_does_what_the_row_says_in_a_user_namespace(
    case: Case, layer_directory: Path
) -> None:
    check_view(case, layer_directory, within=comparison.in_user_namespace)


# Root of a user namespace has CAP_SYS_ADMIN by name, and reads no trusted.* with it.
WITHOUT_PRIVILEGE = {
    "dropped": ("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"),
    "user-namespace": ("unshare", "--user", "--map-root-user"),
}


@pytest.mark.parametrize("way", WITHOUT_PRIVILEGE)
@pytest.mark.parametrize("case", UNPRIVILEGED, ids=lambda case: case.ident)
def test_trusted_marks_require_privilege(case: Case, way: str, layer_directory: Path) -> None:
    need_resolver()
    wrapper = WITHOUT_PRIVILEGE[way]
    with built(case, layer_directory) as layers:
        status, errors = resolver.refusal(layers, wrapper=wrapper)
        assert (status, errors.count("\n")) == (1, 1), errors
        status, errors = resolver.refusal(layers, userxattr=True, wrapper=wrapper)
        assert (status, errors) == (0, "")
