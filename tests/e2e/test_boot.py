# SPDX-License-Identifier: Apache-2.0
"""The demonstration, as a test: tests/e2e/boot does all it says and leaves nothing, however it ends."""
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from support import machine

HERE = Path(__file__).resolve().parent
LIMIT = 300


def cannot_run(reason):
    """Skip, or fail where every test must run."""
    (pytest.fail if os.environ.get("VIEWFS_MUST_RUN") == "1" else pytest.skip)(reason)


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    if os.geteuid() != 0:
        cannot_run("needs root")
    if not os.environ.get("VIEWFS_BUILD"):
        cannot_run("VIEWFS_BUILD does not name a build directory")
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def mounts():
    return sorted(Path("/proc/self/mountinfo").read_text().splitlines())


@pytest.fixture(autouse=True)
def nothing_left(tmp_path):
    """Whatever the test does: afterwards there is no process, no mount and no file that was not there before."""
    machine.adopt_orphans()
    mounts_before = mounts()
    yield
    machine.bury()
    assert machine.descendants() == {}
    assert mounts() == mounts_before
    assert list(tmp_path.iterdir()) == []


def boot(*arguments):
    return subprocess.run(
        [HERE / "boot", *arguments],
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT,
    )


def section(output, heading):
    """The indented lines below a heading."""
    match = re.search(rf"^== {re.escape(heading)}\n((?:    .*\n)*)", output, re.MULTILINE)
    assert match, f"no heading {heading!r} in:\n{output}"
    return [line[4:] for line in match[1].splitlines()]


def test_a_guest_boots_from_the_view():
    done = boot()
    assert done.returncode == 0, done.stdout
    output = done.stdout
    assert "20 layers" in section(output, "ask containerd for a view of the layers")
    (mounted,) = section(output, "mount the view")
    assert "fuse.urunc-viewfs" in mounted and re.search(r"\bro\b", mounted)
    guest = section(output, "boot the guest from the view")
    assert any(re.match(r"urunc-viewfs guest: up, kernel \d+\.\d+", line) for line in guest)
    assert any(re.match(r"urunc-viewfs guest: command line .* demo\.release=current$", line) for line in guest)
    compared = section(output, "compare with the kernel's own overlay")
    assert [line.split(":")[0] for line in compared] == ["/boot/vmlinuz", "/unikernel/initrd", "/urunc.json"]
    assert section(output, "nothing else is in the view") == [
        "d boot",
        "d unikernel",
        "f boot/vmlinuz",
        "f unikernel/initrd",
        "f urunc.json",
    ]
    (said,) = section(output, "the same image on a snapshotter without layers")
    assert re.match(r"urunc-viewfs: artifact store '.*' lacks image sha256:[0-9a-f]{64}", said)
    stored = section(output, "store its artifacts, once for all containers of the image")
    assert stored[-1] == "added"
    assert section(output, "mount the view of the same container again") == compared
    guest = section(output, "boot the guest from the store")
    assert any(re.match(r"urunc-viewfs guest: up, kernel \d+\.\d+", line) for line in guest)
    assert output.splitlines()[-1].startswith("boot: SUCCESS: ")


def test_resolve_shows_where_artifacts_come_from():
    done = boot("--layers", "8")
    assert done.returncode == 0, done.stdout
    assert "8 layers" in section(done.stdout, "ask containerd for a view of the layers")
    table = "\n".join(section(done.stdout, "where it comes from"))
    for path in ("/boot/vmlinuz", "/unikernel/initrd", "/urunc.json"):
        assert path in table
    # The symbolic link was followed to the file in another layer.
    assert re.search(r"/snapshots/\d+/fs/unikernel/kernel\b", table)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("heading", ["import and unpack the image", "boot the guest from the view"])
def test_an_interrupted_demonstration_removes_all_of_it(heading, number):
    """Interrupted in the middle, it removes everything, says so, and exits as a shell does."""
    process = subprocess.Popen([HERE / "boot"], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    with process:
        for line in process.stdout:
            if line == f"== {heading}\n":
                break
        else:
            pytest.fail("it ended before it could be interrupted")
        process.send_signal(number)
        rest = process.stdout.read()
        assert process.wait(LIMIT) == 128 + number
    assert rest.splitlines()[-1] == "boot: interrupted"
    assert "unshare" not in rest and "FAILED" not in rest


def test_a_failing_step_is_named(monkeypatch, tmp_path_factory):
    """A view that cannot be mounted: the step, and what the program said."""
    broken = tmp_path_factory.mktemp("build")
    program = broken / "fuse" / "urunc-viewfs"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'urunc-viewfs: it is broken' >&2\nexit 32\n")
    program.chmod(0o755)
    monkeypatch.setenv("VIEWFS_BUILD", str(broken))
    done = boot()
    assert done.returncode == 1
    assert "boot: FAILED at: mount the view\n" in done.stdout
    assert "urunc-viewfs: it is broken" in done.stdout


def test_the_image_is_reproducible(tmp_path_factory):
    images = [tmp_path_factory.mktemp("image") for _ in range(2)]
    for directory in images:
        subprocess.run([HERE / "make-image", "--layers", "8", directory], check=True, timeout=LIMIT)
    first, second = ((directory / "image.tar").read_bytes() for directory in images)
    assert first == second
