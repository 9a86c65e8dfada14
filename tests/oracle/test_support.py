# SPDX-License-Identifier: Apache-2.0
"""The oracle's own tools: a wrong ruler measures nothing."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cases import CASES
from support import comparison, machine, namespace, overlay, resolver, skipping, stack
from support.result import Result
from support.waiting import wait_until

VOCABULARY = {name: getattr(stack, name) for name in dir(stack)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.ident)
def test_a_printed_stack_evaluates_to_the_same_stack(case) -> None:
    assert eval(repr(case.stack), dict(VOCABULARY)) == case.stack


def test_only_what_differs_is_printed() -> None:
    assert repr(stack.File(b"x")) == "File(b'x')"
    assert repr(stack.Dir(mode=0o700, uid=3)) == "Dir(mode=0o700, uid=3)"
    assert repr(stack.XattrWhiteout()) == "XattrWhiteout()"


def test_built_trees_are_equal(layer_directory: Path) -> None:
    layer = {b"d/s": stack.Symlink(b"t"), b"d/w": stack.Whiteout(), b"h": stack.HardLink(b"d/w")}
    seen = []
    for copy in ("1", "2"):
        [root] = stack.Stack([layer]).build(layer_directory / copy)
        paths = [root, *(os.path.join(root, p) for p in stack.complete(layer) if p)]
        seen.append([(s.st_mode, s.st_rdev, s.st_mtime_ns) for s in map(os.lstat, paths)])
    assert seen[0] == seen[1]
    assert {mtime for _, _, mtime in seen[0]} == {stack.EPOCH_NS}


def test_every_kind_can_have_the_longest_name(layer_directory: Path) -> None:
    longest = b"n" * 255
    kinds = [stack.File(b""), stack.Dir(), stack.Symlink(b"t"), stack.Fifo(), stack.Socket()]
    layers = stack.Stack([{longest: kind} for kind in kinds]).build(layer_directory)
    modes = [os.lstat(os.path.join(root, longest)).st_mode for root in layers]
    formats = [stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK]
    assert [stat.S_IFMT(mode) for mode in modes] == formats


def test_layer_directories_may_have_any_name(layer_directory: Path) -> None:
    """Every character that the option string or mountinfo treats specially."""
    layers = []
    names = [b"a:b", b"a,b", b"a\\b", b"a b", b"a\nb", b"a=\t#\xff", b"\\", b":,"]
    for index, name in enumerate(names):
        root = os.path.join(os.fsencode(layer_directory), name)
        stack.build_layer({b"f%d" % index: stack.File(name)}, root)
        layers.append(root)
    with overlay.Overlay(layers, layer_directory) as kernel:
        for index, root in enumerate(layers):
            assert kernel.resolve(b"f%d" % index).content == os.path.basename(root)


def test_a_single_layer_can_be_mounted(layer_directory: Path) -> None:
    layers = stack.Stack([{b"f": stack.File(b"x")}]).build(layer_directory)
    with overlay.Overlay(layers, layer_directory) as kernel:
        assert kernel.resolve(b"f").content == b"x"
        assert kernel.names(b"/") == {b"f"}


def test_the_kernels_most_layers_can_be_mounted(layer_directory: Path) -> None:
    tower = stack.Stack([{b"f%d" % index: stack.File(b"x")} for index in range(500)])
    layers = tower.build(layer_directory)
    with overlay.Overlay(layers, layer_directory) as kernel:
        assert kernel.resolve(b"f0").content == b"x"
        assert kernel.resolve(b"f499").content == b"x"


def test_options_are_not_cut(layer_directory: Path) -> None:
    layers = [os.fsencode(layer_directory / f"{index:0200}") for index in range(30)]
    for root in layers:
        stack.build_layer({}, root)
    with pytest.raises(ValueError, match="bytes of mount options"):
        overlay.Overlay(layers, layer_directory).__enter__()


def test_a_lost_layer_is_noticed(layer_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = stack.Stack([{}, {}, {}]).build(layer_directory)
    whole = overlay.mount_options
    monkeypatch.setattr(overlay, "mount_options", lambda names, user: whole(names[:-1], user))
    with pytest.raises(AssertionError, match="3 layers, but 2 mounted"):
        overlay.Overlay(layers, layer_directory).__enter__()
    assert not os.path.ismount(layer_directory / "merged")


def test_mounts_stay_with_the_tests(private_mounts: None) -> None:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        assert " shared:" not in file.read()


def test_a_user_namespace_gives_its_result_and_its_errors(private_mounts: None) -> None:
    assert namespace.in_user_namespace(lambda: os.getuid()) == 0
    ids = Path("/proc/self/uid_map").read_text
    assert namespace.in_user_namespace(lambda: ids().split()) == ["0", "0", "1"]
    assert namespace.in_user_namespace(lambda: ids().split(), 100) == ["0", "0", "100"]
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        namespace.in_user_namespace(lambda: 1 // 0)


def test_lines_of_li_resolve_are_parsed() -> None:
    assert resolver.parse(b'{"error":"ENOENT"}') == Result(error="ENOENT")
    line = (
        b'{"type":"file","mode":420,"uid":1,"gid":2,"size":2,"mtime_ns":7,"rdev":[0,0],'
        b'"layer":1,"origin":"2f66","content":"6869"}'
    )
    parsed = resolver.parse(line)
    assert parsed == Result(
        type="file", mode=0o644, uid=1, gid=2, size=2, mtime_ns=7, content=b"hi"
    )
    assert (parsed.layer, parsed.origin) == (1, b"/f")
    unreadable = resolver.parse(line.replace(b'"content":"6869"', b'"open_error":"EIO"'))
    assert (unreadable.content, unreadable.unreadable) == (None, "EIO")
    assert unreadable != parsed
    with pytest.raises(resolver.ResolverError):
        resolver.parse(b'{"error":"EWRONG"}')


OPENAT2 = "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True)\n"
OPENAT2 += f"print(libc.syscall({overlay.SYS_OPENAT2}, -1, None, None, 0), ctypes.get_errno())"


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
def test_openat2_fails_as_asked(error: str) -> None:
    command = [*comparison.without_openat2(error), sys.executable, "-c", OPENAT2]
    if not os.access(command[0], os.X_OK):
        skipping.skip(f"{command[0]} is not built (VIEWFS_BUILD names the build directory)")
    finished = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (finished.stdout, finished.stderr) == (f"-1 {getattr(errno, error)}\n", "")


@pytest.mark.parametrize("must_run", ["", "1"])
def test_a_missing_tool_fails_where_everything_must_run(
    must_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing tool fails where everything must run; a missing kernel feature never does."""
    monkeypatch.setenv("VIEWFS_MUST_RUN", must_run)
    monkeypatch.setattr(skipping, "missing_in_kernel", [])
    outcome = pytest.fail.Exception if must_run else pytest.skip.Exception
    with pytest.raises(outcome):
        skipping.skip("no such tool")
    with pytest.raises(pytest.skip.Exception):
        skipping.skip_kernel("no such feature")
    assert skipping.missing_in_kernel == ["no such feature"]


def test_a_test_counts_the_processes_that_it_started_and_no_others(private_mounts: None) -> None:
    """No process of a test beside it; a daemon in another namespace is one of them."""
    machine.adopt_orphans()
    command = ["unshare", "--mount", "setsid", "sh", "-c", "sleep 600 >/dev/null & echo $!"]
    pid = int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    try:
        assert machine.descendants()[pid] == "sleep"
        assert not {1, os.getppid(), os.getpid()} & machine.descendants().keys()
    finally:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in machine.descendants(), "it to end")
    machine.bury()
