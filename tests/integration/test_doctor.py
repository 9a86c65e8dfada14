# SPDX-License-Identifier: Apache-2.0
"""viewfsctl doctor: whatever is not as views need it is found, and the fix told."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support import image, machine, namespace
from support.comparison import without_openat2
from support.control import kill, stopped, viewfsctl
from support.helper_process import HelperProcess
from support.image import lowerdir
from support.injection import injecting
from support.stack import File
from support.view import Argument, View, program, run

MS_BIND = 0x1000

Finding = dict[str, Any]

STATUS = {"ok": 0, "note": 0, "warning": 0, "error": 32}


def doctor(*wrapper: Argument, path: Path | None = None, **how: Any) -> list[Finding]:
    """The findings; the status is that of the worst."""
    finished = run(*wrapper, path or program("viewfsctl"), "doctor", "--json", **how)
    assert finished.stderr == ""
    findings = json.loads(finished.stdout)["findings"]
    severities = [finding["severity"] for finding in findings]
    worst = max(severities, key=list(STATUS).index)
    assert finished.status == STATUS[worst], findings
    # Others may test on this machine.
    return [f for f in findings if not f["finding"].endswith("no mount of this namespace leads to")]


def found(findings: Sequence[Finding], subject: str) -> Finding:
    (finding,) = (finding for finding in findings if finding["subject"] == subject)
    return finding


def expect(
    findings: Sequence[Finding], subject: str, severity: str, text: str, fix: str | None
) -> None:
    """That there is one of that SUBJECT; TEXT and FIX are regular expressions."""
    finding = found(findings, subject)
    assert finding["severity"] == severity, finding
    assert re.search(text, finding["finding"]), finding
    assert (finding["fix"] is None) == (fix is None), finding
    assert fix is None or re.search(fix, finding["fix"]), finding


@contextmanager
def covered(*paths: str) -> Iterator[None]:
    """Empty directories over PATHS."""
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(namespace.tmpfs(path))
        yield


@contextmanager
def bound(source: Argument, at: Argument) -> Iterator[None]:
    namespace.mount(os.fsencode(source), os.fsencode(at), None, MS_BIND)
    try:
        yield
    finally:
        namespace.unmount(os.fsencode(at))


def write(path: str, text: str = "") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def test_text_and_json_hold_the_same_findings() -> None:
    """The same findings, and every fix below what it fixes."""
    with machine.private_dev():
        findings = doctor()
        finished = viewfsctl("doctor")
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding['severity']:7}  {finding['subject']:11}  {finding['finding']}")
        if finding["fix"]:
            lines.append(f"{'':22}→ {finding['fix']}")
        assert set(finding) == {"severity", "subject", "finding", "fix"}
    told = finished.stdout.splitlines()
    for n, line in enumerate(told):
        if "no mount of this namespace leads to" in line:
            del told[n : n + 2]
    assert told == lines
    assert (finished.status, finished.stderr) == (32, "")
    text = viewfsctl("doctor", "--help").stdout
    assert re.findall(r'"(\w+)"', text) == ["findings", *findings[0]]
    assert all(severity in text for severity in STATUS)


def test_a_suitable_machine_has_no_errors() -> None:
    findings = doctor()
    expect(findings, "kernel", "ok", rf"^Linux {re.escape(os.uname().release)}$", None)
    expect(findings, "device", "ok", "/dev/fuse can be opened", None)
    expect(findings, "privilege", "ok", "CAP_SYS_ADMIN in the initial user namespace", None)
    expect(findings, "openat2", "ok", "one system call looks a path up", None)
    expect(findings, "program", "ok", rf"{program()} starts \(built with libfuse 3\.", None)
    assert found(findings, "passthrough")["severity"] in ("ok", "note")


def test_passthrough_is_reported_as_a_view_has_it(place: Path) -> None:
    option = lowerdir(image.usual().build(place / "layers"))
    with View(place / "view", "-o", option) as view:
        severity = "ok" if view.ready["passthrough"] else "note"
        assert found(doctor(), "passthrough")["severity"] == severity


def test_doctor_leaves_nothing_mounted() -> None:
    before = machine.mounts(None)
    doctor()
    assert machine.mounts(None) == before


def test_an_old_kernel_is_an_error() -> None:
    findings = doctor("setarch", "--uname-2.6")
    expect(findings, "kernel", "error", "^Linux 2.6.* is too old$", "Linux 5.9 or newer")


def test_a_root_that_is_no_mount_point_is_no_error(place: Path) -> None:
    """As in a chroot(8): what was tried there is not what a view does."""
    root = place / "root"
    root.mkdir()

    with ExitStack() as stack:
        # All that is there, but not as a mount at the root itself.
        for name in os.listdir("/"):
            source = Path("/", name)
            if source.is_symlink():
                (root / name).symlink_to(os.readlink(source))
            elif source.is_dir():
                (root / name).mkdir()
                namespace.mount(str(source), str(root / name), None, MS_BIND | 0x4000)
                stack.callback(namespace.unmount, str(root / name))
        with HelperProcess() as process:
            process.call(os.chroot, root)
            process.call(os.chdir, "/")
            findings = process.call(doctor)
    assert not [f for f in findings if f["subject"] == "mount"], findings
    assert found(findings, "passthrough") == found(doctor(), "passthrough")


def test_a_filter_that_allows_no_trial_is_no_error(place: Path) -> None:
    """Where neither a mount that is nowhere nor a private namespace can be had."""
    wrapper = injecting(place / "log", "fsopen:error=EPERM", "unshare:error=EPERM")
    findings = doctor(*wrapper)
    expect(findings, "passthrough", "note", "not known", "seccomp")
    assert not [f for f in findings if f["subject"] == "mount"], findings


def test_a_missing_device_is_an_error() -> None:
    with machine.private_dev():
        expect(doctor(), "device", "error", "/dev/fuse: No such file", "modprobe fuse")


def test_a_denied_device_is_an_error() -> None:
    with machine.private_dev("fuse") as dev:
        (dev / "fuse").chmod(0o600)
        findings = doctor(user="nobody")
    expect(findings, "device", "error", "/dev/fuse: Permission denied", "run as root")
    expect(findings, "privilege", "warning", "without CAP_SYS_ADMIN", "run as root")
    assert not [finding for finding in findings if finding["subject"] == "passthrough"]


def test_a_device_that_is_not_fuse_is_an_error() -> None:
    """What is mounted to try it fails, then."""
    with machine.private_dev():
        os.mknod("/dev/fuse", 0o600 | 0o020000, os.makedev(1, 3))
        expect(doctor(), "mount", "error", "cannot be mounted: Invalid argument", "kernel's log")


def test_a_user_namespace_is_a_warning() -> None:
    findings = doctor("unshare", "--user", "--map-root-user", "--mount", "--")
    expect(findings, "privilege", "warning", "trusted.overlay", "userxattr")
    assert not [finding for finding in findings if finding["subject"] == "passthrough"]


def test_a_forbidden_openat2_is_a_note() -> None:
    findings = doctor(*without_openat2("EPERM"))
    expect(findings, "openat2", "note", "forbidden", "seccomp")


def test_a_program_that_does_not_start_is_an_error(place: Path) -> None:
    alone = Path(shutil.copy(program("viewfsctl"), place))
    expect(
        doctor(path=alone), "program", "error", f"{place}/urunc-viewfs: No such file", "^install"
    )
    (place / "urunc-viewfs").write_text("#!/bin/sh\nexit 127\n")
    (place / "urunc-viewfs").chmod(0o755)
    expect(
        doctor(path=alone), "program", "error", f"{place}/urunc-viewfs does not start", "by hand"
    )
    # One that never ends is as good as none.
    (place / "urunc-viewfs").write_text("#!/bin/sh\nexec sleep 60\n")
    start = time.monotonic()
    expect(
        doctor(path=alone), "program", "error", f"{place}/urunc-viewfs does not start", "by hand"
    )
    assert time.monotonic() - start < 20


def hidden(name: str) -> ExitStack:
    """No program of that NAME."""
    stack = ExitStack()
    for directory in ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"):
        if os.path.exists(f"{directory}/{name}"):
            stack.enter_context(bound("/dev/null", f"{directory}/{name}"))
    return stack


@pytest.mark.parametrize(
    "name, why", [("mount.fuse3", "containerd"), ("fusermount3", "users other than root")]
)
def test_a_missing_fuse3_is_a_note(name: str, why: str) -> None:
    with hidden(name):
        expect(doctor(), "fuse3", "note", f"{name} is missing; .*{why}", "install fuse3")
    expect(doctor(), "fuse3", "ok", "are installed", None)


@pytest.mark.parametrize(
    "unit, drop_ins, mode",
    [
        ("[Service]\nKillMode=process\n", {}, "process"),
        ("[Service]\n", {}, "control-group"),
        ("[Service]\nKillMode=process\n", {"x.conf": "[Service]\nKillMode=mixed\n"}, "mixed"),
        ("[Service]\n", {"x.conf": "[Service]\nKillMode=process\n"}, "process"),
        ("[Service]\n", {"x.conf~": "[Service]\nKillMode=process\n"}, "control-group"),
        (
            "[Service]\n",
            {"10.conf": "[Service]\nKillMode=process\n", "20.conf": "[Service]\nKillMode=\n"},
            "control-group",
        ),
    ],
)
def test_containerds_kill_mode_is_judged(unit: str, drop_ins: dict[str, str], mode: str) -> None:
    with covered("/etc/systemd/system"):
        write("/etc/systemd/system/containerd.service", unit)
        for name, text in drop_ins.items():
            write(f"/etc/systemd/system/containerd.service.d/{name}", text)
        findings = doctor()
    if mode == "process":
        expect(findings, "containerd", "ok", "KillMode=process: views outlive", None)
    else:
        expect(findings, "containerd", "warning", f"KillMode={mode}: ", "KillMode=process in")


def of(findings: Sequence[Finding], subject: str) -> list[tuple[str, str]]:
    return [(f["severity"], f["finding"]) for f in findings if f["subject"] == subject]


@contextmanager
def own_etc(place: Path) -> Iterator[None]:
    """Where files can be put that this machine does not have."""
    for name in ("upper", "work"):
        (place / name).mkdir()
    options = f"lowerdir=/etc,upperdir={place}/upper,workdir={place}/work"
    namespace.mount("overlay", "/etc", "overlay", 0, options)
    try:
        yield
    finally:
        namespace.unmount("/etc")


VERSION_2 = "plugins.\"io.containerd.grpc.v1.cri\".containerd"
VERSION_3 = "plugins.'io.containerd.cri.v1"


@pytest.mark.parametrize(
    ("text", "severity", "said"),
    [
        ("", "ok", "overlayfs: views are made from the layers"),
        (f"[{VERSION_2}]\n  snapshotter = \"overlayfs\"\n", "ok", "overlayfs: "),
        (f"[{VERSION_2}]\n  snapshotter = \"devmapper\"\n", "note", "devmapper: .* no layer"),
        (f"[{VERSION_3}.images']\nsnapshotter = 'blockfile'\n", "note", "blockfile: .* no layer"),
        (f"[{VERSION_3}.images']\nsnapshotter = 'erofs'\n", "ok", "erofs: "),
        ("[plugins.cri.containerd]\nsnapshotter = 'native'\n", "note", "native: .* writable"),
        ("[plugins.cri.containerd]\nsnapshotter = 'nydus'\n", "note", "nydus: another one"),
    ],
)
def test_the_snapshotter_is_told_with_what_it_means(
    place: Path, text: str, severity: str, said: str
) -> None:
    with own_etc(place), covered("/var/lib"):
        write("/etc/containerd/config.toml", text)
        ((told, finding),) = of(doctor(), "snapshotter")
        assert told == severity
        assert re.search("^/etc/containerd/config.toml: " + said, finding), finding


def test_the_snapshotter_of_urunc_is_told_if_it_is_another_one(place: Path) -> None:
    """In the configurations of k3s and rke2, too."""
    with own_etc(place), covered("/var/lib"):
        write("/etc/containerd/config.toml", f"[{VERSION_2}.runtimes.urunc]\nsnapshotter='devmapper'\n")
        k3s = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml"
        both = f"[{VERSION_3}.images']\nsnapshotter='overlayfs'\n"
        write(k3s, f"{both}[{VERSION_3}.runtime'.containerd.runtimes.urunc]\nsnapshotter='overlayfs'\n")
        told = of(doctor(), "snapshotter")
    assert [severity for severity, _ in told] == ["ok", "note", "ok"]
    assert "devmapper for urunc: images have no layer" in told[1][1]
    assert told[2][1].startswith(f"{k3s}: overlayfs: ")


def test_the_program_that_urunc_is_told_of_must_be_there(place: Path) -> None:
    with own_etc(place):
        assert of(doctor(), "urunc") == []
        write("/etc/urunc/config.toml", "[extra_binaries.virtiofsd]\npath = '/x'\n")
        expect(doctor(), "urunc", "ok", "names no path of urunc-viewfs", None)
        write("/etc/urunc/config.toml", f"[extra_binaries.urunc-viewfs]\npath = '{program()}'\n")
        expect(doctor(), "urunc", "ok", f"names {program()}$", None)
        write("/etc/urunc/config.toml", "[extra_binaries.urunc-viewfs]\npath = '/none'\n")
        expect(doctor(), "urunc", "warning", "names /none: No such file", "extra_binaries")


@pytest.mark.parametrize("on_path", [True, False])
def test_the_path_of_containerd_must_lead_to_the_program(place: Path, on_path: bool) -> None:
    sleep = Path(shutil.copy("/bin/sleep", place / "containerd"))
    path = f"/none:{program().parent}" if on_path else "/none:relative"
    # In a PID namespace where no other containerd runs.
    script = """
        mount -t proc proc /proc
        env -i PATH="$1" "$2" 60 &
        until [ "$(cat /proc/$!/comm)" = containerd ]; do :; done
        "$3" doctor --json
    """
    words = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "sh", "-c", script, "sh"]
    finished = run(*words, path, sleep, program("viewfsctl"))
    findings = json.loads(finished.stdout)["findings"]
    if on_path:
        expect(findings, "shim", "ok", f"leads to {program()}$", None)
    else:
        expect(findings, "shim", "warning", "no directory on the PATH", "containerd.service")


SNAPSHOTS = "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs"


def test_snapshots_on_an_overlay_are_a_note(place: Path) -> None:
    with covered("/var/lib"):
        os.makedirs(SNAPSHOTS)
        expect(doctor(), "snapshots", "ok", "is not on a stacked filesystem", None)
        for name in ("lower", "upper", "work"):
            (place / name).mkdir()
        options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"
        namespace.mount("overlay", SNAPSHOTS, "overlay", 0, options)
        expect(doctor(), "snapshots", "note", "is on an overlay", "disk filesystem")
        namespace.unmount(SNAPSHOTS)
        with machine.silent_fuse(Path(SNAPSHOTS)):
            expect(doctor(), "snapshots", "warning", "does not answer", "check the filesystem")


def test_an_apparmor_profile_of_fusermount3_is_a_note(place: Path) -> None:
    with covered("/sys/module"), ExitStack() as stack:
        if not os.path.isdir("/etc/apparmor.d"):
            # Where there is none, one cannot be put.
            stack.enter_context(own_etc(place))
            os.mkdir("/etc/apparmor.d")
        stack.enter_context(covered("/etc/apparmor.d"))
        write("/sys/module/apparmor/parameters/enabled", "Y\n")
        assert not [finding for finding in doctor() if finding["subject"] == "apparmor"]
        write("/etc/apparmor.d/fusermount3")
        expect(doctor(), "apparmor", "note", "profile of fusermount3", "local/fusermount3")
        write("/sys/module/apparmor/parameters/enabled", "N\n")
        assert not [finding for finding in doctor() if finding["subject"] == "apparmor"]


def test_an_enforcing_selinux_is_a_note() -> None:
    with covered("/sys/fs"):
        write("/sys/fs/selinux/enforce", "1")
        expect(doctor(), "selinux", "note", "enforcing", "setsebool")
        write("/sys/fs/selinux/enforce", "0")
        assert not [finding for finding in doctor() if finding["subject"] == "selinux"]


def test_dead_and_stopped_views_are_warnings(place: Path) -> None:
    option = lowerdir(image.usual().build(place / "layers"))
    views = [View(place / f"view-{n}", "-o", option) for n in range(3)]
    with views[0] as first:
        assert not [f for f in doctor() if f["severity"] == "warning" and f["subject"] == "views"]
        expect(doctor(), "views", "ok", f"^1 alive: '{first.root}'$", None)
        with stopped(first):
            expect(doctor(), "views", "warning", f"^1 not answering: '{first.root}'$", "kill -CONT")
        kill(first)
        expect(doctor(), "views", "warning", f"^1 dead: '{first.root}'$", "^viewfsctl gc$")
        with views[1] as second, views[2]:
            kill(second)
            dead = [f for f in doctor() if f["subject"] == "views" and f["severity"] != "ok"]
            expect(dead, "views", "warning", "^2 dead: '.*' and others$", "^viewfsctl gc$")
            assert viewfsctl("gc").status == 0
        assert not [finding for finding in doctor() if finding["subject"] == "views"]


def test_a_view_that_lacks_its_kernel_is_a_warning(place: Path) -> None:
    layers = image.with_file(File(b"")).build(place / "layers")
    with View(place / "view", "-o", lowerdir(layers)) as view:
        view.wait_sandboxed()
        findings = [f for f in doctor() if f["subject"] == "views"]
        texts = {f["severity"]: f["finding"] for f in findings}
        assert texts["warning"] == f"1 without an artifact: '{view.root}'"


def test_an_argument_is_a_usage_error() -> None:
    finished = viewfsctl("doctor", "x")
    assert finished.status == 1
    assert finished.stderr.startswith("viewfsctl: unexpected argument 'x'\n")
