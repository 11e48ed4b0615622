"""What the observer tells, and when it keeps silent. Its order with reports: test_session."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hostagent import observer as module
from hostagent.drivers.base import DriverError, Power
from hostagent.drivers.fake_script import FakeScript, from_mapping
from hostagent.observer import Observer, Outgoing
from protos.v1.agent_pb2 import GuestPower, TaskKind
from tests.hostagent.replicas import task, until
from tests.hostagent.test_worker import Agent

START = TaskKind.TASK_KIND_START


class Told:
    """What would have gone out."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._seen: list[Any] = []

    def all(self) -> list[Any]:
        while not self._outgoing.empty():
            self._seen.append(self._outgoing.get_nowait())
        return self._seen

    def inventories(self) -> list[Any]:
        return [one.inventory for one in self.all() if one.HasField("inventory")]

    def powers(self) -> list[GuestPower]:
        return [one.guest_event.power for one in self.all() if one.HasField("guest_event")]


def play(
    directory: Path,
    scenario: Callable[[Agent, Told], Awaitable[None]],
    script: FakeScript | None = None,
) -> None:
    async def whole() -> None:
        agent = Agent(directory, script)
        observer = Observer(agent.driver, agent.worker, agent.ledger, directory)
        outgoing: Outgoing = asyncio.Queue()

        def reported(report: Any) -> None:
            agent.reports[report.task_id] = report
            observer.touch(report.vm_id)

        agent.worker.on_report = reported
        await observer.begin(outgoing)
        running = asyncio.gather(agent.worker.run(), observer.watch(), observer.tell(outgoing))
        try:
            await scenario(agent, Told(outgoing))
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await agent.driver.close()
            agent.ledger.close()

    asyncio.run(whole())


def test_session_begins_with_an_inventory(tmp_path: Path) -> None:
    async def scenario(agent: Agent, told: Told) -> None:
        assert [list(one.guests) for one in told.inventories()] == [[]]

    play(tmp_path, scenario)


def test_guest_that_vanished_is_told_by_an_inventory(tmp_path: Path) -> None:
    async def scenario(agent: Agent, told: Told) -> None:
        await agent.do(task(1, START))
        await until(lambda: GuestPower.GUEST_POWER_ON in told.powers(), "on")
        agent.driver.change(5, Power.OFF)
        await until(lambda: GuestPower.GUEST_POWER_OFF in told.powers(), "off")
        await agent.driver.undefine(5)
        await until(lambda: len(told.inventories()) == 2, "an inventory")
        assert list(told.inventories()[1].guests) == []

    play(tmp_path, scenario)


def test_guest_of_others_that_appears_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INVENTORY_INTERVAL_S", 0.05)

    async def scenario(agent: Agent, told: Told) -> None:
        agent.driver._script = FakeScript(unknown_guests=("legacy-db",))
        await until(lambda: len(told.inventories()) == 2, "an inventory")
        assert list(told.inventories()[1].unknown_guests) == ["legacy-db"]

    play(tmp_path, scenario)


def test_hypervisor_that_fails_is_told_without_losing_guests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INVENTORY_INTERVAL_S", 0.05)

    async def scenario(agent: Agent, told: Told) -> None:
        await agent.do(task(1, START))
        await until(lambda: told.inventories()[-1].guests, "the guest in an inventory")

        async def broken() -> list[str]:
            raise DriverError("libvirtd is gone", "start it")

        with monkeypatch.context() as patch:
            patch.setattr(agent.driver, "unknown_guests", broken)
            await until(
                lambda: told.inventories()[-1].capacity.hypervisor_detail, "word of the failure"
            )
            blind = told.inventories()[-1]
            assert blind.capacity.hypervisor_detail == "libvirtd is gone; start it"
            assert (blind.capacity.vcpu, len(blind.guests)) == (0, 1)
        await until(lambda: told.inventories()[-1].capacity.vcpu, "capacity again")

    play(tmp_path, scenario)


def test_busy_guest_is_not_told_until_its_task_ends(tmp_path: Path) -> None:
    slow = from_mapping({"rules": [{"verb": "start", "delay_s": 0.2}]})

    async def scenario(agent: Agent, told: Told) -> None:
        await agent.worker.submit(task(1, START))
        await until(lambda: agent.effects("define") == 1, "the definition, which is a change")
        await agent.reported(1)
        await until(lambda: told.powers(), "an event")
        assert told.powers() == [GuestPower.GUEST_POWER_ON]

    play(tmp_path, scenario, slow)
