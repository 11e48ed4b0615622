"""
What a hypervisor must be able to do.

Every verb is idempotent and brings about a state rather than a change: an agent that restarts
repeats its last task, and the repeat must succeed. A verb that cannot do its work raises
DriverError, whose text goes to the operator as it is.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from protos.v1.host_pb2 import HostCapacity


class Power(enum.Enum):
    """What a guest does on this host."""

    ABSENT = "absent"
    OFF = "off"
    ON = "on"
    PAUSED = "paused"
    SAVED = "saved"
    """Its memory is on disk, nothing runs."""
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSpec:
    """One disk, in the order in which the guest sees them."""

    path: str
    format: str
    """qcow2 or raw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NicSpec:
    """One network card; its addresses are what the guest was told, the driver sets only the MAC."""

    mac: str
    bridge: str
    ip: str = ""
    prefix_length: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestSpec:
    """All that a driver must know to run a guest."""

    vm_id: int
    epoch: int
    name: str
    """The VM's name, for people; drivers derive their own from vm_id."""
    vcpu: int
    memory_mib: int
    disks: tuple[DiskSpec, ...] = ()
    cdroms: tuple[str, ...] = ()
    """Read-only ISO files: contextualization."""
    nics: tuple[NicSpec, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    """What the contextualization tells the guest; fakes imitate a guest that reads it."""
    ssh_public_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestState:
    """A guest of ours as the hypervisor shows it."""

    vm_id: int
    epoch: int
    power: Power


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestChange:
    """A guest's power changed, by our verb or behind our back; the reader tells which."""

    vm_id: int
    epoch: int
    power: Power
    detail: str = ""


class DriverError(Exception):
    """The hypervisor refused, failed or did not answer. The text names cause and next step."""

    def __init__(self, cause: str, next_step: str) -> None:
        super().__init__(f"{cause}; {next_step}")
        self.cause = cause
        self.next_step = next_step


class Driver(Protocol):
    """
    One hypervisor of this host, bound to one cloud: guests that carry another cloud's mark, or
    none, are *unknown*; they are listed, and no verb touches them.
    """

    async def capacity(self) -> HostCapacity:
        """What the hypervisor can give. disk_free_bytes is left to the caller."""
        ...

    async def define(self, spec: GuestSpec) -> None:
        """Makes the guest known, or known anew with this spec. A running one goes on running."""
        ...

    async def start(self, vm_id: int) -> None:
        """Runs it: boots it, resumes a paused one, restores a saved one. Running is success."""
        ...

    async def stop(self, vm_id: int, *, grace_s: float) -> None:
        """
        Asks the guest to shut down and uses force after *grace_s*; 0 uses force at once.
        Off or absent is success. Saved memory is kept.
        """
        ...

    async def reboot(self, vm_id: int, *, hard: bool) -> None:
        """Asks the guest to reboot; *hard* resets it. One that does not run is an error."""
        ...

    async def pause(self, vm_id: int) -> None:
        """Stops its processors; start goes on. One that does not run is an error."""
        ...

    async def save(self, vm_id: int) -> None:
        """Writes its memory to disk and stops it. Saved already is success."""
        ...

    async def restore(self, vm_id: int) -> None:
        """Goes on from saved memory. Running is success; off without saved memory an error."""
        ...

    async def undefine(self, vm_id: int) -> None:
        """Stops it by force and forgets it, saved memory and console included."""
        ...

    async def power(self, vm_id: int) -> Power: ...

    async def guests(self) -> list[GuestState]:
        """All guests of ours, running or not, by vm_id."""
        ...

    async def unknown_guests(self) -> list[str]:
        """Names of guests that are not ours, sorted."""
        ...

    async def console_tail(self, vm_id: int, tail_bytes: int) -> bytes:
        """The end of what the guest wrote to its serial console, over all its starts."""
        ...

    def events(self) -> AsyncIterator[GuestChange]:
        """Changes from now on. Ends when the driver is closed."""
        ...

    async def close(self) -> None:
        """Lets go of the hypervisor; guests go on running."""
        ...
