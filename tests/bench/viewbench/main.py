# SPDX-License-Identifier: Apache-2.0
"""The command: its words, the two halves (outside and inside the namespaces), and the report."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from support import namespace

from . import (
    bars,
    builds,
    charts,
    document,
    isolation,
    material,
    measure,
    mounting,
    rust,
    system,
)
from .bench import FULL, QUICK, Bench, Scale
from .builds import Build
from .contenders import view

SOURCE = material.HERE.parent.parent

OURS_ONLY = {"index", "counts"}
"""Measurements without peers."""

DESCRIPTION = """\
Measure urunc-viewfs beside everything else that could be done in its place, in one run.

Needs root and a C compiler. Contenders take turns; each figure is a median with its quartiles in
brackets. Ratios come first: they hold elsewhere too. Absolute numbers are of this machine and run,
and of nothing else. Runs in a mount and a PID namespace of its own, below one directory (in
$TMPDIR, else /var/tmp), and leaves nothing. The last table has the numbers that the project set
out to reach.

fuse-overlayfs 2 takes part where it is installed below $VIEWFS_FUSE_OVERLAYFS_2 (default:
fuse-overlayfs-2.0.0 in the first build directory; none: not at all). A full run installs it there
by cargo 1.85 or newer, once.
`--only index --builds DIR` measures the index alone, and says from how many layers on it pays.
"""


@dataclass(frozen=True)
class Words:
    """The command line."""

    quick: bool
    only: Sequence[str]
    layers: Sequence[int]
    builds: Sequence[Path]
    json: Path | None
    charts: Path | None
    inside: Path | None

    def command(self) -> list[str]:
        """The same words again, for the inside."""
        words = ["--quick"] if self.quick else []
        if self.only:
            words += ["--only", *self.only]
        if self.layers:
            words += ["--layers", *map(str, self.layers)]
        if self.json:
            words += ["--json", str(self.json)]
        if self.charts:
            words += ["--charts", str(self.charts)]
        return [*words, "--builds", *map(str, self.builds)]


def _parse(arguments: Sequence[str]) -> Words:
    parser = argparse.ArgumentParser(
        prog="tests/bench/run",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="few rounds, small sizes")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", choices=list(measure.ALL),
        help=f"only these measurements: {', '.join(measure.ALL)}",
    )  # fmt: skip
    parser.add_argument(
        "--layers", nargs="+", default=[], type=int, metavar="N",
        help="stacks of so many layers, besides those of 20",
    )  # fmt: skip
    parser.add_argument(
        "--builds", nargs="+", default=[], type=Path, metavar="DIR",
        help="build directories to measure, each with fuse/urunc-viewfs"
        " (default: $VIEWFS_BUILD, else `build`, which is made)",
    )  # fmt: skip
    parser.add_argument(
        "--json", type=Path, metavar="FILE",
        help="write every figure to FILE too, after each measurement",
    )  # fmt: skip
    parser.add_argument(
        "--charts", type=Path, metavar="DIR",
        help="draw charts into DIR, and write the figures that they show to DIR/result.json;"
        " tests/bench/draw draws them again from that file",
    )  # fmt: skip
    parser.add_argument(isolation.INSIDE, type=Path, help=argparse.SUPPRESS)
    return Words(**vars(parser.parse_args(arguments)))


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 0 if all that was asked for was measured, met or not."""
    words = _parse(arguments)
    if words.inside:
        return _inside(words.inside, words)
    if os.geteuid() != 0:
        sys.exit("bench: must run as root: it mounts")
    directories = list(words.builds)
    if not directories:
        named = os.environ.get("VIEWFS_BUILD")
        directories = [Path(named) if named else builds.make(SOURCE)]
    resolved = [directory.resolve() for directory in directories]
    json_file = words.json.resolve() if words.json else None
    charts_directory = words.charts.resolve() if words.charts else None
    words = replace(words, builds=resolved, json=json_file, charts=charts_directory)
    os.environ[rust.VARIABLE] = str(rust.prefix(resolved[0]))
    if not words.quick and not (words.only and set(words.only) <= OURS_ONLY):
        rust.install()
    return isolation.run(str(material.HERE / "run"), words.command())


