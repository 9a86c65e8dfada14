# SPDX-License-Identifier: Apache-2.0
"""What a view shows, and how."""

from __future__ import annotations

import errno
import json
import mmap
import os
import re
import signal
import socket
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support import comparison, image, machine, namespace, skipping
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir, with_file
from support.stack import (
    Chr,
    Dir,
    Entry,
    Fifo,
    File,
    HardLink,
    Layer,
    Socket,
    Stack,
    Symlink,
    Whiteout,
    XattrWhiteout,
)
from support.view import View, call, program, refused, run, tree
from support.waiting import wait_until

USUAL_TREE = {"urunc.json", "unikernel/", KERNEL_PATH, "boot/", INITRD_PATH}


def view_of(stack: Stack, place: Path, *arguments: str, **how: object) -> View:
    """A view of STACK, typed as lowerdir=."""
    layers = stack.build(place / "layers")
    return View(place / "view", "-o", lowerdir(layers), *arguments, **how)


def no_such(path: Path) -> int | None:
    """The error of looking PATH up; None if it is there."""
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno
    return None


def test_a_view_shows_exactly_the_artifacts(place: Path) -> None:
    with view_of(image.crowded(20, 150), place) as view:
        assert tree(view.root) == USUAL_TREE
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        assert (view.root / INITRD_PATH).read_bytes() == INITRD
        config = (place / "layers" / "0" / "urunc.json").read_bytes()
        assert (view.root / "urunc.json").read_bytes() == config


@pytest.mark.parametrize(
    "path",
    [
        "etc", "etc/hostname", "bin", "unikernel/notes", "unikernel/kernel2", "boot/initrd",
        "urunc.jso", "urunc.json2", "URUNC.JSON", ".wh.urunc.json", "unikernel/boot",
        "n" * 255, "n" * 256,
    ],
)  # fmt: skip
def test_a_view_shows_no_other_name(place: Path, path: str) -> None:
    with view_of(image.usual(), place) as view:
        # Twice: the second answer may be the kernel's own.
        assert no_such(view.root / path) == errno.ENOENT
        assert no_such(view.root / path) == errno.ENOENT
        assert tree(view.root) == USUAL_TREE


def test_nothing_is_below_a_file(place: Path) -> None:
    with view_of(image.usual(), place) as view:
        assert no_such(view.root / "urunc.json" / "x") == errno.ENOTDIR


@pytest.mark.parametrize("first", ["list", "look up"])
def test_a_listing_is_what_lookups_find(place: Path, first: str) -> None:
    """Whichever the kernel asks first, and whatever it keeps of that."""
    with view_of(image.usual(), place) as view:
        for directory in (view.root, view.root / "unikernel", view.root / "boot"):
            if first == "look up":
                found = {name for name in KNOWN_NAMES if no_such(directory / name) is None}
                assert set(os.listdir(directory)) == found
            listed = {entry.name: entry for entry in os.scandir(directory)}
            assert set(listed) == {n for n in KNOWN_NAMES if no_such(directory / n) is None}
            for name, entry in listed.items():
                st = os.lstat(directory / name)
                assert entry.inode() == st.st_ino
                assert entry.is_dir() == stat.S_ISDIR(st.st_mode)


KNOWN_NAMES = ("urunc.json", "unikernel", "kernel", "boot", "initrd.img", "etc", "bin", "notes")


