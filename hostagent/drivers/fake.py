"""
A hypervisor made of files. Shipped, not test-only: demos, drills and trials run on it.

Its guests outlive the agent, as real ones do, and its journal counts every effect, so that a
drill can prove that an operation happened exactly once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from hostagent.drivers import fake_script
from hostagent.drivers.base import DriverError, GuestChange, GuestSpec, GuestState, Power
from hostagent.drivers.fake_guest import FakeGuest, GuestFiles, boot_text
from hostagent.drivers.fake_script import FakeScript
from protos.v1.host_pb2 import HostCapacity

log = logging.getLogger(__name__)

RUNNING = (Power.ON, Power.PAUSED)


class FakeDriver:
    """Keeps its guests in *directory*. *script* is one, or a file that is read again on change."""

    def __init__(
        self,
        directory: Path,
        script: FakeScript | Path | None = None,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._files = GuestFiles(directory / "guests")
        self._guests = self._files.load()
        self._journal_path = directory / "journal.jsonl"
        self._calls = _count(self._journal_path, "call")
        self._journal = self._journal_path.open("a", buffering=1)
        self._script_path = script if isinstance(script, Path) else None
        self._script_mtime_ns = 0
        self._script = script if isinstance(script, FakeScript) else FakeScript()
        if self._script_path is not None:
            self._load_script(self._script_path)
        self._now_s = wall_clock
        self._listeners: set[asyncio.Queue[GuestChange | None]] = set()
        self._closed = False

    async def capacity(self) -> HostCapacity:
        await self._scripted("capacity", -1)
        return HostCapacity(
            vcpu=self._script.vcpu, memory_mib=self._script.memory_mib, hypervisor="fake"
        )

    async def define(self, spec: GuestSpec) -> None:
        await self._scripted("define", spec.vm_id)
        known = self._guests.get(spec.vm_id)
        if known is not None and known.spec == spec:
            return
        self._effect("define", spec.vm_id, spec.epoch)
        self._put(FakeGuest(spec=spec) if known is None else replace(known, spec=spec))

    async def start(self, vm_id: int) -> None:
        await self._scripted("start", vm_id)
        guest = self._known(vm_id)
        if guest.power is Power.ON:
            return
        self._effect("start", vm_id, guest.spec.epoch)
        if guest.power in (Power.PAUSED, Power.SAVED):
            self._put(guest.resumed(self._now_s()))
        else:
            self._boot(guest)

    async def stop(self, vm_id: int, *, grace_s: float) -> None:
        await self._scripted("stop", vm_id)
        guest = self._current(vm_id)
        if guest is None or guest.power not in RUNNING:
            return
        asked = grace_s > 0 and guest.power is Power.ON
        if asked and not self._script.conduct(vm_id).ignores_shutdown:
            await asyncio.sleep(min(grace_s, self._script.shutdown_s))
        elif asked:
            await asyncio.sleep(grace_s)
        self._effect("stop", vm_id, guest.spec.epoch)
        self._end(guest, Power.OFF)

    async def reboot(self, vm_id: int, *, hard: bool) -> None:
        await self._scripted("reboot", vm_id)
        guest = self._running(vm_id, "reboot")
        if not hard and self._script.conduct(vm_id).ignores_shutdown:
            return
        self._effect("reboot", vm_id, guest.spec.epoch)
        self._keep_console(guest)
        self._boot(guest)

    async def pause(self, vm_id: int) -> None:
        await self._scripted("pause", vm_id)
        guest = self._running(vm_id, "pause")
        if guest.power is Power.ON:
            self._effect("pause", vm_id, guest.spec.epoch)
            self._put(replace(guest, power=Power.PAUSED, halted_at_s=self._now_s()))

    async def save(self, vm_id: int) -> None:
        await self._scripted("save", vm_id)
        if self._known(vm_id).power is Power.SAVED:
            return
        guest = self._running(vm_id, "save")
        halted_at_s = self._now_s() if guest.power is Power.ON else guest.halted_at_s
        self._effect("save", vm_id, guest.spec.epoch)
        self._put(replace(guest, power=Power.SAVED, halted_at_s=halted_at_s))

    async def restore(self, vm_id: int) -> None:
        await self._scripted("restore", vm_id)
        guest = self._known(vm_id)
        if guest.power is Power.ON:
            return
        if guest.power is not Power.SAVED:
            raise DriverError(
                f"guest {vm_id} is {guest.power.value} and has no saved memory",
                "start it instead of restoring it",
            )
        self._effect("restore", vm_id, guest.spec.epoch)
        self._put(guest.resumed(self._now_s()))

    async def undefine(self, vm_id: int) -> None:
        await self._scripted("undefine", vm_id)
        guest = self._guests.pop(vm_id, None)
        if guest is None:
            return
        self._effect("undefine", vm_id, guest.spec.epoch)
        self._files.remove(vm_id)
        self._tell(guest, Power.ABSENT)

    async def power(self, vm_id: int) -> Power:
        guest = self._current(vm_id)
        return Power.ABSENT if guest is None else guest.power

    async def guests(self) -> list[GuestState]:
        found = (self._current(vm_id) for vm_id in sorted(self._guests))
        return [
            GuestState(vm_id=guest.spec.vm_id, epoch=guest.spec.epoch, power=guest.power)
            for guest in found
            if guest is not None
        ]

    async def unknown_guests(self) -> list[str]:
        self._reload_script()
        return sorted(self._script.unknown_guests)

    async def console_tail(self, vm_id: int, tail_bytes: int) -> bytes:
        guest = self._known(vm_id)
        text = self._files.console(vm_id)
        if guest.power in (*RUNNING, Power.SAVED):
            text += boot_text(guest, self._now_s(), self._script.boot_s)
        return text.encode()[-tail_bytes:] if tail_bytes > 0 else b""

    async def events(self) -> AsyncIterator[GuestChange]:
        queue: asyncio.Queue[GuestChange | None] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            while not self._closed:
                try:
                    change = await asyncio.wait_for(queue.get(), self._next_own_end_s())
                except TimeoutError:
                    self._reload_script()
                    for vm_id in list(self._guests):
                        self._current(vm_id)
                    continue
                if change is None:
                    return
                yield change
        finally:
            self._listeners.discard(queue)

    async def close(self) -> None:
        self._closed = True
        self._journal.close()
        for queue in self._listeners:
            queue.put_nowait(None)

    def change(self, vm_id: int, power: Power) -> None:
        """Something happens to the guest behind the agent's back."""
        guest = self._known(vm_id)
        if power in (Power.OFF, Power.CRASHED):
            self._end(guest, power)
        elif power is Power.ON:
            self._boot(guest)
        else:
            self._put(replace(guest, power=power, halted_at_s=self._now_s()))

    async def _scripted(self, verb: str, vm_id: int) -> None:
        """Notes the call and does what the script wants to happen to it."""
        self._reload_script()
        earlier = self._calls[(vm_id, verb)]
        self._calls[(vm_id, verb)] += 1
        self._note("call", verb, vm_id, 0)
        rule = self._script.rule(verb, vm_id, earlier)
        if rule is None:
            return
        if rule.hang:
            await asyncio.Event().wait()
        await asyncio.sleep(rule.delay_s)
        if rule.fail:
            raise DriverError(rule.fail, "change the fake host's script and try again")

    def _reload_script(self) -> None:
        """A script that was changed into a faulty one is left aside, with a word in the log."""
        if self._script_path is None or not self._script_path.exists():
            return
        try:
            if self._script_path.stat().st_mtime_ns != self._script_mtime_ns:
                self._load_script(self._script_path)
        except ValueError as err:
            log.warning("the changed script is not used: %s", err)

    def _load_script(self, path: Path) -> None:
        self._script_mtime_ns = path.stat().st_mtime_ns
        self._script = fake_script.load(path)

    def _current(self, vm_id: int) -> FakeGuest | None:
        """The guest as it is now, after what it has done by itself since it was last looked at."""
        guest = self._guests.get(vm_id)
        end = guest.own_end(self._script.conduct(vm_id)) if guest is not None else None
        if guest is not None and end is not None and end[0] <= self._now_s():
            self._end(guest, end[1])
        return self._guests.get(vm_id)

    def _known(self, vm_id: int) -> FakeGuest:
        guest = self._current(vm_id)
        if guest is None:
            raise DriverError(
                f"guest {vm_id} is not defined on this host", "recover the VM to prepare it anew"
            )
        return guest

    def _running(self, vm_id: int, verb: str) -> FakeGuest:
        guest = self._known(vm_id)
        if guest.power not in RUNNING:
            raise DriverError(
                f"guest {vm_id} is {guest.power.value}, cannot {verb} it", "start it first"
            )
        return guest

    def _boot(self, guest: FakeGuest) -> None:
        self._put(replace(guest, power=Power.ON, started_at_s=self._now_s(), boots=guest.boots + 1))

    def _end(self, guest: FakeGuest, power: Power) -> None:
        self._keep_console(guest)
        self._put(replace(guest, power=power))

    def _keep_console(self, guest: FakeGuest) -> None:
        text = boot_text(guest, self._now_s(), self._script.boot_s)
        self._files.append_console(guest.spec.vm_id, text)

    def _put(self, guest: FakeGuest) -> None:
        before = self._guests.get(guest.spec.vm_id)
        self._guests[guest.spec.vm_id] = guest
        self._files.write(guest)
        if before is None or before.power is not guest.power:
            self._tell(guest, guest.power)

    def _tell(self, guest: FakeGuest, power: Power) -> None:
        change = GuestChange(vm_id=guest.spec.vm_id, epoch=guest.spec.epoch, power=power)
        for queue in self._listeners:
            queue.put_nowait(change)

    def _next_own_end_s(self) -> float:
        """Seconds until a guest ends by itself; at most one, as the script may change."""
        ends = (guest.own_end(self._script.conduct(vm_id)) for vm_id, guest in self._guests.items())
        due = (end[0] - self._now_s() for end in ends if end is not None)
        return max(0.0, min(due, default=1.0))

    def _effect(self, verb: str, vm_id: int, epoch: int) -> None:
        self._note("effect", verb, vm_id, epoch)

    def _note(self, what: str, verb: str, vm_id: int, epoch: int) -> None:
        row = {"what": what, "verb": verb, "vm_id": vm_id, "epoch": epoch, "at_s": self._now_s()}
        self._journal.write(json.dumps(row) + "\n")


def effects(directory: Path) -> Counter[tuple[int, str]]:
    """How often each (vm_id, verb) had an effect on the fake host in *directory*."""
    return _count(directory / "journal.jsonl", "effect")


def _count(journal: Path, what: str) -> Counter[tuple[int, str]]:
    counted: Counter[tuple[int, str]] = Counter()
    if not journal.exists():
        return counted
    with journal.open() as lines:
        for line in lines:
            row = json.loads(line)
            if row["what"] == what:
                counted[(row["vm_id"], row["verb"])] += 1
    return counted
