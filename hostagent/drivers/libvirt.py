"""KVM and QEMU guests through libvirt."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import libvirt

from hostagent.drivers import domain_xml, kvm_check
from hostagent.drivers.base import DriverError, GuestChange, GuestSpec, GuestState, Power
from hostagent.drivers.console_logs import ConsoleLogs
from hostagent.drivers.libvirt_link import LibvirtLink, Timeouts
from hostagent.drivers.libvirt_states import read_state
from protos.v1.host_pb2 import HostCapacity

log = logging.getLogger(__name__)

T = TypeVar("T")

_ASK_AGAIN_S = 5.0
"""A guest that is still booting misses the power button, so it is pressed again."""

_RECONNECT_S = 1.0
_RECONNECT_MAX_S = 8.0


class LibvirtDriver:
    """Guests of the cloud *cluster_id* on the libvirtd at *uri*. Belongs to one event loop."""

    def __init__(
        self,
        *,
        uri: str,
        cluster_id: str,
        directory: Path,
        kvm_cache: Path | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        """*directory* takes the consoles' logs; *kvm_cache* is a file for the KVM verdict."""
        self._cluster_id = cluster_id
        self._consoles = ConsoleLogs(directory / "consoles")
        self._kvm_cache = kvm_cache
        self._kvm: kvm_check.KvmCheck | None = None
        self._kvm_lock = asyncio.Lock()
        self._timeouts = timeouts or Timeouts()
        self._signals: asyncio.Queue[str | None] = asyncio.Queue()
        self._changed: dict[str, asyncio.Event] = {}
        self._seen: dict[int, GuestState] = {}
        self._closed = False
        self._link = LibvirtLink(
            uri,
            self._timeouts,
            on_domain=self._on_domain,
            on_up=lambda: self._signals.put_nowait(None),
        )

    async def capacity(self) -> HostCapacity:
        kvm = await self._checked_kvm()
        info = await self._link.call(
            "read the host's capacity", lambda conn: conn.getInfo(), self._timeouts.query_s
        )
        return HostCapacity(
            vcpu=info[2],
            memory_mib=info[1],
            hypervisor="kvm" if kvm.usable else "qemu",
            hypervisor_detail=kvm.detail,
        )

    async def define(self, spec: GuestSpec) -> None:
        kvm = await self._checked_kvm()

        def work(conn: Any) -> None:
            direct = frozenset(disk.path for disk in spec.disks if _takes_direct_io(disk.path))
            placement = domain_xml.Placement(
                cluster_id=self._cluster_id,
                kvm=kvm.usable,
                console_log=self._consoles.make(spec.vm_id),
                direct_io=direct,
            )
            # Refuses to touch a stranger of the same name.
            self._lookup(conn, spec.vm_id)
            text = domain_xml.build(spec, placement)
            conn.defineXMLFlags(text, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)

        await self._call("define", spec.vm_id, work)

    async def start(self, vm_id: int) -> None:
        def work(conn: Any) -> None:
            domain = self._found(conn, vm_id)
            power = read_state(domain)
            if power is Power.PAUSED:
                domain.resume()
            elif power is not Power.ON:
                domain.create()

        await self._call("start", vm_id, work, self._timeouts.memory_s)

    async def stop(self, vm_id: int, *, grace_s: float) -> None:
        deadline = asyncio.get_running_loop().time() + grace_s
        name = domain_xml.domain_name(vm_id)
        changed = self._changed.setdefault(name, asyncio.Event())
        try:
            while (left := deadline - asyncio.get_running_loop().time()) > 0:
                changed.clear()
                if not await self._call("shut down", vm_id, lambda c: self._press(c, vm_id)):
                    break
                await _wait(changed, min(left, _ASK_AGAIN_S))
        finally:
            self._changed.pop(name, None)
        await self._call("stop", vm_id, lambda conn: _destroy(self._lookup(conn, vm_id)))

    async def reboot(self, vm_id: int, *, hard: bool) -> None:
        def work(conn: Any) -> None:
            domain = self._running(conn, vm_id, "reboot")
            if hard:
                domain.reset()
            else:
                domain.reboot(libvirt.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)

        await self._call("reboot", vm_id, work)

    async def pause(self, vm_id: int) -> None:
        def work(conn: Any) -> None:
            domain = self._running(conn, vm_id, "pause")
            if read_state(domain) is Power.ON:
                domain.suspend()

        await self._call("pause", vm_id, work)

    async def save(self, vm_id: int) -> None:
        def work(conn: Any) -> None:
            if read_state(self._found(conn, vm_id)) is Power.SAVED:
                return
            domain = self._running(conn, vm_id, "save")
            # Restored guests run, also one that was paused.
            domain.managedSave(libvirt.VIR_DOMAIN_SAVE_RUNNING)

        await self._call("save", vm_id, work, self._timeouts.memory_s)

    async def restore(self, vm_id: int) -> None:
        def work(conn: Any) -> None:
            domain = self._found(conn, vm_id)
            power = read_state(domain)
            if power is Power.ON:
                return
            if power is not Power.SAVED:
                raise DriverError(
                    f"guest {vm_id} is {power.value} and has no saved memory",
                    "start it instead of restoring it",
                )
            domain.create()

        await self._call("restore", vm_id, work, self._timeouts.memory_s)

    async def undefine(self, vm_id: int) -> None:
        def work(conn: Any) -> None:
            domain = self._lookup(conn, vm_id)
            if domain is not None:
                _destroy(domain)
                domain.undefineFlags(
                    libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
                    | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
                    | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
                )
            self._consoles.remove(vm_id)

        await self._call("undefine", vm_id, work)

    async def power(self, vm_id: int) -> Power:
        def work(conn: Any) -> Power:
            domain = self._lookup(conn, vm_id)
            return Power.ABSENT if domain is None else read_state(domain)

        return await self._call("look at", vm_id, work, self._timeouts.query_s)

    async def guests(self) -> list[GuestState]:
        def work(conn: Any) -> list[GuestState]:
            found = (self._state(domain) for domain in conn.listAllDomains())
            return [state for state in found if state is not None]

        states = await self._link.call("list the guests", work, self._timeouts.query_s)
        return sorted(states, key=lambda state: state.vm_id)

    async def unknown_guests(self) -> list[str]:
        def work(conn: Any) -> list[str]:
            return [dom.name() for dom in conn.listAllDomains() if self._mark(dom) is None]

        return sorted(await self._link.call("list the guests", work, self._timeouts.query_s))

    async def console_tail(self, vm_id: int, tail_bytes: int) -> bytes:
        if await self.power(vm_id) is Power.ABSENT:
            raise _not_defined(vm_id)
        return await asyncio.to_thread(self._consoles.tail, vm_id, tail_bytes)

    async def events(self) -> AsyncIterator[GuestChange]:
        """For one reader. After a lost connection it tells what changed meanwhile."""
        pause_s = _RECONNECT_S
        while not self._closed:
            try:
                await self._link.connected()
                name = await self._next_signal()
                changes = await self._changes(name)
            except DriverError as err:
                log.warning("no events: %s", err)
                await asyncio.sleep(pause_s)
                pause_s = min(_RECONNECT_MAX_S, pause_s * 2)
                self._signals.put_nowait(None)
                continue
            pause_s = _RECONNECT_S
            for change in changes:
                yield change

    async def close(self) -> None:
        self._closed = True
        await self._link.close()
        self._signals.put_nowait(None)

    async def _next_signal(self) -> str | None:
        """A domain's name, or None when all of them are to be looked at."""
        signal = asyncio.ensure_future(self._signals.get())
        lost = asyncio.ensure_future(self._link.lost.wait())
        try:
            await asyncio.wait({signal, lost}, return_when=asyncio.FIRST_COMPLETED)
            return signal.result() if signal.done() else None
        finally:
            signal.cancel()
            lost.cancel()

    async def _changes(self, name: str | None) -> list[GuestChange]:
        """What differs from what was last told; of the domain *name*, or of all."""
        if self._closed:
            return []
        if name is None:
            now = {state.vm_id: state for state in await self.guests()}
            looked_at = self._seen.keys() | now.keys()
        else:
            vm_id = domain_xml.vm_id_of(name)
            state = None if vm_id is None else await self._look(vm_id)
            now = {} if state is None else {state.vm_id: state}
            looked_at = set() if vm_id is None else {vm_id}
        changes = []
        for vm_id in sorted(looked_at):
            before = self._seen.pop(vm_id, None)
            after = now.get(vm_id)
            if after is not None:
                self._seen[vm_id] = after
            told = after or (before and replace(before, power=Power.ABSENT))
            if told and after != before:
                changes.append(GuestChange(vm_id=vm_id, epoch=told.epoch, power=told.power))
        return changes

    async def _look(self, vm_id: int) -> GuestState | None:
        """The guest, or None when there is none of ours."""

        def work(conn: Any) -> GuestState | None:
            try:
                domain = conn.lookupByName(domain_xml.domain_name(vm_id))
            except libvirt.libvirtError as err:
                if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return None
                raise
            return self._state(domain)

        return await self._call("look at", vm_id, work, self._timeouts.query_s)

    def _on_domain(self, name: str) -> None:
        self._signals.put_nowait(name)
        if name in self._changed:
            self._changed[name].set()

    async def _call(
        self, verb: str, vm_id: int, work: Callable[[Any], T], timeout_s: float | None = None
    ) -> T:
        what = f"{verb} guest {vm_id}"
        try:
            return await self._link.call(what, work, timeout_s or self._timeouts.change_s)
        except libvirt.libvirtError as err:
            raise DriverError(
                f"cannot {what}: {err}",
                f"see /var/log/libvirt/qemu/{domain_xml.domain_name(vm_id)}.log on the host",
            ) from err
        except OSError as err:
            raise DriverError(f"cannot {what}: {err}", "see the host's disk") from err

    async def _checked_kvm(self) -> kvm_check.KvmCheck:
        async with self._kvm_lock:
            if self._kvm is None or not self._kvm.final:
                self._kvm = await asyncio.to_thread(kvm_check.check, self._kvm_cache)
            return self._kvm

    def _press(self, conn: Any, vm_id: int) -> bool:
        """The power button of a guest that runs; False when none is there to notice it."""
        domain = self._lookup(conn, vm_id)
        if domain is None or read_state(domain) is not Power.ON:
            return False
        domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        return True

    def _running(self, conn: Any, vm_id: int, verb: str) -> Any:
        domain = self._found(conn, vm_id)
        power = read_state(domain)
        if power not in (Power.ON, Power.PAUSED):
            raise DriverError(f"guest {vm_id} is {power.value}, cannot {verb} it", "start it first")
        return domain

    def _found(self, conn: Any, vm_id: int) -> Any:
        domain = self._lookup(conn, vm_id)
        if domain is None:
            raise _not_defined(vm_id)
        return domain

    def _lookup(self, conn: Any, vm_id: int) -> Any:
        """The domain, or None. DriverError for one that has its name and is not ours."""
        name = domain_xml.domain_name(vm_id)
        try:
            domain = conn.lookupByName(name)
        except libvirt.libvirtError as err:
            if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        if self._mark(domain) is None:
            raise DriverError(
                f"a domain {name} is on this host that is not this cloud's",
                f"rename or remove it (virsh undefine {name}), then try again",
            )
        return domain

    def _state(self, domain: Any) -> GuestState | None:
        """None when it is not ours, or gone since it was listed."""
        mark = self._mark(domain)
        if mark is None:
            return None
        try:
            power = read_state(domain)
        except libvirt.libvirtError as err:
            if err.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        return GuestState(vm_id=mark.vm_id, epoch=mark.epoch, power=power)

    def _mark(self, domain: Any) -> domain_xml.Mark | None:
        try:
            text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, domain_xml.METADATA_URI)
        except libvirt.libvirtError as err:
            if err.get_error_code() in (
                libvirt.VIR_ERR_NO_DOMAIN_METADATA,
                libvirt.VIR_ERR_NO_DOMAIN,
            ):
                return None
            raise
        mark = domain_xml.read_mark(text)
        ours = (
            mark is not None
            and mark.cluster_id == self._cluster_id
            and domain.name() == domain_xml.domain_name(mark.vm_id)
        )
        return mark if ours else None


def _destroy(domain: Any) -> None:
    """By force, but QEMU may first flush what it has of the disks. None or off is fine."""
    if domain is None or not domain.isActive():
        return
    try:
        domain.destroyFlags(libvirt.VIR_DOMAIN_DESTROY_GRACEFUL)
    except libvirt.libvirtError:
        if domain.isActive():
            domain.destroy()


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return


def _takes_direct_io(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _not_defined(vm_id: int) -> DriverError:
    return DriverError(
        f"guest {vm_id} is not defined on this host", "recover the VM to prepare it anew"
    )