def test_a_directory_is_read_in_pieces_and_again(place: Path) -> None:
    with view_of(image.usual(), place) as view:
        descriptor = os.open(view.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            first = os.listdir(descriptor)
            os.lseek(descriptor, 0, os.SEEK_SET)
            assert os.listdir(descriptor) == first
        finally:
            os.close(descriptor)
        assert sorted(first) == ["boot", "unikernel", "urunc.json"]
        dots = run("ls", "-a", "-i", view.root)
        assert dots.status == 0
        assert len(dots.stdout.splitlines()) == 5


def test_directories_have_the_views_mode_and_owner(place: Path) -> None:
    """Theirs is no layer's mode or owner."""
    stack = Stack(
        [
            {
                b"": Dir(mode=0o700, uid=5, gid=5),
                b"a": Dir(mode=0o700, uid=5, gid=5),
                b"a/b/kernel": File(KERNEL),
                b"urunc.json": image.urunc_json("/a/b/kernel"),
            }
        ]
    )
    with view_of(stack, place) as view:
        for path, links in (("", 3), ("a", 3), ("a/b", 2)):
            st = os.stat(view.root / path)
            assert (st.st_mode, st.st_uid, st.st_gid) == (stat.S_IFDIR | 0o555, 0, 0)
            assert st.st_nlink == links


@pytest.mark.parametrize(
    ("mode", "shown"),
    [(0o644, 0o444), (0o755, 0o555), (0o600, 0o400), (0o4755, 0o4555), (0o222, 0), (0, 0)],
)
def test_attributes_are_the_layers_own(place: Path, mode: int, shown: int) -> None:
    entry = File(b"12345", mode=mode, uid=1234, gid=56789, mtime_ns=1_234_567_890_123_456_789)
    with view_of(with_file(entry), place) as view:
        st = os.stat(view.root / KERNEL_PATH)
        assert st.st_mode == stat.S_IFREG | shown
        assert (st.st_uid, st.st_gid) == (1234, 56789)
        assert (st.st_size, st.st_nlink) == (5, 1)
        assert st.st_mtime_ns == 1_234_567_890_123_456_789


def test_a_hard_link_counts_once(place: Path) -> None:
    stack = Stack(
        [
            {
                b"urunc.json": image.urunc_json("/kernel"),
                b"kernel": HardLink(b"other"),
                b"other": File(KERNEL),
            }
        ]
    )
    with view_of(stack, place) as view:
        assert os.stat(view.root / "kernel").st_nlink == 1
        assert (view.root / "kernel").read_bytes() == KERNEL


@pytest.mark.parametrize(
    ("options", "mode", "uid", "gid"),
    [
        ("uid=7", 0o540, 7, 20),
        ("gid=8", 0o540, 10, 8),
        ("mode=0444", 0o444, 10, 20),
        ("mode=777", 0o555, 10, 20),
        ("uid=0,gid=0,mode=0", 0, 0, 0),
        ("uid=1,uid=2", 0o540, 2, 20),
        ("uidmap=0:1000:100", 0o540, 1010, 20),
        ("gidmap=0:1000:100", 0o540, 10, 1020),
        ("uidmap=0:1000:5,5:2000:10", 0o540, 2005, 20),
        ("uidmap=0:1000:5,5:2000:10,gidmap=20:0:1", 0o540, 2005, 0),
        ("uidmap=0:1000:10", 0o540, 65534, 20),
        ("uidmap=0:1000:100,uid=3", 0o540, 3, 20),
    ],
)
def test_options_force_owner_and_mode(
    place: Path, options: str, mode: int, uid: int, gid: int
) -> None:
    entry = File(KERNEL, mode=0o740, uid=10, gid=20)
    with view_of(with_file(entry), place, "-o", options) as view:
        st = os.stat(view.root / KERNEL_PATH)
        assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (mode, uid, gid)
        # Directories are the view's own.
        st = os.stat(view.root / "unikernel")
        assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (0o555, 0, 0)


def test_inode_numbers_stay(place: Path) -> None:
    with view_of(image.usual(), place) as view:
        paths = [view.root, *(view.root / path for path in sorted(USUAL_TREE))]
        first = [os.stat(path).st_ino for path in paths]
        assert len(set(first)) == len(first)
        run("find", view.root, "-ls")
        assert [os.stat(path).st_ino for path in paths] == first


ROOT = b"urunc.json"


@pytest.mark.parametrize(
    "links",
    [
        {b"unikernel/kernel": Symlink(b"/real/kernel")},
        {b"unikernel/kernel": Symlink(b"../real/kernel")},
        {b"unikernel/kernel": Symlink(b"../../../../real/kernel")},
        {b"unikernel/kernel": Symlink(b"/../real/./kernel")},
        {b"unikernel/kernel": Symlink(b"one"), b"unikernel/one": Symlink(b"/two"),
         b"two": Symlink(b"real/kernel")},
        {b"unikernel": Symlink(b"real")},
        {b"unikernel": Symlink(b"/usr/../real")},
    ],
    ids=["absolute", "relative", "upwards", "dots", "chain", "directory", "directory-dots"],
)  # fmt: skip
@pytest.mark.parametrize("split", [False, True], ids=["one-layer", "two-layers"])
def test_links_are_followed_in_the_image(place: Path, links: Layer, split: bool) -> None:
    """A link to the host's own file of that name would be seen by its content."""
    upper: dict[bytes, Entry] = {ROOT: image.urunc_json(), b"usr": Dir(), **links}
    lower: dict[bytes, Entry] = {b"real/kernel": File(KERNEL, mode=0o700)}
    stack = Stack([upper, lower]) if split else Stack([{**upper, **lower}])
    with view_of(stack, place) as view:
        assert tree(view.root) == {"urunc.json", "unikernel/", KERNEL_PATH}
        st = os.lstat(view.root / KERNEL_PATH)
        assert st.st_mode == stat.S_IFREG | 0o500
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_links_do_not_leave_the_image(place: Path) -> None:
    (place / "secret").write_bytes(b"of the host")
    link = Symlink(os.fsencode(place / "secret"))
    with view_of(with_file(link), place, foreground=True, expected=[KERNEL_PATH]) as view:
        assert no_such(view.root / KERNEL_PATH) == errno.ENOENT


def test_a_linked_configuration_is_followed_and_shown(place: Path) -> None:
    stack = Stack(
        [
            {b"urunc.json": Symlink(b"etc/urunc.json"), b"unikernel/kernel": File(KERNEL)},
            {b"etc/urunc.json": image.urunc_json()},
        ]
    )
    with view_of(stack, place) as view:
        assert stat.S_ISREG(os.lstat(view.root / "urunc.json").st_mode)
        assert (view.root / "urunc.json").read_bytes() == image.urunc_json().content


def test_one_file_may_have_two_roles(place: Path) -> None:
    stack = Stack([{ROOT: image.urunc_json(initrd=KERNEL_PATH), b"unikernel/kernel": File(KERNEL)}])
    with view_of(stack, place, "-o", "resolve=ready") as view:
        assert tree(view.root) == {"urunc.json", "unikernel/", KERNEL_PATH}
        roles = {a["path"]: a["role"] for a in view.ready["artifacts"]}
        assert roles == {"/urunc.json": "config", "/" + KERNEL_PATH: "binary+initrd"}


def test_the_configuration_may_be_the_binary(place: Path) -> None:
    with view_of(image.usual(), place, "-o", "binary=/urunc.json,initrd=/urunc.json") as view:
        assert tree(view.root) == {"urunc.json"}


def test_options_name_other_artifacts(place: Path) -> None:
    options = "binary=etc/hostname,initrd=/unikernel/notes"
    with view_of(image.usual(), place, "-o", options) as view:
        expected = {"urunc.json", "etc/", "etc/hostname", "unikernel/", "unikernel/notes"}
        assert tree(view.root) == expected
        assert (view.root / "etc/hostname").read_bytes() == b"a\n"


@pytest.mark.parametrize("error", ["ENOSYS", "EPERM"])
@pytest.mark.parametrize("resolve", ["lazy", "ready"])
def test_a_view_works_without_openat2(place: Path, error: str, resolve: str) -> None:
    """As on an old kernel, and under a seccomp filter that does not know the call."""
    wrapper = comparison.without_openat2(error)
    options = ["-o", f"resolve={resolve}"]
    with view_of(image.crowded(20, 10), place, *options, wrapper=wrapper) as view:
        assert tree(view.root) == USUAL_TREE
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
        assert (view.root / INITRD_PATH).read_bytes() == INITRD


def test_an_image_without_urunc_json_is_served_with_binary(place: Path) -> None:
    """A urunc.json that nothing was read from may be absent, without a word."""
    stack = Stack([{b"kernel": File(KERNEL)}, {b"etc": Dir()}])
    with view_of(stack, place, "-o", "binary=/kernel", foreground=True) as view:
        assert tree(view.root) == {"kernel"}
        assert no_such(view.root / "urunc.json") == errno.ENOENT
    with View(place / "view", "-o", lowerdir([os.fsencode(place / "layers/0")]), "-o",
              "binary=/kernel,resolve=ready") as view:  # fmt: skip
        assert [a["role"] for a in view.ready["artifacts"]] == ["binary"]


MISSING: dict[str, list[Layer]] = {
    "absent": [{}],
    "whiteout": [{b"unikernel/kernel": Whiteout()}, {b"unikernel/kernel": File(b"")}],
    "xattr-whiteout": [
        {b"unikernel": Dir(marks=(("opaque", b"x"),)), b"unikernel/kernel": XattrWhiteout()},
        {b"unikernel/kernel": File(b"")},
    ],
    "opaque": [{b"unikernel": Dir(marks=(("opaque", b"y"),))}, {b"unikernel/kernel": File(b"")}],
    "parent-whiteout": [{b"unikernel": Whiteout()}, {b"unikernel/kernel": File(b"")}],
    "parent-file": [{b"unikernel": File(b"")}, {b"unikernel/kernel": File(b"")}],
    "directory": [{b"unikernel/kernel": Dir()}],
    "fifo": [{b"unikernel/kernel": Fifo()}],
    "socket": [{b"unikernel/kernel": Socket()}],
    "device": [{b"unikernel/kernel": Chr(1, 3)}],
    "dangling": [{b"unikernel/kernel": Symlink(b"nowhere")}],
    "loop": [{b"unikernel/kernel": Symlink(b"kernel")}],
    "forbidden-target": [{b"unikernel/kernel": Symlink(b"a b"), b"unikernel/a b": File(b"")}],
}


@pytest.mark.parametrize("first", ["list", "look up"])
@pytest.mark.parametrize("layers", MISSING.values(), ids=MISSING.keys())
def test_an_artifact_that_cannot_be_shown_is_absent_and_logged_once(
    place: Path, layers: list[Layer], first: str
) -> None:
    """Said once, however often it is asked for; the others are as they should be."""
    config = {ROOT: image.urunc_json(initrd=INITRD_PATH), INITRD_PATH.encode(): File(INITRD)}
    stack = Stack([config, *layers])
    message = f"^urunc-viewfs: binary '/{KERNEL_PATH}'"
    with view_of(stack, place, foreground=True, expected=[message]) as view:
        if first == "list":
            assert os.listdir(view.root / "unikernel") == []
        for _ in range(2):
            assert no_such(view.root / KERNEL_PATH) == errno.ENOENT
            assert os.listdir(view.root / "unikernel") == []
        assert tree(view.root) == {"urunc.json", "unikernel/", "boot/", INITRD_PATH}
        assert (view.root / INITRD_PATH).read_bytes() == INITRD


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_background_view_logs_to_syslog(place: Path, form: str) -> None:
    stack = Stack([{ROOT: image.urunc_json()}])
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    message = "binary '/unikernel/kernel': not in any of 1 layers"
    with machine.private_dev("fuse") as dev, datagrams as log:
        log.bind(str(dev / "log"))
        log.settimeout(20)
        with view_of(stack, place, "--id=box", f"--log-format={form}") as view:
            assert no_such(view.root / KERNEL_PATH) == errno.ENOENT
            # The first requests do not wait for the line that it is ready.
            error, ready = sorted(log.recv(4096).decode() for _ in range(2))
            assert ready.startswith("<30>")
            assert re.search(f"view ready on '{view.root}' after \\d+ us, with", ready)
            # <facility and priority>time program[pid]: what is said
            head, _, said = error.partition("]: ")
            assert re.fullmatch(rf"<27>.*urunc-viewfs\[{view.daemon_pid}", head)
            if form == "json":
                logged = json.loads(said)
                assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", logged.pop("time"))
                assert logged == {"level": "error", "msg": message, "subsystem": "viewfs",
                                  "containerID": "box"}  # fmt: skip
            else:
                assert said.rstrip("\n") == message
        log.setblocking(False)
        with pytest.raises(BlockingIOError):
            print(log.recv(4096))


def test_dates_before_1970_and_after_2038_are_shown(place: Path) -> None:
    """As touch(1) sets and stat(1) shows them: Python's own times may have 32 bits."""
    layers = with_file(File(KERNEL)).build(place / "layers")
    kernel = Path(os.fsdecode(layers[0]), KERNEL_PATH)
    for number, seconds in enumerate((0, -1, 2**31 - 1, 2**31, 2**32, 2**33)):
        assert run("touch", "-d", f"@{seconds}", kernel).status == 0
        # What the layer's filesystem keeps of it.
        kept = run("stat", "-c", "%Y", kernel).stdout
        with View(place / f"view-{number}", "-o", lowerdir(layers)) as view:
            assert run("stat", "-c", "%Y", view.root / KERNEL_PATH).stdout == kept


def full(sender: socket.socket) -> None:
    """Send until the other end takes no more."""
    sender.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            sender.send(b"x" * 4096)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["datagram", "stream"])
