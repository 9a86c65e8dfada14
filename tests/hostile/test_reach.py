# SPDX-License-Identifier: Apache-2.0
"""What the programs open while they look at an image that leads astray: nothing of the host's.

strace tells. Each path that is handed to the kernel is the caller's (layers, mountpoint) or a fixed
one of the system's; a name from an image only ever goes to openat2(2), beneath a layer's descriptor
and with every way out forbidden.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import test_config
import test_paths
from support import skipping
from support.bad_image import BadImage
from support.image import KERNEL_PATH
from support.view import View, program, run

CASES: dict[str, BadImage] = {
    **{f"config-{name}": case for name, case in test_config.HARMFUL.items() if "link" in name},
    **{f"config-{name}": case for name, case in test_config.BOOTS.items() if "link" in name},
    **{f"shown-{name}": case for name, case in test_paths.SHOWN.items()},
    **{f"harmful-{name}": case for name, case in test_paths.HARMFUL.items()},
}

BENEATH = {"RESOLVE_BENEATH", "RESOLVE_NO_SYMLINKS", "RESOLVE_NO_MAGICLINKS", "RESOLVE_NO_XDEV"}

SYSTEM = re.compile(
    r"""/etc/ld\.so\.(cache|preload) | /(usr/)?lib(64)?/[^"]*\.so[.\d]* | /etc/localtime
      | /proc/self/(fd/\d+|mountinfo|ns/user|exe|stat) | /dev/(fuse|null|fd/\d+)
      | /sys/class/bdi/\d+:\d+/read_ahead_kb | /
      # libselinux, which libmount links, as it is loaded
      | (/sys/fs)?/selinux | /proc/filesystems | /etc/selinux/config""",
    re.VERBOSE,
)
CALL = re.compile(r"^\d+ +(\w+)\((.*)")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


# A clone of a mount, as open_tree(2) makes it, has no path but this.
CLONE = "/"


def offences(log: str, own: list[str]) -> Iterator[str]:
    """The lines of strace's that hand a path to the kernel which is neither the system's nor one of
    OWN (or above it: realpath(3) looks at each part), nor beneath a layer."""
    mine = {part for path in own for part in [path, *map(str, Path(path).parents)]}
    for line in log.splitlines():
        match = CALL.match(line)
        if not match or match[1] in ("execve", "mount", "umount2", "fsconfig"):
            continue
        name, arguments = match.groups()
        start = re.match(r"\d+<([^>]*)>", arguments)
        beneath = start and any(start[1] in (p, CLONE) or start[1].startswith(p + "/") for p in own)
        (path,) = STRING.findall(arguments)[:1] or [""]
        if name == "openat2":
            fine = beneath and set(re.findall(r"RESOLVE_\w+", arguments)) == BENEATH
        elif path in ("", "."):
            # The descriptor itself.
            fine = beneath or path == ""
        else:
            fine = path in mine or SYSTEM.fullmatch(path)
        if not fine:
            yield line


WAYS_OUT = [
    'openat(AT_FDCWD</>, "/etc/passwd", O_RDONLY) = 3</etc/passwd>',
    'openat(AT_FDCWD</>, "/l/0/unikernel/kernel", O_RDONLY) = 3</l/0/unikernel/kernel>',
    'openat(4</l/0>, "etc/passwd", O_RDONLY|O_NOFOLLOW) = 3</l/0/etc/passwd>',
    'newfstatat(AT_FDCWD</>, "/proc/1/root", {}, 0) = 0',
    'readlink("/proc/self/root", "/", 9) = 1',
    'openat2(4</l/0>, "etc", {flags=O_RDONLY, resolve=RESOLVE_IN_ROOT}, 24) = 3</l/0/etc>',
    'openat2(4</l/0>, "etc", {flags=O_RDONLY, resolve=RESOLVE_BENEATH}, 24) = 3</l/0/etc>',
    'openat2(AT_FDCWD</>, "etc", {resolve=' + "|".join(sorted(BENEATH)) + "}, 24) = 3</etc>",
    'openat2(4</l/0.other>, "etc", {resolve=' + "|".join(sorted(BENEATH)) + "}, 24) = 3</etc>",
]
WAYS_IN = [
    'openat(AT_FDCWD</>, "/l/0", O_RDONLY|O_PATH|O_DIRECTORY) = 3</l/0>',
    'openat2(4</l/0>, "etc", {resolve=' + "|".join(sorted(BENEATH)) + "}, 24) = 3</l/0/etc>",
    'openat(AT_FDCWD</>, "/proc/self/fd/5", O_RDONLY) = 3</l/0/k>',
]


def test_a_planted_way_out_of_the_layers_is_noticed() -> None:
    """By whoever reads what strace wrote, below."""
    lines = [f"77 {line}" for line in WAYS_OUT]
    allowed = "".join(f"77 {line}\n" for line in WAYS_IN)
    assert list(offences(allowed + "\n".join(lines), ["/l/0", "/view"])) == lines


def strace(place: Path) -> list[object]:
    """A wrapper that writes down every call that takes a path."""
    if not shutil.which("strace"):
        skipping.skip("no strace")
    return ["strace", "-f", "-y", "-qq", "-s", "9999", "-o", place / "log", "--trace=%file", "--"]


def reaches_out(place: Path) -> list[str]:
    log = (place / "log").read_text(errors="replace")
    assert "openat2(" in log
    own = [place / "layers" / name for name in os.listdir(place / "layers")]
    return list(offences(log, [str(path) for path in [*own, place / "view"]]))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_resolve_opens_nothing_outside_the_layers(place: Path, case: BadImage) -> None:
    options = case.build(place)
    finished = run(*strace(place), program("viewfsctl"), "resolve", "-o", options, "none")
    assert finished.status == (32 if case.code else 0), finished
    assert reaches_out(place) == []


@pytest.mark.parametrize("name", ["absolute-etc/passwd", "through-a-link-to-proc", "forty-links"])
@pytest.mark.parametrize("passthrough", ["auto", "off"])
def test_a_view_opens_nothing_outside_its_layers(place: Path, name: str, passthrough: str) -> None:
    """From its mount to its end."""
    case = test_paths.SHOWN[name]
    options = case.build(place) + b",passthrough=" + passthrough.encode()
    with View(
        place / "view", "-o", options, foreground=True, wrapper=strace(place)
    ) as view:
        assert (view.root / KERNEL_PATH).read_bytes() == case.content
    assert reaches_out(place) == []
