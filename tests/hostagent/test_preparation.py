"""From a VM to files and a spec, with real overlays and ISOs."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from hostagent import preparation as module
from hostagent.drivers.base import DiskSpec, NicSpec
from hostagent.preparation import DiskPreparation, NoPreparation
from protos.v1.vm_pb2 import Disk, Vm
from storage.datastore import ImageStore
from storage.disks import Disks
from tests.hostagent.replicas import vm

needs_qemu_img = pytest.mark.skipif(
    shutil.which("qemu-img") is None, reason="needs qemu-img (package qemu-utils)"
)


def with_disk(store: ImageStore) -> Vm:
    image = asyncio.run(store.add([(bytes(510) + b"\x55\xaa").ljust(4096, b"\0")]))
    wanted = vm()
    wanted.ssh_public_keys.append("ssh-ed25519 AAAA ann")
    wanted.disks.append(
        Disk(disk_id=0, image_sha256=image.sha256, image_format="raw", size_bytes=1 << 20)
    )
    return wanted


@needs_qemu_img
def test_all_that_the_spec_names_is_there_and_repeats_change_nothing(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "datastore")
    fetched: list[Disk] = []

    async def fetch(disk: Disk) -> None:
        fetched.append(disk)

    preparation = DiskPreparation(Disks(tmp_path / "guests", store), fetch)
    wanted = with_disk(store)
    asyncio.run(preparation.prepare(wanted))
    spec = preparation.spec(wanted)
    disk = Path(spec.disks[0].path)
    assert (spec.disks[0].format, len(spec.cdroms)) == ("qcow2", 2)
    written = ["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 512", str(disk)]
    subprocess.run(written, check=True, capture_output=True)
    before = disk.read_bytes()
    asyncio.run(preparation.prepare(wanted))
    assert disk.read_bytes() == before
    assert all(Path(path).exists() for path in spec.cdroms)
    assert len(fetched) == 2
    asyncio.run(preparation.remove(wanted.id))
    asyncio.run(preparation.remove(wanted.id))
    assert not disk.exists()
    assert store.list()


@needs_qemu_img
def test_all_that_was_prepared_is_on_disk_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ImageStore(tmp_path / "datastore")
    wanted = with_disk(store)
    disks = Disks(tmp_path / "guests", store)

    async def fetch(disk: Disk) -> None:
        return

    preparation = DiskPreparation(disks, fetch)
    synced: list[tuple[int, set[str]]] = []
    real_fsync = os.fsync

    def fsync(fd: int) -> None:
        real_fsync(fd)
        held = set(os.listdir(fd)) if stat.S_ISDIR(os.fstat(fd).st_mode) else set()
        synced.append((os.fstat(fd).st_ino, held))

    monkeypatch.setattr(os, "fsync", fsync)
    asyncio.run(preparation.prepare(wanted))
    directory = disks.vm_directory(wanted.id)
    names = {"disk-0.qcow2", "context.iso", "cidata.iso"}
    assert {path.name for path in directory.iterdir()} == names
    files = {(directory / name).stat().st_ino for name in names}
    assert files <= {inode for inode, _ in synced}
    last_synced = dict(synced)
    assert last_synced[directory.stat().st_ino] == names
    assert str(wanted.id) in last_synced[directory.parent.stat().st_ino]


def test_removal_waits_for_the_thread_of_a_preparation_that_was_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks = Disks(tmp_path / "guests", ImageStore(tmp_path / "datastore"))
    writing, go_on = threading.Event(), threading.Event()

    def slow(path: Path, wanted: Vm) -> None:
        writing.set()
        go_on.wait(20)
        path.write_bytes(b"iso")

    monkeypatch.setattr(module, "write_context_iso", slow)

    async def fetch(disk: Disk) -> None:
        return

    async def scenario() -> None:
        preparation = DiskPreparation(disks, fetch)
        preparing = asyncio.ensure_future(preparation.prepare(vm()))
        await asyncio.to_thread(writing.wait, 20)
        preparing.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not preparing.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await preparing
        await preparation.remove(5)

    asyncio.run(scenario())
    assert not disks.vm_directory(5).exists()


def test_spec_carries_what_the_vm_is(tmp_path: Path) -> None:
    disks = Disks(tmp_path / "guests", ImageStore(tmp_path / "datastore"))
    wanted = vm(vm_id=5, epoch=4)
    wanted.disks.append(Disk(disk_id=1))

    async def fetch(disk: Disk) -> None:
        raise AssertionError("a spec fetches nothing")

    spec = DiskPreparation(disks, fetch).spec(wanted)
    assert (spec.vm_id, spec.epoch, spec.name, spec.memory_mib) == (5, 4, "web-5", 64)
    assert spec.disks == (DiskSpec(path=str(disks.path(5, 1)), format="qcow2"),)
    nic = NicSpec(mac="02:00:0a:00:00:05", bridge="skyraft0", ip="10.0.0.5", prefix_length=24)
    assert spec.nics == (nic,)


def test_fake_guest_needs_no_files() -> None:
    preparation = NoPreparation()
    asyncio.run(preparation.prepare(vm()))
    spec = preparation.spec(vm())
    assert (spec.disks, spec.cdroms) == ((), ())
    assert spec.context["SET_HOSTNAME"] == "web-5"
    asyncio.run(preparation.remove(5))
