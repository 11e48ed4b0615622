"""What really runs on this host, for the front-end to compare with what it believes."""

from __future__ import annotations

import asyncio
import enum
import logging
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from protos.v1.agent_pb2 import ExpectedGuest, Guest, GuestPower, Inventory
from protos.v1.host_pb2 import HostCapacity

log = logging.getLogger(__name__)

_POWERS: dict[str, GuestPower] = {
    "off": GuestPower.GUEST_POWER_OFF,
    "on": GuestPower.GUEST_POWER_ON,
    "paused": GuestPower.GUEST_POWER_PAUSED,
    "saved": GuestPower.GUEST_POWER_SAVED,
    "crashed": GuestPower.GUEST_POWER_CRASHED,
}

_DISK_STEP_BYTES = 1 << 30
"""Free space is told in steps, or every inventory would differ from the last."""


class SeenGuest(Protocol):
    """A guest as a hypervisor shows it."""

    @property
    def vm_id(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def power(self) -> enum.Enum: ...


class Hypervisor(Protocol):
    """The part of a driver that tells what is."""

    async def capacity(self) -> HostCapacity: ...
    async def guests(self) -> Sequence[SeenGuest]: ...
    async def unknown_guests(self) -> list[str]: ...


def power_of(power: enum.Enum) -> GuestPower:
    """On the wire; UNSPECIFIED for a guest that is not there."""
    return _POWERS.get(str(power.value), GuestPower.GUEST_POWER_UNSPECIFIED)


async def capacity(hypervisor: Hypervisor, disk: Path) -> HostCapacity:
    """What the host can give; free space is that of the filesystem of *disk*, none if that
    cannot be read."""
    found = await hypervisor.capacity()
    try:
        free = (await asyncio.to_thread(shutil.disk_usage, disk)).free
    except OSError as err:
        log.warning("free space of %s: %s", disk, err)
        free = 0
    found.disk_free_bytes = free - free % _DISK_STEP_BYTES
    return found


async def take(hypervisor: Hypervisor, disk: Path) -> Inventory:
    """All guests of ours, the names of others, and the capacity. Raises the driver's errors."""
    return Inventory(
        guests=[
            Guest(vm_id=guest.vm_id, epoch=guest.epoch, power=power_of(guest.power))
            for guest in await hypervisor.guests()
        ],
        unknown_guests=await hypervisor.unknown_guests(),
        capacity=await capacity(hypervisor, disk),
    )


def blind(last: Inventory | None, reason: str) -> Inventory | None:
    """
    What to tell when the hypervisor does not answer: what was last known, and that nothing can be
    started (no capacity), and why. None when nothing was ever known: silence says less wrong.
    """
    if last is None:
        return None
    told = Inventory()
    told.CopyFrom(last)
    told.capacity.CopyFrom(without_hypervisor(reason))
    return told


def without_hypervisor(reason: str) -> HostCapacity:
    """No room for guests, and why."""
    return HostCapacity(hypervisor_detail=reason)


def differences(found: Inventory, expected: Iterable[ExpectedGuest]) -> list[str]:
    """What the operator should read in the agent's log: one line for each guest that is not as
    the front-end believes."""
    here = {guest.vm_id: guest for guest in found.guests}
    lines = []
    believed = {guest.vm_id: guest.epoch for guest in expected}
    for vm_id, epoch in sorted(believed.items()):
        if vm_id not in here:
            lines.append(f"VM {vm_id} should be on this host and is not")
        elif here[vm_id].epoch != epoch:
            lines.append(f"VM {vm_id} is here with epoch {here[vm_id].epoch}, not {epoch}")
    lines += [
        f"VM {vm_id} is on this host and the front-end does not know it"
        for vm_id in sorted(here.keys() - believed.keys())
    ]
    lines += [f"guest {name} is not Skyraft's and is left alone" for name in found.unknown_guests]
    return lines
