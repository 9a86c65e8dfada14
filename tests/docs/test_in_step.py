# SPDX-License-Identifier: Apache-2.0
"""--help, the manual, the completions, the README and the code say the same words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.build import SOURCE
from support.doc_options import (
    COMMON,
    MANUAL,
    commands_in_the_manual,
    help_of,
    manual_of,
    page,
    sections,
)
from support.export import version
from support.shells import Bash, Fish, Zsh
from support.view import program, run

PROGRAMS = ["urunc-viewfs", "mount.urunc-viewfs", "viewfsctl"]
SHELLS = [Bash(), Zsh(), Fish()]

shells = pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: type(shell).__name__)


def commands_in_help() -> set[str]:
    return help_of("viewfsctl").commands


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_manual_has_the_options_of_help(name: str) -> None:
    assert manual_of(f"{name}.8").options == help_of(name).options


@pytest.mark.parametrize("call", [PROGRAMS[:1], PROGRAMS[1:2], ["viewfsctl", "resolve"]])
def test_the_manual_has_the_mount_options_of_help(call: list[str]) -> None:
    """All of them stand in one page."""
    assert manual_of("urunc-viewfs.8").mount_options == help_of(*call).mount_options


def test_the_manual_has_the_commands_of_help() -> None:
    said = {name: help_of("viewfsctl", name).options - COMMON for name in commands_in_help()}
    assert commands_in_the_manual() == said


@shells
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_shell_completes_the_options_of_help(shell: Bash | Zsh | Fish, name: str) -> None:
    assert shell.options(name) == help_of(name).options


@shells
@pytest.mark.parametrize("call", [PROGRAMS[:1], PROGRAMS[1:2], ["viewfsctl", "resolve"]])
def test_a_shell_completes_the_mount_options_of_help(
    shell: Bash | Zsh | Fish, call: list[str]
) -> None:
    assert shell.mount_options(*call) == help_of(*call).mount_options


@shells
def test_a_shell_completes_the_commands_of_help(shell: Bash | Zsh | Fish) -> None:
    said = {name: help_of("viewfsctl", name).options - COMMON for name in commands_in_help()}
    offered = {name: shell.options("viewfsctl", name) - COMMON for name in shell.commands()}
    assert offered == said


def accepted_and_ignored() -> list[str]:
    """As the manual lists them: a value where one belongs, a name where it says any."""
    text = sections(page("urunc-viewfs.8"))["MOUNT OPTIONS"]
    (paragraph,) = re.findall(r"Accepted and ignored.*?\n\n", text, re.DOTALL)
    names = re.findall(r"\*(\S+?)\*(?=[,)\s])", paragraph)
    return [re.sub("=$", "=a", re.sub(r"\\(.)", r"\1", name)).replace("*", "a") for name in names]


def test_options_said_to_be_ignored_are_accepted() -> None:
    options = accepted_and_ignored()
    assert len(options) > 40
    for option in options:
        checked = run(program("mount.urunc-viewfs"), "-f", "none", "/", "-o", option)
        assert checked.status == 0, checked


def test_options_said_to_be_rejected_are_rejected() -> None:
    for option in ("remount", "user", "users"):
        assert f"*{option}*" in sections(page("urunc-viewfs.8"))["MOUNT OPTIONS"]
        refused = run(program("mount.urunc-viewfs"), "-f", "none", "/", "-o", option)
        assert refused.status == 1, refused
        assert f"'{option}'" in refused.stderr


def test_the_manual_has_the_codes_of_the_program() -> None:
    """The code's own list."""
    codes = set(re.findall(r"\bCODE_(E[A-Z]+)", (SOURCE / "fuse/base/error.h").read_text()))
    table = sections(page("urunc-viewfs.8"))["THE READY LINE"]
    assert set(re.findall(r"^\|  (E[A-Z]+)$", table, re.MULTILINE)) == codes


# --help promises no bug of ours.
BUG = "4"


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_manual_has_the_exit_statuses_of_help(name: str) -> None:
    calls = [(), *((command,) for command in help_of(name).commands)]
    helps = [run(program(name), *call, "--help").stdout for call in calls]
    said = re.findall(r"^Exit status: (.*)", "\n".join(helps), re.MULTILINE)
    in_help = set(re.findall(r"\d+", " ".join(said)))
    in_page = set(re.findall(r"^\*(\d+)\*$", sections(page(f"{name}.8"))["EXIT STATUS"], re.M))
    assert in_page == in_help | {BUG}


