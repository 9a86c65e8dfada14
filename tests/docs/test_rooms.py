# SPDX-License-Identifier: Apache-2.0
"""The rooms of fuse/ and layerindex/: which room may include which, drawn from the includes."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# From the top down: a room may include rooms of later lines, never its own line's others.
FUSE = [["programs"], ["ctl"], ["fill", "serve"], ["view"], ["source"], ["live"],
        ["mount", "cli"], ["process"], ["base"]]  # fmt: skip
# What each room of layerindex may include. "public" is what stands beside the rooms.
LAYERINDEX = {
    "merge": {"layer", "index", "hash", "file", "public"},
    "layer": {"hash", "file", "public"},
    "index": {"hash", "file", "public"},
    "blob": {"store", "hash", "file", "public"},
    "store": {"hash", "file", "public"},
    "hash": {"public"},
    "file": {"public"},
    "public": {"public"},
}
PUBLIC = {
    "layerindex/layerindex.h",
    "layerindex/array.h",
    "layerindex/cleanup.h",
    "layerindex/descriptor.h",
    "layerindex/join.h",
}
# What fuse/ may include besides.
FOR_FUSE = PUBLIC | {
    "layerindex/file/whole.h",
    "layerindex/hash/digest.h",
    "layerindex/hash/sha256.h",
    "layerindex/layer/privilege.h",
    "layerindex/store/store.h",
}
# What fill/ may include besides, which viewfsctl alone links.
FOR_FILL = FOR_FUSE | {
    "layerindex/blob/layer-log.h",
    "layerindex/blob/partial.h",
    "layerindex/blob/stream.h",
    "layerindex/blob/toc.h",
}
PROGRAMS = {"urunc-viewfs.c", "viewfsctl.c", "mount-helper.c"}
RANK = {room: rank for rank, rooms in enumerate(FUSE) for room in rooms}


def room(path):
    """The top folder and the room of a file; a room of None is no room."""
    top, *rest = path.split("/")
    if len(rest) == 1:
        beside = rest[0] in PROGRAMS if top == "fuse" else path in PUBLIC
        return top, ("programs" if top == "fuse" else "public") if beside else None
    known = RANK if top == "fuse" else LAYERINDEX
    return top, rest[0] if len(rest) == 2 and rest[0] in known else None


def allowed(source, target):
    """Whether a file may include another."""
    (top, above), (its_top, below) = room(source), room(target)
    if top == "layerindex":
        return its_top == top and (above == below or below in LAYERINDEX[above])
    if its_top == "layerindex":
        return target in (FOR_FILL if above == "fill" else FOR_FUSE)
    return above == below or RANK[above] < RANK[below]


def tree():
    """Each source file with what it includes of the project."""
    names = [
        str(path.relative_to(ROOT))
        for top in ("fuse", "layerindex")
        for path in sorted((ROOT / top).rglob("*.[ch]"))
    ]
    return {
        name: re.findall(r'^#include "([^"]+)"', (ROOT / name).read_text(), re.M) for name in names
    }


def faults(files):
    """What is wrong with the arrows: files in no room, arrows up, circles of modules."""
    found = [f"{name} is in no room" for name in files if room(name)[1] is None]
    if found:
        return found
    found = [
        f"{name} must not include {target}"
        for name, targets in files.items()
        for target in targets
        if not allowed(name, target)
    ]
    # A header without a .c of its name is shared by a room's modules, and is none itself.
    modules = {name[:-2] for name in files if name.endswith(".c")}
    arrows = {}
    for name, targets in files.items():
        module = name[:-2]
        if module in modules:
            arrows.setdefault(module, set()).update({t[:-2] for t in targets} & modules - {module})
    return found + [f"circle: {' > '.join(circle)}" for circle in circles(arrows)]


def circles(arrows):
    """One path around each circle that a walk of the modules meets."""
    state, found = {}, []

    def walk(module, path):
        state[module] = "open"
        for target in sorted(arrows.get(module, ())):
            if state.get(target) == "open":
                found.append([*path[path.index(target) :], target])
            elif target not in state:
                walk(target, [*path, target])
        state[module] = "done"

    for module in sorted(arrows):
        if module not in state:
            walk(module, [module])
    return found


def test_arrows_only_go_down():
    assert faults(tree()) == []


@pytest.mark.parametrize(
    ("name", "target", "fault"),
    [
        ("fuse/base/text.c", "fuse/cli/options.h", "must not include"),
        ("fuse/mount/mountinfo.c", "fuse/cli/options.h", "must not include"),
        ("fuse/view/view.c", "layerindex/index/facts.h", "must not include"),
        ("layerindex/layer/layer.c", "layerindex/merge/stack.h", "must not include"),
        ("layerindex/merge/merge.c", "fuse/base/text.h", "must not include"),
        ("fuse/base/json.h", "fuse/base/clock.h", None),
        ("fuse/base/json.h", "layerindex/store/store.h", None),
        ("fuse/base/json.h", "layerindex/store/store-dir.h", "must not include"),
    ],
)
def test_a_planted_arrow_is_found(name, target, fault):
    files = tree()
    assert name in files
    files[name] = [*files[name], target]
    assert any(fault in found for found in faults(files)) if fault else faults(files) == []


def test_a_planted_circle_is_found():
    files = tree()
    files["fuse/base/error.h"] = [*files["fuse/base/error.h"], "fuse/base/json.h"]
    files["fuse/base/json.h"] = [*files["fuse/base/json.h"], "fuse/base/error.h"]
    assert any(found.startswith("circle: ") for found in faults(files))


def test_a_file_in_no_room_is_found():
    assert faults({**tree(), "fuse/new.c": []}) == ["fuse/new.c is in no room"]
    assert faults({**tree(), "fuse/attic/new.c": []}) == ["fuse/attic/new.c is in no room"]


@pytest.mark.parametrize("top", ["fuse", "layerindex"])
def test_the_readme_has_a_line_for_each_room(top):
    rooms = {path.name for path in (ROOT / top).iterdir() if path.is_dir()}
    told = re.findall(r"^\| `(\w+)/` \|", (ROOT / top / "README.md").read_text(), re.M)
    assert sorted(told) == sorted(rooms)


def test_no_header_needs_another_to_be_included_first(tmp_path):
    """Each header compiles alone, with the flags of the programs that use libfuse."""
    packages = subprocess.check_output(["pkg-config", "--cflags", "fuse3", "json-c", "mount"], text=True)
    flags = ["-std=gnu17", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-DFUSE_USE_VERSION=314"]
    unit = tmp_path / "all.c"
    for name in [name for name in tree() if name.endswith(".h")]:
        unit.write_text(f'#include "{name}"\n')
        command = ["cc", "-fsyntax-only", "-Wall", "-Werror", *flags, f"-I{ROOT}"]
        finished = subprocess.run(
            [*command, *packages.split(), str(unit)], capture_output=True, text=True, check=False
        )
        assert finished.returncode == 0, f"{name}: {finished.stderr}"
