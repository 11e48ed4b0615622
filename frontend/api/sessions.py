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

from frontend.api.mutation import Mutations
from frontend.errors import Rejected, Unavailable
from frontend.replica import Replica
from protos.v1 import agent_pb2 as wire
from protos.v1.command_pb2 import ReportGuest, ReportHost, ReportTask

log = logging.getLogger(__name__)

HEARTBEAT_INTERVAL_MS = 1000
_CONSOLE_TIMEOUT_S = 5.0

Send = Callable[[wire.SessionResponse], Awaitable[None]]


class HostSession:
    """One agent's stream. What it reports is proposed in the order in which it came."""

    def __init__(self, host_id: int, term: int, hello: wire.Hello, mutations: Mutations) -> None:
        self.host_id, self.term = host_id, term
        self.heard = time.monotonic()
        self._actor = f"host/{host_id}"
        self._hello, self._mutations = hello, mutations
        self._outbox: asyncio.Queue[wire.SessionResponse | None] = asyncio.Queue()
        self._inventory = wire.Inventory()
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
            reader = group.create_task(self._listen(requests))
            try:
                while (message := await self._outbox.get()) is not None:
                    await send(message)
            finally:
                reader.cancel()

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
            self._report(request.report)
        elif kind == "inventory":
            # One that is equal to the last is news too: the agent repeats it when a guest has
            # changed in between.
            self._inventory = request.inventory
            self.report_inventory()
        elif kind == "guest_event":
            event = ReportGuest(host_id=self.host_id, event=request.guest_event)
            self._propose("guest event", report_guest=event)
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
        )
        self._propose("inventory", report_host=report)

    def _report(self, report: wire.TaskReport) -> None:
        """Acknowledged only once it is decided: until then the agent's ledger keeps it."""

        def acknowledge() -> None:
            ack = wire.ReportAck(task_id=report.task_id)
            self.push(wire.SessionResponse(report_ack=ack))

        told = ReportTask(host_id=self.host_id, report=report)
        self._propose(f"report of task {report.task_id}", acknowledge, report_task=told)

    def _propose(self, what: str, decided: Callable[[], None] | None = None, **op: object) -> None:
        future = self._mutations.internal(self._actor, **op)

        def settled(done: asyncio.Future[bytes]) -> None:
            error = None if done.cancelled() else done.exception()
            if isinstance(error, Rejected):
                # Refused for good: asking again would be refused again.
                log.warning("host %d: %s refused: %s", self.host_id, what, error)
            elif error is not None:
                log.warning("host %d: %s not decided: %s", self.host_id, what, error)
                self.end()
                return
            if decided is not None:
                decided()

        future.add_done_callback(settled)


class Sessions:
    """The registry; leader/ sees no more of it than it needs."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._connected: dict[int, HostSession] = {}
        self._heard: dict[int, float] = {}
        self._arrivals: asyncio.Queue[int] = asyncio.Queue()
        self._leads = asyncio.Event()
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