def test_the_readme_names_only_options_that_exist() -> None:
    """It need not say all, but nothing else."""
    options = set().union(*(help_of(name).options for name in PROGRAMS))
    options |= set().union(*(help_of("viewfsctl", name).options for name in commands_in_help()))
    mount_options = set(help_of("urunc-viewfs").mount_options)
    text = (SOURCE / "README.md").read_text()
    said = set(re.findall(r"^(?:\# )?(?:urunc-viewfs|viewfsctl \w+) .*?(--[\w-]+)", text, re.M))
    assert said <= options
    (table,) = re.findall(r"^\| mount option.*?\n\n", text, re.DOTALL | re.MULTILINE)
    first_column = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    assert set(re.findall(r"`([\w+.]+)", " ".join(first_column))) <= mount_options
    assert set(re.findall(r"`viewfsctl (\w+)", text)) <= commands_in_help()


def test_the_packages_have_the_version_and_the_fields_of_one_place() -> None:
    checked = run(SOURCE / "packaging/stamp", "--check")
    assert (checked.status, checked.stderr) == (0, "")


def ours(text: str) -> set[str]:
    """The pages of ours that TEXT refers to."""
    links = re.findall(r"\*([\w.-]*viewfs[\w.-]*)\*\((\d)\)", text)
    return {f"{name}.{section}" for name, section in links}


def test_each_page_exists_and_is_referred_to() -> None:
    """Each exists, and each can be come to by the ends of the others."""
    pages = {path.name.removesuffix(".scd") for path in MANUAL.glob("*.scd")}
    ends = {name: ours(sections(page(name))["SEE ALSO"]) - {name} for name in pages}
    assert set().union(*(ours(page(name)) for name in pages)) <= pages
    assert set().union(*ends.values()) == pages
    assert all("urunc-viewfs.8" in end for name, end in ends.items() if name != "urunc-viewfs.8")


@pytest.mark.parametrize("source", sorted(MANUAL.glob("*.scd")), ids=lambda path: path.stem)
def test_man_formats_each_page_without_a_warning(source: Path) -> None:
    """Without a warning, as meson built it."""
    built = program().parents[1] / "packaging" / source.stem
    shown = run("man", "--warnings", "--local-file", built, env={"MANWIDTH": "80"})
    # Of the length of a printed page; a terminal has none.
    warnings = [line for line in shown.stderr.splitlines() if "will not fit on one page" not in line]
    assert (shown.status, warnings) == (0, [])
    assert shown.stdout.splitlines()[0].startswith(source.stem.rpartition(".")[0] + "(")


def test_the_packages_have_the_version_of_meson_build() -> None:
    """And NEWS.md has a section for it."""
    wanted = version()
    changelog = (SOURCE / "packaging/debian/changelog").read_text()
    spec = (SOURCE / "packaging/rpm/urunc-viewfs.spec").read_text()
    news = (SOURCE / "NEWS.md").read_text()
    assert re.match(r"urunc-viewfs \((.*)-\d+\) ", changelog)[1] == wanted
    assert re.findall(r"^Version: +(\S+)$", spec, re.MULTILINE) == [wanted]
    assert re.findall(r"^\* .* - (\S+)-\d+$", spec, re.MULTILINE)[0] == wanted
    assert wanted in re.findall(r"^## (\S+) - \d{4}-\d\d-\d\d$", news, re.MULTILINE)


def test_the_picture_of_the_demonstration_shows_each_line_whole() -> None:
    text = (SOURCE / "tests/e2e/demo.svg").read_text()
    assert text.count("/snapshots/") >= 3
    assert "…" not in text


def test_the_readmes_troubleshooting_quotes_messages() -> None:
    text = (SOURCE / "README.md").read_text()
    (table,) = re.findall(r"^\| what you see .*?\n\n", text, re.DOTALL | re.MULTILINE)
    cells = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    # The kernel and umount(8) say these two.
    others = {"Transport endpoint is not connected", "umount: target is busy"}
    quoted = {code for cell in cells for code in re.findall(r"`(.*?)`", cell)} - others
    assert len(quoted) >= 8
    header = (SOURCE / "fuse/base/messages.h").read_text().replace("\\\n", " ")
    messages = re.sub(r'"\s+"', "", header)
    for code in quoted:
        shape = code.replace("'…'", "'%s'").replace("layer N", "layer %zu").replace("10 s", "%u s")
        shape = shape.replace("any of N layers", "%s").replace(": No such file or directory", ": %s")
        assert shape in messages, code


def test_meson_runs_each_file_of_tests() -> None:
    """A file that tests/meson.build does not list is never run by `meson test`, nor by CI."""
    text = (SOURCE / "tests/meson.build").read_text()
    suites = re.findall(r"^  '(\w+)': \[\n(.*?)^  \]", text, re.DOTALL | re.MULTILINE)
    listed = {f"{suite}/{name}" for suite, names in suites for name in re.findall(r"'(\w+)'", names)}
    files = [path.relative_to(SOURCE / "tests") for path in SOURCE.glob("tests/*/test_*.py")]
    assert len(files) > 60
    assert {f"{path.parent}/{path.stem.removeprefix('test_')}" for path in files} == listed
