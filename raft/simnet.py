"""Simulated time and links: every delay, loss, copy and disorder comes from one generator."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass

from protos.v1.raft_pb2 import RaftFrame

SILENCE_S = 2.0
"""A link whose other end vanished without a word is given up after this long."""


class SimClock:
    """Starts well above zero: some deadlines are compared with times before the start."""

    def __init__(self, rng: random.Random) -> None:
        self._now = 1000.0
        self.uniform = rng.random

    def now(self) -> float:
        return self._now

    def advance(self, to: float) -> None:
        self._now = max(self._now, to)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFaults:
    """Chances are per frame. TCP neither drops nor reorders; the log must bear it anyway."""

    delay_min_s: float = 0.0002
    delay_max_s: float = 0.002
    slow: float = 0.0
    """Chance of a delay up to slow_max_s instead."""

    slow_max_s: float = 0.2
    drop: float = 0.0
    duplicate: float = 0.0
    ordered: bool = True


Handler = tuple[Callable[[str, RaftFrame], None], Callable[[str], None], Callable[[str], None]]


class SimTransport:
    """The transport of one life of one replica."""

    def __init__(self, network: SimNetwork, me: str) -> None:
        self._network, self.me = network, me
        self.handler: Handler | None = None
        self.links: set[str] = set()

    def send(self, peer_id: str, frame: RaftFrame) -> bool:
        if peer_id not in self.links:
            return False
        self._network.send(self, peer_id, frame)
        return True

    def connected(self, peer_id: str) -> bool:
        return peer_id in self.links

    def set_handler(
        self,
        on_frame: Callable[[str, RaftFrame], None],
        on_up: Callable[[str], None],
        on_down: Callable[[str], None],
    ) -> None:
        self.handler = on_frame, on_up, on_down

    def tick(self, now: float) -> None:
        """The network's queue does what has to happen in time."""

    def destroy(self) -> None:
        self.handler = None
        self._network.leave(self, abrupt=False)


@dataclass(order=True, slots=True)
class _Event:
    at: float
    order: int
    target: str
    happen: Callable[[], None]


class SimNetwork:
    """A queue of things that happen at replicas, in simulated time."""

    def __init__(self, rng: random.Random, clock: SimClock) -> None:
        self._rng, self._clock = rng, clock
        self.faults = NetworkFaults()
        self.cuts: set[tuple[str, str]] = set()
        """(from, to): frames that way vanish. The link itself stays until it is noticed."""

        self.on_send: Callable[[str, str, RaftFrame], None] = lambda _from, _to, _frame: None
        self._alive: dict[str, SimTransport] = {}
        self._queue: list[_Event] = []
        self._count = 0
        self._last_due: dict[tuple[str, str], float] = {}

    def at(self, delay_s: float, target: str, happen: Callable[[], None]) -> float:
        """Let *happen* run later; *target* ticks right after it. The moment."""
        self._count += 1
        due = self._clock.now() + delay_s
        heapq.heappush(self._queue, _Event(due, self._count, target, happen))
        return due

    def next_at(self) -> float:
        return self._queue[0].at if self._queue else float("inf")

    def deliver_due(self) -> list[str]:
        """Let happen what is due; the replicas that it happened to."""
        touched = []
        while self._queue and self._queue[0].at <= self._clock.now():
            event = heapq.heappop(self._queue)
            event.happen()
            touched.append(event.target)
        return touched

    # --- links ---------------------------------------------------------------------------------

    def join(self, transport: SimTransport) -> None:
        """A replica started: links come up a little later, one by one."""
        me = transport.me
        self._alive[me] = transport
        for other in sorted(self._alive):
            if other != me:
                delay = self._rng.uniform(0.001, 0.05)
                self.at(delay, me, lambda other=other: self._up(me, other))  # type: ignore[misc]

    def leave(self, transport: SimTransport, *, abrupt: bool) -> None:
        """A process ended. Its kernel says so to the peers, unless the machine lost power."""
        me = transport.me
        if self._alive.get(me) is not transport:
            return
        del self._alive[me]
        for other in sorted(transport.links):
            there = self._alive.get(other)
            if there is not None:
                delay = SILENCE_S if abrupt else self._rng.uniform(0.0002, 0.005)
                if self.faults.ordered:  # the end of a stream comes after what it carried
                    delay = max(delay, self._last_due.get((me, other), 0.0) - self._clock.now())
                self.at(delay, other, lambda there=there: self._down(there, me, transport))  # type: ignore[misc]
        transport.links.clear()

    def break_link(self, a: str, b: str) -> None:
        """The connection is reset; it comes back after a moment."""
        here, there = self._alive.get(a), self._alive.get(b)
        if here is None or there is None or b not in here.links:
            return
        self._down(here, b, there)
        self._down(there, a, here)
        self.at(self._rng.uniform(0.02, 0.2), a, lambda: self._up(a, b))

    def _up(self, a: str, b: str) -> None:
        here, there = self._alive.get(a), self._alive.get(b)
        if here is None or there is None or b in here.links:
            return
        if a in there.links:  # its end of the old link has not been noticed yet: replaced
            self._down(there, a, here)
        here.links.add(b)
        there.links.add(a)
        for transport, peer in ((here, b), (there, a)):
            if transport.handler is not None:
                transport.handler[1](peer)

    def _down(self, here: SimTransport, peer: str, _there: SimTransport) -> None:
        alive = self._alive.get(peer)
        if self._alive.get(here.me) is not here or peer not in here.links:
            return
        if alive is not None and alive is not _there and here.me in alive.links:
            return  # a new link has replaced the one that ended
        here.links.discard(peer)
        if here.handler is not None:
            here.handler[2](peer)

    # --- frames --------------------------------------------------------------------------------

    def send(self, source: SimTransport, target: str, frame: RaftFrame) -> None:
        self.on_send(source.me, target, frame)
        data = frame.SerializeToString()
        faults, rng = self.faults, self._rng
        there = self._alive.get(target)
        if (source.me, target) in self.cuts or there is None or rng.random() < faults.drop:
            return
        self._post(source.me, there, data)
        if rng.random() < faults.duplicate:
            self._post(source.me, there, data)

    def _post(self, source: str, there: SimTransport, data: bytes) -> None:
        faults, rng, pair = self.faults, self._rng, (source, there.me)
        if rng.random() < faults.slow:
            delay = rng.uniform(faults.delay_max_s, faults.slow_max_s)
        else:
            delay = rng.uniform(faults.delay_min_s, faults.delay_max_s)
        if faults.ordered:
            delay = max(delay, self._last_due.get(pair, 0.0) - self._clock.now())

        def happen() -> None:
            # Even a frame of a sender's former life may arrive, not one for a former life.
            if self._alive.get(there.me) is there and there.handler is not None:
                there.handler[0](source, RaftFrame.FromString(data))

        self._last_due[pair] = self.at(delay, there.me, happen)
