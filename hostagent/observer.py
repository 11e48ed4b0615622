"""
Watches the guests and tells the front-end what they do by themselves.

What an operation causes is told by its report. So an observation counts only if no operation on
that guest was under way or ended meanwhile; else a guest that was just started could be told as
off, after the report that it runs.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from hostagent import inventory
from hostagent.drivers.base import Driver, DriverError, Power
from hostagent.ledger import Ledger
from hostagent.worker import Worker
from protos.v1.agent_pb2 import GuestEvent, Inventory, SessionRequest
from protos.v1.host_pb2 import HostCapacity

log = logging.getLogger(__name__)

INVENTORY_INTERVAL_S = 10.0
"""Changes of our guests come as events; this finds new guests of others, and free space."""

Outgoing = asyncio.Queue[SessionRequest]


class Observer:
    """One for the agent's life; begin() and tell() run for one session at a time."""

    def __init__(self, driver: Driver, worker: Worker, ledger: Ledger, disk: Path) -> None:
        self._driver = driver
        self._worker = worker
        self._ledger = ledger
        self._disk = disk
        self._touched: set[int] = set()
        self._wake = asyncio.Event()
        self._all = False
        self._last: Inventory | None = None
        self._stale = False
        """Guests changed since _last: an inventory equal to it would be news all the same."""
        self._told: dict[int, Power] = {}

    async def watch(self) -> None:
        """Follows the hypervisor's events. Ends by cancellation, or when the driver is closed."""
        async for change in self._driver.events():
            log.info("VM %d is %s %s", change.vm_id, change.power.value, change.detail)
            self.touch(change.vm_id)

    def touch(self, vm_id: int) -> None:
        """Something happened to that guest: it is looked at and, if need be, told."""
        self._touched.add(vm_id)
        self._wake.set()

    def last_capacity(self) -> HostCapacity | None:
        """As last told; None before the first inventory."""
        return None if self._last is None else self._last.capacity

    async def begin(self, outgoing: Outgoing) -> Inventory | None:
        """Tells all there is, as a session's first; None when the hypervisor does not answer."""
        self._touched.clear()
        self._told.clear()
        taken = await self._take()
        if taken is None:
            self._all = True
        else:
            self._put(outgoing, taken)
        return taken

    async def tell(self, outgoing: Outgoing) -> None:
        """Tells changes. Ends by cancellation."""
        while True:
            try:
                await asyncio.wait_for(self._wake.wait(), INVENTORY_INTERVAL_S)
            except TimeoutError:
                self._all = True
            self._wake.clear()
            touched, self._touched = self._touched, set()
            self._stale = self._stale or bool(touched)
            for vm_id in touched:
                await self._tell_guest(outgoing, vm_id)
            if self._all:
                await self._tell_all(outgoing)

    async def _tell_all(self, outgoing: Outgoing) -> None:
        before = self._last
        taken = await self._take()
        self._all = False
        if taken is not None and (self._stale or taken != before):
            self._put(outgoing, taken)

    async def _tell_guest(self, outgoing: Outgoing, vm_id: int) -> None:
        """One that is busy is touched again when its task ends."""
        while not self._worker.busy(vm_id):
            finished = self._worker.finished
            try:
                power = await self._driver.power(vm_id)
            except DriverError:
                self._all = True
                return
            if finished != self._worker.finished:
                continue
            if power is Power.ABSENT:
                self._all = True
            elif self._told.get(vm_id) is not power:
                self._told[vm_id] = power
                event = GuestEvent(
                    vm_id=vm_id,
                    epoch=self._ledger.epoch(vm_id),
                    power=inventory.power_of(power),
                )
                outgoing.put_nowait(SessionRequest(guest_event=event))
            return

    async def _take(self) -> Inventory | None:
        while True:
            finished = self._worker.finished
            try:
                taken = await inventory.take(self._driver, self._disk)
            except DriverError as err:
                log.warning("no inventory: %s", err)
                return inventory.blind(self._last, str(err))
            if finished == self._worker.finished:
                return taken

    def _put(self, outgoing: Outgoing, taken: Inventory) -> None:
        """Without a pause after _take(), so that no report can come in between."""
        self._last, self._stale = taken, False
        outgoing.put_nowait(SessionRequest(inventory=taken))
