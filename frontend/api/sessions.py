"""
The hosts that are connected to this replica, which happens on the leader only.

All in memory and none of it needed by the next leader: agents connect to it, and say again what
was not acknowledged.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from frontend.api.mutation import Mutations
from frontend.errors import Rejected, Unavailable
from frontend.replica import Replica
from protos.v1 import agent_pb2 as wire
from protos.v1.command_pb2 import ReportGuest, ReportHost, ReportTask

log = logging.getLogger(__name__)

HEARTBEAT_INTERVAL_MS = 1000
_CONSOLE_TIMEOUT_S = 5.0

Send = Callable[[wire.SessionResponse], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Said:
    """Something that an agent told and that is to be decided."""

    what: str
    op: dict[str, object]
    task_id: int | None = None
    """Of a report, which is acknowledged once it is decided: until then the agent's ledger
    keeps it."""


class HostSession:
    """One agent's stream. What it reports is decided in the order in which it came, and by the
    end of the stream or never: the next stream tells anew how things are."""

    def __init__(self, host_id: int, number: int, hello: wire.Hello, mutations: Mutations) -> None:
        """*number* is higher than that of any session of this host before."""
        self.host_id, self._number = host_id, number
        self.heard = time.monotonic()
        self._actor = f"host/{host_id}"
        self._hello, self._mutations = hello, mutations
        self._outbox: asyncio.Queue[wire.SessionResponse | None] = asyncio.Queue()
        self._inventory = wire.Inventory()
        self._said: asyncio.Queue[_Said] = asyncio.Queue()
        self._queries: dict[int, asyncio.Future[wire.ConsoleReply]] = {}
        self._query_ids = itertools.count(1)

    # To the agent.

    def push(self, message: wire.SessionResponse) -> None:
        self._outbox.put_nowait(message)

    def end(self) -> None:
        """The stream closes once all that was pushed is sent."""
        self._outbox.put_nowait(None)

    async def talk(self, requests: AsyncIterator[wire.SessionRequest], send: Send) -> None:
        """Until either side ends it."""
        async with asyncio.TaskGroup() as group:
            working = [
                group.create_task(self._listen(requests)),
                group.create_task(self._decide_all()),
            ]
            try:
                while (message := await self._outbox.get()) is not None:
                    await send(message)
            finally:
                for task in working:
                    task.cancel()

    async def console(self, vm_id: int, tail_bytes: int) -> bytes:
        """The end of a guest's console log. Rejected, Unavailable."""
        query_id = next(self._query_ids)
        answer: asyncio.Future[wire.ConsoleReply] = asyncio.get_running_loop().create_future()
        self._queries[query_id] = answer
        query = wire.ConsoleQuery(query_id=query_id, vm_id=vm_id, tail_bytes=tail_bytes)
        self.push(wire.SessionResponse(console=query))
        try:
            async with asyncio.timeout(_CONSOLE_TIMEOUT_S):
                reply = await answer
        except TimeoutError:
            raise Unavailable(f"host {self.host_id} did not answer in time") from None
        finally:
            del self._queries[query_id]
        if reply.error:
            raise Rejected("wrong_state", reply.error)
        return reply.data

    # From the agent.

    async def _listen(self, requests: AsyncIterator[wire.SessionRequest]) -> None:
        async for request in requests:
            self.heard = time.monotonic()
            self._take(request)
        self.end()

    def _take(self, request: wire.SessionRequest) -> None:
        kind = request.WhichOneof("message")
        if kind == "heartbeat":
            ack = wire.HeartbeatAck(sequence=request.heartbeat.sequence)
            self.push(wire.SessionResponse(heartbeat_ack=ack))
        elif kind == "report":
            told = ReportTask(host_id=self.host_id, report=request.report)
            what = f"report of task {request.report.task_id}"
            self._said.put_nowait(_Said(what, {"report_task": told}, request.report.task_id))
        elif kind == "inventory":
            # One that is equal to the last is news too: the agent repeats it when a guest has
            # changed in between.
            self._inventory = request.inventory
            self.report_inventory()
        elif kind == "guest_event":
            event = ReportGuest(
                host_id=self.host_id, event=request.guest_event, session=self._number
            )
            self._tell("guest event", report_guest=event)
        elif kind == "console":
            waiting = self._queries.get(request.console.query_id)
            if waiting is not None and not waiting.done():
                waiting.set_result(request.console)

    def report_inventory(self) -> None:
        """Tells the state (again) what the agent said last."""
        capacity = self._inventory.capacity
        if not self._inventory.HasField("capacity"):
            capacity = self._hello.capacity
        report = ReportHost(
            host_id=self.host_id,
            capacity=capacity,
            agent_version=self._hello.agent_version,
            unknown_guests=self._inventory.unknown_guests,
            guests=self._inventory.guests,
            session=self._number,
        )
        self._tell("inventory", report_host=report)

    def _tell(self, what: str, **op: object) -> None:
        self._said.put_nowait(_Said(what, op))

    async def _decide_all(self) -> None:
        """One after the other: two in flight could overtake each other when a leader is lost."""
        while True:
            said = await self._said.get()
            try:
                await self._mutations.internal(self._actor, **said.op)
            except Rejected as error:
                # Refused for good: asking again would be refused again.
                log.warning("host %d: %s refused: %s", self.host_id, said.what, error)
            except Unavailable as error:
                log.warning("host %d: %s not decided: %s", self.host_id, said.what, error)
                self.end()
                return
            if said.task_id is not None:
                ack = wire.ReportAck(task_id=said.task_id)
                self.push(wire.SessionResponse(report_ack=ack))


