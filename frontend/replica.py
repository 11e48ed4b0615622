"""
The asyncio side of the log: propose a command here and get its result, whoever leads; wait here
until a read is safe; learn here that something new was committed.

The engine answers on its own thread. Answers are collected and cross to the event loop in one
hop per burst, because the hop costs more than the answer.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from frontend.errors import Rejected, Unavailable
from protos.v1.command_pb2 import Command, Result

if TYPE_CHECKING:
    from frontend.state.store import Store
    from raft.interfaces import Outcome, Role, Status

log = logging.getLogger(__name__)

DEADLINE_S = 10.0
"""How long a request is tried again while no leader answers, unless its caller gives up first."""

_BACKOFF_MIN_S, _BACKOFF_MAX_S = 0.01, 0.1
_SWEEP_S = 0.25

COMMAND_BYTES_MAX = 1 << 20
"""Of one command. The log keeps every entry for long, also of what apply refuses."""


class Log(Protocol):
    """What is needed of raft.engine.Engine."""

    on_commit: list[Callable[[int], None]]
    on_role: list[Callable[[Role, int], None]]

    def propose(self, entry: bytes, done: Callable[[Outcome], None]) -> None: ...
    def read_barrier(self, done: Callable[[int], None]) -> None: ...
    def transfer(self, target: str, done: Callable[[bool, str], None]) -> None: ...
    def status(self) -> Status: ...


class Mailbox:
    """Carries calls from other threads into the event loop, in order, many per wake-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._letters: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._awake = False

    def post(self, handler: Callable[[Any], None], value: Any) -> None:
        self._letters.append((handler, value))
        # Set after the append and cleared before the drain: a letter is never left behind.
        if not self._awake:
            self._awake = True
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:
                log.debug("the event loop has ended; an answer of the engine is dropped")

    def _drain(self) -> None:
        self._awake = False
        letters = self._letters
        while letters:
            handler, value = letters.popleft()
            handler(value)


class _Proposal:
    """One command on its way. Repeated with the same bytes, thus the same request id, until it is
    applied: the machine answers a repetition with the first result."""

    __slots__ = ("attempt", "entry", "future", "give_up_at", "replica")

    def __init__(self, replica: Replica, entry: bytes, give_up_at: float) -> None:
        self.replica, self.entry, self.give_up_at = replica, entry, give_up_at
        self.future: asyncio.Future[bytes] = replica.loop.create_future()
        self.attempt = 0

    def send(self) -> None:
        if not self.future.done():
            self.replica.log.propose(self.entry, self.answered)

    def answered(self, outcome: Outcome) -> None:
        """Runs on the engine's thread."""
        self.replica.mailbox.post(self.settle, outcome)

    def settle(self, outcome: Outcome) -> None:
        if self.future.done():
            self.replica.forget(self)
        elif outcome.applied:
            self.replica.forget(self)
            result = Result.FromString(outcome.result)
            if result.code:
                self.future.set_exception(Rejected(result.code, result.detail, result.field))
            else:
                self.future.set_result(result.payload)
        else:
            self.replica.again(self, outcome.detail)

    def expire(self, detail: str) -> None:
        if not self.future.done():
            self.future.set_exception(Unavailable(detail))


class _Round:
    """One read barrier, shared by the reads that arrived before it was asked for."""

    __slots__ = ("attempt", "give_up_at", "replica", "waiters")

    def __init__(self, replica: Replica, give_up_at: float) -> None:
        self.replica, self.give_up_at = replica, give_up_at
        self.waiters: list[asyncio.Future[None]] = []
        self.attempt = 0

    def send(self) -> None:
        self.replica.log.read_barrier(self.answered)

    def answered(self, index: int) -> None:
        """Runs on the engine's thread."""
        self.replica.mailbox.post(self.settle, index)

    def settle(self, index: int) -> None:
        if not index:
            self.replica.again(self, "no leader confirms reads")
            return
        self.replica.forget(self)
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(None)

    def expire(self, detail: str) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_exception(Unavailable(detail))


