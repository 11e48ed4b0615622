"""The leader's components on a real state machine, whose log has one replica and no disk waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from frontend.api.mutation import Mutations
from frontend.leader.proposals import Proposals
from frontend.replica import Replica
from protos.v1.agent_pb2 import Task
from raft.interfaces import Outcome, Role, Status
from tests.frontend.cloud import Cloud
from tests.frontend.front_end import DEADLINE_S

T = TypeVar("T")


class LocalLog:
    """The engine's interface over a Cloud: what is proposed is applied at once."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.on_commit: list[Callable[[int], None]] = []
        self.on_role: list[Callable[[Role, int], None]] = []
        self.role, self.term = Role.LEADER, 1
        self.down = False
        """No outcome, no reads."""
        self.refused: list[bytes] = []
        """What was proposed meanwhile."""

    def propose(self, entry: bytes, done: Callable[[Outcome], None]) -> None:
        if self.down:
            self.refused.append(entry)
            done(Outcome(applied=False, detail="no leader"))
            return
        result = self.cloud.apply_entry(entry)
        self.committed()
        done(Outcome(applied=True, index=self.cloud.index, result=result.SerializeToString()))

    def read_barrier(self, done: Callable[[int], None]) -> None:
        done(0 if self.down else max(1, self.cloud.index))

    def transfer(self, target: str, done: Callable[[bool, str], None]) -> None:
        done(False, "there is no other replica")

    def status(self) -> Status:
        index = self.cloud.index
        return Status(self.role, self.term, "1", index, index, index)

    # What the test does.

    def committed(self) -> None:
        """Tells of what the test applied behind the log's back."""
        for listener in self.on_commit:
            listener(self.cloud.index)

    def turn(self, role: Role, term: int) -> None:
        self.role, self.term = role, term
        for listener in self.on_role:
            listener(role, term)


class Scene:
    """One replica, its cloud, and the hosts that are connected to it."""

    def __init__(self, path: Path) -> None:
        self.cloud = Cloud(path)
        self.log = LocalLog(self.cloud)
        self.replica = Replica(
            self.log, self.cloud.store, replica_id="1", api_addresses={"1": "a:1"}, deadline_s=0.5
        )
        self.mutations = Mutations(self.replica)
        self.proposals = Proposals(self.mutations.internal)
        self.hosts = Hosts()


class Hosts:
    """frontend.leader.hosts.Hosts, with a record of all that it was told."""

    def __init__(self) -> None:
        self.sent: list[Task] = []
        self.heard_at: dict[int, float] = {}
        self.again: list[int] = []
        self.dropped: list[int] = []
        self.terms: list[int] = []
        self._connected: list[int] = []
        self._arrivals: asyncio.Queue[int] = asyncio.Queue()

    def open(self, term: int) -> None:
        self.terms.append(term)

    def close(self) -> None:
        self.terms.append(0)

    def connect(self, host_id: int) -> None:
        if host_id not in self._connected:
            self._connected.append(host_id)
        self._arrivals.put_nowait(host_id)

    def connected(self) -> list[int]:
        return list(self._connected)

    def heard(self, host_id: int) -> float | None:
        return self.heard_at.get(host_id)

    async def arrived(self) -> int:
        return await self._arrivals.get()

    def send_task(self, task: Task) -> bool:
        if task.host_id not in self._connected:
            return False
        self.sent.append(task)
        return True

    def report_again(self, host_id: int) -> None:
        self.again.append(host_id)

    def drop(self, host_id: int) -> None:
        self.dropped.append(host_id)


async def until(found: Callable[[], object]) -> None:
    """Lets the others run until *found* is true."""
    async with asyncio.timeout(DEADLINE_S):
        while not found():
            await asyncio.sleep(0.001)


def played(path: Path, scenario: Callable[[Scene], Awaitable[T]]) -> T:
    async def run() -> T:
        return await scenario(Scene(path))

    return asyncio.run(run())


async def beside(work: Awaitable[Any], scenario: Awaitable[T]) -> T:
    """*work* runs until *scenario* is done; what it raises fails the test."""
    working = asyncio.ensure_future(work)
    try:
        done = asyncio.ensure_future(scenario)
        await asyncio.wait([working, done], return_when=asyncio.FIRST_COMPLETED)
        if working.done() and not done.done():
            done.cancel()
            await working
        return await done
    finally:
        working.cancel()
