"""
The agent's side of the conversation with the leader: finds it, tells it what is, takes its tasks.

Nothing here is needed for work to go on. Tasks and reports are in the ledger, so a session may
end at any moment and the next one, with any leader, goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, NoReturn

import grpc
import grpc.aio

from hostagent import inventory
from hostagent.drivers.base import Driver, DriverError
from hostagent.ledger import Ledger, LedgerError
from hostagent.observer import Observer
from hostagent.worker import Worker
from protos.channel import Credentials, client_options, target
from protos.errors import failure_of
from protos.v1 import agent_pb2_grpc
from protos.v1.agent_pb2 import (
    ConsoleQuery,
    ConsoleReply,
    Heartbeat,
    Hello,
    SessionRequest,
    SessionResponse,
    Task,
    TaskReport,
    Welcome,
)
from protos.v1.host_pb2 import HostCapacity

log = logging.getLogger(__name__)

FIRST_ANSWER_TIMEOUT_S = 5.0
RESEND_AFTER_S = 5.0
"""A report that is not acknowledged by then is sent again."""

SILENCE_MIN_S = 3.0
SILENCE_HEARTBEATS = 3
"""A leader that is silent for so many heartbeats (and SILENCE_MIN_S) is left."""

CONSOLE_BYTES_MAX = 1 << 20

SETTLED_S = 2.0
"""A session that lasted so long was a good one: its end is news and not one more failure."""

_BACKOFF_FIRST_S = 0.02
_BACKOFF_FACTOR = 1.4
_BACKOFF_MAX_S = 1.0

_OPTIONS = {
    # Whoever is tried next may lead: better to fail at once than to try the same one again.
    "grpc.enable_retries": 0,
    "grpc.min_reconnect_backoff_ms": 500,
    # Else a new channel inherits the pause that a broken one to the same address had begun.
    "grpc.use_local_subchannel_pool": 1,
}


class SessionEnded(Exception):
    """
    This session is over; the text says why. *leader* is where to go on, if that is known; *ours*
    says that this host is at fault, so that another leader would do no better.
    """

    def __init__(self, reason: str, leader: str = "", *, ours: bool = False) -> None:
        super().__init__(reason)
        self.leader = leader
        self.ours = ours


class Backoff:
    """
    How long to wait before the next try: not at all when a good session was lost, as a new leader
    is there within a fraction of a second; longer and longer while nothing lasts. Jittered, as
    all hosts lose a leader in the same moment.
    """

    def __init__(self) -> None:
        self._next_s = 0.0

    def after(self, end: SessionEnded, lasted_s: float) -> float:
        """Seconds. *lasted_s* counts from the welcome; 0 for a session that got none."""
        if lasted_s >= SETTLED_S:
            self._next_s = 0.0
        pause_s = max(self._next_s, _BACKOFF_FIRST_S if end.ours else 0.0)
        self._next_s = min(_BACKOFF_MAX_S, max(_BACKOFF_FIRST_S, pause_s * _BACKOFF_FACTOR))
        return pause_s * random.uniform(0.5, 1.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The front-end as this host knows it."""

    addresses: Sequence[str]
    """The replicas' api ports, host:port."""
    credentials: Credentials
    agent_version: str


