"""Proposals from any thread on any replica to one outcome each: appended here if this replica
leads, handed to the leader if another one does, kept while nobody does."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from protos.v1.raft_pb2 import Proposal, ProposalPlace, RaftFrame
from raft.guard import InvariantBroken
from raft.interfaces import Done, Outcome
from raft.internals import LEADER

if TYPE_CHECKING:
    from raft.engine import Engine

COMMAND = b"\0"
_COMMAND_BYTE, _NO_OP_BYTE = 0, 1
_PER_TICK = 4096
_RETRY_S = 0.02
"""After "not now" of a leader that hands over or was deposed."""


class Pending:
    """One proposal. `done` is taken out when it is answered, so it can't be answered twice."""

    __slots__ = ("deadline", "done", "entry")

    def __init__(self, entry: bytes, done: Done) -> None:
        self.entry = entry
        self.done: Done | None = done
        self.deadline = 0.0


class Proposals:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.inbox: deque[Pending] = deque()
        """Appended to by any thread; all else belongs to the tick thread."""

        self._held: deque[Pending] = deque()
        self._held_bytes = 0
        self._expiry: deque[Pending] = deque()
        self._placed: dict[int, list[tuple[int, Pending]]] = {}
        """index -> (term, proposal): answered when that index is applied."""

        self._unplaced: dict[int, Pending] = {}
        """Sent to the leader, its place not yet known."""

        self._sent_to = ("", 0)
        self._forward_after = 0.0
        # An answer to a former life of this replica must not fit a proposal of this one.
        self._last_id = engine.journal.incarnation << 32
        self._from_peers: deque[tuple[str, Proposal]] = deque()
        self._answers: deque[tuple[Done, Outcome]] = deque()

    # --- in ------------------------------------------------------------------------------------

    def take(self, now: float) -> None:
        """Move what waits one step on; appended entries are the caller's to send and sync."""
        engine = self._engine
        if self._unplaced and self._sent_to != (engine.leader_id, engine.term):
            self._fail_unplaced("the leader changed before it answered")
        self._collect(now)
        if self._from_peers:
            self._place_for_peers()
        if self._held:
            if engine.state == LEADER:
                if not engine.transfers.target:
                    self._append_held()
            elif now < self._forward_after:
                engine.due_at(self._forward_after)
            elif engine.leader_id and engine.transport.connected(engine.leader_id):
                self._forward_held()
        self._expire(now)
        self._answer()

    def _collect(self, now: float) -> None:
        settings, inbox = self._engine.settings, self.inbox
        deadline = now + settings.proposal_deadline_s
        while inbox:
            pending = inbox.popleft()
            size = len(pending.entry)
            if size > settings.max_entry_bytes:
                self._finish(pending, f"{size} bytes; at most {settings.max_entry_bytes} fit")
            elif self._held_bytes + size > settings.max_queued_bytes:
                self._finish(pending, "too many proposals wait for a leader")
            else:
                pending.deadline = deadline
                self._held.append(pending)
                self._held_bytes += size
                self._expiry.append(pending)

    def _next_held(self) -> Pending | None:
        while self._held:
            pending = self._held.popleft()
            self._held_bytes -= len(pending.entry)
            if pending.done is not None:
                return pending
        return None

    def _append_held(self) -> None:
        engine = self._engine
        append, term, placed = engine.journal.append, engine.term, self._placed
        count = size = 0
        limit = 4 * engine.settings.max_append_bytes
        while count < _PER_TICK and size < limit and (pending := self._next_held()):
            index = append(term, COMMAND + pending.entry)
            waiting = placed.get(index)
            if waiting is None:
                placed[index] = [(term, pending)]
            else:  # of a leader whose entry there is gone
                waiting.append((term, pending))
            count += 1
            size += len(pending.entry)
            pending.entry = b""
        engine.stats.proposals += count
        engine.again = engine.again or bool(self._held)

    # --- over the link -------------------------------------------------------------------------

    def _forward_held(self) -> None:
        engine = self._engine
        self._sent_to = engine.leader_id, engine.term
        while self._held:
            frame = engine.frame()
            sent: list[tuple[int, Pending]] = []
            size = 0
            while size < engine.settings.max_append_bytes and len(sent) < _PER_TICK:
                pending = self._next_held()
                if pending is None:
                    break
                self._last_id += 1
                frame.forward.proposals.append(Proposal(id=self._last_id, data=pending.entry))
                sent.append((self._last_id, pending))
                size += len(pending.entry)
            if not sent:
                return
            if not engine.transport.send(engine.leader_id, frame):
                for _, pending in reversed(sent):
                    self._hold_again(pending)
                return
            engine.stats.forwarded += len(sent)
            self._unplaced.update(sent)

    def _hold_again(self, pending: Pending) -> None:
        self._held.appendleft(pending)
        self._held_bytes += len(pending.entry)

    def on_forward(self, peer: str, frame: RaftFrame) -> None:
        # Appended in the tick, so that the entries leave for the others before our own sync.
        self._from_peers.extend((peer, proposal) for proposal in frame.forward.proposals)

    def _place_for_peers(self) -> None:
        engine = self._engine
        leads = engine.state == LEADER and not engine.transfers.target
        replies: dict[str, RaftFrame] = {}
        for peer, proposal in self._from_peers:
            if peer not in replies:
                replies[peer] = engine.frame()
            place = ProposalPlace(id=proposal.id)
            if leads and len(proposal.data) <= engine.settings.max_entry_bytes:
                place.index = engine.journal.append(engine.term, COMMAND + proposal.data)
                place.term = engine.term
                engine.replication.progress[peer].waits_for = place.index
                engine.stats.proposals += 1
            replies[peer].forward_reply.places.append(place)
        self._from_peers.clear()
        for peer, reply in replies.items():
            # Before the entries themselves: who gets these in order knows what it waits for.
            engine.send_now(peer, reply)

    def on_forward_reply(self, peer: str, frame: RaftFrame) -> None:
        for place in frame.forward_reply.places:
            pending = self._unplaced.pop(place.id, None)
            if pending is None or pending.done is None:
                continue
            if not place.index:
                # Certainly not in the log: sent again, after a pause.
                self._hold_again(pending)
                self._forward_after = self._engine.clock.now() + _RETRY_S
            elif place.index <= self._engine.applied_index:
                self._finish(pending, "applied before its place was known")
            else:
                pending.entry = b""
                self._placed.setdefault(place.index, []).append((place.term, pending))
        self._answer()

    def on_down(self, peer: str) -> None:
        if peer == self._sent_to[0]:
            self._fail_unplaced("the link to the leader was lost")
            self._answer()

    def _fail_unplaced(self, detail: str) -> None:
        for pending in self._unplaced.values():
            self._finish(pending, detail)
        self._unplaced.clear()

    # --- out -----------------------------------------------------------------------------------

    def apply(self) -> None:
        """Apply what is committed, in the tick's transaction, and answer who waits for it."""
        engine, journal = self._engine, self._engine.journal
        index, commit = engine.applied_index, engine.commit_index
        if index >= commit:
            return
        until = engine.clock.now() + engine.settings.apply_burst_s
        txn, apply = journal.txn(), engine.machine.apply
        while index < commit and engine.clock.now() <= until:
            for term, data in journal.read(index + 1, min(256, commit - index)):
                index += 1
                result = b""
                if data[0] == _COMMAND_BYTE:
                    result = apply(txn, index, data[1:])
                elif data[0] != _NO_OP_BYTE:
                    raise InvariantBroken(f"entry {index} is of the unknown kind {data[0]}")
                waiting = self._placed.pop(index, None)
                if waiting is not None:
                    self._settle(waiting, index, term, result)
            journal.set_applied(index)
        engine.stats.applied += index - engine.applied_index
        engine.applied_index = index
        engine.again = engine.again or index < commit
        self._answer()

    def _settle(
        self, waiting: list[tuple[int, Pending]], index: int, term: int, result: bytes
    ) -> None:
        for expected, pending in waiting:
            if pending.done is None:
                continue
            if expected == term:
                self._answers.append((pending.done, Outcome(True, index, term, result)))
                pending.done = None
            else:
                self._finish(pending, "another leader's entry took its place")

    def on_truncated(self, first: int) -> None:
        for index in [index for index in self._placed if index >= first]:
            for _, pending in self._placed.pop(index):
                self._finish(pending, "another leader's entry took its place")

    def _expire(self, now: float) -> None:
        expiry = self._expiry
        while expiry and (expiry[0].done is None or expiry[0].deadline <= now):
            self._finish(expiry.popleft(), "no outcome in time")

    def _finish(self, pending: Pending, detail: str) -> None:
        if pending.done is not None:
            self._answers.append((pending.done, Outcome(False, detail=detail)))
            pending.done = None

    def _answer(self) -> None:
        answers = self._answers
        while answers:
            done, outcome = answers.popleft()
            done(outcome)

    def fail_all(self, detail: str, each: Callable[[Callable[[], None]], None]) -> None:
        """Answer everything; *each* runs one answer and survives what it raises."""
        self._fail_unplaced(detail)
        for waiting in self._placed.values():
            for _, pending in waiting:
                self._finish(pending, detail)
        self._placed.clear()
        for queue in (self._held, self.inbox):
            while queue:
                self._finish(queue.popleft(), detail)
        self._held_bytes = 0
        self._expiry.clear()
        self._from_peers.clear()
        while self._answers:
            done, outcome = self._answers.popleft()
            each(lambda done=done, outcome=outcome: done(outcome))  # type: ignore[misc]
