"""Linearizable reads without log entries: the leader proves that it still leads, then the reader
waits until its own committed state is as new as the commit index was when it asked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protos.v1.raft_pb2 import RaftFrame, ReadIndex, ReadIndexReply
from raft.guard import majority
from raft.internals import LEADER

if TYPE_CHECKING:
    from raft.engine import Engine

ReadDone = Callable[[int], None]
Waiting = tuple[float, ReadDone]
"""(deadline, done)"""

_RETRY_S = 0.02
"""After "not the leader" of a replica that was."""


@dataclass(slots=True)
class _Round:
    number: int
    index: int
    local: list[Waiting]
    remote: list[tuple[str, int]]


@dataclass(slots=True)
class _Asked:
    """One ReadIndex to the leader, for all that waited when it left."""

    leader: str
    term: int
    id: int
    deadline: float
    waiting: list[Waiting] = field(default_factory=list)


class Reads:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.inbox: deque[ReadDone] = deque()
        self._waiting: list[Waiting] = []
        self._remote: list[tuple[str, int]] = []
        self.round = 0
        """Rises with each read round and is echoed by followers; never reused by a process."""

        self._open: _Round | None = None
        self._asked: _Asked | None = None
        self._ask_after = 0.0
        # An answer to a former life of this replica must not fit a question of this one.
        self._last_id = engine.journal.incarnation << 32
        self._visible: deque[tuple[int, list[Waiting]]] = deque()

    @property
    def wants_commit(self) -> bool:
        """A reader waits for state that is applied but not committed to LMDB."""
        applied = self._engine.applied_index
        return any(index <= applied for index, _ in self._visible)

    def start(self, now: float) -> None:
        """Begin what can begin; one round or question is out at a time, shared by all."""
        engine = self._engine
        if self.inbox:
            deadline = now + engine.settings.read_deadline_s
            while self.inbox:
                self._waiting.append((deadline, self.inbox.popleft()))
        if engine.state == LEADER:
            self._start_round()
        else:
            self._reply(self._remote, 0)
            self._remote = []
            self._ask(now)
        self._expire(now)

    def _start_round(self) -> None:
        engine = self._engine
        # Before its own no-op is committed a leader does not know what is.
        if self._open or not (self._waiting or self._remote) or not engine.no_op_committed:
            return
        self.round += 1
        self._open = _Round(self.round, engine.commit_index, self._waiting, self._remote)
        engine.stats.read_rounds += 1
        engine.stats.reads += len(self._waiting) + len(self._remote)
        self._waiting, self._remote = [], []
        self.confirm()

    def confirm(self) -> None:
        """A follower echoed a round of this term."""
        engine, round = self._engine, self._open
        if round is None:
            return
        echoes = sum(p.round_acked >= round.number for p in engine.replication.progress.values())
        if echoes + 1 < majority(engine.voters):
            return
        self._open = None
        if round.local:
            self._visible.append((round.index, round.local))
        self._reply(round.remote, round.index)
        engine.again = engine.again or bool(self._waiting or self._remote or round.local)

    def _reply(self, remote: list[tuple[str, int]], index: int) -> None:
        for peer, id in remote:
            frame = self._engine.frame()
            frame.read_index_reply.CopyFrom(ReadIndexReply(id=id, index=index))
            self._engine.send_now(peer, frame)

    def _ask(self, now: float) -> None:
        engine, asked = self._engine, self._asked
        if asked is not None and (
            (asked.leader, asked.term) != (engine.leader_id, engine.term) or now >= asked.deadline
        ):
            self._ask_again()
        leader = engine.leader_id
        if now < self._ask_after:
            engine.due_at(self._ask_after)
        elif self._asked is None and self._waiting and leader and leader != engine.me:
            self._last_id += 1
            frame = engine.frame()
            frame.read_index.CopyFrom(ReadIndex(id=self._last_id))
            if engine.send_now(leader, frame):
                until = now + engine.settings.election_timeout_max_s
                self._asked = _Asked(leader, engine.term, self._last_id, until, self._waiting)
                self._waiting = []

    def _ask_again(self) -> None:
        """Asking twice is harmless, so a lost question costs the reader time only."""
        if self._asked is not None:
            self._waiting = self._asked.waiting + self._waiting
            self._asked = None

    def on_read_index(self, peer: str, frame: RaftFrame) -> None:
        self._remote.append((peer, frame.read_index.id))

    def on_read_index_reply(self, peer: str, frame: RaftFrame) -> None:
        asked, reply = self._asked, frame.read_index_reply
        if asked is None or asked.id != reply.id:
            return
        self._asked = None
        if reply.index:
            self._visible.append((reply.index, asked.waiting))
            self._engine.stats.reads += len(asked.waiting)
        else:
            self._waiting = asked.waiting + self._waiting
            self._ask_after = self._engine.clock.now() + _RETRY_S

    def on_down(self, peer: str) -> None:
        if self._asked is not None and self._asked.leader == peer:
            self._ask_again()

    def stepped_down(self) -> None:
        """An open round can't be confirmed any more; its local readers ask the next leader."""
        if self._open is not None:
            self._waiting = self._open.local + self._waiting
            self._remote = self._open.remote + self._remote
            self._open = None

    def release(self) -> None:
        """Answer readers whose state is committed to LMDB now."""
        visible, waiting = self._engine.journal.visible, self._visible
        for _ in range(len(waiting)):
            index, readers = waiting.popleft()
            if index <= visible:
                for _, done in readers:
                    done(visible)
            else:
                waiting.append((index, readers))

    def _expire(self, now: float) -> None:
        if self._waiting and self._waiting[0][0] <= now:
            late = [done for deadline, done in self._waiting if deadline <= now]
            self._waiting = [each for each in self._waiting if each[0] > now]
            for done in late:
                done(0)
        if self._visible and self._visible[0][1][0][0] <= now:
            _, readers = self._visible.popleft()
            for _, done in readers:
                done(0)

    def fail_all(self, each: Callable[[Callable[[], None]], None]) -> None:
        self.stepped_down()
        self._ask_again()
        lost = [done for _, readers in self._visible for _, done in readers]
        lost += [done for _, done in self._waiting]
        lost += list(self.inbox)
        self._visible.clear()
        self._waiting = []
        self._remote = []
        self.inbox.clear()
        for done in lost:
            each(lambda done=done: done(0))  # type: ignore[misc]
