"""Overlays: made once, kept as the guest left them, removed whole."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from protos.v1.vm_pb2 import Disk
from storage.datastore import ImageStore
from storage.disks import Disks
from storage.errors import StorageError
from tests.storage.disk_images import qcow2, raw_image

pytestmark = pytest.mark.skipif(not shutil.which("qemu-img"), reason="needs qemu-utils")


@pytest.fixture
def images(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images", reserve_bytes=0)


@pytest.fixture
def disks(tmp_path: Path, images: ImageStore) -> Disks:
    return Disks(tmp_path / "vms", images)


def stored_disk(images: ImageStore, content: bytes, size_bytes: int = 0) -> Disk:
    stored = asyncio.run(images.add([content]))
    return Disk(
        disk_id=0,
        size_bytes=size_bytes,
        image_sha256=stored.sha256,
        image_format=stored.format,
    )


def described(path: Path) -> dict[str, object]:
    done = subprocess.run(
        ["qemu-img", "info", "--output=json", path], check=True, capture_output=True
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_overlay_names_its_base_and_the_base_format(disks, images):
    disk = stored_disk(images, raw_image(2048), 8 << 20)
    info = described(disks.create(7, disk))
    assert info["virtual-size"] == 8 << 20
    assert info["backing-filename"] == str(images.path(disk.image_sha256))
    assert info["backing-filename-format"] == "raw"


def test_overlay_on_qcow2_takes_the_base_size(disks, images, tmp_path):
    disk = stored_disk(images, qcow2(tmp_path / "base.qcow2").read_bytes())
    assert described(disks.create(7, disk))["virtual-size"] == 4 << 20


def test_repeated_create_keeps_what_the_guest_wrote(disks, images):
    disk = stored_disk(images, raw_image(2048))
    path = disks.create(7, disk)
    write = ["qemu-io", "-f", "qcow2", "-c", "write -P 0x5a 4096 512", str(path)]
    subprocess.run(write, check=True, capture_output=True)
    disk.size_bytes = 2 << 20
    assert disks.create(7, disk) == path
    read = ["qemu-io", "-f", "qcow2", "-c", "read -P 0x5a 4096 512", str(path)]
    assert b"failed" not in subprocess.run(read, check=True, capture_output=True).stdout
    assert described(path)["virtual-size"] == 2 << 20


def test_guest_that_writes_a_qcow2_header_reaches_no_other_file(disks, images, tmp_path):
    evil = qcow2(tmp_path / "evil.qcow2", "-u", "-b", "/etc/passwd", "-F", "raw")
    disk = stored_disk(images, raw_image(2048))
    path = disks.create(7, disk)
    write = f"write -s {evil} 0 64k"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", write, path], check=True, capture_output=True)
    disks.create(7, disk)
    assert described(path)["backing-filename"] == str(images.path(disk.image_sha256))


def test_missing_base_is_named_with_the_next_step(disks):
    with pytest.raises(StorageError) as refused:
        disks.create(7, Disk(image_sha256="a" * 64, image_format="raw"))
    assert (refused.value.reason, bool(refused.value.next_step)) == ("image_missing", True)
    assert not disks.vm_directory(7).exists()


def test_overlay_of_another_base_is_refused(disks, images):
    disks.create(7, stored_disk(images, raw_image(2048)))
    with pytest.raises(StorageError, match="is an overlay of"):
        disks.create(7, stored_disk(images, raw_image(4096)))


def test_crash_while_making_leaves_no_broken_overlay(disks, images):
    disk = stored_disk(images, raw_image(2048))
    disks.vm_directory(7).mkdir()
    disks.path(7, 0).with_suffix(".making").write_bytes(b"half")
    assert described(disks.create(7, disk))["format"] == "qcow2"
    assert [p.name for p in disks.vm_directory(7).iterdir()] == ["disk-0.qcow2"]


def test_file_that_vanishes_during_the_removal_does_not_end_it(disks, images, monkeypatch):
    path = disks.create(7, stored_disk(images, raw_image(2048)))
    path.with_name("vanishing").touch()
    real_unlink = os.unlink

    def unlink(name: str, **more: int) -> None:
        real_unlink(name, **more)
        if name == "vanishing":
            raise FileNotFoundError(name)

    monkeypatch.setattr(os, "unlink", unlink)
    disks.remove(7)
    assert not path.parent.exists()


def test_remove_takes_everything_and_may_be_repeated(disks, images):
    path = disks.create(7, stored_disk(images, raw_image(2048)))
    disks.create(8, stored_disk(images, raw_image(2048)))
    for _ in range(2):
        disks.remove(7)
    assert not path.parent.exists()
    assert [each.name for each in path.parent.parent.iterdir()] == ["8"]