class Sessions:
    """The registry; leader/ sees no more of it than it needs."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._connected: dict[int, HostSession] = {}
        self._heard: dict[int, float] = {}
        self._arrivals: asyncio.Queue[int] = asyncio.Queue()
        self._leads = asyncio.Event()
        self._opened = itertools.count(1)
        self.term = 0
        """Of our leadership; 0 while another replica leads or nobody does."""

    # Leadership.

    def open(self, term: int) -> None:
        """This replica leads and has applied what earlier leaders committed."""
        self.term = term
        self._heard.clear()
        self._arrivals = asyncio.Queue()
        self._leads.set()

    def close(self) -> None:
        """Another replica leads: the agents are told, as far as it is known who."""
        self.term = 0
        self._leads.clear()
        for session in self._connected.values():
            session.push(self.not_leader())
            session.end()
        self._connected.clear()

    async def wait_open(self, timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self._leads.wait()
        except TimeoutError:
            return False
        return True

    def not_leader(self) -> wire.SessionResponse:
        address = self._replica.leader_address()
        return wire.SessionResponse(not_leader=wire.NotLeader(leader_address=address))

    # Hosts.

    def next_number(self) -> int:
        """For a new session: higher than any before, under earlier leaders too. One leadership
        has a term of its own and does not see 2^32 sessions."""
        return self.term << 32 | next(self._opened)

    def add(self, session: HostSession) -> None:
        """An agent that connects anew has given its older stream up."""
        old = self._connected.get(session.host_id)
        if old is not None:
            old.end()
        self._connected[session.host_id] = session
        self._arrivals.put_nowait(session.host_id)

    def remove(self, session: HostSession) -> None:
        self._heard[session.host_id] = session.heard
        if self._connected.get(session.host_id) is session:
            del self._connected[session.host_id]

    def drop(self, host_id: int) -> None:
        """Ends the host's session: its record is gone."""
        session = self._connected.get(host_id)
        if session is not None:
            session.end()

    def connected(self) -> list[int]:
        return list(self._connected)

    def heard(self, host_id: int) -> float | None:
        """Monotonic time of its last message under this leadership; None: not yet."""
        session = self._connected.get(host_id)
        return session.heard if session is not None else self._heard.get(host_id)

    async def arrived(self) -> int:
        """The next host that connected."""
        return await self._arrivals.get()

    def send_task(self, task: wire.Task) -> bool:
        """False: the task's host is not connected."""
        session = self._connected.get(task.host_id)
        if session is None:
            return False
        session.push(wire.SessionResponse(task=task))
        return True

    def report_again(self, host_id: int) -> None:
        """Brings a host that was given up for silent back into the state."""
        session = self._connected.get(host_id)
        if session is not None:
            session.report_inventory()

    async def console(self, host_id: int, vm_id: int, tail_bytes: int) -> bytes:
        session = self._connected.get(host_id)
        if session is None:
            raise Unavailable(f"host {host_id} is not connected to the leader")
        return await session.console(vm_id, tail_bytes)