class Session:
    """Keeps one session with whoever leads, for as long as run() runs."""

    def __init__(
        self, front: Front, *, ledger: Ledger, worker: Worker, driver: Driver, disk: Path
    ) -> None:
        """*disk*: a path on the filesystem whose free space is told to the front-end."""
        self._front = front
        self._ledger = ledger
        self._worker = worker
        self._driver = driver
        self._disk = disk
        self._observer = Observer(driver, worker, ledger, disk)
        self._outgoing: asyncio.Queue[SessionRequest] | None = None
        self._sent_at: dict[int, float] = {}
        self._welcomed_at = 0.0
        self._heard_at = 0.0
        worker.on_report = self._on_report

    async def run(self) -> None:
        """Ends by cancellation only."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._observer.watch())
            group.create_task(self._keep())

    async def _keep(self) -> None:
        addresses = cycle(random.sample(self._front.addresses, len(self._front.addresses)))
        hint, backoff = "", Backoff()
        loop = asyncio.get_running_loop()
        while True:
            address = hint or next(addresses)
            try:
                await self._converse(address)
            except SessionEnded as end:
                hint = end.leader if end.leader != address else ""
                log.info("session with %s: %s", address, end)
                lasted_s = 0.0 if self._outgoing is None else loop.time() - self._welcomed_at
                pause_s = backoff.after(end, lasted_s)
            self._outgoing = None
            await asyncio.sleep(pause_s)

    async def _converse(self, address: str) -> NoReturn:
        """One session from Hello to its end, which is always a SessionEnded."""
        hello = Hello(
            agent_version=self._front.agent_version,
            capacity=await self._capacity(),
            term=self._ledger.term(),
        )
        async with self._channel(address) as channel:
            call = agent_pb2_grpc.AgentServiceStub(channel).Session()
            try:
                await call.write(SessionRequest(hello=hello))
                answer = await asyncio.wait_for(call.read(), FIRST_ANSWER_TIMEOUT_S)
                await self._led(call, await self._welcomed(answer))
            except grpc.aio.AioRpcError as err:
                raise SessionEnded(failure_of(err).message) from err
            except asyncio.InvalidStateError as err:
                raise SessionEnded("the call ended while it was written to") from err
            except TimeoutError:
                raise SessionEnded(f"no answer for {FIRST_ANSWER_TIMEOUT_S:g} s") from None
            finally:
                call.cancel()

    async def _welcomed(self, answer: Any) -> Welcome:
        if answer is grpc.aio.EOF:
            raise SessionEnded("it ended the session without an answer")
        if answer.HasField("not_leader"):
            raise _not_leader(answer)
        if not answer.HasField("welcome"):
            raise SessionEnded("it did not answer Hello with Welcome; are versions too far apart?")
        welcome: Welcome = answer.welcome
        await self._see_term(welcome.term)
        return welcome

    async def _see_term(self, term: int) -> None:
        """An older term than one seen: a deposed leader that has not noticed. Its tasks are left
        alone, without a report: the new leader sends them too, and they must not have failed."""
        try:
            if not await self._ledger.aside(self._ledger.see_term, term):
                raise SessionEnded(f"it leads with term {term}, a newer one is known; left")
        except LedgerError as err:
            raise SessionEnded(str(err), ours=True) from err

    async def _led(self, call: Any, welcome: Welcome) -> NoReturn:
        log.info("replica %s leads, term %d", welcome.leader_id, welcome.term)
        outgoing: asyncio.Queue[SessionRequest] = asyncio.Queue()
        self._outgoing = outgoing
        self._sent_at.clear()
        self._heard()
        self._welcomed_at = self._heard_at
        interval_s = (welcome.heartbeat_interval_ms or 1000) / 1000
        ended: SessionEnded | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_send(call, outgoing))
                group.create_task(self._receive(call, group, outgoing))
                group.create_task(self._beat(outgoing, interval_s))
                group.create_task(self._tell(outgoing, welcome))
        except* SessionEnded as ends:
            # Raised below: Python 3.11.3 and older wrap what is raised in here into a group.
            ended = _first(ends)
        if ended is not None:
            raise ended
        raise AssertionError("a session's tasks end by an exception only")

    async def _tell(self, outgoing: asyncio.Queue[SessionRequest], welcome: Welcome) -> None:
        """What is, then reports that wait, then what changes."""
        first = await self._observer.begin(outgoing)
        if first is not None:
            for line in inventory.differences(first, welcome.expected):
                log.warning("%s", line)
        self._send_reports()
        await self._observer.tell(outgoing)

    async def _beat(self, outgoing: asyncio.Queue[SessionRequest], interval_s: float) -> None:
        patience_s = max(SILENCE_MIN_S, SILENCE_HEARTBEATS * interval_s)
        sequence = 0
        while True:
            silent_s = asyncio.get_running_loop().time() - self._heard_at
            if silent_s > patience_s:
                raise SessionEnded(f"nothing heard for {silent_s:.1f} s")
            sequence += 1
            outgoing.put_nowait(SessionRequest(heartbeat=Heartbeat(sequence=sequence)))
            self._send_reports()
            await asyncio.sleep(interval_s)

    async def _receive(
        self, call: Any, group: asyncio.TaskGroup, outgoing: asyncio.Queue[SessionRequest]
    ) -> None:
        while True:
            try:
                answer = await call.read()
            except grpc.aio.AioRpcError as err:
                raise SessionEnded(failure_of(err).message) from err
            if answer is grpc.aio.EOF:
                raise SessionEnded("it ended the session")
            self._heard()
            kind = answer.WhichOneof("message")
            if kind == "not_leader":
                raise _not_leader(answer)
            if kind == "task":
                await self._accept(answer.task)
            elif kind == "report_ack":
                await self._acknowledged(answer.report_ack.task_id)
            elif kind == "console":
                group.create_task(self._answer(answer.console, outgoing))

    async def _accept(self, task: Task) -> None:
        await self._see_term(task.term)
        try:
            await self._worker.submit(task)
        except LedgerError as err:
            raise SessionEnded(f"task {task.id} was not accepted: {err}", ours=True) from err

    async def _acknowledged(self, task_id: int) -> None:
        self._sent_at.pop(task_id, None)
        try:
            await self._ledger.aside(self._ledger.acknowledge, task_id)
        except LedgerError as err:
            # Harmless: the report is sent again, and acknowledged again.
            log.error("%s", err)

    async def _answer(self, query: ConsoleQuery, outgoing: asyncio.Queue[SessionRequest]) -> None:
        reply = ConsoleReply(query_id=query.query_id)
        try:
            tail_bytes = min(query.tail_bytes, CONSOLE_BYTES_MAX)
            reply.data = await self._driver.console_tail(query.vm_id, tail_bytes)
        except DriverError as err:
            reply.error = str(err)
        except OSError as err:
            reply.error = f"the console's log cannot be read: {err}; see the host's disk"
        outgoing.put_nowait(SessionRequest(console=reply))

    def _on_report(self, report: TaskReport) -> None:
        if self._outgoing is not None:
            self._send_report(self._outgoing, report)
        self._observer.touch(report.vm_id)

    def _send_reports(self) -> None:
        """Those in the ledger that were not sent in this session, or long ago."""
        now = asyncio.get_running_loop().time()
        if self._outgoing is None:
            return
        for report in self._ledger.reports():
            sent_at = self._sent_at.get(report.task_id)
            if sent_at is None or now - sent_at > RESEND_AFTER_S:
                self._send_report(self._outgoing, report)

    def _send_report(self, outgoing: asyncio.Queue[SessionRequest], report: TaskReport) -> None:
        self._sent_at[report.task_id] = asyncio.get_running_loop().time()
        outgoing.put_nowait(SessionRequest(report=report))

    def _heard(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()

    async def _capacity(self) -> HostCapacity:
        """As last told: a hypervisor that hangs must not delay the search for a new leader."""
        last = self._observer.last_capacity()
        if last is not None:
            return last
        try:
            return await inventory.capacity(self._driver, self._disk)
        except DriverError as err:
            return inventory.without_hypervisor(str(err))

    def _channel(self, address: str) -> grpc.aio.Channel:
        try:
            name = target([address])
        except ValueError as err:
            raise SessionEnded(str(err)) from err
        options = dict(client_options(spread=False)) | _OPTIONS
        credentials = self._front.credentials.channel_credentials()
        return grpc.aio.secure_channel(name, credentials, list(options.items()))


async def _send(call: Any, outgoing: asyncio.Queue[SessionRequest]) -> None:
    while True:
        message = await outgoing.get()
        try:
            await call.write(message)
        except grpc.aio.AioRpcError as err:
            raise SessionEnded(failure_of(err).message) from err
        except asyncio.InvalidStateError as err:
            raise SessionEnded("the call ended while it was written to") from err


def _not_leader(answer: SessionResponse) -> SessionEnded:
    leader = answer.not_leader.leader_address
    return SessionEnded(f"it does not lead, {leader or 'nobody it knows'} does", leader)


def _first(ends: BaseExceptionGroup[SessionEnded]) -> SessionEnded:
    """The most telling of several ends: one that knows the leader, or that we are at fault."""
    flat = [end for end in ends.exceptions if isinstance(end, SessionEnded)]
    return max(flat, key=lambda end: (bool(end.leader), end.ours))
