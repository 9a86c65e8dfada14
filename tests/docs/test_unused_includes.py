# SPDX-License-Identifier: Apache-2.0
"""tests/static/unused-includes finds an include that nothing uses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support import skipping
from support.build import SOURCE
from support.view import run

HEADERS = {
    "fuse/used.h": "#pragma once\nint used(void);\n",
    "fuse/unused.h": "#pragma once\nint unused(void);\n",
}
PLANTED = """#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fuse/unused.h"
#include "fuse/used.h"

int main(void)
{
\tstruct stat st;

\treturn stat("/", &st) < 0 ? puts("no root") : used();
}
"""


USED = PLANTED.replace("used()", 'used() + unused() + (int)strlen("")')


@pytest.mark.parametrize(
    ("text", "found"),
    [(PLANTED, ["fuse/unused.h", "string.h"]), (USED, [])],
    ids=["planted", "used"],
)
def test_an_unused_include_is_found(tmp_path: Path, text: str, found: list[str]) -> None:
    if not shutil.which("iwyu_tool"):
        skipping.skip("no include-what-you-use")
    for name, header in {**HEADERS, "fuse/planted.c": text}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(header)
    command = f"clang -I{tmp_path} -c fuse/planted.c"
    entry = {"directory": str(tmp_path), "command": command, "file": "fuse/planted.c"}
    (tmp_path / "compile_commands.json").write_text(json.dumps([entry]))
    checked = run(SOURCE / "tests/static/unused-includes", tmp_path, cwd=tmp_path)
    assert checked.stdout.splitlines() == [
        f"fuse/planted.c: {header} is included and not used" for header in found
    ]
    assert checked.status == (1 if found else 0)
