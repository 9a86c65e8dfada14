# SPDX-License-Identifier: Apache-2.0
"""Another kernel, in QEMU: for what this machine's does not have."""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import debian, skipping
from .build import SOURCE

SUITE = "trixie"
SECONDS = 300

INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
echo 1 >/proc/sys/kernel/printk
for module in /modules/*; do
	insmod "$module"
done
echo BEGIN
sh /script 2>&1
echo END
reboot -f
"""


def kernel() -> Path:
    """Debian's for virtual machines."""
    (found,) = _tree().glob("boot/vmlinuz-*")
    return found


def module(name: str) -> bytes:
    """One of its modules, as the name of its file says."""
    (found,) = _tree().glob(f"usr/lib/modules/*/kernel/**/{name}.ko.xz")
    return lzma.decompress(found.read_bytes())


def _tree() -> Path:
    return debian.containers(SUITE) / debian.GUEST_DIRECTORY


class Guest:
    """Has PROGRAMS, with their libraries, and MODULES; its files are kept in PLACE (made)."""

    def __init__(self, place: Path, programs: Sequence[Path], modules: Sequence[str]) -> None:
        for needed in ("qemu-system-x86_64", "cpio", "busybox"):
            if not shutil.which(needed):
                skipping.skip(f"no {needed}")
        self.root = place
        for directory in ("bin", "dev", "modules", "mnt", "proc", "run", "sys", "tmp"):
            (place / directory).mkdir(parents=True)
        shutil.copy("/bin/busybox", place / "bin/busybox")
        for number, name in enumerate(modules):
            (place / f"modules/{number}-{name}").write_bytes(module(name))
        for program in programs:
            self._add(program)
        (place / "init").write_text(INIT)
        (place / "init").chmod(0o755)

    def _add(self, program: Path) -> None:
        shutil.copy(program, self.root / "bin" / program.name)
        shown = subprocess.run(
            ["ldd", program], stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, check=False,
        )  # fmt: skip
        for library in re.findall(r"(/\S+) \(0x", shown.stdout):
            inside = self.root / library.lstrip("/")
            inside.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, inside)

    def run(self, script: str, *disks: Path) -> list[str]:
        """The lines that SCRIPT writes, where the DISKS are /dev/vda and so on."""
        (self.root / "script").write_text(script)
        initrd = self.root.with_suffix(".cpio")
        names = sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*"))
        initrd.write_bytes(
            subprocess.run(
                ["cpio", "--quiet", "-o", "-H", "newc"], cwd=self.root,
                input="\n".join(names).encode(), stdout=subprocess.PIPE, check=True,
            ).stdout
        )  # fmt: skip
        command: list[str | Path] = [
            *("qemu-system-x86_64", "-accel", "tcg", "-M", "q35", "-m", "512M", "-no-reboot"),
            *("-nodefaults", "-display", "none", "-serial", "stdio"),
            *("-kernel", kernel(), "-initrd", initrd),
            *("-append", "console=ttyS0 reboot=t panic=-1 quiet"),
        ]
        for disk in disks:
            command += ["-drive", f"file={disk},format=raw,if=virtio"]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=SECONDS, check=False,
        )  # fmt: skip
        said = done.stdout.decode(errors="replace").replace("\r", "")
        assert "\nEND\n" in said, said
        return said.partition("BEGIN\n")[2].partition("END\n")[0].splitlines()


def build_tool(directory: Path) -> Path:
    """What a guest's shell cannot do: see in-guest.c."""
    program = directory / "in-guest"
    subprocess.run(
        ["cc", "-static", "-D_GNU_SOURCE", "-o", program, SOURCE / "tests/tools/in-guest.c"],
        check=True,
    )
    return program
