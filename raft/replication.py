"""Entries from the leader to its followers, acknowledgements back, and what is committed."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protos.v1.raft_pb2 import AppendEntries, AppendReply, LogEntry, RaftFrame
from raft.guard import InvariantBroken, Refused, capped_commit, committable, place_append
from raft.internals import FOLLOWER, LEADER

if TYPE_CHECKING:
    from raft.engine import Engine

_ENTRIES_PER_FRAME = 2048
_UNACKNOWLEDGED_FRAMES = 16


@dataclass(slots=True)
class Progress:
    """What the leader believes of one follower.

    Invariants: match < next; match only rises within a term.
    """

    match: int = 1
    """Known to be on its disk. Entry 1 is, everywhere."""

    next: int = 2
    probing: bool = True
    """Its log may differ: one frame at a time, and `next` moves only on an answer."""

    asked: bool = False
    """Probing, and a frame is out; a heartbeat asks again."""

    in_flight: deque[int] = field(default_factory=deque)
    """Last index of each unacknowledged frame with entries."""

    announced: int = 0
    """Commit index it was last told."""

    told_at: float = -math.inf
    round_sent: int = 0
    round_acked: int = 0
    waits_for: int = 0
    """A proposal of its own clients has this index: it is told at once when that commits."""

    heard_at: float = -math.inf


class Replication:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.progress = {peer: Progress() for peer in engine.peers}
        self._leader_of_term = (0, "")

    # --- leader --------------------------------------------------------------------------------

    def lead(self) -> None:
        """A term of our own begins; the no-op is not in the log yet."""
        last = self._engine.journal.last_index
        for peer, known in self.progress.items():
            self.progress[peer] = Progress(next=last + 1, heard_at=known.heard_at)

    def has_all(self, peer: str) -> bool:
        return self.progress[peer].match == self._engine.journal.last_index

    def on_up(self, peer: str) -> None:
        """What was in flight on the old link may be lost: ask before sending more."""
        self._probe(self.progress[peer], self.progress[peer].next)

    def _probe(self, known: Progress, start: int) -> None:
        known.next = max(start, known.match + 1)
        known.probing, known.asked = True, False
        known.in_flight.clear()

    def advance_commit(self) -> bool:
        """Commit what a majority has on disk, our own disk counted only once it is synced."""
        engine = self._engine
        if engine.state != LEADER:
            return False
        match = [known.match for known in self.progress.values()]
        index = committable(match, engine.journal.durable_index, engine.voters)
        if index <= engine.commit_index or engine.journal.term_at(index) != engine.term:
            return False
        engine.commit_index = index
        return True

    def send(self, heartbeat: bool = False) -> None:
        """Whatever each follower should hear now. Leaves before our own sync, on purpose."""
        engine = self._engine
        now, commit = engine.clock.now(), engine.commit_index
        last, round_number = engine.journal.last_index, engine.reads.round
        notice_s = engine.settings.commit_notice_s
        shared: dict[tuple[int, int], RaftFrame] = {}
        for peer, known in self.progress.items():
            if known.probing:
                due = heartbeat or not known.asked
            else:
                due = (
                    heartbeat
                    or known.next <= last
                    or (
                        known.announced < commit
                        and (known.waits_for > known.announced or now - known.told_at >= notice_s)
                    )
                )
            if due or known.round_sent < round_number:
                self._send_to(peer, known, shared)

    def notice_due(self) -> float:
        """When the next follower must be told of a commit index, or infinity."""
        commit, due = self._engine.commit_index, math.inf
        for known in self.progress.values():
            if not known.probing and known.announced < commit:
                due = min(due, known.told_at + self._engine.settings.commit_notice_s)
        return due

    def _send_to(
        self, peer: str, known: Progress, shared: dict[tuple[int, int], RaftFrame]
    ) -> None:
        engine = self._engine
        last, transport = engine.journal.last_index, engine.transport
        if not transport.connected(peer):
            return
        while True:
            full = len(known.in_flight) >= _UNACKNOWLEDGED_FRAMES
            key = known.next, -1 if full else last
            frame = shared.get(key)
            if frame is None:
                frame = shared[key] = self._frame(known.next, 0 if full else _ENTRIES_PER_FRAME)
            if not transport.send(peer, frame):
                return
            append = frame.append_entries
            count = len(append.entries)
            engine.stats.appends_sent += 1
            engine.stats.entries_sent += count
            known.round_sent = append.round
            known.told_at = engine.clock.now()
            if known.probing:
                known.asked = True
                return
            known.announced = append.commit_index
            if not count:
                return
            known.next += count
            known.in_flight.append(known.next - 1)
            if known.next > last:
                return

    def _frame(self, first: int, count: int) -> RaftFrame:
        engine = self._engine
        journal = engine.journal
        entries = journal.read(first, count, engine.settings.max_append_bytes) if count else []
        frame = engine.frame()
        frame.append_entries.CopyFrom(
            AppendEntries(
                previous_index=first - 1,
                previous_term=journal.term_at(first - 1),
                commit_index=engine.commit_index,
                round=engine.reads.round,
            )
        )
        frame.append_entries.entries.extend(
            [LogEntry(term=term, data=data) for term, data in entries]
        )
        return frame

    def on_reply(self, peer: str, frame: RaftFrame) -> None:
        engine = self._engine
        if frame.term > engine.term:
            engine.adopt(frame.term)
        if engine.state != LEADER or frame.term != engine.term:
            return  # an answer to an older term's append says nothing about this one
        known, reply = self.progress[peer], frame.append_reply
        known.heard_at = engine.clock.now()
        engine.heard_follower(peer, known.heard_at)
        if reply.round > known.round_acked:
            known.round_acked = min(reply.round, engine.reads.round)
            engine.reads.confirm()
        if reply.success:
            self._on_success(peer, known, min(reply.index, engine.journal.last_index))
        elif known.match < reply.index < known.next:
            self._probe(known, reply.index)

    def _on_success(self, peer: str, known: Progress, index: int) -> None:
        if index > known.match:
            known.match = index
            self._engine.matched(peer, index)
        if known.probing:
            known.probing = False
            known.next = known.match + 1
        elif known.next <= index:  # only ever forward: what is in flight is not sent again
            known.next = index + 1
        while known.in_flight and known.in_flight[0] <= index:
            known.in_flight.popleft()

    # --- follower ------------------------------------------------------------------------------

    def on_append(self, peer: str, frame: RaftFrame) -> None:
        engine, append = self._engine, frame.append_entries
        journal = engine.journal
        if frame.term < engine.term:
            self._refuse(peer, 0, 0)  # tells a stale leader the newer term
            return
        same_term = frame.term == engine.term
        if not same_term:
            engine.adopt(frame.term)
        self._follow(peer, same_term)
        placed = place_append(
            journal,
            engine.commit_index,
            append.previous_index,
            append.previous_term,
            [entry.term for entry in append.entries],
        )
        if isinstance(placed, Refused):
            self._refuse(peer, placed.retry_at, append.round)
            return
        if placed.truncate_from:
            engine.stats.truncated += journal.last_index - placed.truncate_from + 1
            engine.proposals.on_truncated(placed.truncate_from)
            engine.acks.clear()
            journal.truncate(placed.truncate_from)
        fresh = append.entries[placed.skip :] if placed.skip else append.entries
        for entry in fresh:
            if entry.term > frame.term:
                raise InvariantBroken(f"an append of term {frame.term} carries a later one's entry")
            journal.append(entry.term, entry.data)
        engine.commit_index = capped_commit(
            append.commit_index, placed.verified, engine.commit_index
        )
        engine.acknowledge(peer, placed.verified, append.round)

    def _follow(self, leader: str, same_term: bool) -> None:
        engine = self._engine
        term, known = self._leader_of_term
        if (term == engine.term and known != leader) or engine.state == LEADER:
            raise InvariantBroken(
                f"two leaders in term {engine.term}: replica {leader} and "
                f"replica {engine.me if engine.state == LEADER else known}"
            )
        self._leader_of_term = engine.term, leader
        engine.become(FOLLOWER)
        engine.set_leader(leader)
        now = engine.clock.now()
        self.progress[leader].heard_at = now
        engine.elections.heard_leader(now, same_term)

    def _refuse(self, peer: str, retry_at: int, round_number: int) -> None:
        frame = self._engine.frame()
        frame.append_reply.CopyFrom(AppendReply(success=False, index=retry_at, round=round_number))
        self._engine.send_held(peer, frame)