def test_a_syslog_that_does_not_read_keeps_no_view_waiting(
    place: Path, kind: socket.SocketKind
) -> None:
    """An image that names an absent initrd is enough for a line."""
    stack = Stack([{ROOT: image.urunc_json(initrd="/absent"), KERNEL_PATH.encode(): File(KERNEL)}])
    with ExitStack() as sockets, machine.private_dev("fuse") as dev:
        log = sockets.enter_context(socket.socket(socket.AF_UNIX, kind))
        log.bind(str(dev / "log"))
        sender = sockets.enter_context(socket.socket(socket.AF_UNIX, kind))
        if kind == socket.SOCK_STREAM:
            log.listen(0)
        sender.connect(str(dev / "log"))
        full(sender)
        with view_of(stack, place) as view:
            assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
            view.wait_sandboxed()


def test_a_stderr_that_is_not_read_keeps_no_view_waiting(place: Path) -> None:
    stack = Stack([{ROOT: image.urunc_json(initrd="/absent"), KERNEL_PATH.encode(): File(KERNEL)}])
    option = lowerdir(stack.build(place / "layers"))
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    at = place / "view"
    at.mkdir()
    command = [os.fsencode(program()), b"-f", b"-o", option, b"none", os.fsencode(at)]
    with subprocess.Popen(command, stderr=writer) as process:
        wait_until(lambda: machine.mounts_at(at), "the view to be mounted")
        assert (at / KERNEL_PATH).read_bytes() == KERNEL
        wait_until(
            lambda: any(p.is_sandboxed() for p in machine.processes() if p.pid != process.pid),
            "the view to be sandboxed",
        )
        process.terminate()
        assert process.wait(20) == 0
    os.close(reader)
    os.close(writer)


