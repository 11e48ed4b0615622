"""PySyncObj with our journal, clock and wire put in: its fields by our names, its unsafe methods
replaced. The only class that touches its insides; raft.internals lists what is touched."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

from pysyncobj import SyncObj, SyncObjConf

import raft.internals as internals
from raft.clock import Clock
from raft.guard import InvariantBroken
from raft.internals import Bridge, LogView, Peer
from raft.journal import Journal
from raft.settings import RaftSettings


class Core(SyncObj, ABC):  # type: ignore[misc]
    """PySyncObj keeps term, vote, role, commit and applied index, and orders the tick: elections,
    commit, quorum check, apply, heartbeat, new work, poll."""

    _SyncObj__lastResponseTime: dict[Peer, float]
    _SyncObj__newAppendEntriesTime: float
    _SyncObj__noopIDx: int | None
    _SyncObj__raftCommitIndex: int
    _SyncObj__raftCurrentTerm: int
    _SyncObj__raftElectionDeadline: float
    _SyncObj__raftLastApplied: int
    _SyncObj__raftLeader: Peer | None
    _SyncObj__raftMatchIndex: dict[Peer, int]
    _SyncObj__raftState: int
    _SyncObj__votedForNodeId: str | None

    def __init__(self, settings: RaftSettings, journal: Journal, clock: Clock) -> None:
        self.settings, self.journal, self.clock = settings, journal, clock
        self.me = settings.replica_id
        self.peers = tuple(sorted(settings.peers))
        self.voters = len(self.peers) + 1
        self._nodes = {peer: Peer(peer) for peer in (*self.peers, self.me)}
        self._view = LogView(journal)
        internals.install_clock(clock)
        conf = SyncObjConf(
            autoTick=False,
            useFork=False,
            appendEntriesUseBatch=True,
            raftMinTimeout=settings.election_timeout_min_s,
            raftMaxTimeout=settings.election_timeout_max_s,
            appendEntriesPeriod=settings.heartbeat_s,
            leaderFallbackTimeout=settings.election_timeout_max_s,
            connectionTimeout=10 * settings.election_timeout_max_s,
            onStateChanged=self.on_state_changed,
        )
        others = [self._nodes[peer] for peer in self.peers]
        bridge = Bridge(self.ask_for_vote)
        super().__init__(self._nodes[self.me], others, conf, nodeClass=Peer, transport=bridge)
        internals.check_instance(self)
        # State and log are one transaction, so the applied index is exact.
        self._SyncObj__raftLastApplied = journal.applied

    # --- what PySyncObj's tick asks of the engine --------------------------------------------

    @abstractmethod
    def ask_for_vote(self, peer: str, message: dict[str, Any]) -> bool: ...

    @abstractmethod
    def on_state_changed(self, old: int, new: int) -> None: ...

    @abstractmethod
    def before_lead(self) -> None:
        """A term of our own begins; its no-op is not in the log yet."""

    @abstractmethod
    def apply_committed(self) -> None: ...

    @abstractmethod
    def heartbeat(self) -> None: ...

    @abstractmethod
    def take_work(self) -> None:
        """Proposals, reads, appends, and the commit that makes them durable."""

    # --- PySyncObj's fields, by our names ------------------------------------------------------

    @property
    def state(self) -> int:
        return self._SyncObj__raftState

    @property
    def term(self) -> int:
        return self._SyncObj__raftCurrentTerm

    @property
    def voted_for(self) -> str:
        return self._SyncObj__votedForNodeId or ""

    @property
    def leader_id(self) -> str:
        leader = self._SyncObj__raftLeader
        return "" if leader is None else leader.id

    @property
    def no_op_committed(self) -> bool:
        return self._SyncObj__raftCommitIndex >= (self._SyncObj__noopIDx or math.inf)

    @property
    def commit_index(self) -> int:
        return self._SyncObj__raftCommitIndex

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
        return self._SyncObj__raftLastApplied

    @applied_index.setter
    def applied_index(self, index: int) -> None:
        self._SyncObj__raftLastApplied = index

    @property
    def election_deadline(self) -> float:
        return self._SyncObj__raftElectionDeadline

    @election_deadline.setter
    def election_deadline(self, at: float) -> None:
        self._SyncObj__raftElectionDeadline = at

    def heartbeat_at(self) -> float:
        return self._SyncObj__newAppendEntriesTime

    def linked(self) -> bool:
        """To any peer, or there is none."""
        return bool(self._SyncObj__connectedToAnyone())

    def set_leader(self, peer: str | None) -> None:
        self._SyncObj__raftLeader = None if peer is None else self._nodes[peer]

    def matched(self, peer: str, index: int) -> None:
        self._SyncObj__raftMatchIndex[self._nodes[peer]] = index

    def heard_follower(self, peer: str, now: float) -> None:
        self._SyncObj__lastResponseTime[self._nodes[peer]] = now

    def become(self, state: int) -> None:
        self._SyncObj__setState(state)

    def become_leader(self) -> None:
        self._SyncObj__onBecomeLeader()

    def set_term(self, term: int, voted_for: str | None) -> None:
        self._SyncObj__setCurrentTerm(term, voted_for)

    def link_changed(self, peer: str, up: bool) -> None:
        if up:
            self._SyncObj__onNodeConnected(self._nodes[peer])
        else:
            self._SyncObj__onNodeDisconnected(self._nodes[peer])

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
        self.apply_committed()
        return False

    def _checkCommandsToApply(self) -> None:
        self.take_work()

    def _SyncObj__sendAppendEntries(self) -> None:
        self._SyncObj__newAppendEntriesTime = self.clock.now() + self.settings.heartbeat_s
        self.heartbeat()

    def _SyncObj__onBecomeLeader(self) -> None:
        self.before_lead()
        super()._SyncObj__onBecomeLeader()

    def _SyncObj__tryLogCompaction(self) -> None:
        """No snapshots in this version."""

    def _SyncObj__onMessageReceived(self, node: Peer, message: object) -> None:
        raise InvariantBroken(f"a message of PySyncObj's own came from {node.id}")
