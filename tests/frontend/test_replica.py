"""The asyncio side of the log, on an engine that is played by the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from frontend.errors import Rejected, Unavailable
from frontend.replica import COMMAND_BYTES_MAX, Mailbox, Replica
from protos.v1.agent_pb2 import TaskReport
from protos.v1.command_pb2 import Command, RecordEvent, ReportTask, Result
from raft.interfaces import Outcome, Role, Status

ACCEPTED = Outcome(applied=True, result=Result(payload=b"done").SerializeToString())
UNKNOWN = Outcome(applied=False, detail="no leader")


class Engine:
    """Answers on a thread of its own, with what the test has prepared."""

    def __init__(self) -> None:
        self.on_commit: list[Callable[[int], None]] = []
        self.on_role: list[Callable[[Role, int], None]] = []
        self.entries: list[bytes] = []
        self.rounds = 0
        self.outcomes: list[Outcome | None] = []
        self.read_indexes: list[int] = []
        self.halted = ""

    def propose(self, entry: bytes, done: Callable[[Outcome], None]) -> None:
        self.entries.append(entry)
        outcome = self.outcomes.pop(0) if self.outcomes else ACCEPTED
        if outcome is not None:
            threading.Thread(target=done, args=(outcome,)).start()

    def read_barrier(self, done: Callable[[int], None]) -> None:
        self.rounds += 1
        index = self.read_indexes.pop(0) if self.read_indexes else 7
        threading.Thread(target=done, args=(index,)).start()

    def transfer(self, target: str, done: Callable[[bool, str], None]) -> None:
        threading.Thread(target=done, args=(target == "2", "unknown replica")).start()

    def status(self) -> Status:
        return Status(Role.FOLLOWER, 3, "2", 9, 9, 9, halted=self.halted)


def played(scenario: Callable[[Replica, Engine], Awaitable[Any]], **settings: Any) -> Any:
    async def run() -> Any:
        engine = Engine()
        replica = Replica(
            engine,
            None,  # type: ignore[arg-type]
            replica_id="1",
            api_addresses={"1": "a:1", "2": "b:2"},
            **settings,
        )
        return await scenario(replica, engine)

    return asyncio.run(run())


def test_accepted_command_gives_its_payload() -> None:
    async def scenario(replica: Replica, engine: Engine) -> bytes:
        return await replica.propose(Command(request_id="r"))

    assert played(scenario) == b"done"


def test_refused_command_raises_what_the_state_said() -> None:
    async def scenario(replica: Replica, engine: Engine) -> None:
        refused = Result(code="in_use", detail="vm 3", field="id").SerializeToString()
        engine.outcomes = [Outcome(applied=True, result=refused)]
        await replica.propose(Command(request_id="r"))

    with pytest.raises(Rejected) as caught:
        played(scenario)
    assert (caught.value.code, caught.value.detail, caught.value.field) == ("in_use", "vm 3", "id")


def test_fields_that_this_build_does_not_know_never_reach_the_log() -> None:
    async def scenario(replica: Replica, engine: Engine) -> bytes:
        newer = TaskReport.FromString(b"\x08\x07\xb8\x3e\x01")
        await replica.propose(Command(request_id="r", report_task=ReportTask(report=newer)))
        return engine.entries[0]

    known = Command(request_id="r", report_task=ReportTask(report=TaskReport(task_id=7)))
    assert played(scenario) == known.SerializeToString()


def test_command_that_is_too_large_is_refused_before_the_log() -> None:
    async def scenario(replica: Replica, engine: Engine) -> list[bytes]:
        large = RecordEvent(detail="x" * COMMAND_BYTES_MAX)
        with pytest.raises(Rejected) as caught:
            await replica.propose(Command(request_id="r", record_event=large))
        assert caught.value.code == "invalid_argument"
        return engine.entries

    assert played(scenario) == []


def test_unknown_outcome_is_asked_again_with_the_same_bytes() -> None:
    async def scenario(replica: Replica, engine: Engine) -> list[bytes]:
        engine.outcomes = [UNKNOWN, UNKNOWN]
        await replica.propose(Command(request_id="r"))
        return engine.entries

    entries = played(scenario)
    assert len(entries) == 3
    assert len(set(entries)) == 1


def test_no_outcome_in_time_is_unavailable() -> None:
    async def scenario(replica: Replica, engine: Engine) -> None:
        engine.outcomes = [None]
        await replica.propose(Command(request_id="r"), timeout_s=0.05)

    with pytest.raises(Unavailable):
        played(scenario)


def test_no_leader_until_the_deadline_is_unavailable_with_the_cause() -> None:
    async def scenario(replica: Replica, engine: Engine) -> None:
        engine.outcomes = [UNKNOWN] * 1000
        await replica.propose(Command(request_id="r"), timeout_s=0.1)

    with pytest.raises(Unavailable, match="no leader"):
        played(scenario)


def test_halted_replica_gives_up_at_once() -> None:
    async def scenario(replica: Replica, engine: Engine) -> None:
        engine.halted = "disk full"
        engine.outcomes = [UNKNOWN] * 1000
        await replica.propose(Command(request_id="r"))

    with pytest.raises(Unavailable, match="disk full"):
        played(scenario)


def test_reads_of_one_moment_share_a_round() -> None:
    async def scenario(replica: Replica, engine: Engine) -> int:
        await asyncio.gather(*(replica.read() for _ in range(100)))
        return engine.rounds

    assert played(scenario) == 1


def test_read_that_comes_later_gets_a_round_of_its_own() -> None:
    async def scenario(replica: Replica, engine: Engine) -> int:
        first = replica.barrier()
        await asyncio.sleep(0)
        second = replica.barrier()
        await asyncio.gather(first, second)
        return engine.rounds

    assert played(scenario) == 2


def test_stale_read_asks_nobody() -> None:
    async def scenario(replica: Replica, engine: Engine) -> int:
        await replica.read(stale=True)
        return engine.rounds

    assert played(scenario) == 0


def test_unconfirmed_read_is_asked_again() -> None:
    async def scenario(replica: Replica, engine: Engine) -> int:
        engine.read_indexes = [0, 0]
        await replica.read()
        return engine.rounds

    assert played(scenario) == 3


def test_one_reader_that_gives_up_does_not_disturb_the_others() -> None:
    async def scenario(replica: Replica, engine: Engine) -> None:
        gives_up, stays = replica.barrier(), replica.barrier()
        gives_up.cancel()
        await stays

    played(scenario)


def test_read_without_a_leader_is_unavailable() -> None:
    async def scenario(replica: Replica, engine: Engine) -> None:
        engine.read_indexes = [0] * 1000
        await replica.read()

    with pytest.raises(Unavailable):
        played(scenario, deadline_s=0.1)


def test_a_commit_wakes_everybody_who_waits_for_it() -> None:
    async def scenario(replica: Replica, engine: Engine) -> list[int]:
        waiting = [asyncio.ensure_future(replica.wait_revision(9)) for _ in range(3)]
        await asyncio.sleep(0)
        threading.Thread(target=lambda: [tell(12) for tell in engine.on_commit]).start()
        return await asyncio.gather(*waiting)

    assert played(scenario) == [12, 12, 12]


def test_what_is_committed_already_is_not_waited_for() -> None:
    async def scenario(replica: Replica, engine: Engine) -> int:
        return await replica.wait_revision(8)

    assert played(scenario) == 9


def test_role_changes_arrive_in_the_event_loop() -> None:
    async def scenario(replica: Replica, engine: Engine) -> tuple[Role, int]:
        told: asyncio.Future[tuple[Role, int]] = replica.loop.create_future()
        replica.role_changed.append(lambda role, term: told.set_result((role, term)))
        threading.Thread(target=lambda: [tell(Role.LEADER, 4) for tell in engine.on_role]).start()
        return await told

    assert played(scenario) == (Role.LEADER, 4)


def test_transfer_tells_why_it_did_not_go() -> None:
    async def scenario(replica: Replica, engine: Engine) -> list[tuple[bool, str]]:
        return [await replica.transfer("2"), await replica.transfer("9")]

    assert [ok for ok, _ in played(scenario)] == [True, False]


def test_the_leaders_address_is_known() -> None:
    async def scenario(replica: Replica, engine: Engine) -> str:
        return replica.leader_address()

    assert played(scenario) == "b:2"


def test_burst_crosses_to_the_loop_in_one_hop_and_in_order() -> None:
    class CountingLoop:
        hops = 0
        drain: Callable[[], None]

        def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
            self.hops += 1
            self.drain = callback

    loop, got = CountingLoop(), []
    mailbox = Mailbox(loop)  # type: ignore[arg-type]
    for number in range(100):
        mailbox.post(got.append, number)
    loop.drain()
    mailbox.post(got.append, 100)
    loop.drain()
    assert (loop.hops, got) == (2, list(range(101)))
