"""One replica's Raft engine: PySyncObj's state, roles and tick, with every unsafe part replaced.

The only class that touches PySyncObj's insides. One thread ticks; any thread may propose.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from pysyncobj.poller import POLL_EVENT_TYPE

import raft.internals as internals
from protos.v1.raft_pb2 import AppendReply, RaftFrame
from raft.clock import Clock, MonotonicClock
from raft.core import Core
from raft.elections import Elections, Transfer
from raft.halt import HaltOnError
from raft.interfaces import (
    Done,
    Outcome,
    PeerStatus,
    Poller,
    Role,
    StateMachine,
    Stats,
    Status,
    Transport,
)
from raft.internals import FOLLOWER, LEADER, TickPoller
from raft.journal import Journal
from raft.proposals import Pending, Proposals
from raft.reads import ReadDone, Reads
from raft.replication import Replication
from raft.settings import RaftSettings

__all__ = ["Engine", "Outcome", "PeerStatus", "Role", "StateMachine", "Stats", "Status"]

log = logging.getLogger(__name__)

MakeTransport = Callable[[Poller], Transport]
_WAIT_MAX_S = 0.1
_ROLES = {0: Role.FOLLOWER, 1: Role.CANDIDATE, 2: Role.LEADER}


class Engine(Core):
    """Durability: a tick's log, term, vote, applied index and state are one commit, made before
    any acknowledgement or vote that depends on it leaves. Whatever goes wrong halts the engine;
    a halted engine answers everything with failure until the process is started again."""

    def __init__(
        self,
        *,
        settings: RaftSettings,
        journal: Journal,
        machine: StateMachine,
        transport: Transport | MakeTransport,
        clock: Clock | None = None,
    ) -> None:
        """*transport* is one, or a function of the engine's poller that makes one.

        Raises raft.internals.Incompatible if another PySyncObj is installed."""
        internals.check_module()
        self.machine = machine
        self.stats = Stats()
        self.halted = ""
        self.on_commit: list[Callable[[int], None]] = []
        self.on_role: list[Callable[[Role, int], None]] = []
        self.acks: dict[str, tuple[int, int, int]] = {}
        """peer -> (term, index, round): acknowledgements that wait for the commit."""

        self.again = False
        """The next tick has work at once."""

        self._due = math.inf
        self._outbox: list[tuple[str, RaftFrame]] = []
        self._dirty_since: float | None = None
        self._edge = HaltOnError(self.halt, journal.path)
        self._role_told = (Role.FOLLOWER, -1)
        super().__init__(settings, journal, clock or MonotonicClock())
        self.elections, self.transfers = Elections(self), Transfer(self)
        self.reads, self.proposals = Reads(self), Proposals(self)
        self.replication = Replication(self)
        self.elections.last_heard = self._polled_at = self.clock.now()
        self._poller: Poller = TickPoller(self._poller, self.idle_s)
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._eventfd)  # others may wake us until the very end
        self._awake = self._stopping = False
        self._poller.subscribe(self._eventfd, self._on_wake, POLL_EVENT_TYPE.READ)
        self._thread: threading.Thread | None = None
        self.transport: Transport = transport(self._poller) if callable(transport) else transport
        self.transport.set_handler(self.on_frame, self._on_up, self._on_down)
        self._handlers: dict[str, Callable[[str, RaftFrame], None]] = {
            "append_entries": self.replication.on_append,
            "append_reply": self.replication.on_reply,
            "forward": self.proposals.on_forward,
            "forward_reply": self.proposals.on_forward_reply,
            "read_index": self.reads.on_read_index,
            "read_index_reply": self.reads.on_read_index_reply,
            "pre_vote": self.elections.on_pre_vote,
            "pre_vote_reply": self.elections.on_pre_vote_reply,
            "request_vote": self.elections.on_request_vote,
            "vote_reply": self.elections.on_vote_reply,
            "timeout_now": self.elections.on_timeout_now,
        }

    # --- for everybody -------------------------------------------------------------------------

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="raft", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answers what waits, commits what was applied, closes the links. The journal is the
        opener's to close, after this."""
        self._stopping = True
        self._wake()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        else:
            self._shut()

    def propose(self, entry: bytes, done: Done) -> None:
        """Any thread, any replica. *done* is called exactly once, on the tick thread."""
        self.proposals.inbox.append(Pending(entry, done))
        self._wake()

    def read_barrier(self, done: ReadDone) -> None:
        """done(index): committed LMDB state holds all that was acknowledged before this call;
        done(0): no leader confirmed it in time. Called once, on the tick thread."""
        self.reads.inbox.append(done)
        self._wake()

    def transfer(self, target: str, done: Callable[[bool, str], None]) -> None:
        """Hand leadership to *target*; only the leader can. done(ok, why not), as above."""
        self.transfers.inbox.append((target, done))
        self._wake()

    def status(self) -> Status:
        now = self.clock.now()
        leads = self.state == LEADER
        return Status(
            role=self.role,
            term=self.term,
            leader_id="" if self.halted else self.leader_id,
            last_index=self.journal.last_index,
            commit_index=self.commit_index,
            applied_index=self.applied_index,
            peers={
                peer: PeerStatus(
                    match=known.match if leads else 0,
                    last_contact_s=max(0.0, now - known.heard_at),
                    connected=not self.halted and self.transport.connected(peer),
                )
                for peer, known in self.replication.progress.items()
            },
            halted=self.halted,
        )

    @property
    def role(self) -> Role:
        return Role.HALTED if self.halted else _ROLES[self.state]

    # --- roles ---------------------------------------------------------------------------------

    def rearm(self, low_s: float | None = None, high_s: float | None = None) -> None:
        """Stand for election after a random time between the two (default: the timeouts)."""
        low = self.settings.election_timeout_min_s if low_s is None else low_s
        high = self.settings.election_timeout_max_s if high_s is None else high_s
        self.election_deadline = self.clock.now() + low + (high - low) * self.clock.uniform()

    def adopt(self, term: int) -> None:
        """Somebody is at a later term: follow, and don't campaign at once."""
        was = self.state
        self.acks.clear()
        self.set_term(term, None)
        self.become(FOLLOWER)
        self.set_leader(None)
        if was != FOLLOWER:
            self.rearm()

    def on_state_changed(self, old: int, new: int) -> None:
        if old == LEADER:
            self.reads.stepped_down()
            self.rearm()

    def _tell_role(self) -> None:
        now = self.role, self.term
        if now != self._role_told:
            self._role_told = now
            for listener in self.on_role:
                listener(*now)

    def ask_for_vote(self, peer: str, message: dict[str, Any]) -> bool:
        return self.elections.request_vote(peer, message)

    def before_lead(self) -> None:
        self.stats.terms_led += 1
        self.replication.lead()

    def apply_committed(self) -> None:
        self.proposals.apply()

    def heartbeat(self) -> None:
        self.replication.send(heartbeat=True)

    # --- frames --------------------------------------------------------------------------------

    def frame(self) -> RaftFrame:
        return RaftFrame(
            cluster_id=self.settings.cluster_id,
            incarnation=self.journal.incarnation,
            term=self.term,
        )

    def send_now(self, peer: str, frame: RaftFrame) -> bool:
        """For what promises nothing that is not durable already."""
        return self.transport.send(peer, frame)

    def send_held(self, peer: str, frame: RaftFrame) -> None:
        """Leaves after the next commit."""
        self._outbox.append((peer, frame))

    def acknowledge(self, peer: str, index: int, round_number: int) -> None:
        """One answer a commit and peer is enough: the last says it all."""
        term, known_index, known_round = self.acks.get(peer, (self.term, 0, 0))
        self.acks[peer] = term, max(index, known_index), max(round_number, known_round)

    def on_frame(self, peer: str, frame: RaftFrame) -> None:
        with self._edge:
            handler = self._handlers.get(frame.WhichOneof("message") or "")
            if (
                handler is None
                or self.halted
                or peer not in self.peers
                or frame.cluster_id != self.settings.cluster_id
            ):
                self.stats.frames_refused += 1
                return
            handler(peer, frame)

    def _on_up(self, peer: str) -> None:
        with self._edge:
            self.link_changed(peer, up=True)
            self.replication.on_up(peer)

    def _on_down(self, peer: str) -> None:
        with self._edge:
            self.link_changed(peer, up=False)
            self.proposals.on_down(peer)
            self.reads.on_down(peer)
            if peer == self.leader_id:
                self.elections.leader_lost(self.clock.now())

    # --- the tick ------------------------------------------------------------------------------

    def tick(self, wait_s: float = 0.0) -> None:
        """One round: act on what arrived, then wait up to *wait_s* for more. Simulators call
        it with 0."""
        with self._edge:
            if self.halted:
                self._refuse_all()
                self._poller.poll(wait_s)
                return
            now = self.clock.now()
            if now - self._polled_at > self.settings.heartbeat_s:
                # This process stood still. What peers said meanwhile is heard before any
                # timeout is believed.
                self._poller.poll(0)
            self.again, self._due = False, math.inf
            self._flush()
            self.transport.tick(now)
            self.elections.tick(now)
            self.replication.advance_commit()
            super()._onTick(wait_s)
            self._polled_at = self.clock.now()
            self.elections.after_tick()
            self._tell_role()

    def due_at(self, at: float) -> None:
        """Don't sleep beyond *at* this tick."""
        self._due = min(self._due, at)

    def idle_s(self) -> float:
        """How long nothing is due, unless something arrives."""
        if self.halted:
            return _WAIT_MAX_S
        if self.again:
            return 0.0
        due = self._due
        if self.state == LEADER:
            due = min(due, self.heartbeat_at(), self.replication.notice_due())
        else:
            due = min(due, self.election_deadline)
        return min(max(due - self.clock.now(), 0.0), _WAIT_MAX_S)

    def take_work(self) -> None:
        now = self.clock.now()
        self.transfers.tick(now)
        self.proposals.take(now)
        self.reads.start(now)
        if self.state == LEADER:
            self.replication.send()
        self._flush()
        if self.replication.advance_commit():
            self.again = True

    def _flush(self) -> None:
        """One commit for all that this tick wrote; then what depends on it leaves."""
        journal = self.journal
        if journal.dirty:
            now = self.clock.now()
            if self._dirty_since is None:
                self._dirty_since = now
            until = self._dirty_since + self.settings.state_commit_s
            if journal.log_dirty or self.reads.wants_commit or now >= until:
                self._commit()
            else:
                self.due_at(until)
        for peer, (term, index, round_number) in self.acks.items():
            frame = self.frame()
            frame.term = term
            frame.append_reply.CopyFrom(AppendReply(success=True, index=index, round=round_number))
            self.transport.send(peer, frame)
        self.acks.clear()
        outbox, self._outbox = self._outbox, []
        for peer, frame in outbox:
            self.transport.send(peer, frame)
        self.reads.release()

    def _commit(self) -> None:
        visible = self.journal.visible
        self.journal.commit()
        self._dirty_since = None
        self.stats.commits, self.stats.sync_seconds = (
            self.journal.commits,
            self.journal.sync_seconds,
        )
        if self.journal.visible > visible:
            for listener in self.on_commit:
                listener(self.journal.visible)

    # --- the thread and its end ----------------------------------------------------------------

    def _wake(self) -> None:
        # Set after the queue was appended to, cleared before it is read: nothing is left behind.
        if not self._awake:
            self._awake = True
            os.eventfd_write(self._eventfd, 1)

    def _on_wake(self, _fd: int, _mask: int) -> None:
        os.eventfd_read(self._eventfd)
        self._awake = False

    def _run(self) -> None:
        while not self._stopping:
            self.tick(_WAIT_MAX_S)
        self._shut()

    def _shut(self) -> None:
        with self._edge:
            if not self.halted and self.journal.dirty:
                self._commit()
        self.halt("stopped", quiet=True)

    def halt(self, why: str, quiet: bool = False) -> None:
        """Keep nothing uncommitted, say nothing more, fail everything that waits."""
        if self.halted:
            return
        self.halted = why
        if quiet:
            log.info("raft: %s", why)
        else:
            log.critical("raft: halted: %s", why)
        self._attempt(self.journal.abort)
        self._attempt(self.transport.destroy)
        self._refuse_all()
        self._attempt(self._tell_role)

    def _refuse_all(self) -> None:
        self.proposals.fail_all(f"halted: {self.halted}", self._attempt)
        self.reads.fail_all(self._attempt)
        self.transfers.fail_all(f"halted: {self.halted}", self._attempt)

    def _attempt(self, step: Callable[[], None]) -> None:
        with self._edge:
            step()
