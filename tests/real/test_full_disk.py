"""A disk that is really full: the store says so and goes on once there is room."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos.v1.vm_pb2 import Disk
from storage.datastore import ImageStore
from storage.disks import Disks
from storage.errors import StorageError
from tests.storage.disk_images import raw_image

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small filesystem"),
]

SMALL, LARGE = raw_image(1024), raw_image(8192)
"""512 KiB and 4 MiB."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """2 MiB in all."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2M", "tmpfs", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def reason_of(store: ImageStore, content: bytes) -> str:
    with pytest.raises(StorageError) as refused:
        asyncio.run(store.add([content]))
    assert refused.value.next_step
    return refused.value.reason


def test_upload_beyond_the_disk_is_refused_and_the_next_one_fits(small_disk):
    store = ImageStore(small_disk / "images", reserve_bytes=0)
    assert reason_of(store, LARGE) == "disk_full"
    assert [p for p in small_disk.rglob("*") if p.is_file()] == []
    assert asyncio.run(store.add([SMALL])).sha256 == hashlib.sha256(SMALL).hexdigest()


def test_overlay_that_finds_no_room_is_refused_and_made_later(small_disk, tmp_path):
    images = ImageStore(tmp_path / "images", reserve_bytes=0)
    stored = asyncio.run(images.add([SMALL]))
    disk = Disk(image_sha256=stored.sha256, image_format="raw")
    disks = Disks(small_disk / "vms", images)
    filler = small_disk / "filler"
    filler.write_bytes(bytes((2 << 20) - (16 << 10)))
    with pytest.raises(StorageError) as refused:
        disks.create(7, disk)
    assert refused.value.reason == "disk_full"
    filler.unlink()
    assert disks.create(7, disk).exists()
