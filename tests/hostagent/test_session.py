"""The agent's conversation with replicas over real gRPC and TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hostagent import session as module
from hostagent.drivers.base import Power
from hostagent.drivers.fake import effects
from hostagent.drivers.fake_script import FakeScript, from_mapping
from hostagent.ledger import Ledger, LedgerError
from hostagent.session import SETTLED_S, Backoff, Front, Session, SessionEnded
from protos.v1.agent_pb2 import ConsoleQuery, GuestPower, SessionResponse, Task, TaskKind
from tests.hostagent.replicas import Certificates, Replica, task, until
from tests.hostagent.test_worker import Agent

START = TaskKind.TASK_KIND_START
STOP = TaskKind.TASK_KIND_STOP


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


def play(
    directory: Path,
    certificates: Certificates,
    addresses: list[str],
    scenario: Callable[[Agent], Awaitable[None]],
    script: FakeScript | None = None,
) -> Awaitable[None]:
    """One life of an agent that knows *addresses*."""

    async def whole() -> None:
        agent = Agent(directory, script)
        front = Front(
            addresses=addresses, credentials=certificates.credentials(), agent_version="test"
        )
        session = Session(
            front, ledger=agent.ledger, worker=agent.worker, driver=agent.driver, disk=directory
        )
        running = asyncio.gather(agent.worker.run(), session.run())
        try:
            await scenario(agent)
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            await agent.driver.close()
            agent.ledger.close()

    return whole()


def on_replicas(
    certificates: Certificates, count: int, scenario: Callable[[list[Replica]], Awaitable[None]]
) -> None:
    async def whole() -> None:
        replicas = [Replica(certificates) for _ in range(count)]
        for replica in replicas:
            await replica.start()
        try:
            await scenario(replicas)
        finally:
            for replica in replicas:
                await replica.stop()

    asyncio.run(whole())


def test_inventory_comes_first_and_a_task_is_reported(
    tmp_path: Path, certificates: Certificates
) -> None:
    async def scenario(replicas: list[Replica]) -> None:
        (leader,) = replicas

        async def life(agent: Agent) -> None:
            await until(lambda: leader.of("inventory"), "an inventory")
            (hello,) = leader.of("hello")
            assert (hello.agent_version, hello.capacity.hypervisor) == ("test", "fake")
            leader.send(task(1, START))
            await until(lambda: leader.reports(), "a report")
            assert leader.reports()[0].ok
            await until(lambda: not agent.ledger.reports(), "the acknowledgement")

        await play(tmp_path, certificates, [leader.address], life)

    on_replicas(certificates, 1, scenario)


def test_follower_leads_to_the_leader(tmp_path: Path, certificates: Certificates) -> None:
    async def scenario(replicas: list[Replica]) -> None:
        follower, leader = replicas
        follower.leads, follower.leader_address = False, leader.address

        async def life(agent: Agent) -> None:
            await until(lambda: leader.sessions, "a session with the leader")

        # The leader's address is not even known to the agent.
        await play(tmp_path, certificates, [follower.address], life)

    on_replicas(certificates, 2, scenario)


def test_leader_is_found_behind_dead_and_ignorant_replicas(
    tmp_path: Path, certificates: Certificates
) -> None:
    async def scenario(replicas: list[Replica]) -> None:
        dead, ignorant, leader = replicas
        await dead.stop()
        ignorant.leads = False

        async def life(agent: Agent) -> None:
            await until(lambda: leader.sessions, "a session with the leader")

        await play(tmp_path, certificates, [each.address for each in replicas], life)

    on_replicas(certificates, 3, scenario)


def test_work_goes_on_without_a_leader_and_the_next_one_gets_the_report(
    tmp_path: Path, certificates: Certificates
) -> None:
    slow = from_mapping({"rules": [{"verb": "start", "delay_s": 0.3}]})

    async def scenario(replicas: list[Replica]) -> None:
        first, second = replicas
        second.leads = False

        async def life(agent: Agent) -> None:
            await until(lambda: first.sessions, "a session")
            first.send(task(1, START))
            await until(lambda: agent.effects("define") == 1, "the work to be under way")
            await first.stop()
            await until(lambda: agent.ledger.reports(), "the report in the ledger")
            second.term, second.leads = 2, True
            await until(lambda: second.reports(), "the report at the new leader")
            # It does not know what the old one sent, and sends it too.
            second.send(task(1, START))
            await until(lambda: len(second.reports()) > 1, "the same report again")
            assert effects(tmp_path / "fake")[(5, "start")] == 1

        await play(tmp_path, certificates, [each.address for each in replicas], life, slow)

    on_replicas(certificates, 2, scenario)


def test_report_that_is_not_acknowledged_is_sent_again(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESEND_AFTER_S", 0.2)

    async def scenario(replicas: list[Replica]) -> None:
        (leader,) = replicas
        leader.acknowledges = False

        async def life(agent: Agent) -> None:
            await until(lambda: leader.sessions, "a session")
            leader.send(task(1, START))
            await until(lambda: len(leader.reports()) >= 2, "the report again")
            leader.acknowledges = True
            await until(lambda: not agent.ledger.reports(), "the acknowledgement")

        await play(tmp_path, certificates, [leader.address], life)

    on_replicas(certificates, 1, scenario)


def test_leader_of_an_older_term_is_left_and_its_tasks_are_not_done(
    tmp_path: Path, certificates: Certificates
) -> None:
    async def scenario(replicas: list[Replica]) -> None:
        old, new = replicas
        old.leads, old.leader_address = False, new.address
        new.term = 7

        async def life(agent: Agent) -> None:
            await until(lambda: new.of("inventory"), "a session with the new leader")
            before = old.sessions
            old.leads = True
            await new.stop()
            await until(lambda: old.sessions > before, "a visit to the old leader")
            old.send(task(1, START))
            await until(lambda: old.sessions > before + 1, "another visit")
            assert not old.reports()
            assert agent.ledger.accepted() == []

        agent_knows = [old.address, new.address]
        await play(tmp_path, certificates, agent_knows, life)

    on_replicas(certificates, 2, scenario)


def test_task_of_an_older_term_ends_the_session_without_a_report(
    tmp_path: Path, certificates: Certificates
) -> None:
    async def scenario(replicas: list[Replica]) -> None:
        (leader,) = replicas
        leader.term = 7

        async def life(agent: Agent) -> None:
            await until(lambda: leader.of("inventory"), "a session")
            stale = task(1, START)
            stale.term = 6
            leader.send(stale)
            await until(lambda: leader.sessions == 2, "another session")
            assert agent.ledger.accepted() == []
            assert not leader.reports()

        await play(tmp_path, certificates, [leader.address], life)

    on_replicas(certificates, 1, scenario)


def test_ledger_that_cannot_be_written_makes_no_storm_of_sessions(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Jitter would make a pause now and then shorter than the one before.
    monkeypatch.setattr(module.random, "uniform", lambda low, high: 1.0)
    pauses: list[float] = []
    after = Backoff.after

    def recorded(backoff: Backoff, end: SessionEnded, lasted_s: float) -> float:
        pauses.append(after(backoff, end, lasted_s))
        return pauses[-1]

    monkeypatch.setattr(Backoff, "after", recorded)

    class Insisting(Replica):
        """Sends its task in each session."""

        async def Session(self, requests: Any, context: Any) -> AsyncIterator[SessionResponse]:
            async for message in super().Session(requests, context):
                yield message
                if message.HasField("welcome"):
                    self.send(task(1, START))

    def full(ledger: Ledger, task: Task) -> None:
        raise LedgerError("No space left on device")

    monkeypatch.setattr(Ledger, "offer", full)

    async def scenario() -> None:
        leader = Insisting(certificates)
        await leader.start()

        async def life(agent: Agent) -> None:
            await until(lambda: len(pauses) >= 7, "more sessions")

        await play(tmp_path, certificates, [leader.address], life)
        await leader.stop()

    asyncio.run(scenario())
    assert pauses[0] > 0
    assert pauses == sorted(set(pauses))


def test_leader_that_goes_after_a_while_is_replaced_at_once() -> None:
    backoff = Backoff()
    for _ in range(20):
        backoff.after(SessionEnded("connection refused"), 0.0)
    assert backoff.after(SessionEnded("connection reset"), SETTLED_S) == 0
    first_pause_s = backoff.after(SessionEnded("connection refused"), 0.0)
    assert 0 < first_pause_s < 0.1


def test_leader_whose_sessions_end_at_once_is_asked_less_and_less() -> None:
    backoff = Backoff()
    pauses = [backoff.after(SessionEnded("it ended the session"), 0.1) for _ in range(30)]
    assert pauses[0] == 0
    assert min(pauses[20:]) >= 0.5


def test_own_failure_is_never_followed_by_a_session_at_once() -> None:
    backoff = Backoff()
    assert backoff.after(SessionEnded("the ledger's disk is full", ours=True), 3600.0) > 0


def test_silent_leader_is_left(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENCE_MIN_S", 0.3)

    async def scenario(replicas: list[Replica]) -> None:
        (leader,) = replicas
        leader.answers_heartbeats = False

        async def life(agent: Agent) -> None:
            await until(lambda: leader.sessions >= 2, "another session")

        await play(tmp_path, certificates, [leader.address], life)

    on_replicas(certificates, 1, scenario)


def test_guest_that_ends_by_itself_is_told(tmp_path: Path, certificates: Certificates) -> None:
    async def scenario(replicas: list[Replica]) -> None:
        (leader,) = replicas

        async def life(agent: Agent) -> None:
            await until(lambda: leader.sessions, "a session")
            leader.send(task(1, START, epoch=4))
            await until(lambda: leader.reports(), "the report")
            agent.driver.change(5, Power.CRASHED)
            crashed = GuestPower.GUEST_POWER_CRASHED
            await until(
                lambda: [e for e in leader.of("guest_event") if e.power == crashed], "the event"
            )
            assert leader.of("guest_event")[-1].epoch == 4

        await play(tmp_path, certificates, [leader.address], life)

    on_replicas(certificates, 1, scenario)


def test_what_tasks_cause_is_never_told_after_a_later_report(
    tmp_path: Path, certificates: Certificates
) -> None:
    """Off after a start's report would make the front-end believe the guest went down."""

    async def scenario(replicas: list[Replica]) -> None:
        (leader,) = replicas

        async def life(agent: Agent) -> None:
            await until(lambda: leader.of("inventory"), "a session")
            for task_id in range(1, 40, 2):
                leader.send(task(task_id, START))
                leader.send(task(task_id + 1, STOP, hard=True))
            leader.send(task(41, START))
            await until(lambda: any(r.task_id == 41 for r in leader.reports()), "reports")
            agent.driver.change(5, Power.CRASHED)
            on, crashed = GuestPower.GUEST_POWER_ON, GuestPower.GUEST_POWER_CRASHED
            await until(
                lambda: [e for e in leader.of("guest_event") if e.power == crashed], "the crash"
            )
            last = next(i for i, m in enumerate(leader.received) if m.report.task_id == 41)
            after = [m.guest_event for m in leader.received[last:] if m.HasField("guest_event")]
            assert {event.power for event in after} <= {on, crashed}

        await play(tmp_path, certificates, [leader.address], life)

    on_replicas(certificates, 1, scenario)


