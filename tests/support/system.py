# SPDX-License-Identifier: Apache-2.0
"""Other systems' root directories, in which commands run on this machine's kernel."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from . import namespace
from .build import SOURCE

SECONDS = 300

READ_ONLY = namespace.MS_BIND | namespace.MS_REMOUNT | namespace.MS_RDONLY


# What is of this machine, and what package managers keep for themselves.
NOT_OURS = (
    "dev/", "proc/", "run/", "sys/", "tmp/", "source/", "var/tmp/",
    "var/cache/", "var/log/", "var/lib/apt/", "var/lib/dpkg/", "var/lib/rpm/",
)  # fmt: skip


class System:
    """Runs commands in a root, as on a machine of that kind: the one in the directory LOWER, as it is
    there, with all changes in memory. A `with` block mounts it in PLACE, and forgets what it became.
    """

    def __init__(self, place: Path, lower: Path) -> None:
        self.root = place / "root"
        self._lower = lower
        self._memory = place / "memory"
        self._mounted = ExitStack()
        self.places = {
            **{path: path for path in ("/proc", "/sys", "/dev")},
            "/source": SOURCE,
            # Layers are not to lie on an overlay.
            "/var/tmp": place / "var-tmp",
        }

    def __enter__(self) -> Self:
        for directory in (self.root, self._memory, self.places["/var/tmp"]):
            directory.mkdir(parents=True)
        with ExitStack() as stack:
            stack.enter_context(namespace.tmpfs(str(self._memory)))
            for name in ("upper", "work"):
                (self._memory / name).mkdir()
            memory = os.fsencode(self._memory)
            layers = (os.fsencode(self._lower), memory, memory)
            options = b"lowerdir=%s,upperdir=%s/upper,workdir=%s/work" % layers
            namespace.mount("overlay", str(self.root), "overlay", 0, options)
            stack.callback(namespace.unmount, str(self.root))
            (self.root / "source").mkdir(exist_ok=True)
            self._mounted = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._mounted.close()

    def changes(self) -> set[str]:
        """The paths that have come, and, with a minus, those that have gone."""
        upper = self._memory / "upper"
        found = set()
        for parent, directories, names in os.walk(upper):
            for path in (Path(parent, name) for name in [*directories, *names]):
                relative = str(path.relative_to(upper))
                if f"{relative}/".startswith(NOT_OURS):
                    continue
                below = os.path.lexists(self._lower / relative)
                if below and stat.S_ISCHR(path.lstat().st_mode):
                    found.add(f"-{relative}")
                elif not below:
                    found.add(relative)
        return found

    def attempt(self, *command: str, seconds: int = SECONDS, **env: str) -> tuple[int, str]:
        """How COMMAND ends, and what it writes."""

        def call() -> tuple[int, str]:
            namespace.mount("none", "/source", None, READ_ONLY)
            namespace.mount("tmpfs", "/tmp", "tmpfs")
            finished = subprocess.run(
                command,
                cwd="/source",
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "LC_ALL": "C.UTF-8",
                    "HOME": "/tmp",
                    "PYTHONDONTWRITEBYTECODE": "1",
                    **env,
                    "VIEWFS_MUST_RUN": os.environ.get("VIEWFS_MUST_RUN", ""),
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
            return finished.returncode, finished.stdout.decode(errors="replace")

        start = time.monotonic()
        status, text = namespace.in_root(self.root, self.places, call)
        print(f"{time.monotonic() - start:6.1f} s", *command)
        return status, text

    def run(self, *command: str, seconds: int = SECONDS, **env: str) -> str:
        """What COMMAND writes; it must succeed."""
        status, text = self.attempt(*command, seconds=seconds, **env)
        assert status == 0, f"{command}: {status}\n{text}"
        return text
