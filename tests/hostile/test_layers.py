# SPDX-License-Identifier: Apache-2.0
"""Directories of layers in odd places, and that change."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from support import image, machine, namespace, skipping
from support.bad_image import LIMITED
from support.image import INITRD, INITRD_PATH, KERNEL, KERNEL_PATH, lowerdir
from support.stack import Dir, File, Layer, Stack, Whiteout, build_layer
from support.view import View, call, refused
from support.waiting import wait_until

MS_BIND = 0x1000
OTHER = image.noise(len(KERNEL), "other")

TOP: Layer = {b"urunc.json": image.urunc_json(initrd=INITRD_PATH)}
BOTTOM: Layer = {KERNEL_PATH.encode(): File(KERNEL), INITRD_PATH.encode(): File(INITRD)}


def content_is_right(view: View) -> None:
    assert (view.root / KERNEL_PATH).read_bytes() == KERNEL
    assert (view.root / INITRD_PATH).read_bytes() == INITRD


# Changes of a directory.


def gone(layer: Path) -> None:
    layer.rename(layer.with_name("moved"))


def replaced(layer: Path) -> None:
    gone(layer)
    build_layer({KERNEL_PATH.encode(): File(OTHER)}, os.fsencode(layer))


def replaced_by_link(layer: Path) -> None:
    gone(layer)
    layer.symlink_to("/")


def replaced_by_file(layer: Path) -> None:
    gone(layer)
    layer.write_bytes(OTHER)


def covered(layer: Path) -> None:
    namespace.mount("tmpfs", str(layer), "tmpfs")


def hidden_above(layer: Path) -> None:
    layer.parent.rename(layer.parent.with_name("layers-moved"))


def unmounted(layer: Path) -> None:
    namespace.unmount(str(layer))


def forbidden(layer: Path) -> None:
    layer.chmod(0)


CHANGES: dict[str, Callable[[Path], None]] = {
    "gone": gone,
    "replaced": replaced,
    "replaced-by-link": replaced_by_link,
    "replaced-by-file": replaced_by_file,
    "covered": covered,
    "moved-with-its-parent": hidden_above,
    "unmounted": unmounted,
    "forbidden": forbidden,
}


# Those that concern who opens the directory anew.
OF_A_NAME = [name for name in CHANGES if name not in ("unmounted", "forbidden")]


@contextmanager
def layers_of(place: Path) -> Iterator[list[bytes]]:
    """Two layers, the lower one a mount."""
    layers = Stack([TOP, {}]).build(place / "layers")
    with ExitStack() as stack:
        build_layer(BOTTOM, os.fsencode(place / "tree"))
        namespace.mount(str(place / "tree"), os.fsdecode(layers[1]), None, MS_BIND)
        stack.callback(uncover, place)
        yield layers


def uncover(place: Path) -> None:
    """Remove every mount below PLACE."""
    for mount in reversed(machine.mounts(None)):
        if mount.mountpoint.startswith(os.fsencode(place) + b"/layers"):
            namespace.unmount(mount.mountpoint)


def stop_at(place: Path, where: Sequence[str | Path], files: int) -> Sequence[str | Path]:
    """The wrapper that stops a process at a system call, by strace's words; it may have FILES open."""
    if not shutil.which("strace"):
        skipping.skip("no strace")
    strace = ["strace", "-f", "-qq", "-o", place / "log", *where, "--"]
    return [*strace, "prlimit", f"--nofile={files}", "--"]


def is_stopped(process: machine.Process) -> bool:
    return process.stat()[0] in "tT"


def stopped(place: Path, options: bytes, files: int = 1024, expected: Sequence[str] = ()) -> View:
    """A view whose daemon stops as soon as it has announced it, before it looks for an artifact;
    it may have FILES open."""
    # libfuse answers INIT with one writev(2); the announcement is the second.
    limited = stop_at(place, ["--trace=writev", "--inject=writev:signal=SIGSTOP:when=2"], files)
    return View(place / "view", "-o", options, foreground=True, wrapper=limited, expected=expected)


def let_go(view: View) -> None:
    wait_until(lambda: is_stopped(view.daemon), "the daemon to stop")
    view.daemon.signal(signal.SIGCONT)


