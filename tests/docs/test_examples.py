# SPDX-License-Identifier: Apache-2.0
"""Every example in the README and in the manual does what is printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import image, layout, machine, namespace
from support.doc_options import MANUAL
from support.examples import Example, in_document
from support.image import lowerdir, noise
from support.installation import install
from support.system import System
from support.waiting import wait_until

DOCUMENTS = ["README.md", *sorted(path.stem for path in MANUAL.glob("*.8.scd"))]

# Blocks of the README that are run by other tests, by how they begin.
ELSEWHERE = {
    "tests/e2e/boot\n": "the suite e2e",
    "tests/run\n": "whoever runs this test",
    "packaging/install-deps build\n": "packages-install",
    "packaging/install-deps bench\n": "the suite bench, in short",
}

BINARY, INITRD = "/unikernel/kernel", "/unikernel/initrd"
LAYERS = [f"/layers/{n}".encode() for n in (2, 1, 0)]
MOUNTS = json.dumps(
    [{"Type": "overlay", "Source": "overlay", "Options": [lowerdir(LAYERS).decode()]}],
    separators=(",", ":"),
)

# What one run, or one kernel, prints otherwise than another; all numbers in some tables.
VARYING = [
    (r'("(elapsed_us|connection)":)\d+', r"\g<1>0"),
    (r'("passthrough":)\w+', r"\g<1>true"),
]
VARYING_TABLES = ("viewfsctl list", "viewfsctl index list")

# What the machine is like; the example shows what the lines look like.
ABOUT_THE_MACHINE = "viewfsctl doctor"
FINDING = re.compile(r"(ok|note|warning|error) +[a-z/0-9]+ +\S.*|  +\S.*")


def write_layers(directory: Path) -> None:
    files = {
        "0/unikernel/kernel": noise(5_000_000),
        "1/unikernel/initrd": noise(734),
        "2/urunc.json": image.encode(image.configuration(BINARY, INITRD)),
    }
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True)
        (directory / name).write_bytes(content)


@pytest.fixture
def system(place: Path) -> Iterator[System]:
    """This machine with the programs installed, and with what the examples name."""
    write_layers(place / "layers")
    with System(place, Path("/")) as system:
        root = system.root
        install(root)
        places = ("srv/guest", "srv/image", "srv/layout", "srv/other", "var/lib/some/rootfs", "home/me/view")
        for name in ("layers", *places):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "home/me/layers").symlink_to("/layers")
        (root / "etc/fstab").write_text("")
        for name in ("mounts.json", "home/me/mounts.json"):
            (root / name).write_text(MOUNTS + "\n")
        system.places["/layers"] = place / "layers"
        yield system


def prepare() -> None:
    """What there is only while it runs."""
    namespace.mount("tmpfs", "/run", "tmpfs", 0, "mode=0755")
    for name in ("mount", "urunc-viewfs", "bundle", "bundle/rootfs"):
        os.mkdir(f"/run/{name}")
    config = {"root": {"path": "rootfs"}, "annotations": image.configuration(BINARY, INITRD)}
    Path("/run/bundle/config.json").write_text(json.dumps(config))
    running = Path("/run/containerd/io.containerd.runtime.v2.task/default/4f1c09aa")
    running.mkdir(parents=True)
    config["root"]["path"] = "/run/bundle/rootfs"
    (running / "config.json").write_text(json.dumps(config))
    for at in ("/run/bundle/rootfs", "/var/lib/some/rootfs"):
        namespace.mount("overlay", at, "overlay", 0, lowerdir(LAYERS))
    # A snapshot of the image.
    namespace.mount("tmpfs", "/srv/image", "tmpfs")
    for layer in reversed(LAYERS):
        shutil.copytree(layer, b"/srv/image", dirs_exist_ok=True)
    namespace.mount("none", "/srv/image", None, namespace.MS_REMOUNT | namespace.MS_RDONLY)
    namespace.mount("tmpfs", "/srv/layout", "tmpfs")
    stored = layout.Layout(Path("/srv/layout"))
    stored.list(stored.image(layout.usual_layers()), "v1")


def unmount_views() -> None:
    for mount in reversed(machine.mounts()):
        namespace.unmount(mount.mountpoint)


def run(command: str, last_status: int = 0) -> tuple[int, str]:
    """In a shell in which the command before ended with LAST_STATUS."""
    finished = subprocess.run(
        ["bash", "-c", f"(exit {last_status}); {command}"],
        cwd="/home/me",
        env={
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": "/home/me",
            # The shim's.
            "namespace": "default",
            "id": "web-1",
            "chain": f"sha256:{'0' * 64}",
            "manifest": f"sha256:{'0' * 64}",
        },
        input=MOUNTS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    return finished.returncode, finished.stdout


def as_words(command: str, text: str) -> list[str]:
    """A terminal is as wide as it is."""
    for pattern, stable in VARYING:
        text = re.sub(pattern, stable, text)
    if command.startswith(VARYING_TABLES):
        text = re.sub(r"\b\d+\b", "0", text)
    # Others may test on this machine.
    return re.sub(r"^kept \d+ .*\n", "", text, flags=re.M).split()


def leave_views() -> None:
    """One alive and one dead, as a session finds them that begins with their list."""
    options = os.fsdecode(lowerdir(LAYERS)) + ",resolve=ready"
    for name, id in (("a", "web-1"), ("b", "web-2")):
        at = f"/run/urunc-viewfs/{name}"
        assert run(f"mkdir {at} && urunc-viewfs --id={id} -o {options} image {at}") == (0, "")
    (dead,) = (each for each in machine.processes() if b"web-2" in b"".join(each.arguments))
    dead.signal(signal.SIGKILL)


def is_printed(command: str, output: str, printed: str) -> bool:
    return as_words(command, output) == as_words(command, printed)


def hold_session(example: Example) -> None:
    """A status other than 0 is one that is asked for next."""
    if example.text.startswith("# viewfsctl list\n"):
        leave_views()
    status, last = 0, ""
    for command, printed in example.session():
        assert status == 0 or command == "echo $?", f"{last}: {status}"
        if command.startswith(VARYING_TABLES):
            # What a view says of itself is whole a moment after it can be used.
            wait_until(lambda: is_printed(command, run(command)[1], printed), command)
            continue
        status, output = run(command, status)
        if command == ABOUT_THE_MACHINE:
            assert all(map(FINDING.fullmatch, (output + printed).splitlines())), output
            status = 0
        else:
            assert is_printed(command, output, printed), f"# {command}\n{output}"
        last = command
    assert status == 0, f"{last}: {status}"


def run_lines(example: Example) -> None:
    """Each that mounts is an alternative to those before it."""
    if example.text.startswith(tuple(ELSEWHERE)):
        return
    for line in example.text.splitlines():
        if line.startswith("urunc-viewfs"):
            unmount_views()
        for mountpoint in re.findall(r'"(/run/urunc-viewfs/.*)"', line):
            run(f'mkdir -p "{mountpoint}"')
        # The outcome that a shim waits for.
        status, output = run(f"({line.split(' #')[0]}) 3>&2")
        assert status == 0, f"{line}\n{output}"
        assert "--ready-fd" not in line or json.loads(output)["ready"] is True
    unmount_views()


def add_to_fstab(example: Example) -> None:
    with open("/etc/fstab", "a") as file:
        file.write(example.text)


def parse_json(example: Example) -> None:
    for line in example.text.splitlines():
        assert "ready" in json.loads(line)


KINDS = {
    "console": hold_session,
    "sh": run_lines,
    "fstab": add_to_fstab,
    "json": parse_json,
    "autofs": lambda _: None,  # integration-automount
    "text": lambda _: None,
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_examples_of_a_document_run_as_written(system: System, document: str) -> None:
    """In the order in which they stand; nothing is mounted after the last."""
    examples = in_document(document)
    assert {example.kind for example in examples} <= set(KINDS)

    def attempt() -> None:
        os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
        machine.adopt_orphans()
        prepare()
        try:
            for example in examples:
                KINDS[example.kind](example)
            assert machine.mounts() == []
        finally:
            machine.sweep()

    namespace.in_root(system.root, system.places, attempt)
