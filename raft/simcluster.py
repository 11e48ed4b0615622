"""Replicas in one thread under one seed: this engine code on simulated time, links and disks."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lmdb

from protos.v1.raft_pb2 import RaftFrame
from raft.engine import Engine, Outcome
from raft.history import History, Violation
from raft.interfaces import Role, StateMachine
from raft.journal import Journal
from raft.settings import JournalSettings, RaftSettings
from raft.simnet import SimClock, SimNetwork, SimTransport

CLUSTER_ID = "simulated"
_TICK_MIN_S = 0.0002
_JOURNAL = JournalSettings(
    map_size_bytes=1 << 30, sync=False, cache_entries=64, cache_bytes=1 << 16
)

MakeMachine = Callable[[str, Journal], StateMachine]


class PowerLoss(BaseException):
    """The machine stops at this very point. Not an Exception: nothing may handle it."""


class SimJournal(Journal):
    """A journal on a disk that can fail or lose its power at each commit.

    A tick is one transaction, so power loss at any other moment loses the same: what was not
    committed. Before or after the commit are therefore all the cases there are."""

    fault = ""
    """What happens at the next commit: "before", "after" (power loss), "full" (disk full)."""

    def commit(self) -> None:
        fault, self.fault = self.fault, ""
        if fault == "before":
            raise PowerLoss
        if fault == "full":
            raise lmdb.DiskError("No space left on device (simulated)")
        super().commit()
        if fault == "after":
            raise PowerLoss


class OrderMachine:
    """Keeps every entry by index and refuses to apply anything twice or out of order."""

    def __init__(self, journal: Journal) -> None:
        self._table = journal.env.open_db(b"entries")

    def apply(self, txn: lmdb.Transaction, index: int, entry: bytes) -> bytes:
        last = self.last(txn)
        if index <= last:
            raise Violation(f"entry {index} is applied after {last}")
        txn.put(index.to_bytes(8, "big"), entry, db=self._table)
        return hashlib.sha256(entry).digest()[:8]

    def last(self, txn: lmdb.Transaction) -> int:
        cursor = txn.cursor(self._table)
        return int.from_bytes(cursor.key(), "big") if cursor.last() else 0


@dataclass(slots=True, eq=False)
class Replica:
    """One life of one replica."""

    engine: Engine
    journal: SimJournal
    transport: SimTransport
    machine: StateMachine
    wake_at: float = 0.0
    frozen_until: float = 0.0
    halt_expected: bool = False
    waiting: list[Ask] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Ask:
    """A proposal or a read barrier, and what came of it."""

    replica: str
    entry: bytes = b""
    outcome: Outcome | None = None
    read_index: int | None = None
    floor: int = 0
    """Acknowledged before a read was asked for: it must see that."""

    lost: bool = False
    """The replica lost its power before it could answer."""

    @property
    def answered(self) -> bool:
        return self.lost or self.outcome is not None or self.read_index is not None


class SimCluster:
    """Starts with all replicas up. Every method acts at the present simulated moment."""

    def __init__(
        self,
        seed: int,
        directory: Path,
        *,
        size: int = 3,
        machine: MakeMachine = lambda _replica, journal: OrderMachine(journal),
        settings: dict[str, Any] | None = None,
    ) -> None:
        """*directory* should be in memory (tmpfs). *settings* override RaftSettings."""
        self.rng = random.Random(seed)
        self.clock = SimClock(self.rng)
        self.network = SimNetwork(self.rng, self.clock)
        self.network.on_send = self._on_send
        self.history = History()
        self.ids = tuple(str(n) for n in range(1, size + 1))
        self.up: dict[str, Replica] = {}
        self.trace: deque[str] = deque(maxlen=3000)
        self._digest = hashlib.sha256()
        self._directory, self._make_machine = directory, machine
        self._settings = settings or {}
        for replica in self.ids:
            self.start(replica)

    # --- replicas ------------------------------------------------------------------------------

    def start(self, me: str) -> None:
        settings = RaftSettings(
            cluster_id=CLUSTER_ID,
            replica_id=me,
            peers=tuple(peer for peer in self.ids if peer != me),
            **self._settings,
        )
        journal = SimJournal(
            self._directory / me, cluster_id=CLUSTER_ID, replica_id=me, settings=_JOURNAL
        )
        machine = self._make_machine(me, journal)
        transport = SimTransport(self.network, me)
        engine = Engine(
            settings=settings,
            journal=journal,
            machine=machine,
            transport=transport,
            clock=self.clock,
        )
        engine.on_role.append(lambda role, term: self.note(me, f"{role.value} in term {term}"))
        self.up[me] = Replica(engine, journal, transport, machine, wake_at=self.clock.now())
        self.history.started(me)
        self.network.join(transport)
        self.note(me, f"starts: log to {journal.last_index}, applied {journal.applied}")

    def crash(self, me: str, *, power: bool = False) -> None:
        """kill -9; with *power* the peers are not even told that the connections are gone."""
        replica = self.up.pop(me)
        self.note(me, "loses power" if power else "is killed")
        self.network.leave(replica.transport, abrupt=power)
        replica.transport.handler = None
        replica.journal.close()
        for ask in replica.waiting:
            ask.lost = True

    def freeze(self, me: str, seconds: float) -> None:
        """SIGSTOP, or a disk that takes its time."""
        self.note(me, f"stands still for {seconds:.3f} s")
        self.up[me].frozen_until = self.clock.now() + seconds

    def leader(self) -> str | None:
        leads = [(r.engine.term, me) for me, r in self.up.items() if r.engine.role is Role.LEADER]
        return max(leads)[1] if leads else None

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do *action* after *delay_s*, between two frames or ticks."""
        self.network.at(delay_s, "", action)

    # --- clients -------------------------------------------------------------------------------

    def propose(self, me: str, entry: bytes) -> Ask:
        ask = Ask(me, entry)
        replica = self.up[me]

        def done(outcome: Outcome) -> None:
            if ask.outcome is not None:
                raise Violation(f"{entry[:16]!r} is answered twice")
            ask.outcome = outcome
            replica.waiting.remove(ask)
            if outcome.applied:
                self.history.acknowledge(outcome.index, outcome.term, entry)

        replica.waiting.append(ask)
        replica.engine.propose(entry, done)
        replica.wake_at = self.clock.now()
        return ask

    def read(self, me: str) -> Ask:
        ask = Ask(me, floor=self.history.acknowledged)
        replica = self.up[me]

        def done(index: int) -> None:
            if ask.read_index is not None:
                raise Violation("a read is answered twice")
            ask.read_index = index
            replica.waiting.remove(ask)
            seen = replica.journal.visible
            if index and seen < ask.floor:
                raise Violation(f"replica {me} reads at {seen}, {ask.floor} was acknowledged")

        replica.waiting.append(ask)
        replica.engine.read_barrier(done)
        replica.wake_at = self.clock.now()
        return ask

    def write(self, me: str, entry: bytes, limit_s: float = 20.0) -> Outcome:
        """Propose until it is applied, as a client does. Raises Violation after *limit_s*."""
        until = self.clock.now() + limit_s
        while True:
            ask = self.propose(me, entry)
            self._run_until_answered(ask)
            if ask.outcome is not None and ask.outcome.applied:
                return ask.outcome
            if self.clock.now() > until:
                raise Violation(f"a write at replica {me} still fails: {ask.outcome}")
            self.run(0.01)

    def _run_until_answered(self, ask: Ask) -> None:
        self.run_until(lambda: ask.answered, 30, "a write is answered")

    # --- time ----------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        until = self.clock.now() + seconds
        while self._step(until):
            pass

    def run_until(self, condition: Callable[[], bool], limit_s: float, what: str = "") -> None:
        """Raises Violation if it does not come true in time: liveness is a promise too."""
        until = self.clock.now() + limit_s
        while not condition():
            if not self._step(until):
                raise Violation(f"not within {limit_s} simulated seconds: {what or condition}")

    def _step(self, until: float) -> bool:
        """To the next moment at which anything happens; False at *until*."""
        wakes = [max(r.wake_at, r.frozen_until) for r in self.up.values()]
        now = min([self.network.next_at(), *wakes])
        if now >= until:
            self.clock.advance(until)
            return False
        self.clock.advance(now)
        for target in self.network.deliver_due():
            if target in self.up:
                self.up[target].wake_at = self.clock.now()
        for me in self.ids:
            replica = self.up.get(me)
            if replica and max(replica.wake_at, replica.frozen_until) <= self.clock.now():
                self._tick(me, replica)
        return True

    def _tick(self, me: str, replica: Replica) -> None:
        engine = replica.engine
        try:
            engine.tick()
        except PowerLoss:  # from SimJournal.commit
            self.crash(me, power=True)
            return
        if engine.halted and not replica.halt_expected:
            raise Violation(f"replica {me} halted: {engine.halted}")
        self.history.observe(engine, {peer: each.engine for peer, each in self.up.items()})
        replica.wake_at = self.clock.now() + max(engine.idle_s(), _TICK_MIN_S)

    def _on_send(self, source: str, target: str, frame: RaftFrame) -> None:
        self.note(source, f"-> {target} {describe(frame)}")
        self.history.sent(self.up[source].engine, target, frame)

    # --- the record ----------------------------------------------------------------------------

    def note(self, who: str, what: str) -> None:
        line = f"{self.clock.now() - 1000:9.4f} {who:>2} {what}"
        self.trace.append(line)
        self._digest.update(line.encode())

    def digest(self) -> str:
        """Of all that was noted since the start: same seed, same digest."""
        return self._digest.hexdigest()

    def close(self) -> None:
        for replica in self.up.values():
            replica.journal.close()
        self.up.clear()


def describe(frame: RaftFrame) -> str:
    kind = frame.WhichOneof("message") or "nothing"
    values = []
    for field_, value in getattr(frame, kind).ListFields():
        text = len(value) if field_.name in ("entries", "proposals", "places") else value
        values.append(f"{field_.name}={text}")
    return f"{kind}[{frame.term}] {' '.join(values)}"