@pytest.mark.parametrize("passthrough", ["auto", "off"])
def test_a_pinned_file_that_changes_after_it_was_hashed_is_missing(
    place: Path, passthrough: str
) -> None:
    """The view has been announced by then, and is not sandboxed yet."""
    layers = image.usual().build(place / "layers")
    pin = f",passthrough={passthrough},digest.binary=sha256:{sha256(KERNEL).hexdigest()}"
    expected = [f"binary '/{KERNEL_PATH}' has changed since its digest was computed"]
    with stopped(place, lowerdir(layers) + pin.encode(), expected=expected) as view:
        wait_until(lambda: is_stopped(view.daemon), "the daemon to stop")
        (artifact,) = (a for a in view.ready["artifacts"] if a["role"] == "binary")
        with open(artifact["origin"], "r+b") as file:
            file.write(b"X")
        let_go(view)
        view.wait_sandboxed()
        with pytest.raises(FileNotFoundError):
            (view.root / KERNEL_PATH).read_bytes()
        assert (view.root / "urunc.json").exists()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("when", ["before-the-first-lookup", "after-it"])
@pytest.mark.parametrize("passthrough", ["auto", "off"])
def test_a_view_shows_the_layer_that_was_there_when_it_was_mounted(
    place: Path, change: Callable[[Path], None], when: str, passthrough: str
) -> None:
    """The directory that was there when the view was mounted is what it shows, by any name."""
    with layers_of(place) as layers:
        lower = Path(os.fsdecode(layers[1]))
        options = lowerdir(layers) + b",passthrough=" + passthrough.encode()
        with ExitStack() as stack:
            if when == "after-it":
                view = stack.enter_context(View(place / "view", "-o", options))
                content_is_right(view)
                change_it(change, lower)
            else:
                view = stack.enter_context(stopped(place, options))
                change_it(change, lower)
                let_go(view)
            content_is_right(view)


def change_it(change: Callable[[Path], None], layer: Path) -> None:
    """A mountpoint cannot be renamed: what it shows is, without it."""
    if change in (gone, replaced, replaced_by_link, replaced_by_file):
        namespace.unmount(str(layer))
    change(layer)


def test_an_artifact_of_an_emptied_layer_is_missing_and_logged(place: Path) -> None:
    """Before anything was looked up: what was there is missing, and the view says so."""
    layers = Stack([TOP, BOTTOM]).build(place / "layers")
    missing = [f"^urunc-viewfs: {role} '/{path}': not in any"
               for role, path in [("binary", KERNEL_PATH), ("initrd", INITRD_PATH)]]  # fmt: skip
    with stopped(place, lowerdir(layers), expected=missing) as view:
        shutil.rmtree(layers[1])
        let_go(view)
        for path in (KERNEL_PATH, INITRD_PATH):
            assert not (view.root / path).exists()
        assert (view.root / "urunc.json").exists()


@pytest.mark.parametrize(
    "change", [CHANGES[name] for name in OF_A_NAME], ids=OF_A_NAME
)
def test_a_replaced_layer_that_is_opened_anew_is_an_error(
    place: Path, change: Callable[[Path], None]
) -> None:
    """Where descriptors are scarce layers are not kept open: one that is not the same any more
    while the view is made is an error, and never another file."""
    layers = Stack([TOP, *[{b"unikernel": Dir()}] * 80, BOTTOM]).build(place / "layers")
    (place / "view").mkdir()
    stop = stop_at(place, ["-P", place / "layers/0/urunc.json", "--trace=read,pread64",
                           "--inject=read,pread64:signal=SIGSTOP:when=1"], files=40)  # fmt: skip
    with ThreadPoolExecutor() as pool:
        made = pool.submit(call, "-o", lowerdir(layers), "none", place / "view", wrapper=stop)
        (log := place / "log").touch()
        wait_until(lambda: "stopped by SIGSTOP" in log.read_text(), "the server to stop")
        change(Path(os.fsdecode(layers[-1])))
        for process in filter(is_stopped, machine.processes()):
            process.signal(signal.SIGCONT)
        refused(made.result(), "ELAYER", 32, f"'/{KERNEL_PATH}': a layer failed: Stale file handle")
    uncover(place)