def test_mountinfo_shows_label_type_and_flags(place: Path) -> None:
    with view_of(image.usual(), place, source="a label, of mine") as view:
        mount = view.mount
        assert mount.type == "fuse.urunc-viewfs"
        assert mount.source == b"a label, of mine"
        assert mount.root == b"/"
        assert {"ro", "nosuid", "nodev", "noexec"} <= mount.options
        assert {b"ro", b"default_permissions", b"allow_other"} <= set(mount.super_options)


@pytest.mark.parametrize("options", ["rw,suid,dev,exec", "ro", "rw,atime,strictatime,defaults"])
def test_the_flags_of_the_mount_are_fixed(place: Path, options: str) -> None:
    with view_of(image.usual(), place, "-o", options) as view:
        assert {"ro", "nosuid", "nodev", "noexec"} <= view.mount.options


def test_ignored_options_change_nothing(place: Path) -> None:
    options = (
        "upperdir=/nowhere/a,workdir=/nowhere/b,index=off,xino=off,nfs_export=off,uuid=off,"
        "volatile,redirect_dir=on,metacopy=on,rbind,x-systemd.automount,X-mount.mkdir=0755,nofail,"
        "_netdev,nouser,noauto,auto,comment=hello world,allow_other,default_permissions,noatime,"
        "nodiratime,relatime,async"
    )
    with view_of(image.usual(), place, "-o", options) as view:
        assert tree(view.root) == USUAL_TREE
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_statfs_reports_no_blocks_and_df_lists_no_full_disk(place: Path) -> None:
    with view_of(image.usual(), place) as view:
        st = os.statvfs(view.root)
        assert st.f_flag & os.ST_RDONLY
        assert (st.f_blocks, st.f_bavail, st.f_bfree) == (0, 0, 0)
        # Of inodes as of blocks: monitoring divides what is free by what there is.
        assert (st.f_files, st.f_ffree, st.f_favail) == (0, 0, 0)
        assert st.f_namemax == 255
        for option in ("-k", "-i"):
            assert str(view.root) not in run("df", option).stdout
        assert "100%" not in run("df", "--output=pcent", view.root).stdout


