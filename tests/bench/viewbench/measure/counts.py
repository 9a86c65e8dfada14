# SPDX-License-Identifier: Apache-2.0
"""What is the same in every run, however busy the machine is: calls, requests, pages.

The short form in continuous integration holds a view to these; times would only be noise there.
"""

from __future__ import annotations

import mmap
import re
import shutil
from pathlib import Path

from support import pagecache
from support.requests import Requests

from .. import faults
from ..bench import Bench, Section
from ..builds import Build, compilers
from ..contenders import Start, duties, view
from ..material import ARTIFACTS, Stack
from ..mounting import children, mounted, wait_until
from ..report import Table

COUNTED = ("LOOKUP", "OPEN", "RELEASE", "READ")

_CALL = re.compile(r"^\d+ +\w+\(")
_END = re.compile(r"^\d+ +exit_group\(")


def measure(bench: Bench) -> Section:
    """Three tables: page faults and system calls until a view is ready, requests while it is read."""
    section = Section()
    faulting = _faulting(bench, section)
    if not shutil.which("strace"):
        bench.leave_out("counts: left out, strace is not installed")
        section.tables = [faulting]
        return section
    section.tables = [faulting, _starting(bench, section), _reading(bench, section)]
    return section


def _faulting(bench: Bench, section: Section) -> Table:
    notes = [
        f"{bench.reference}; both processes', from exec until the caller may go on, as the kernel"
        " counts them"
    ]
    table = Table("Page faults until a view is ready", ["", "page faults"], notes)
    least = [duties(bench.programs, linkage) for linkage in compilers(bench.builds)]
    for contender in [*map(view, bench.builds), *least]:
        found = faults.count(bench, contender)
        table.add(contender.name, "-" if found is None else str(found))
        section.data.setdefault(contender.name, {})["faults"] = found
    return table


def _starting(bench: Bench, section: Section) -> Table:
    sizes = sorted(bench.stacks)
    columns = ["", *map(str, bench.stacks.values()), "each layer"]
    notes = ["Both processes', from exec until the caller may go on; the dynamic linker's too."]
    table = Table("System calls until a view is ready", columns, notes)
    for build in bench.builds:
        found = {size: _calls(bench, build, bench.stacks[size]) for size in sizes}
        few, many = bench.scale.reference, sizes[-1]
        each = (found[many] - found[few]) / (many - few) if many > few else None
        shown = "-" if each is None else f"{each:.2f}"
        table.add(build.name, *(str(found[size]) for size in sizes), shown)
        section.data[build.name] |= {
            "calls": {str(size): count for size, count in found.items()},
            "calls_per_layer": each,
        }
    return table


def _calls(bench: Bench, build: Build, stack: Stack) -> int:
    """How many until the process that was called ends. -D: the tracer is none of its parents, and
    goes on while the view is served."""
    log = bench.directory / "strace.log"
    contender = view(build)

    def start(stack: Stack, target: Path) -> Start:
        plain = contender.start(stack, target)
        strace = [shutil.which("strace") or "", "-D", "-f", "-qq", "-o", log, "--"]
        return Start([*strace, *plain.argv], plain.root, plain.unmount)

    with mounted(type(contender)(build.name, start), stack, bench.target("calls")):
        pass
    lines = log.read_text(errors="replace").splitlines()
    calls = [line for line in lines if _CALL.match(line)]
    return next(i for i, line in enumerate(calls) if _END.match(line))


def _reading(bench: Bench, section: Section) -> Table:
    columns = ["", *COUNTED, "page cache of its own, bytes"]
    notes = [
        "Every artifact opened twice, read to its end, and mapped: the requests that reach the"
        " view's process, and what is then in a page cache that is not the layer's (cachestat)."
    ]
    table = Table("Requests while all artifacts are read", columns, notes)
    for build in bench.builds:
        with mounted(view(build), bench.reference, bench.target("counts")) as start:
            assert start.root
            (daemon,) = _settled()
            with Requests(start.root, daemon, bench.directory) as requests:
                cached = sum(_read(start.root / path) for path in ARTIFACTS)
                counts = requests.counts()
        found = {name: counts[name] for name in COUNTED}
        table.add(build.name, *map(str, found.values()), str(cached))
        section.data.setdefault(build.name, {}).update(requests=found, cached_bytes=cached)
    return table


def _settled() -> set[int]:
    """The one process that is left when the one that was called has ended."""
    wait_until(lambda: len(children()) == 1, "a view to be on its own")
    return children()


def _read(path: Path) -> int:
    """Returns: how many bytes the file then has in a page cache of its own."""
    for _ in range(2):
        with path.open("rb", buffering=0) as file:
            file.readall()
            with mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ) as mapping:
                mapping[:]
            cached = pagecache.cached_of(file.fileno())
    return cached * pagecache.PAGE
