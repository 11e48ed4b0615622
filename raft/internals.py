"""PySyncObj's private parts, named once: what is relied on, and the shapes it expects of us.

It takes its clock, its randomness and its journal from module globals or private fields, so the
version is pinned and every name is checked before the first use.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import pysyncobj.syncobj as impl
from pysyncobj.journal import Journal as SyncObjJournal
from pysyncobj.node import Node
from pysyncobj.transport import Transport as SyncObjTransport
from pysyncobj.version import VERSION

from raft.clock import Clock
from raft.interfaces import Poller
from raft.journal import Journal

PINNED = "0.3.17"

METHODS = (  # overridden or called
    "_SyncObj__applyLogEntries",
    "_SyncObj__connectedToAnyone",
    "_SyncObj__generateRaftTimeout",
    "_SyncObj__getCurrentLogIndex",
    "_SyncObj__onBecomeLeader",
    "_SyncObj__onMessageReceived",
    "_SyncObj__onNodeConnected",
    "_SyncObj__onNodeDisconnected",
    "_SyncObj__sendAppendEntries",
    "_SyncObj__setCurrentTerm",
    "_SyncObj__setState",
    "_SyncObj__tryLogCompaction",
    "_checkCommandsToApply",
    "_onTick",
)
FIELDS = (  # read or written on the instance
    "_SyncObj__lastResponseTime",
    "_SyncObj__newAppendEntriesTime",
    "_SyncObj__noopIDx",
    "_SyncObj__raftCommitIndex",
    "_SyncObj__raftCurrentTerm",
    "_SyncObj__raftElectionDeadline",
    "_SyncObj__raftLastApplied",
    "_SyncObj__raftLeader",
    "_SyncObj__raftMatchIndex",
    "_SyncObj__raftState",
    "_SyncObj__votedForNodeId",
    "_SyncObj__votesCount",
    "_poller",
)
GLOBALS = ("_RAFT_STATE", "createJournal", "monotonicTime", "random")

FOLLOWER, CANDIDATE, LEADER = 0, 1, 2


class Incompatible(Exception):
    """The installed PySyncObj is not the one this code was written against."""


def check_module() -> None:
    missing = [name for name in METHODS if not callable(getattr(impl.SyncObj, name, None))]
    missing += [name for name in GLOBALS if not hasattr(impl, name)]
    if VERSION != PINNED or missing:
        raise Incompatible(
            f"pysyncobj {VERSION} is installed, raft needs {PINNED}"
            + (f" (missing: {', '.join(missing)})" if missing else "")
            + f"; repair: pip install pysyncobj=={PINNED}"
        )
    states = impl._RAFT_STATE
    if (states.FOLLOWER, states.CANDIDATE, states.LEADER) != (FOLLOWER, CANDIDATE, LEADER):
        raise Incompatible("pysyncobj numbers its roles differently")


def check_instance(instance: object) -> None:
    missing = [name for name in FIELDS if not hasattr(instance, name)]
    if missing:
        raise Incompatible(f"pysyncobj {VERSION} lacks the fields {', '.join(missing)}")


def install_clock(clock: Clock) -> None:
    """For the whole process: PySyncObj has no other way."""

    class _Random:
        random = staticmethod(clock.uniform)

    impl.monotonicTime = clock.now
    impl.random = _Random


class Peer(Node):  # type: ignore[misc]
    """A replica. Hashed by its name alone, so that set order never depends on the process."""

    def __init__(self, id: str) -> None:
        super().__init__(id)
        self._hash = zlib.crc32(id.encode())

    def __hash__(self) -> int:
        return self._hash


class Bridge(SyncObjTransport):  # type: ignore[misc]
    """What PySyncObj thinks is its transport: only its vote requests ever come this way."""

    def __init__(self, on_message: Callable[[str, dict[str, Any]], bool]) -> None:
        super().__init__(None, None, [])
        self._on_message = on_message

    def send(self, node: Peer, message: dict[str, Any]) -> bool:
        return self._on_message(node.id, message)

    def destroy(self) -> None:
        """Nothing is held here."""


class LogView(SyncObjJournal):  # type: ignore[misc]
    """The journal in the shape PySyncObj wants: (command, index, term) by position."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __len__(self) -> int:
        return self._journal.last_index

    def __getitem__(self, at: Any) -> Any:
        journal = self._journal
        if isinstance(at, slice):
            first, stop, _ = at.indices(journal.last_index)
            entries = journal.read(first + 1, stop - first)
            return [(data, first + 1 + n, term) for n, (term, data) in enumerate(entries)]
        index = at + 1 if at >= 0 else journal.last_index + 1 + at
        ((term, data),) = journal.read(index, 1)
        return data, index, term

    def add(self, command: bytes, idx: int, term: int) -> None:
        if self._journal.append(term, command) != idx:
            raise Incompatible(f"PySyncObj wants to write entry {idx} elsewhere than at the end")

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:
        """Not stored: what is applied is, and the leader tells the rest again."""

    def getRaftCommitIndex(self) -> int:
        return self._journal.applied

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:
        self._journal.set_term(term, votedForNodeId or "")

    def getCurrentTerm(self) -> int:
        return self._journal.term

    def getVotedForNodeId(self) -> str | None:
        return self._journal.voted_for or None

    def _destroy(self) -> None:
        """Whoever opened the journal closes it."""


class TickPoller:
    """PySyncObj's poller, waiting no longer than the engine allows at that very moment."""

    def __init__(self, inner: Poller, wait_s: Callable[[], float]) -> None:
        self.subscribe = inner.subscribe
        self.unsubscribe = inner.unsubscribe
        self._poll = inner.poll
        self.wait_s = wait_s

    def poll(self, timeout: float) -> None:
        self._poll(min(timeout, self.wait_s()) if timeout > 0 else 0)
