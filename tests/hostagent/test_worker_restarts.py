"""What becomes of tasks when their agent is killed, or stopped in order."""

from __future__ import annotations

import asyncio
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from hostagent.drivers.base import Power
from hostagent.drivers.fake import effects
from hostagent.drivers.fake_script import from_mapping
from hostagent.ledger import Ledger, LedgerError
from hostagent.worker import ATTEMPTS_MAX
from protos.v1.agent_pb2 import TaskReport
from tests.hostagent.replicas import task, until
from tests.hostagent.test_worker import CLEANUP, REBOOT, START, Agent, play


def test_task_interrupted_by_a_crash_is_done_once_by_the_next_agent(tmp_path: Path) -> None:
    hang = from_mapping({"rules": [{"verb": "start", "hang": True, "times": 1}]})

    async def interrupted(agent: Agent) -> None:
        await agent.worker.submit(task(1, START))
        await until(lambda: agent.effects("define") == 1, "the work to be under way")

    async def again(agent: Agent) -> None:
        assert (await agent.reported(1)).ok
        assert await agent.driver.power(5) is Power.ON

    play(tmp_path, interrupted, hang)
    play(tmp_path, again, hang)
    assert effects(tmp_path / "fake") == {(5, "define"): 1, (5, "start"): 1}


def test_reboot_that_a_crash_interrupted_is_not_done_again(tmp_path: Path) -> None:
    async def killed_after_the_effect(agent: Agent) -> None:
        async def never(report: TaskReport) -> None:
            await asyncio.Event().wait()

        await agent.do(task(1, START))
        agent.worker._finish = never  # type: ignore[method-assign]
        await agent.worker.submit(task(2, REBOOT))
        await until(lambda: agent.effects("reboot") == 1, "the reboot")

    async def again(agent: Agent) -> None:
        report = await agent.reported(2)
        assert not report.ok
        assert "interrupted, outcome unknown" in report.detail
        assert agent.effects("reboot") == 1
        assert (await agent.do(task(3, REBOOT))).ok

    play(tmp_path, killed_after_the_effect)
    play(tmp_path, again)


def test_reboot_is_not_begun_while_the_ledger_cannot_note_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(ledger: Ledger, task_id: int) -> int:
        raise LedgerError("No space left on device")

    monkeypatch.setattr(Ledger, "begin_attempt", full)

    async def scenario(agent: Agent) -> None:
        assert (await agent.do(task(1, START))).ok
        report = await agent.do(task(2, REBOOT))
        assert "could not be noted that it is begun: No space left" in report.detail
        assert agent.effects("reboot") == 0

    play(tmp_path, scenario)


def test_task_that_ends_the_agent_again_and_again_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang = from_mapping({"rules": [{"verb": "start", "hang": True}]})

    # Killed, so that nothing is put in order at the end.
    monkeypatch.setattr(Ledger, "take_attempt_back", lambda ledger, task_id: None)

    async def crash(tries: int, agent: Agent) -> None:
        await agent.worker.submit(task(1, START))
        journal = agent.directory / "fake/journal.jsonl"
        call = '"what": "call", "verb": "start"'
        await until(lambda: journal.read_text().count(call) == tries, "a try")

    async def last(agent: Agent) -> None:
        report = await agent.reported(1)
        assert not report.ok
        assert "in the middle of it" in report.detail

    for tries in range(1, ATTEMPTS_MAX + 1):
        play(tmp_path, partial(crash, tries), hang)
    play(tmp_path, last, hang)


def test_orderly_restarts_are_not_counted_as_crashes(tmp_path: Path) -> None:
    hang = from_mapping({"rules": [{"verb": "start", "hang": True, "times": ATTEMPTS_MAX + 1}]})

    async def stopped(tries: int, agent: Agent) -> None:
        if tries == 1:
            await agent.worker.submit(task(1, START))
        call = '"what": "call", "verb": "start"'
        journal = agent.directory / "fake/journal.jsonl"
        await until(lambda: journal.read_text().count(call) == tries, "a try")

    async def last(agent: Agent) -> None:
        assert (await agent.reported(1)).ok

    for tries in range(1, ATTEMPTS_MAX + 2):
        play(tmp_path, partial(stopped, tries), hang)
    play(tmp_path, last, hang)


def test_reboot_that_an_orderly_restart_interrupted_is_not_done_again(tmp_path: Path) -> None:
    hang = from_mapping({"rules": [{"verb": "reboot", "hang": True, "times": 1}]})

    async def stopped(agent: Agent) -> None:
        await agent.do(task(1, START))
        await agent.worker.submit(task(2, REBOOT))
        journal = agent.directory / "fake/journal.jsonl"
        await until(lambda: '"what": "call", "verb": "reboot"' in journal.read_text(), "the try")

    async def again(agent: Agent) -> None:
        assert "interrupted, outcome unknown" in (await agent.reported(2)).detail

    play(tmp_path, stopped, hang)
    play(tmp_path, again, hang)


def test_vm_that_is_being_removed_is_not_booted_first_after_a_crash(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "ledger")) as ledger:
        ledger.offer(task(1, START))
        ledger.offer(task(2, CLEANUP))
        ledger.offer(task(3, START, vm_id=6))

    async def restarted(agent: Agent) -> None:
        assert (await agent.reported(2)).ok
        assert (await agent.reported(1)).detail == "cancelled: the VM is being removed"
        assert (await agent.reported(3)).ok
        assert agent.effects("start") == 0
        assert not agent.worker.busy(5)

    play(tmp_path, restarted)
