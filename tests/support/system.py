"""Other systems' root directories, in which commands run on this machine's kernel."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import namespace
from .build import SOURCE

SECONDS = 300

READ_ONLY = namespace.MS_BIND | namespace.MS_REMOUNT | namespace.MS_RDONLY


@contextmanager
def changed_in_memory(place: Path, *lowers: Path) -> Iterator[Path]:
    """The root that LOWERS, topmost first, make together, with /source in it. What is changed in it
    stays in memory, and goes with the block."""
    for name in ("root", "memory", "var-tmp"):
        (place / name).mkdir()
    layers = b":".join(map(os.fsencode, lowers))
    with namespace.tmpfs(str(place / "memory")):
        for name in ("upper", "work"):
            (place / "memory" / name).mkdir()
        memory = os.fsencode(place / "memory")
        options = b"lowerdir=%s,upperdir=%s/upper,workdir=%s/work" % (layers, memory, memory)
        namespace.mount("overlay", str(place / "root"), "overlay", 0, options)
        (place / "root" / "source").mkdir(exist_ok=True)
        try:
            yield place / "root"
        finally:
            namespace.unmount(str(place / "root"))


class System:
    """Runs commands in such a root, as on a machine of that kind."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places = {
            **{path: path for path in ("/proc", "/sys", "/dev")},
            "/source": SOURCE,
            # Layers are not to lie on an overlay.
            "/var/tmp": root.with_name("var-tmp"),
        }

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