@pytest.mark.parametrize(
    "change", [CHANGES[name] for name in OF_A_NAME], ids=OF_A_NAME
)
def test_artifacts_are_found_before_the_mount_when_layers_cannot_stay_open(
    place: Path, change: Callable[[Path], None]
) -> None:
    """They were found before the view was mounted, and are not looked for again."""
    layers = Stack([TOP, *[{b"unikernel": Dir()}] * 80, BOTTOM]).build(place / "layers")
    with stopped(place, lowerdir(layers), files=40) as view:
        change(Path(os.fsdecode(layers[-1])))
        let_go(view)
        content_is_right(view)
    uncover(place)


def test_a_lazy_view_mounts_when_an_artifact_is_missing_and_layers_cannot_stay_open(
    place: Path
) -> None:
    """A lazy view is mounted all the same, and says so."""
    layers = Stack([TOP, *[{b"unikernel": Dir()}] * 80, {}]).build(place / "layers")
    missing = [f"^urunc-viewfs: {role} '/{path}': not in any of 82 layers"
               for role, path in [("binary", KERNEL_PATH), ("initrd", INITRD_PATH)]]  # fmt: skip
    with stopped(place, lowerdir(layers), files=40, expected=missing) as view:
        let_go(view)
        assert not (view.root / KERNEL_PATH).exists()
        assert (view.root / "urunc.json").exists()


# Odd places.


def test_a_layer_may_be_the_mountpoints_parent(place: Path) -> None:
    layers = Stack([TOP, BOTTOM]).build(place / "layers")
    with View(Path(os.fsdecode(layers[1])) / "view", "-o", lowerdir(layers)) as view:
        content_is_right(view)


@pytest.mark.parametrize("resolve", ["lazy", "ready"])
@pytest.mark.parametrize("directory", ["", "unikernel"])
def test_a_view_may_cover_its_own_layer(place: Path, directory: str, resolve: str) -> None:
    """It covers the very directory that it looks into."""
    layers = Stack([TOP, BOTTOM]).build(place / "layers")
    at = Path(os.fsdecode(layers[1])) / directory
    (place / "at").mkdir()
    options = lowerdir(layers) + f",resolve={resolve}".encode()
    finished = call("-o", options, "none", at, wrapper=LIMITED)
    assert finished.status == 0, finished
    try:
        assert (at / KERNEL_PATH).read_bytes() == KERNEL
        assert (at / INITRD_PATH).read_bytes() == INITRD
    finally:
        namespace.unmount(str(at), 0)


@pytest.mark.parametrize("resolve", ["lazy", "ready"])
@pytest.mark.parametrize("files", [1024, 40])
def test_a_view_may_cover_all_its_layers(place: Path, resolve: str, files: int) -> None:
    """Also where they are too many to be held open: none is looked for by its path then."""
    layers = Stack([TOP, *[{b"unikernel": Dir()}] * 80, BOTTOM]).build(place / "layers")
    at = place / "layers"
    options = lowerdir(layers) + f",resolve={resolve}".encode()
    limited = [*LIMITED, "prlimit", f"--nofile={files}", "--"]
    finished = call("-o", options, "none", at, wrapper=limited)
    assert finished.status == 0, finished
    try:
        assert (at / KERNEL_PATH).read_bytes() == KERNEL
        assert (at / INITRD_PATH).read_bytes() == INITRD
    finally:
        namespace.unmount(str(at), 0)


def test_a_layer_may_lie_inside_another(place: Path) -> None:
    (outer,) = Stack([BOTTOM]).build(place / "layers")
    inner = os.path.join(outer, b"inner")
    build_layer({**TOP, b"inner": Dir()}, inner)
    with View(place / "view", "-o", lowerdir([inner, outer])) as view:
        content_is_right(view)
    with View(place / "view", "-o", lowerdir([outer, inner])) as view:
        content_is_right(view)


def test_a_layer_may_be_listed_twice(place: Path) -> None:
    top, bottom = Stack([TOP, BOTTOM]).build(place / "layers")
    with View(place / "view", "-o", lowerdir([bottom, top, bottom, top])) as view:
        content_is_right(view)


