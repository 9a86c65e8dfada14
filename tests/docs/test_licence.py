# SPDX-License-Identifier: Apache-2.0
"""Each source file says its licence; REUSE.toml says it for the files that cannot."""

from __future__ import annotations

import fnmatch
import subprocess
import tomllib

import pytest
from support import skipping
from support.build import SOURCE

# Joined here, or `reuse lint` reads the quotation mark as part of the licence.
TAG = ": ".join(["SPDX-License-Identifier", "Apache-2.0"])
# The tag stands above the code: below `#!`, `#compdef` and a manual page's title at most.
LINES = 3


def tracked() -> list[str]:
    command = ["git", "-C", SOURCE, "-c", f"safe.directory={SOURCE}", "ls-files", "-z"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        skipping.skip("no checkout: git does not say which files are the project's")
    return done.stdout.decode().split("\0")[:-1]


def without_tag(files: list[str]) -> list[str]:
    """Those of FILES that neither say their licence nor are named by REUSE.toml."""
    table = tomllib.loads((SOURCE / "REUSE.toml").read_text())
    named = [path for entry in table["annotations"] if "SPDX-License-Identifier" in entry
             for path in entry["path"]]  # fmt: skip
    return [
        name
        for name in files
        if not any(fnmatch.fnmatchcase(name, path) for path in named)
        and not name.startswith("LICENSE")
        and (SOURCE / name).is_file()
        and TAG.encode() not in b"".join((SOURCE / name).read_bytes().splitlines(True)[:LINES])
    ]


def test_each_source_file_says_its_licence() -> None:
    files = tracked()
    assert len(files) > 100
    assert without_tag(files) == []


@pytest.mark.parametrize("suffix", [".c", ".h", ".py", ".sh", ".build", ".scd", ".service", ""])
def test_no_kind_of_source_file_is_exempt(suffix: str) -> None:
    """A file without the tag would be found: none of REUSE.toml's patterns names such a file."""
    table = tomllib.loads((SOURCE / "REUSE.toml").read_text())
    named = [path for entry in table["annotations"] if "SPDX-License-Identifier" in entry
             for path in entry["path"]]  # fmt: skip
    assert not any(fnmatch.fnmatchcase(f"fuse/serve/new{suffix}", path) for path in named)
