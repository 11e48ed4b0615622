"""One replica's Raft engine: PySyncObj's state, roles and tick, with every unsafe part replaced.

The only class that touches PySyncObj's insides. One thread ticks; any thread may propose.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Callable
from types import TracebackType

import lmdb
from pysyncobj import SyncObjConf
from pysyncobj.poller import POLL_EVENT_TYPE

import raft.internals as internals
from protos.v1.raft_pb2 import AppendReply, RaftFrame
from raft.clock import Clock, MonotonicClock
from raft.elections import Elections, Transfer
from raft.guard import InvariantBroken
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
from raft.internals import FOLLOWER, LEADER, Bridge, LogView, Peer, TickPoller
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


class Engine(internals.impl.SyncObj):  # type: ignore[misc]
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
        self.settings, self.journal, self.machine = settings, journal, machine
        self.clock: Clock = clock or MonotonicClock()
        self.me = settings.replica_id
        self.peers = tuple(sorted(settings.peers))
        self.voters = len(self.peers) + 1
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
        self._edge = _HaltOnError(self)
        self._nodes = {peer: Peer(peer) for peer in self.peers}
        self._view = LogView(journal)
        self._role_told = (Role.FOLLOWER, -1)
        self.elections, self.transfers = Elections(self), Transfer(self)
        self.reads, self.proposals = Reads(self), Proposals(self)
        self.replication = Replication(self)
        self._construct()
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

    def _construct(self) -> None:
        settings = self.settings
        internals.install_clock(self.clock)
        conf = SyncObjConf(
            autoTick=False,
            useFork=False,
            appendEntriesUseBatch=True,
            raftMinTimeout=settings.election_timeout_min_s,
            raftMaxTimeout=settings.election_timeout_max_s,
            appendEntriesPeriod=settings.heartbeat_s,
            leaderFallbackTimeout=settings.election_timeout_max_s,
            connectionTimeout=10 * settings.election_timeout_max_s,
            onStateChanged=self._on_state_changed,
        )
        bridge = Bridge(self.elections.request_vote)
        super().__init__(
            Peer(self.me), list(self._nodes.values()), conf, nodeClass=Peer, transport=bridge
        )
        internals.check_instance(self)
        # State and log are one transaction, so the applied index is exact.
        self._SyncObj__raftLastApplied = self.journal.applied
        self.elections.last_heard = self._polled_at = self.clock.now()
        self._poller = TickPoller(self._poller, self._wait_s)
        self._eventfd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._awake = self._stopping = False
        self._poller.subscribe(self._eventfd, self._on_wake, POLL_EVENT_TYPE.READ)
        self._thread: threading.Thread | None = None

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

    # --- PySyncObj's fields, by our names ------------------------------------------------------

    @property
    def state(self) -> int:
        return self._SyncObj__raftState  # type: ignore[no-any-return]

    @property
    def term(self) -> int:
        return self._SyncObj__raftCurrentTerm  # type: ignore[no-any-return]

    @property
    def voted_for(self) -> str:
        return self._SyncObj__votedForNodeId or ""

    @property
    def leader_id(self) -> str:
        leader = self._SyncObj__raftLeader
        return "" if leader is None else leader.id

    @property
    def no_op_committed(self) -> bool:
        return self._SyncObj__raftCommitIndex >= (self._SyncObj__noopIDx or math.inf)  # type: ignore[no-any-return]

    @property
    def commit_index(self) -> int:
        return self._SyncObj__raftCommitIndex  # type: ignore[no-any-return]

    @commit_index.setter
    def commit_index(self, index: int) -> None:
        if not self._SyncObj__raftCommitIndex <= index <= self.journal.last_index:
            raise InvariantBroken(
                f"the commit index would go from {self._SyncObj__raftCommitIndex} to {index}, "
                f"the log ends at {self.journal.last_index}"
            )
        self._SyncObj__raftCommitIndex = index

    @property
    def applied_index(self) -> int:
        return self._SyncObj__raftLastApplied  # type: ignore[no-any-return]

    @applied_index.setter
    def applied_index(self, index: int) -> None:
        self._SyncObj__raftLastApplied = index

    @property
    def election_deadline(self) -> float:
        return self._SyncObj__raftElectionDeadline  # type: ignore[no-any-return]

    @election_deadline.setter
    def election_deadline(self, at: float) -> None:
        self._SyncObj__raftElectionDeadline = at

    def linked(self) -> bool:
        return self._SyncObj__connectedToAnyone()  # type: ignore[no-any-return]

    def set_leader(self, peer: str | None) -> None:
        self._SyncObj__raftLeader = None if peer is None else self._nodes[peer]

    def matched(self, peer: str, index: int) -> None:
        self._SyncObj__raftMatchIndex[self._nodes[peer]] = index

    def heard_follower(self, peer: str, now: float) -> None:
        self._SyncObj__lastResponseTime[self._nodes[peer]] = now

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
        self._SyncObj__setCurrentTerm(term, None)
        self.become(FOLLOWER)
        self.set_leader(None)
        if was != FOLLOWER:
            self.rearm()

    def vote(self, candidate: str) -> None:
        self._SyncObj__setCurrentTerm(self.term, candidate)

    def become(self, state: int) -> None:
        self._SyncObj__setState(state)

    def become_leader(self) -> None:
        self._SyncObj__onBecomeLeader()

    def _on_state_changed(self, old: int, _new: int) -> None:
        if old == LEADER:
            self.reads.stepped_down()
            self.rearm()

    def _tell_role(self) -> None:
        now = self.role, self.term
        if now != self._role_told:
            self._role_told = now
            for listener in self.on_role:
                listener(*now)

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
                or peer not in self._nodes
                or frame.cluster_id != self.settings.cluster_id
            ):
                self.stats.frames_refused += 1
                return
            handler(peer, frame)

    def _on_up(self, peer: str) -> None:
        with self._edge:
            self._SyncObj__onNodeConnected(self._nodes[peer])
            self.replication.on_up(peer)

    def _on_down(self, peer: str) -> None:
        with self._edge:
            self._SyncObj__onNodeDisconnected(self._nodes[peer])
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

    def _wait_s(self) -> float:
        if self.again:
            return 0.0
        due = self._due
        if self.state == LEADER:
            due = min(due, self._SyncObj__newAppendEntriesTime, self.replication.notice_due())
        else:
            due = min(due, self.election_deadline)
        return min(max(due - self.clock.now(), 0.0), _WAIT_MAX_S)

    def _checkCommandsToApply(self) -> None:
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
        log.log(logging.INFO if quiet else logging.CRITICAL, "raft: halted: %s", why)
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

    # --- PySyncObj's own methods, replaced -----------------------------------------------------

    @property
    def _SyncObj__raftLog(self) -> LogView:
        return self._view

    @_SyncObj__raftLog.setter
    def _SyncObj__raftLog(self, _journal: object) -> None:
        """Its constructor makes a journal of its own; ours is used."""

    def _SyncObj__getCurrentLogIndex(self) -> int:
        # What it counts, promises or builds on is durable; its commit loop counts itself with it.
        return self.journal.durable_index

    def _SyncObj__applyLogEntries(self) -> bool:
        self.proposals.apply()
        return False

    def _SyncObj__sendAppendEntries(self) -> None:
        self._SyncObj__newAppendEntriesTime = self.clock.now() + self.settings.heartbeat_s
        self.replication.send(heartbeat=True)

    def _SyncObj__onBecomeLeader(self) -> None:
        self.stats.terms_led += 1
        self.replication.lead()
        super()._SyncObj__onBecomeLeader()

    def _SyncObj__tryLogCompaction(self) -> None:
        """No snapshots in this version."""

    def _SyncObj__onMessageReceived(self, node: Peer, message: object) -> None:
        raise InvariantBroken(f"a message of PySyncObj's own came from {node.id}")


class _HaltOnError:
    """Everything on the tick thread runs inside: an error ends the engine, not the thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        expected = isinstance(error, (InvariantBroken, OSError, lmdb.Error))
        log.error("raft: %s", error, exc_info=None if expected else error)
        self._engine.halt(f"{type(error).__name__}: {error}")
        return True
