# SPDX-License-Identifier: Apache-2.0
"""Many views of one image at once, as on a host that is full of containers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from support import image, machine, namespace, pagecache
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.view import program, run
from support.waiting import wait_until

# Fewer where a process takes much memory, as with sanitizers.
VIEWS = int(os.environ.get("VIEWFS_VIEWS") or 1000)
AT_ONCE = 8


@contextmanager
def _views(place: Path, option: bytes) -> Iterator[list[Path]]:
    roots = [place / f"view{number}" for number in range(VIEWS)]

    def mount(root: Path) -> None:
        root.mkdir()
        finished = run(program(), "-o", option, "none", root)
        assert (finished.status, finished.stdout, finished.stderr) == (0, "", "")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(mount, roots))
        yield roots
        list(pool.map(lambda root: namespace.unmount(str(root), 0), roots))


def read(root: Path) -> list[int]:
    """Reads the artifacts of a view. Returns: what it has of them in a page cache of its own."""
    found = []
    for path, expected in ((KERNEL_PATH, KERNEL), (INITRD_PATH, INITRD)):
        with open(root / path, "rb") as file:
            assert file.read() == expected
            found.append(pagecache.cached_of(file.fileno()))
    return found


def test_many_views_of_one_image_share_the_page_cache_and_all_end(place: Path) -> None:
    """All of them serve, out of one page cache, and all of them end."""
    layers = image.usual().build(place / "layers")
    before = image.fingerprint(place / "layers")
    kernel = place / "layers" / "1" / KERNEL_PATH
    pagecache.drop(kernel)
    with _views(place, lowerdir(layers)) as roots:
        assert len(machine.mounts()) == VIEWS
        daemons = machine.processes()
        assert len(daemons) == VIEWS
        with ThreadPoolExecutor(AT_ONCE) as pool:
            assert list(pool.map(read, roots)) == [[0, 0]] * VIEWS
        assert pagecache.whole(kernel)
    wait_until(lambda: not machine.processes(), "all daemons to end")
    assert [machine.exit_status(daemon.pid) for daemon in daemons] == [0] * VIEWS
    assert machine.mounts() == []
    assert image.fingerprint(place / "layers") == before