def as_nobody(*command: str | Path) -> int:
    return run(
        "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", *command
    ).status


def test_other_users_are_bound_by_the_modes(place: Path) -> None:
    stack = Stack(
        [
            {
                ROOT: image.urunc_json(initrd="/initrd"),
                b"unikernel/kernel": File(KERNEL, mode=0o640, gid=65534),
                b"initrd": File(INITRD, mode=0o600),
            }
        ]
    )
    with view_of(stack, place) as view:
        assert as_nobody("ls", "-lR", view.root) == 0
        assert as_nobody("cmp", view.root / KERNEL_PATH, place / "layers/0/unikernel/kernel") == 0
        assert as_nobody("cat", view.root / "initrd") == 1
    layers = [os.fsencode(place / "layers/0")]
    with View(place / "view", "-o", lowerdir(layers), "-o", "mode=444") as view:
        assert as_nobody("cat", view.root / "initrd") == 0
    with View(place / "view", "-o", lowerdir(layers), "-o", "uid=65534") as view:
        assert as_nobody("cat", view.root / "initrd") == 0


# How the content is read: by the kernel if it can, or through the daemon, and there as its kind is
# best read.
READING = [("auto", b""), ("off", b""), ("off", b"\x7fELF")]


@pytest.mark.parametrize(("passthrough", "magic"), READING)
@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, (1 << 20) + 1, 5_000_003])
def test_content_of_any_size_is_exact(
    place: Path, size: int, passthrough: str, magic: bytes
) -> None:
    content = (magic + image.noise(size))[:size]
    option = "passthrough=" + passthrough
    with view_of(with_file(File(content)), place, "-o", option) as view:
        assert os.stat(view.root / KERNEL_PATH).st_size == size
        assert (view.root / KERNEL_PATH).read_bytes() == content


