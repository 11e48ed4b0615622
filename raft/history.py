"""What must hold in every history of a cluster; checked against what a simulation observes."""

from __future__ import annotations

from collections.abc import Mapping

from protos.v1.raft_pb2 import RaftFrame
from raft.engine import Engine
from raft.internals import LEADER
from raft.journal import Entry


class Violation(AssertionError):
    """The cluster did what Raft rules out, or broke a promise to a client."""


class History:
    def __init__(self) -> None:
        self.committed: list[Entry] = [(0, b"")]
        """By index, from 1; the longest prefix that any replica has committed."""

        self.acknowledged = 0
        """Highest index whose proposer was told that it is applied."""

        self._claims: list[tuple[int, Entry]] = []
        self._checked: dict[str, int] = {}
        self._leaders: dict[int, str] = {}
        self._votes: dict[tuple[str, int], str] = {}
        self._terms: dict[str, int] = {}
        self._led: dict[str, tuple[int, int]] = {}

    def started(self, replica: str) -> None:
        """A new life: what it has applied before is compared again."""
        self._checked[replica] = 0
        self._terms[replica] = 0

    def observe(self, engine: Engine, alive: Mapping[str, Engine]) -> None:
        """After each tick of a replica; *alive* are all that run."""
        if engine.state == LEADER and not engine.halted:
            self._observe_leader(engine, alive)
        if engine.term < self._terms[engine.me]:
            raise Violation(f"replica {engine.me} went back to term {engine.term}")
        self._terms[engine.me] = engine.term
        first, commit = self._checked[engine.me] + 1, engine.commit_index
        if commit >= first:
            self._compare(engine, first, commit)
            self._checked[engine.me] = commit
        self._check_claims()

    def _observe_leader(self, engine: Engine, alive: Mapping[str, Engine]) -> None:
        leader = self._leaders.setdefault(engine.term, engine.me)
        if leader != engine.me:
            raise Violation(f"replicas {leader} and {engine.me} both lead term {engine.term}")
        for peer, known in engine.replication.progress.items():
            other = alive.get(peer)
            if other is None or other.halted or other.term > engine.term:
                continue
            if known.match > other.journal.durable_index or (
                other.journal.term_at(known.match) != engine.journal.term_at(known.match)
            ):
                raise Violation(
                    f"replica {engine.me} believes that {peer} has entry {known.match}, it has not"
                )
        term, commit = self._led.get(engine.me, (0, 0))
        advanced = term == engine.term and engine.commit_index > commit
        if advanced and engine.journal.term_at(engine.commit_index) != term:
            raise Violation(
                f"replica {engine.me} commits entry {engine.commit_index} of an older term"
            )
        self._led[engine.me] = engine.term, engine.commit_index

    def _compare(self, engine: Engine, first: int, commit: int) -> None:
        entries = engine.journal.read(first, commit - first + 1)
        for index, entry in enumerate(entries, first):
            if index == len(self.committed):
                self.committed.append(entry)
            elif self.committed[index] != entry and index > 1:
                raise Violation(
                    f"replica {engine.me} committed {_show(entry)} at {index}, "
                    f"another one {_show(self.committed[index])}"
                )
            elif index == 1:
                self.committed[1] = entry

    def sent(self, engine: Engine, target: str, frame: RaftFrame) -> None:
        """Before a frame leaves a replica: does it promise only what its disk holds?"""
        kind, me = frame.WhichOneof("message"), engine.me
        if kind == "append_reply" and frame.append_reply.success:
            if frame.append_reply.index > engine.journal.durable_index:
                raise Violation(f"replica {me} acknowledges entries that are not durable")
        elif kind == "request_vote" or (kind == "vote_reply" and frame.vote_reply.granted):
            if engine.journal.log_dirty:
                raise Violation(f"replica {me} sends a vote before its commit")
            self._voted(me, frame.term, me if kind == "request_vote" else target)

    def _voted(self, voter: str, term: int, candidate: str) -> None:
        before = self._votes.setdefault((voter, term), candidate)
        if before != candidate:
            raise Violation(f"replica {voter} votes for {candidate} and {before} in term {term}")

    def acknowledge(self, index: int, term: int, entry: bytes) -> None:
        """A client was told that *entry* is applied at *index*."""
        self._claims.append((index, (term, b"\0" + entry)))
        self.acknowledged = max(self.acknowledged, index)

    def _check_claims(self) -> None:
        # A replica may acknowledge and die before anybody else knows what is committed.
        later = []
        for index, entry in self._claims:
            if index >= len(self.committed):
                later.append((index, entry))
            elif self.committed[index] != entry:
                raise Violation(
                    f"{_show(entry)} was acknowledged at {index}, "
                    f"there is {_show(self.committed[index])}"
                )
        self._claims = later

    def settled(self, engines: list[Engine]) -> None:
        """At the end, all faults healed: everybody has all that was committed, alike."""
        for engine in engines:
            if engine.commit_index != len(self.committed) - 1:
                raise Violation(
                    f"replica {engine.me} has committed {engine.commit_index} of "
                    f"{len(self.committed) - 1} entries"
                )
            if engine.applied_index != engine.commit_index:
                raise Violation(f"replica {engine.me} has not applied what is committed")
            self._compare(engine, 1, engine.commit_index)
        self._check_claims()
        if self._claims:
            raise Violation(f"acknowledged and lost: {_show(self._claims[0][1])}")


def check_logs_match(one: Engine, other: Engine) -> None:
    """Two logs that agree in one entry's term agree in everything before it."""
    last = min(one.journal.last_index, other.journal.last_index)
    ours, theirs = one.journal.read(1, last), other.journal.read(1, last)
    agreed = False
    for index in range(len(ours) - 1, -1, -1):
        agreed = agreed or ours[index][0] == theirs[index][0]
        if agreed and ours[index] != theirs[index]:
            raise Violation(f"replicas {one.me} and {other.me} differ at entry {index + 1}")


def _show(entry: Entry) -> str:
    return f"{entry[1][:16]!r} of term {entry[0]}"
