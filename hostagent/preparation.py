"""From the front-end's VM to what a driver starts: disks, contextualization, a GuestSpec."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from hostagent.drivers.base import DiskSpec, GuestSpec, NicSpec
from protos.v1.vm_pb2 import Disk, Vm
from storage.contextualization import hostname, write_context_iso, write_seed_iso
from storage.disks import Disks
from storage.threads import in_thread


class Preparation(Protocol):
    """What a guest needs beside the hypervisor. Every call is idempotent."""

    async def prepare(self, vm: Vm) -> None:
        """All that spec() names is there afterwards. Raises StorageError."""
        ...

    def spec(self, vm: Vm) -> GuestSpec: ...

    async def remove(self, vm_id: int) -> None:
        """Nothing of it is left. Raises StorageError."""
        ...


class DiskPreparation:
    """Overlay disks on base images, and the two contextualization ISOs."""

    def __init__(self, disks: Disks, fetch: Callable[[Disk], Awaitable[None]]) -> None:
        """*fetch* brings a disk's base image into the store that *disks* uses."""
        self._disks = disks
        self._fetch = fetch

    async def prepare(self, vm: Vm) -> None:
        for disk in vm.disks:
            await self._fetch(disk)
            await in_thread(self._disks.create, vm.id, disk)
        await in_thread(self._write_isos, vm)

    def spec(self, vm: Vm) -> GuestSpec:
        paths = (self._disks.path(vm.id, disk.disk_id) for disk in vm.disks)
        disks = tuple(DiskSpec(path=str(path), format="qcow2") for path in paths)
        return _spec(vm, disks, tuple(str(path) for path in self._isos(vm.id)))

    async def remove(self, vm_id: int) -> None:
        await in_thread(self._disks.remove, vm_id)

    def _write_isos(self, vm: Vm) -> None:
        self._disks.make_directory(vm.id)
        context, seed = self._isos(vm.id)
        write_context_iso(context, vm)
        write_seed_iso(seed, vm)

    def _isos(self, vm_id: int) -> tuple[Path, Path]:
        directory = self._disks.vm_directory(vm_id)
        return directory / "context.iso", directory / "cidata.iso"


class NoPreparation:
    """For a hypervisor whose guests have no disks: the fake one."""

    async def prepare(self, vm: Vm) -> None:
        return

    def spec(self, vm: Vm) -> GuestSpec:
        return _spec(vm, (), ())

    async def remove(self, vm_id: int) -> None:
        return


def _spec(vm: Vm, disks: tuple[DiskSpec, ...], cdroms: tuple[str, ...]) -> GuestSpec:
    return GuestSpec(
        vm_id=vm.id,
        epoch=vm.epoch,
        name=vm.name,
        vcpu=vm.vcpu,
        memory_mib=vm.memory_mib,
        disks=disks,
        cdroms=cdroms,
        nics=tuple(
            NicSpec(mac=nic.mac, bridge=nic.bridge, ip=nic.ip, prefix_length=nic.prefix_length)
            for nic in vm.nics
        ),
        context=dict(vm.context) | {"SET_HOSTNAME": hostname(vm)},
        ssh_public_keys=tuple(vm.ssh_public_keys),
    )