@pytest.mark.parametrize(("passthrough", "magic"), READING)
def test_every_way_to_read_gives_the_content(place: Path, passthrough: str, magic: bytes) -> None:
    content = (magic + image.noise(3_000_001))[:3_000_001]
    option = "passthrough=" + passthrough
    with view_of(with_file(File(content)), place, "-o", option) as view:
        path = view.root / KERNEL_PATH
        with open(path, "rb", buffering=0) as file:
            for offset, size in ((2_999_990, 100), (0, 1), (1_234_567, 65536), (3_000_001, 10)):
                assert os.pread(file.fileno(), size, offset) == content[offset : offset + size]
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                assert mapped[:] == content
            file.seek(-5, os.SEEK_END)
            assert file.read() == content[-5:]
            copy = os.memfd_create("copy")
            assert os.sendfile(copy, file.fileno(), 0, 1 << 20) == 1 << 20
            assert os.pread(copy, 1 << 20, 0) == content[: 1 << 20]
            os.close(copy)
        assert run("cmp", path, place / "layers/0/unikernel/kernel").status == 0
        assert run("dd", f"if={path}", "of=/dev/null", "iflag=direct", "bs=4096").status == 0


@pytest.mark.parametrize("passthrough", ["auto", "off"])
def test_a_sparse_file_is_read_as_it_is(place: Path, passthrough: str) -> None:
    layers = with_file(File(b"")).build(place / "layers")
    with open(place / "layers/0/unikernel/kernel", "wb") as file:
        file.truncate(1 << 32)
        file.seek((1 << 32) - 3)
        file.write(b"end")
    options = lowerdir(layers) + b",passthrough=" + passthrough.encode()
    with View(place / "view", "-o", options) as view:
        with open(view.root / KERNEL_PATH, "rb") as file:
            assert os.fstat(file.fileno()).st_size == 1 << 32
            assert os.pread(file.fileno(), 10, (1 << 32) - 5) == b"\0\0end"


@pytest.mark.parametrize("passthrough", ["auto", "off"])
def test_many_readers_at_once_get_the_content(place: Path, passthrough: str) -> None:
    with view_of(image.usual(), place, "-o", "passthrough=" + passthrough) as view:
        paths = [view.root / KERNEL_PATH, view.root / INITRD_PATH] * 20
        with ThreadPoolExecutor(16) as pool:
            contents = list(pool.map(Path.read_bytes, paths))
        assert contents == [KERNEL, INITRD] * 20


def test_passthrough_is_what_was_asked_for(place: Path) -> None:
    layers = image.usual().build(place / "layers")
    with View(place / "view", "-o", lowerdir(layers), "-o", "passthrough=off") as view:
        assert view.ready["passthrough"] is False
    with View(place / "view", "-o", lowerdir(layers)) as view:
        offered = view.ready["passthrough"]
    (place / "view").mkdir()
    if not offered:
        finished = call("-o", lowerdir(layers), "-o", "passthrough=on", "none", place / "view")
        refused(finished, "EMOUNT", 32, "passthrough")
        skipping.skip_kernel("no FUSE passthrough")
    with View(place / "view", "-o", lowerdir(layers), "-o", "passthrough=on") as view:
        assert view.ready["passthrough"] is True
        assert len(view.ready["artifacts"]) == 3
        assert (view.root / KERNEL_PATH).read_bytes() == KERNEL


