"""What the engine asks of its surroundings and tells them: small Protocols and plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import lmdb

from protos.v1.raft_pb2 import RaftFrame


class Role(Enum):
    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"
    HALTED = "halted"


class StateMachine(Protocol):
    def apply(self, txn: lmdb.Transaction, index: int, entry: bytes) -> bytes:
        """Carry out *entry* through *txn*; the same bytes on every replica.

        Refusals are results. Raising halts the replica: nothing of this transaction is kept.
        """


@dataclass(frozen=True, slots=True)
class Outcome:
    """applied False: not accepted or outcome unknown; ask again with the same request id."""

    applied: bool
    index: int = 0
    term: int = 0
    result: bytes = b""
    detail: str = ""


Done = Callable[[Outcome], None]


class Poller(Protocol):
    """PySyncObj's: waits on file descriptors and calls back on the tick thread."""

    def subscribe(self, descr: int, callback: Callable[[int, int], None], eventMask: int) -> None:
        """Call back with (descriptor, mask); replaces an earlier subscription."""

    def unsubscribe(self, descr: int) -> None: ...

    def poll(self, timeout: float) -> None: ...


class Transport(Protocol):
    """Links to the peers. All calls, both ways, are made on the tick thread."""

    def send(self, peer_id: str, frame: RaftFrame) -> bool:
        """False: not connected, or too much of this peer's is still unsent."""

    def connected(self, peer_id: str) -> bool: ...

    def set_handler(
        self,
        on_frame: Callable[[str, RaftFrame], None],
        on_up: Callable[[str], None],
        on_down: Callable[[str], None],
    ) -> None:
        """*peer_id* must be what the peer's certificate says."""

    def tick(self, now: float) -> None:
        """Reconnects, keep-alives, timeouts."""

    def destroy(self) -> None:
        """Close everything; no callback follows."""


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """On a follower only `connected` and its leader's `last_contact_s` mean something."""

    match: int
    """Last log index known to be durable there."""

    last_contact_s: float
    """Seconds since it was last heard; infinite if never."""

    connected: bool


@dataclass(slots=True)
class Stats:
    """Counters since the start, written by the tick thread."""

    ticks: int = 0
    proposals: int = 0
    applied: int = 0
    forwarded: int = 0
    pre_votes: int = 0
    elections: int = 0
    terms_led: int = 0
    votes_refused_sticky: int = 0
    read_rounds: int = 0
    reads: int = 0
    appends_sent: int = 0
    entries_sent: int = 0
    truncated: int = 0
    frames_refused: int = 0
    commits: int = 0
    """LMDB commits."""

    sync_seconds: float = 0.0
    """Spent in them."""


@dataclass(frozen=True, slots=True)
class Status:
    role: Role
    term: int
    leader_id: str
    """Empty: not known."""

    last_index: int
    commit_index: int
    applied_index: int
    peers: dict[str, PeerStatus] = field(default_factory=dict)
    halted: str = ""
    """Why this replica stopped; empty while it runs."""
