# SPDX-License-Identifier: Apache-2.0
"""The artifact store on filesystems that this machine's kernel may lack: with fs-verity, and with
quotas. A guest with Debian's kernel runs the programs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from support import guest, stored
from support.filesystems import MIB, image_file, need, run
from support.guest import Guest
from support.image import KERNEL_PATH
from support.nothing_left import _nothing_left, _own_places, place  # noqa: F401
from support.view import program

FILES = stored.files("image", 300_123, 70_001)
CHAIN = stored.chain_id("image")
BLOCK = 4096

# The image's tree is a read-only mount, the store's disk is at /mnt.
SETUP = f"""\
mkdir -p /tree /view
mount -t tmpfs tree /tree
cp -r /files/. /tree
mount -o remount,ro /tree
mount -t ext4 -o $options /dev/vda /mnt || exit
add="viewfsctl store add --chain={CHAIN} --tree=/tree -o store=/mnt/store"
show() {{
	urunc-viewfs --chain={CHAIN} --ready-fd=1 -o store=/mnt/store,resolve=ready stored /view
	cd /view && find . -type f -exec sha256sum {{}} +
	cd / && umount /view
}}
"""


def options(words: str) -> str:
    return f"options={words}\n{SETUP}"


@pytest.fixture
def machine(place: Path) -> Guest:
    tool = guest.build_tool(place)
    programs = [program(), program("viewfsctl"), tool]
    made = Guest(place / "guest", programs, ["virtio_blk", "quota_tree", "quota_v2"])
    for path, data in FILES.items():
        (made.root / "files" / path).parent.mkdir(parents=True, exist_ok=True)
        (made.root / "files" / path).write_bytes(data)
    return made


def disk(place: Path, *mkfs: str) -> Path:
    need("mkfs.ext4")
    image = image_file(place, "disk", 32 * MIB)
    run("mkfs.ext4", "-q", "-F", "-b", str(BLOCK), *mkfs, image)
    return image


def verity_digest(data: bytes) -> str:
    """What the kernel measures: fs-verity.rst, "Merkle tree" and "fs-verity descriptor"."""

    def blocks(level: bytes) -> list[bytes]:
        return [level[at : at + BLOCK].ljust(BLOCK, b"\0") for at in range(0, len(level), BLOCK)]

    level = b"".join(hashlib.sha256(block).digest() for block in blocks(data))
    while len(level) > 32:
        level = b"".join(hashlib.sha256(block).digest() for block in blocks(level))
    head = bytes([1, 1, 12, 0, 0, 0, 0, 0]) + len(data).to_bytes(8, "little")
    return hashlib.sha256((head + level).ljust(256, b"\0")).hexdigest()


def shown() -> set[str]:
    """The lines of sha256sum for all of the image."""
    return {f"{stored.sha256(data)}  ./{path}" for path, data in FILES.items()}


def test_objects_are_sealed_by_verity_and_damage_is_never_read(place: Path, machine: Guest) -> None:
    image = disk(place, "-O", "verity")
    said = machine.run(
        options("rw")
        + """\
$add || exit
show
for object in /mnt/store/objects/*/*; do
	echo "$(in-guest measure $object) ${object##*/}"
	(echo x >>$object) 2>&1 || echo refused
done
umount /mnt
""",
        image,
    )
    assert any('"ready":true' in line and '"passthrough":true' in line for line in said), said
    assert shown() <= set(said), said
    wanted = {f"{verity_digest(data)} {stored.sha256(data)}" for data in FILES.values()}
    assert wanted <= set(said), said
    assert said.count("refused") == len(FILES), said

    # A disk that lies.
    data = bytearray(image.read_bytes())
    at = data.index(FILES[KERNEL_PATH][8192 : 8192 + 64])
    data[at] ^= 1
    image.write_bytes(data)
    said = machine.run(
        options("ro") + "show\nviewfsctl store verify -o store=/mnt/store\necho verified $?\n", image
    )
    text = "\n".join(said)
    assert any('"ready":true' in line for line in said), text
    assert f"./{KERNEL_PATH}: I/O error" in text or f"'./{KERNEL_PATH}'" in text, text
    assert len(shown() & set(said)) == len(FILES) - 1, text
    assert "verified 32" in said, text


def test_a_quota_that_is_reached_leaves_no_part_of_an_image(place: Path, machine: Guest) -> None:
    """Which root is subject to as soon as it lacks CAP_SYS_RESOURCE."""
    image = disk(place, "-O", "quota", "-E", "quotatype=usrquota")
    limits = range(32, 512, 24)
    said = machine.run(
        options("usrquota")
        + f"""\
for limit in {" ".join(map(str, limits))}; do
	in-guest quota /dev/vda $limit || exit
	in-guest bounded /bin/$add >/tmp/out 2>&1
	echo "add $limit $? $(cat /tmp/out | tail -n 1)"
	in-guest quota /dev/vda 0
	echo "show $limit $(show 2>/dev/null | grep -c '  ./')"
	find /mnt/store -type f -name '????????????????????????????????????????????????????????????????' \\
		-exec sha256sum {{}} + | grep objects | sed "s/^/object $limit /"
	rm -rf /mnt/store
done
""",
        image,
    )
    found: dict[str, dict[str, list[str]]] = {"add": {}, "show": {}}
    for line in said:
        word, limit, *rest = line.split()
        if word == "object":
            assert rest[0] == rest[1].rpartition("/")[2], line
        else:
            found[word][limit] = rest
    for limit in map(str, limits):
        status = found["add"][limit][0]
        assert found["show"][limit] == ["3" if status == "0" else "0"], said
        if status != "0":
            assert status == "2" and "quota exceeded" in " ".join(found["add"][limit]), said
    assert {rest[0] for rest in found["add"].values()} == {"0", "2"}, said