def test_what_passes_through_survives_the_daemon(place: Path) -> None:
    """A file that is open, or mapped: a guest then never learns of it."""
    with view_of(image.usual(), place) as view:
        if not view.ready["passthrough"]:
            skipping.skip_kernel("no FUSE passthrough")
        with open(view.root / KERNEL_PATH, "rb") as file:
            with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
                view.status = -signal.SIGKILL
                view.daemon.signal(signal.SIGKILL)
                view.wait_gone()
                assert file.read() == KERNEL
                assert mapped[:] == KERNEL


def test_a_detached_view_serves_what_is_open(place: Path) -> None:
    with view_of(image.usual(), place) as view:
        with open(view.root / KERNEL_PATH, "rb") as file:
            namespace.unmount(os.fsencode(view.root))
            assert file.read() == KERNEL
            assert machine.is_alive(view.daemon.pid)


def test_the_ready_line_of_a_lazy_view_has_no_artifacts(place: Path) -> None:
    with view_of(image.usual(), place, "--id=web-1") as view:
        line = dict(view.ready)
        assert line.pop("elapsed_us") > 0
        assert isinstance(line.pop("passthrough"), bool)
        assert f"0:{line.pop('connection')}" == view.mount.device
        assert line == {
            "ready": True, "id": "web-1", "mountpoint": str(view.root), "image": {"layers": 3},
        }  # fmt: skip


def test_the_ready_line_of_a_resolved_view_lists_artifacts(place: Path) -> None:
    with view_of(image.usual(), place, "-o", "resolve=ready") as view:
        assert "id" not in view.ready
        layers = place / "layers"
        config = os.stat(layers / "0/urunc.json").st_size
        expected = [
            ("config", "/urunc.json", 0, config),
            ("binary", "/" + KERNEL_PATH, 1, len(KERNEL)),
            ("initrd", "/" + INITRD_PATH, 2, len(INITRD)),
        ]
        assert view.ready["artifacts"] == [
            {"role": role, "path": path, "layer": layer, "origin": f"{layers}/{layer}{path}",
             "size": size}
            for role, path, layer, size in expected
        ]  # fmt: skip


@pytest.mark.parametrize("how", ["relative", "dots", "slash", "link"])
def test_a_mountpoint_may_be_written_in_any_way(place: Path, how: str) -> None:
    layers = image.usual().build(place / "layers")
    view = place / "view"
    view.mkdir()
    (place / "link").symlink_to("view")
    written = {"relative": "view", "dots": f"{place}/layers/../view", "slash": f"{view}/",
               "link": str(place / "link")}[how]  # fmt: skip
    finished = call("-o", lowerdir(layers), "none", written, cwd=place)
    assert finished.ready["mountpoint"] == str(view)
    assert tree(view) == USUAL_TREE
    assert run("umount", view).status == 0


def test_a_mountpoint_may_have_any_name(place: Path) -> None:
    layers = image.usual().build(place / "layers")
    name = os.fsdecode(b"a b\n\\,:\xff")
    with View(place / name, "-o", lowerdir(layers)) as view:
        assert tree(view.root) == USUAL_TREE


def test_a_mountpoint_may_hold_files(place: Path) -> None:
    layers = image.usual().build(place / "layers")
    (place / "view").mkdir()
    (place / "view/file").touch()
    with View(place / "view", "-o", lowerdir(layers)) as view:
        assert tree(view.root) == USUAL_TREE
        view.unmount()
        os.unlink(place / "view/file")


def test_user_marks_count_with_userxattr_only(place: Path) -> None:
    stack = Stack(
        [
            {b"unikernel": Dir(marks=(("opaque", b"y"),)), b"unikernel/kernel": File(b"new")},
            {ROOT: image.urunc_json(initrd="/unikernel/initrd"), b"unikernel/initrd": File(b"i")},
        ]
    )
    layers = stack.build(place / "layers", userxattr=True)
    with View(place / "view", "-o", lowerdir(layers)) as view:
        assert os.listdir(view.root / "unikernel") == ["kernel", "initrd"]
    with View(place / "view", "-o", lowerdir(layers), "-o", "userxattr") as view:
        assert os.listdir(view.root / "unikernel") == ["kernel"]