def test_console_is_answered(tmp_path: Path, certificates: Certificates) -> None:
    async def scenario(replicas: list[Replica]) -> None:
        (leader,) = replicas

        async def life(agent: Agent) -> None:
            await until(lambda: leader.sessions, "a session")
            leader.send(task(1, START))
            await until(lambda: leader.reports(), "the report")
            for query_id, vm_id in ((1, 5), (2, 404)):
                query = ConsoleQuery(query_id=query_id, vm_id=vm_id, tail_bytes=1000)
                leader.outbox.put_nowait(SessionResponse(console=query))
            await until(lambda: len(leader.of("console")) == 2, "two answers")
            answers = {reply.query_id: reply for reply in leader.of("console")}
            assert b"hostname=web-5" in answers[1].data
            assert "guest 404 is not defined" in answers[2].error

        await play(tmp_path, certificates, [leader.address], life)

    on_replicas(certificates, 1, scenario)


def test_replica_of_another_front_end_is_told_nothing(
    tmp_path: Path, certificates: Certificates
) -> None:
    async def scenario(replicas: list[Replica]) -> None:
        (ours,) = replicas
        stranger = Replica(Certificates())
        await stranger.start()

        async def life(agent: Agent) -> None:
            await until(lambda: ours.sessions, "a session with ours")
            assert stranger.sessions == 0

        await play(tmp_path, certificates, [stranger.address, ours.address], life)
        await stranger.stop()

    on_replicas(certificates, 1, scenario)