class Replica:
    """One per process; all methods belong to the event loop it was made in."""

    def __init__(
        self,
        engine: Log,
        store: Store,
        *,
        replica_id: str,
        api_addresses: Mapping[str, str],
        deadline_s: float = DEADLINE_S,
    ) -> None:
        """*api_addresses* has the API's host:port of every replica, by id."""
        self.log, self.store, self.id = engine, store, replica_id
        self.loop = asyncio.get_running_loop()
        self.mailbox = Mailbox(self.loop)
        self.role_changed: list[Callable[[Role, int], None]] = []
        """Called in the event loop with each new role and its term."""
        self._api_addresses = dict(api_addresses)
        self._deadline_s = deadline_s
        self._flying: dict[_Proposal | _Round, None] = {}
        self._sweeping = False
        self._round: _Round | None = None
        self._tide: list[asyncio.Future[None]] = []
        self._revision = engine.status().applied_index
        engine.on_commit.append(self._committed)
        engine.on_role.append(self._role)

    # Writes.

    def submit(self, cmd: Command, timeout_s: float | None = None) -> asyncio.Future[bytes]:
        """
        Proposes *cmd* at once; the future gives the payload of its result, which is the
        serialized answer of the API's method, or raises Rejected or Unavailable.

        Raises Rejected("invalid_argument") itself for more than COMMAND_BYTES_MAX. Fields that
        this build does not know are left out: apply, which must halt on them, never meets one.
        """
        cmd.DiscardUnknownFields()
        entry = cmd.SerializeToString()
        if len(entry) > COMMAND_BYTES_MAX:
            raise Rejected(
                "invalid_argument",
                f"the request takes {len(entry)} bytes, at most {COMMAND_BYTES_MAX} are kept: "
                "make it smaller",
            )
        timeout_s = self._deadline_s if timeout_s is None else min(timeout_s, self._deadline_s)
        flight = _Proposal(self, entry, self.loop.time() + timeout_s)
        self._watch(flight)
        flight.send()
        return flight.future

    async def propose(self, cmd: Command, timeout_s: float | None = None) -> bytes:
        """As submit(), for callers that wait at once."""
        return await self.submit(cmd, timeout_s)

    # Reads.

    def barrier(self) -> asyncio.Future[None]:
        """Done once the local state holds everything that was acknowledged before this call.

        Raises Unavailable when no leader confirms it in time."""
        if self._round is None:
            self._round = _Round(self, self.loop.time() + self._deadline_s)
            # Asked for when this turn of the loop ends: whoever reads in it shares the round.
            self.loop.call_soon(self._send_round)
        waiter: asyncio.Future[None] = self.loop.create_future()
        self._round.waiters.append(waiter)
        return waiter

    async def read(self, stale: bool = False) -> None:
        """Wait until reading the local state is linearizable; *stale* does not wait."""
        if not stale:
            await self.barrier()

    def _send_round(self) -> None:
        flight, self._round = self._round, None
        assert flight is not None
        self._watch(flight)
        flight.send()

    # News.

    @property
    def revision(self) -> int:
        """The newest committed log index that this loop has been told of."""
        return self._revision

    async def wait_revision(self, after: int) -> int:
        """Wait until something after *after* is committed here; returns the newest index."""
        while self._revision <= after:
            waiter: asyncio.Future[None] = self.loop.create_future()
            self._tide.append(waiter)
            await waiter
        return self._revision

    def _committed(self, index: int) -> None:
        """Runs on the engine's thread."""
        self.mailbox.post(self._risen, index)

    def _risen(self, index: int) -> None:
        self._revision = max(self._revision, index)
        tide, self._tide = self._tide, []
        for waiter in tide:
            if not waiter.done():
                waiter.set_result(None)

    def _role(self, role: Role, term: int) -> None:
        """Runs on the engine's thread."""
        self.mailbox.post(self._turned, (role, term))

    def _turned(self, change: tuple[Role, int]) -> None:
        for changed in self.role_changed:
            changed(*change)

    # Who leads.

    def status(self) -> Status:
        return self.log.status()

    def leader_address(self) -> str:
        """host:port of the leader's API as far as known here, else empty."""
        return self._api_addresses.get(self.log.status().leader_id or "", "")

    async def transfer(self, target: str) -> tuple[bool, str]:
        """Hands leadership over, from the leader only; whether it went, and why not."""
        done: asyncio.Future[tuple[bool, str]] = self.loop.create_future()

        def settle(answer: tuple[bool, str]) -> None:
            if not done.done():
                done.set_result(answer)

        self.log.transfer(target, lambda ok, why: self.mailbox.post(settle, (ok, why)))
        return await done

    # What is on its way.

    def forget(self, flight: _Proposal | _Round) -> None:
        self._flying.pop(flight, None)

    def again(self, flight: _Proposal | _Round, detail: str) -> None:
        """Sends *flight* once more after a moment, or gives it up."""
        delay_s = min(_BACKOFF_MAX_S, _BACKOFF_MIN_S * 2**flight.attempt)
        flight.attempt += 1
        # Many requests fail at one moment when a leader dies; spread their return.
        delay_s *= random.uniform(0.5, 1.0)
        halted = self.log.status().halted
        if halted or self.loop.time() + delay_s >= flight.give_up_at:
            self.forget(flight)
            flight.expire(f"this replica halted: {halted}" if halted else detail or "no leader")
        else:
            self.loop.call_later(delay_s, flight.send)

    def _watch(self, flight: _Proposal | _Round) -> None:
        self._flying[flight] = None
        if not self._sweeping:
            self._sweeping = True
            self.loop.call_later(_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """One timer for all, since a timer for each would cost more than the proposal."""
        now = self.loop.time()
        late = [flight for flight in self._flying if flight.give_up_at <= now]
        for flight in late:
            self.forget(flight)
            flight.expire("no answer from a majority of the replicas in time; the outcome is open")
        self._sweeping = bool(self._flying)
        if self._sweeping:
            self.loop.call_later(_SWEEP_S, self._sweep)
