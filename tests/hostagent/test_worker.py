"""Tasks become effects exactly once, one at a time for each VM."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from hostagent import worker as module
from hostagent.drivers.base import Power
from hostagent.drivers.fake import FakeDriver, effects
from hostagent.drivers.fake_script import FakeScript, from_mapping
from hostagent.ledger import Ledger
from hostagent.network.base import NetworkError, NoBridges
from hostagent.preparation import NoPreparation, Preparation
from hostagent.worker import VERBS, Network, Tools, Worker
from protos.v1.agent_pb2 import Task, TaskKind, TaskReport
from protos.v1.vm_pb2 import Vm
from storage.errors import StorageError
from storage.threads import in_thread
from tests.hostagent.replicas import task, until

START = TaskKind.TASK_KIND_START
STOP = TaskKind.TASK_KIND_STOP
REBOOT = TaskKind.TASK_KIND_REBOOT
CLEANUP = TaskKind.TASK_KIND_CLEANUP


class Agent:
    """A worker over a fake hypervisor, as main.py puts them together."""

    def __init__(
        self,
        directory: Path,
        script: FakeScript | None = None,
        network: Network | None = None,
        preparation: Preparation | None = None,
    ) -> None:
        self.directory = directory
        self.ledger = Ledger(directory / "ledger")
        self.driver = FakeDriver(directory / "fake", script)
        tools = Tools(self.driver, preparation or NoPreparation(), network or NoBridges())
        self.worker = Worker(self.ledger, tools)
        self.reports: dict[int, TaskReport] = {}
        self.worker.on_report = lambda report: self.reports.update({report.task_id: report})

    async def reported(self, task_id: int) -> TaskReport:
        await until(lambda: task_id in self.reports, f"report of task {task_id}")
        return self.reports[task_id]

    async def do(self, task: Task) -> TaskReport:
        await self.worker.submit(task)
        return await self.reported(task.id)

    def effects(self, verb: str, vm_id: int = 5) -> int:
        return effects(self.directory / "fake")[(vm_id, verb)]


def play(
    directory: Path,
    scenario: Callable[[Agent], Awaitable[None]],
    script: FakeScript | None = None,
    network: Network | None = None,
    preparation: Preparation | None = None,
) -> None:
    """Runs one life of an agent; a second call on the same directory is its restart."""

    async def whole() -> None:
        agent = Agent(directory, script, network, preparation)
        running = asyncio.ensure_future(agent.worker.run())
        try:
            await scenario(agent)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await agent.driver.close()
            agent.ledger.close()

    asyncio.run(whole())


def test_every_kind_of_task_has_a_verb() -> None:
    assert set(VERBS) == set(TaskKind.values()) - {TaskKind.TASK_KIND_UNSPECIFIED}


def test_life_of_a_guest(tmp_path: Path) -> None:
    kinds = [
        (TaskKind.TASK_KIND_PREPARE, Power.ABSENT),
        (START, Power.ON),
        (TaskKind.TASK_KIND_REBOOT, Power.ON),
        (TaskKind.TASK_KIND_SAVE, Power.SAVED),
        (TaskKind.TASK_KIND_RESTORE, Power.ON),
        (STOP, Power.OFF),
        (START, Power.ON),
        (CLEANUP, Power.ABSENT),
        (CLEANUP, Power.ABSENT),
    ]

    async def scenario(agent: Agent) -> None:
        for task_id, (kind, power) in enumerate(kinds):
            report = await agent.do(task(task_id, kind))
            assert report.ok, report.detail
            assert await agent.driver.power(5) is power

    play(tmp_path, scenario)


def test_task_sent_again_is_not_done_again(tmp_path: Path) -> None:
    async def scenario(agent: Agent) -> None:
        await agent.do(task(1, START))
        agent.driver.change(5, Power.OFF)
        agent.ledger.acknowledge(1)
        agent.reports.clear()
        assert (await agent.do(task(1, START))).ok
        assert await agent.driver.power(5) is Power.OFF
        assert agent.effects("start") == 1

    play(tmp_path, scenario)


def test_session_that_ends_during_the_acceptance_loses_no_task(tmp_path: Path) -> None:
    async def scenario(agent: Agent) -> None:
        for task_id in range(20):
            submission = asyncio.ensure_future(agent.worker.submit(task(task_id, START)))
            for _ in range(task_id % 5):
                await asyncio.sleep(0)
            submission.cancel()
            with suppress(asyncio.CancelledError):
                await submission
            await until(lambda: not agent.ledger.accepted(), "no task left over")

    play(tmp_path, scenario)


def test_one_vm_does_one_thing_at_a_time_and_in_order(tmp_path: Path) -> None:
    slow = from_mapping({"rules": [{"verb": "start", "delay_s": 0.1}]})

    async def scenario(agent: Agent) -> None:
        await agent.worker.submit(task(1, START))
        await agent.worker.submit(task(2, STOP, hard=True))
        assert agent.worker.busy(5)
        await agent.reported(2)
        assert list(agent.reports) == [1, 2]
        assert await agent.driver.power(5) is Power.OFF
        assert not agent.worker.busy(5)

    play(tmp_path, scenario, slow)


def test_a_vm_that_hangs_holds_up_no_other(tmp_path: Path) -> None:
    hang = from_mapping({"rules": [{"verb": "start", "vm_id": 5, "hang": True}]})

    async def scenario(agent: Agent) -> None:
        await agent.worker.submit(task(1, START))
        assert (await agent.do(task(2, START, vm_id=6))).ok
        assert 1 not in agent.reports

    play(tmp_path, scenario, hang)


def test_task_that_takes_too_long_fails_and_a_retry_works(tmp_path: Path) -> None:
    hang = from_mapping({"rules": [{"verb": "start", "hang": True, "times": 1}]})

    async def scenario(agent: Agent) -> None:
        slow = task(1, START)
        slow.timeout_s = 1
        report = await agent.do(slow)
        assert not report.ok
        assert report.detail.startswith("start of VM 5 did not finish within 1 s; see the host's")
        assert (await agent.do(task(2, START))).ok

    play(tmp_path, scenario, hang)


def test_failure_of_the_hypervisor_is_reported_with_its_text(tmp_path: Path) -> None:
    broken = from_mapping({"rules": [{"verb": "start", "fail": "no kernel"}]})

    async def scenario(agent: Agent) -> None:
        report = await agent.do(task(1, START))
        assert (report.ok, report.vm_id, report.epoch) == (False, 5, 1)
        assert report.detail.startswith("no kernel; ")

    play(tmp_path, scenario, broken)


def test_failure_of_the_network_is_reported_with_its_text(tmp_path: Path) -> None:
    class Broken:
        async def ensure(self, names: object) -> None:
            raise NetworkError("bridge skyraft0: gone; look for it")

    async def scenario(agent: Agent) -> None:
        report = await agent.do(task(1, START))
        assert report.detail == "bridge skyraft0: gone; look for it"
        assert await agent.driver.power(5) is Power.ABSENT

    play(tmp_path, scenario, network=Broken())


def test_failure_of_storage_is_reported_with_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(self: NoPreparation, vm: Vm) -> None:
        raise StorageError("disk_full", "no space", "free some")

    monkeypatch.setattr(NoPreparation, "prepare", full)

    async def scenario(agent: Agent) -> None:
        report = await agent.do(task(1, TaskKind.TASK_KIND_PREPARE))
        assert report.detail == "no space: free some"

    play(tmp_path, scenario)


def test_slow_disks_hold_up_neither_the_ledger_nor_other_guests(tmp_path: Path) -> None:
    go_on = threading.Event()

    class SlowDisks(NoPreparation):
        async def prepare(self, vm: Vm) -> None:
            await in_thread(go_on.wait, 20)

    async def scenario(agent: Agent) -> None:
        for task_id in range(40):
            slow = task(task_id, TaskKind.TASK_KIND_PREPARE, vm_id=100 + task_id)
            await agent.worker.submit(slow)
        assert (await agent.do(task(100, START))).ok
        assert len(agent.reports) == 1
        go_on.set()
        await agent.reported(39)

    try:
        play(tmp_path, scenario, preparation=SlowDisks())
    finally:
        go_on.set()


def test_stops_that_wait_for_their_guests_hold_up_no_other(tmp_path: Path) -> None:
    patient = from_mapping({"shutdown_s": 60})

    async def scenario(agent: Agent) -> None:
        for vm_id in range(20):
            await agent.do(task(vm_id, START, vm_id=vm_id))
        for vm_id in range(20):
            await agent.worker.submit(task(100 + vm_id, STOP, vm_id=vm_id, grace_s=60))
        assert (await agent.do(task(200, START, vm_id=30))).ok
        assert not any(100 + vm_id in agent.reports for vm_id in range(20))

    play(tmp_path, scenario, patient)


def test_older_epoch_is_refused_and_nothing_is_done(tmp_path: Path) -> None:
    async def scenario(agent: Agent) -> None:
        await agent.do(task(1, START, epoch=3))
        report = await agent.do(task(2, STOP, epoch=2))
        assert not report.ok
        assert "epoch 2 of VM 5 is over" in report.detail
        assert await agent.driver.power(5) is Power.ON

    play(tmp_path, scenario)


def test_clean_up_does_not_wait_for_what_hangs(tmp_path: Path) -> None:
    hang = from_mapping({"rules": [{"verb": "start", "hang": True}]})

    async def scenario(agent: Agent) -> None:
        await agent.worker.submit(task(1, START))
        await until(lambda: agent.effects("define") == 1, "the work to be under way")
        assert (await agent.do(task(2, CLEANUP))).ok
        assert agent.reports[1].detail == "cancelled: the VM is being removed"
        assert await agent.driver.guests() == []
        assert not agent.worker.busy(5)

    play(tmp_path, scenario, hang)


def test_operation_of_a_newer_front_end_is_refused(tmp_path: Path) -> None:
    async def scenario(agent: Agent) -> None:
        unknown = task(1, START)
        unknown.kind = 99  # type: ignore[assignment]
        report = await agent.do(unknown)
        assert report.detail == "this agent does not know operation 99; upgrade the agent"

    play(tmp_path, scenario)


def test_bug_in_a_verb_ends_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(tools: Tools, task: Task) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(module.VERBS, START, broken)

    async def whole() -> None:
        agent = Agent(tmp_path)
        running = asyncio.ensure_future(agent.worker.run())
        await agent.worker.submit(task(1, START))
        with pytest.raises(ExceptionGroup):
            await running
        agent.ledger.close()

    asyncio.run(whole())
