"""Replicas whose every frame and every second is moved by hand."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import lmdb

from protos.v1.raft_pb2 import AppendEntries, LogEntry, RaftFrame
from raft.engine import Engine, Outcome
from raft.internals import LEADER
from raft.journal import Journal
from raft.settings import JournalSettings, RaftSettings

CLUSTER = "lab"
JOURNAL = JournalSettings(map_size_bytes=256 << 20, sync=False)


class HandClock:
    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at

    def uniform(self) -> float:
        return 0.5


class HandTransport:
    """Keeps what is sent until the test delivers it."""

    def __init__(self) -> None:
        self.sent: deque[tuple[str, RaftFrame]] = deque()
        self.links: set[str] = set()
        self.refuses = False
        self.destroyed = False

    def send(self, peer_id: str, frame: RaftFrame) -> bool:
        if self.refuses or peer_id not in self.links:
            return False
        self.sent.append((peer_id, RaftFrame.FromString(frame.SerializeToString())))
        return True

    def connected(self, peer_id: str) -> bool:
        return peer_id in self.links

    def set_handler(
        self,
        on_frame: Callable[[str, RaftFrame], None],
        on_up: Callable[[str], None],
        on_down: Callable[[str], None],
    ) -> None:
        self.on_frame, self.on_up, self.on_down = on_frame, on_up, on_down

    def tick(self, now: float) -> None: ...

    def destroy(self) -> None:
        self.destroyed = True
        self.links.clear()

    def to(self, peer: str) -> list[RaftFrame]:
        return [frame for target, frame in self.sent if target == peer]


class Notebook:
    """A state machine that keeps entries by index; b"raise" makes it raise after a first write."""

    def __init__(self, journal: Journal) -> None:
        self.table = journal.env.open_db(b"notebook")
        self.applied: list[bytes] = []

    def apply(self, txn: lmdb.Transaction, index: int, entry: bytes) -> bytes:
        txn.put(b"%08d" % index, entry, db=self.table)
        if entry == b"raise":
            raise ValueError("a bug in a handler")
        self.applied.append(entry)
        return b"done " + entry[:20]


class Node:
    def __init__(self, lab: Lab, me: str, **settings: Any) -> None:
        self.lab, self.me = lab, me
        self.journal = Journal(
            lab.directory / me, cluster_id=CLUSTER, replica_id=me, settings=JOURNAL
        )
        self.machine = Notebook(self.journal)
        self.transport = HandTransport()
        peers = tuple(peer for peer in lab.ids if peer != me)
        self.engine = Engine(
            settings=RaftSettings(cluster_id=CLUSTER, replica_id=me, peers=peers, **settings),
            journal=self.journal,
            machine=self.machine,
            transport=self.transport,
            clock=lab.clock,
        )

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.engine.tick()

    def up(self, *peers: str) -> None:
        for peer in peers:
            self.transport.links.add(peer)
            self.transport.on_up(peer)

    def down(self, peer: str) -> None:
        self.transport.links.discard(peer)
        self.transport.on_down(peer)

    def receive(self, peer: str, **fields: Any) -> list[RaftFrame]:
        """A frame from *peer*, then a tick; what is answered to that peer."""
        self.transport.sent.clear()
        self.transport.on_frame(peer, RaftFrame(cluster_id=CLUSTER, incarnation=1, **fields))
        self.tick()
        return self.transport.to(peer)

    def append(
        self,
        leader: str,
        term: int,
        previous: tuple[int, int],
        entries: Iterable[tuple[int, bytes]] = (),
        commit: int = 1,
        round: int = 0,
    ) -> list[RaftFrame]:
        """An append of *leader*; *previous* is (index, term), *entries* are (term, command)."""
        return self.receive(
            leader,
            term=term,
            append_entries=AppendEntries(
                previous_index=previous[0],
                previous_term=previous[1],
                entries=[LogEntry(term=t, data=b"\0" + data) for t, data in entries],
                commit_index=commit,
                round=round,
            ),
        )

    def propose(self, entry: bytes) -> list[Outcome]:
        outcomes: list[Outcome] = []
        self.engine.propose(entry, outcomes.append)
        return outcomes

    def read(self) -> list[int]:
        indexes: list[int] = []
        self.engine.read_barrier(indexes.append)
        return indexes

    def log(self) -> list[tuple[int, bytes]]:
        return self.journal.read(1, 1 << 30)

    def stored(self) -> list[bytes]:
        with self.journal.env.begin() as txn:
            return [bytes(value) for _, value in txn.cursor(self.machine.table)]

    def reopen(self, *, commit: bool = False) -> Node:
        """kill -9 and start again: what was not committed is gone."""
        if commit:
            self.journal.commit()
        self.journal.close()
        self.lab.nodes[self.me] = Node(self.lab, self.me)
        return self.lab.nodes[self.me]


class Lab:
    def __init__(self, ids: str = "ABC", directory: Path | None = None, **settings: Any) -> None:
        self.ids = tuple(ids)
        self.clock = HandClock()
        self.directory = directory or Path(tempfile.mkdtemp())
        self.nodes = {me: Node(self, me, **settings) for me in self.ids}

    def __getitem__(self, me: str) -> Node:
        return self.nodes[me]

    def connect(self) -> None:
        for me in self.ids:
            self.nodes[me].up(*(peer for peer in self.ids if peer != me))

    def wait(self, seconds: float) -> None:
        self.clock.at += seconds

    def deliver(self, source: str, target: str, limit: int = 1 << 30) -> int:
        """Hand over what *source* has sent to *target*, oldest first."""
        sent, kept, count = self.nodes[source].transport.sent, [], 0
        while sent:
            peer, frame = sent.popleft()
            if peer == target and count < limit:
                count += 1
                self.nodes[target].transport.on_frame(source, frame)
            else:
                kept.append((peer, frame))
        sent.extend(kept)
        return count

    def settle(self, *ids: str, rounds: int = 6) -> None:
        """Let these replicas talk until nothing new is said; time stands still."""
        group = ids or self.ids
        for _ in range(rounds):
            for me in group:
                self.nodes[me].tick()
            for a in group:
                for b in group:
                    if a != b:
                        self.deliver(a, b)
        for me in group:
            self.nodes[me].tick()

    def stand(self, leader: str, *voters: str) -> Node:
        """Silence for everybody, then *leader* wins by *voters*; nothing is delivered after."""
        self.wait(5)
        voters = voters or tuple(me for me in self.ids if me != leader)
        for me in self.ids:
            # Time passed in small steps: nobody believes that this process stood still.
            self.nodes[me].engine.election_deadline = self.clock.at + 100
            self.nodes[me].tick()
        self.nodes[leader].engine.election_deadline = 0.0
        for _ in range(8):
            if self.nodes[leader].engine.state == LEADER:
                return self.nodes[leader]
            self.settle(leader, *voters, rounds=1)
        raise AssertionError(f"{leader} was not elected")

    def elect(self, leader: str, *voters: str) -> Node:
        """As stand(), and its first entry is committed at the voters'."""
        node = self.stand(leader, *voters)
        self.settle(leader, *(voters or tuple(me for me in self.ids if me != leader)))
        return node

    def close(self) -> None:
        for node in self.nodes.values():
            node.journal.close()
