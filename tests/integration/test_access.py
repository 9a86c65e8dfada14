# SPDX-License-Identifier: Apache-2.0
"""A view grants no process more than the image's file does, whatever its mode bits stand for."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from support import image, namespace, skipping
from support.image import KERNEL_PATH, lowerdir
from support.stack import File
from support.view import View

USER, GROUP, OTHER_GROUP = 4000, 5000, 6000

OWNER, NAMED_USER, OWNING_GROUP, NAMED_GROUP, MASK, OTHERS = 1, 2, 4, 8, 0x10, 0x20
_NO_ID = 0xFFFFFFFF

Entry = tuple[int, int, int]


def acl(*entries: Entry) -> bytes:
    """An access ACL as the attribute holds it; entries are tag, permissions and id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def entries(group: int, others: int, mask: int, *named: Entry) -> list[Entry]:
    rest = [(MASK, mask, _NO_ID), (OTHERS, others, _NO_ID)]
    users = [entry for entry in named if entry[0] == NAMED_USER]
    groups = [entry for entry in named if entry[0] == NAMED_GROUP]
    first = [(OWNER, 6, _NO_ID), *users, (OWNING_GROUP, group, _NO_ID), *groups]
    return first + rest


# Who asks: the user and the groups.
PROCESSES = {
    "owner": (0, [0]),
    "member-of-the-owning-group": (USER, [GROUP]),
    "named-user": (USER, [OTHER_GROUP + 1]),
    "named-user-in-the-owning-group": (USER, [GROUP]),
    "member-of-a-named-group": (USER + 1, [OTHER_GROUP]),
    "member-of-both": (USER + 1, [OTHER_GROUP, GROUP]),
    "any-other": (USER + 1, [OTHER_GROUP + 1]),
}

ACLS = {
    # The group bits of the mode are the mask's, and say rw-.
    "owning-group-denied": entries(0, 0, 6, (NAMED_USER, 6, 1234)),
    "owning-group-masked": entries(4, 4, 0, (NAMED_USER, 4, 1234)),
    "named-user-denied": entries(4, 4, 4, (NAMED_USER, 0, USER)),
    "named-user-masked": entries(4, 4, 2, (NAMED_USER, 4, USER)),
    "named-group-denied": entries(4, 4, 4, (NAMED_GROUP, 0, OTHER_GROUP)),
    "named-group-granted": entries(0, 0, 4, (NAMED_GROUP, 4, OTHER_GROUP)),
    "all-may-read": entries(4, 4, 4, (NAMED_USER, 4, USER), (NAMED_GROUP, 4, OTHER_GROUP)),
}


def may_read(directory: int, user: int, groups: Sequence[int]) -> bool:
    """Whether such a process may open the kernel in DIRECTORY, a descriptor."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups(groups)
            os.setresgid(groups[0], groups[0], groups[0])
            os.setresuid(user, user, user)
            os.close(os.open("kernel", os.O_RDONLY, dir_fd=directory))
            os._exit(0)
        except PermissionError:
            os._exit(1)
        finally:
            os._exit(2)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, 1)
    return status == 0


def readers(root: Path) -> dict[str, bool]:
    directory = os.open(root / "unikernel", os.O_PATH | os.O_DIRECTORY)
    try:
        return {name: may_read(directory, *who) for name, who in PROCESSES.items()}
    finally:
        os.close(directory)


@pytest.mark.parametrize("entries", ACLS.values(), ids=ACLS.keys())
def test_an_access_acl_is_never_widened(place: Path, entries: list[Entry]) -> None:
    """A process that the layer and an overlay of it deny is denied by the view."""
    layers = image.with_file(File(b"kernel", mode=0o640)).build(place / "layers")
    kernel = Path(os.fsdecode(layers[0]), KERNEL_PATH)
    os.chown(kernel, 0, GROUP)
    try:
        os.setxattr(kernel, "system.posix_acl_access", acl(*entries))
    except OSError as error:
        skipping.skip_kernel(f"no ACLs here: {error}")
    allowed = readers(Path(os.fsdecode(layers[0])))
    merged = place / "merged"
    merged.mkdir()
    (place / "empty").mkdir()
    namespace.mount(
        "overlay", str(merged), "overlay", 0, b"%s:%s" % (lowerdir(layers), os.fsencode(place / "empty"))
    )
    try:
        assert readers(merged) == allowed
    finally:
        namespace.unmount(str(merged), 0)
    assert allowed["owner"]
    with View(place / "view", "-o", lowerdir(layers)) as view:
        shown = readers(view.root)
    assert not [name for name in shown if shown[name] and not allowed[name]], (shown, allowed)
    assert shown["owner"]
    # What restricts no process keeps none out.
    if all(allowed.values()):
        assert all(shown.values())


def test_a_forced_mode_takes_the_place_of_an_acl(place: Path) -> None:
    layers = image.with_file(File(b"kernel", mode=0o640)).build(place / "layers")
    kernel = Path(os.fsdecode(layers[0]), KERNEL_PATH)
    try:
        os.setxattr(kernel, "system.posix_acl_access", acl(*ACLS["owning-group-denied"]))
    except OSError as error:
        skipping.skip_kernel(f"no ACLs here: {error}")
    with View(place / "view", "-o", lowerdir(layers)) as view:
        assert (view.root / KERNEL_PATH).stat().st_mode & 0o777 == 0o400
    with View(place / "view", "-o", lowerdir(layers) + b",mode=0444") as view:
        assert (view.root / KERNEL_PATH).stat().st_mode & 0o777 == 0o444