def test_whiteouts_hide_a_layer_only_below_them(place: Path) -> None:
    """Listed above and below: what is hidden in the middle is shown from above."""
    middle: Layer = {b"unikernel": Whiteout()}
    top, white, bottom = Stack([TOP, middle, BOTTOM]).build(place / "layers")
    with View(place / "view", "-o", lowerdir([bottom, white, top])) as view:
        content_is_right(view)
    with View(place / "view", "-o", lowerdir([top, white, bottom]), foreground=True,
              expected=["^urunc-viewfs: binary"]) as view:  # fmt: skip
        assert not (view.root / KERNEL_PATH).exists()
        assert (view.root / INITRD_PATH).read_bytes() == INITRD


@pytest.mark.parametrize("path", [b"", b"/.", b"/../1", b"//", b"/unikernel/.."])
def test_a_layer_path_may_lead_through_links(place: Path, path: bytes) -> None:
    top, bottom = Stack([TOP, BOTTOM]).build(place / "layers")
    (place / "one").symlink_to("two")
    (place / "two").symlink_to(os.fsdecode(bottom))
    with View(place / "view", "-o", lowerdir([top, os.fsencode(place / "one") + path])) as view:
        content_is_right(view)


@pytest.mark.parametrize("resolve", ["lazy", "ready"])
@pytest.mark.parametrize("what", ["directory", "file"])
def test_a_mount_inside_a_layer_is_not_shown(place: Path, what: str, resolve: str) -> None:
    """A mount inside a layer is none of the image's: what it covers is shown."""
    layers = Stack([TOP, BOTTOM]).build(place / "layers")
    at = os.path.join(os.fsdecode(layers[1]), KERNEL_PATH)
    cover = place / "cover"
    if what == "file":
        cover.write_bytes(OTHER)
    else:
        cover.mkdir()
        (cover / "kernel").write_bytes(OTHER)
        at = os.path.dirname(at)
    namespace.mount(str(cover), at, None, MS_BIND)
    try:
        with View(place / "view", "-o", lowerdir(layers) + f",resolve={resolve}".encode(),
                  foreground=True) as view:  # fmt: skip
            content_is_right(view)
    finally:
        namespace.unmount(at)


@pytest.mark.parametrize("form", ["directory", "mounts"])
def test_a_layer_may_be_a_mountpoint(place: Path, form: str) -> None:
    (place / "layer").mkdir()
    with namespace.tmpfs(str(place / "layer")):
        build_layer({**TOP, **BOTTOM}, os.fsencode(place / "layer"))
        how = {"directory": [], "mounts": ["-o", lowerdir([os.fsencode(place / "layer")])]}[form]
        with View(place / "view", *how, source=place / "layer") as view:
            content_is_right(view)


@contextmanager
def forbidding(at: Path) -> Iterator[Path]:
    """A FUSE filesystem of another user's, who lets nobody in, root included."""
    connection = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    at.mkdir()
    options = f"fd={connection},rootmode=40000,user_id=65534,group_id=65534"
    try:
        namespace.mount("forbidding", str(at), "fuse", 0, options)
        try:
            yield at
        finally:
            namespace.unmount(str(at))
    finally:
        os.close(connection)


@contextmanager
def dead(at: Path) -> Iterator[Path]:
    with machine.silent_fuse(at):
        (mount,) = [m for m in machine.mounts("fuse") if m.mountpoint == os.fsencode(at)]
        (mount.connection / "abort").write_text("1")
        yield at


UNREADABLE: dict[str, tuple[Callable[[Path], AbstractContextManager[Path]], str]] = {
    "forbidden": (forbidding, "Permission denied"),
    "dead": (dead, "(Transport endpoint|Software caused)"),
}


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize(("kind", "naming"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_layer_is_an_error_at_any_position(
    place: Path, kind: Callable[[Path], AbstractContextManager[Path]], naming: str, position: int
) -> None:
    """Wherever it stands: also below a layer that has all of it."""
    layers = Stack([{**TOP, **BOTTOM}]).build(place / "layers")
    (place / "view").mkdir()
    with kind(place / "bad") as bad:
        layers.insert(position, os.fsencode(bad))
        finished = call("-o", lowerdir(layers), "none", place / "view", wrapper=LIMITED)
        refused(finished, "ELAYER", 32, f"^layer {position} '.*/bad': {naming}")