def _inside(directory: Path, words: Words) -> int:
    begin = time.monotonic()
    mounting.adopt_orphans()
    mounts = system.mounts()
    bench = _prepare(directory, _scale(words), words.builds)
    environment = _environment(bench)
    results: dict[str, Any] = {}
    measured = True
    for name, measurement in measure.ALL.items():
        if words.only and name not in words.only:
            continue
        try:
            section = measurement(bench)
        except mounting.Failed as failure:
            mounting.end_all()
            bench.leave_out(f"{name}: NOT MEASURED: {failure}")
            measured = False
            continue
        results[name] = section.data
        for table in section.tables:
            print(f"\n{table}", end="", flush=True)
        if words.json:
            words.json.write_text(document.dumps({"environment": environment, "results": results}))
    verdicts = bars.judge(bench.builds, results, bench.scale.reference)
    print(f"\n{bars.table(verdicts, words.quick)}")
    for line in bench.left_out:
        print(line)
    if os.getloadavg()[0] > (os.cpu_count() or 1):
        print("The machine was busy with other things too: ratios are worse than they need be.")
    namespace.unmount(bench.tmpfs)
    left = _left(mounts)
    print(f"{time.monotonic() - begin:.0f} s; load average {_load()}; left behind: {left}")
    found = {
        "environment": {**environment, "load_at_end": _load()},
        "results": results,
        "bars": bars.data(verdicts),
        "left_out": bench.left_out,
    }
    _write(document.dumps(found), words)
    return 0 if left == "nothing" and measured else 1


def _scale(words: Words) -> Scale:
    scale = QUICK if words.quick else FULL
    layers = sorted({*words.layers, scale.reference}) if words.layers else scale.layers
    return replace(scale, layers=layers)


def _write(text: str, words: Words) -> None:
    """The charts are drawn from what was written: so they can be again."""
    if words.json:
        words.json.write_text(text)
    if words.charts:
        words.charts.mkdir(exist_ok=True)
        (words.charts / charts.RESULT).write_text(text)
        charts.draw(json.loads(text), words.charts)


def _left(mounts_before: Sequence[str]) -> str:
    """Mounts and processes that are here and should not be."""
    others = {pid: name for pid, name in system.processes().items() if pid != os.getpid()}
    found = sorted(set(system.mounts()) - set(mounts_before))
    return ", ".join(found + [f"{name} ({pid})" for pid, name in others.items()]) or "nothing"


def _prepare(directory: Path, scale: Scale, build_directories: Sequence[Path]) -> Bench:
    found = builds.find(build_directories)
    programs = directory / "bin"
    material.compile_programs(programs, builds.compilers(found))
    tmpfs = directory / "tmpfs"
    tmpfs.mkdir()
    namespace.mount("tmpfs", tmpfs, "tmpfs", 0, "mode=0755,size=90%")
    large = material.Artifacts.make(directory / "large", scale.binary, scale.initrd)
    small = material.Artifacts.make(directory / "small", scale.small_binary, scale.small_initrd)
    bench = Bench(
        directory,
        scale,
        found,
        programs,
        tmpfs,
        {count: large.stack(directory / f"layers-{count}", count) for count in scale.layers},
        small.stack(directory / "layers-small", scale.reference),
        material.squash(large, directory / "image.squashfs"),
    )
    os.sync()  # what is not on disk yet cannot be thrown out of the page cache
    return bench


# --- the heading ---


def _load() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def _environment(bench: Bench) -> dict[str, Any]:
    """Says on what all of it was measured; for the JSON too."""
    memory = system.meminfo()["MemTotal"] / 2**30
    where = subprocess.run(
        ["findmnt", "-n", "-o", "FSTYPE", "-T", bench.directory], capture_output=True, text=True
    )
    environment = {
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "filesystem": where.stdout.strip(),
        "load_at_begin": _load(),
        "builds": [_build(bench, build) for build in bench.builds],
    }
    print(
        f"Linux {environment['kernel']}, {environment['cpus']} CPUs, {memory:.0f} GiB,"
        f" {environment['filesystem']}; load average {environment['load_at_begin']}"
    )
    for build in environment["builds"]:
        print(f"{build['name']}: {build['linkage']}, {build['kind']}; {build['passthrough']}")
    return environment


def _build(bench: Bench, build: Build) -> dict[str, str]:
    in_force = _passthrough(bench, build)
    said = {True: "passthrough in force", False: "no passthrough", None: "NOT WORKING"}[in_force]
    return {
        "name": build.name,
        "linkage": build.linkage,
        "kind": build.kind,
        "version": build.version,
        "passthrough": said,
    }


def _passthrough(bench: Bench, build: Build) -> bool | None:
    """What the ready line of a view says."""
    line = bench.directory / "ready"
    script = 'line=$1; shift; exec "$@" 3>"$line"'
    contender = view(build, ["--ready-fd=3"])
    start = contender.start(bench.reference, bench.target("ready"))
    argv = ["/bin/sh", "-c", script, "sh", line, *start.argv]
    try:
        mounting.run(type(start)(argv, start.root, start.unmount), bench.directory / "ready.log")
    except mounting.Failed as failure:
        bench.leave_out(f"{build.name}: {failure}")
        return None
    mounting.take_away(start)
    mounting.reap()
    return bool(json.loads(line.read_text())["passthrough"])
