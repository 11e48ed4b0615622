"""Who leads: pre-votes, votes, stickiness, and leadership handed over on purpose."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from protos.v1.raft_pb2 import (
    PreVote,
    PreVoteReply,
    RaftFrame,
    RequestVote,
    TimeoutNow,
    VoteReply,
)
from raft.guard import InvariantBroken, majority, may_pre_vote, may_vote
from raft.internals import CANDIDATE, LEADER

if TYPE_CHECKING:
    from raft.engine import Engine


class Elections:
    """Nobody raises its term before a majority says it would vote; nobody who heard a leader
    within the minimum election timeout, or just started, says so."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.last_heard = -math.inf
        self._pre_votes: set[str] = set()
        self._pre_vote_term = 0
        self._won = False
        self._votes: set[str] = set()
        self._handed_over = False
        """The leader asked us to stand: voters need not wait for its silence."""
        self._lost_link_until = -math.inf

    def leader_alive(self, now: float) -> bool:
        engine = self._engine
        silent = now - self.last_heard
        return engine.state == LEADER or silent < engine.settings.election_timeout_min_s

    def heard_leader(self, now: float, same_term: bool) -> None:
        """An append of the leader of this term."""
        self.last_heard = now
        self._lost_link_until = -math.inf
        # Its last heartbeats may follow the TimeoutNow and must not call the election off.
        if not (self._won and self._handed_over and same_term):
            self._won = self._handed_over = False
            self._pre_vote_term = 0
            self._engine.rearm()

    def leader_lost(self, now: float) -> None:
        """The link to the leader closed: most likely its process is gone."""
        settings = self._engine.settings
        self.last_heard = -math.inf
        self._lost_link_until = now + settings.election_timeout_max_s
        self._engine.rearm(settings.lost_link_min_s, settings.lost_link_max_s)

    def tick(self, now: float) -> None:
        engine = self._engine
        if engine.state == LEADER or engine.election_deadline >= now:
            return
        if self._won and engine.linked():
            # PySyncObj's own tick sees the past deadline, takes the next term and asks for votes.
            self._won = False
            self._votes = {engine.me}
            engine.stats.elections += 1
            engine.election_deadline = -1.0
        else:
            self._start_pre_vote(now)

    def after_tick(self) -> None:
        self._handed_over = self._handed_over and self._won

    def _start_pre_vote(self, now: float) -> None:
        engine, log = self._engine, self._engine.journal
        self._won = self._handed_over = False
        if now < self._lost_link_until:
            settings = engine.settings
            engine.rearm(settings.lost_link_max_s, 2 * settings.lost_link_max_s)
        else:
            engine.rearm()
        engine.set_leader(None)
        engine.stats.pre_votes += 1
        self._pre_vote_term = engine.term + 1
        self._pre_votes = {engine.me}
        self._count_pre_votes()
        for peer in engine.peers:
            frame = engine.frame()
            frame.pre_vote.CopyFrom(
                PreVote(
                    next_term=self._pre_vote_term,
                    last_index=log.last_index,
                    last_term=log.last_term,
                )
            )
            engine.send_now(peer, frame)

    def _count_pre_votes(self) -> None:
        engine = self._engine
        if len(self._pre_votes) >= majority(engine.voters):
            self._won = True
            self._pre_vote_term = 0
            engine.election_deadline = -1.0
            engine.again = True

    def on_pre_vote(self, peer: str, frame: RaftFrame) -> None:
        engine, ask = self._engine, frame.pre_vote
        now = engine.clock.now()
        granted = may_pre_vote(
            next_term=ask.next_term,
            term=engine.term,
            last_index=ask.last_index,
            last_term=ask.last_term,
            log=engine.journal,
            leader_alive=self.leader_alive(now),
        )
        if granted and now < self._lost_link_until and not self._won:
            # Somebody is ahead in the race after a dead leader: two candidates would split it.
            settings = engine.settings
            engine.rearm(settings.lost_link_max_s, 2 * settings.lost_link_max_s)
        reply = engine.frame()
        reply.pre_vote_reply.CopyFrom(PreVoteReply(next_term=ask.next_term, granted=granted))
        engine.send_held(peer, reply)

    def on_pre_vote_reply(self, peer: str, frame: RaftFrame) -> None:
        engine, reply = self._engine, frame.pre_vote_reply
        if frame.term > engine.term:
            engine.adopt(frame.term)
        elif reply.granted and reply.next_term == self._pre_vote_term == engine.term + 1:
            self._pre_votes.add(peer)
            self._count_pre_votes()

    def request_vote(self, peer: str, message: dict[str, Any]) -> bool:
        """PySyncObj stands for election and asks *peer*."""
        if message["type"] != "request_vote":
            raise InvariantBroken(f"PySyncObj wants to send {message['type']!r} by itself")
        engine = self._engine
        frame = engine.frame()
        frame.request_vote.CopyFrom(
            RequestVote(
                last_index=message["last_log_index"],
                last_term=message["last_log_term"],
                transfer=self._handed_over,
            )
        )
        engine.send_held(peer, frame)
        return True

    def on_request_vote(self, peer: str, frame: RaftFrame) -> None:
        engine, ask = self._engine, frame.request_vote
        now = engine.clock.now()
        if self.leader_alive(now) and not ask.transfer and frame.term >= engine.term:
            engine.stats.votes_refused_sticky += 1
            return
        if frame.term > engine.term:
            engine.adopt(frame.term)
        granted = engine.state != LEADER and may_vote(
            candidate=peer,
            term=frame.term,
            last_index=ask.last_index,
            last_term=ask.last_term,
            log=engine.journal,
            own_term=engine.term,
            voted_for=engine.voted_for,
        )
        if granted:
            if not engine.voted_for:
                engine.set_term(engine.term, peer)
            engine.rearm()
        elif engine.state == CANDIDATE and frame.term == engine.term:
            # A split vote: neither waits for a whole election timeout.
            settings = engine.settings
            engine.rearm(settings.lost_link_min_s, 2 * settings.lost_link_max_s)
        reply = engine.frame()
        reply.vote_reply.CopyFrom(VoteReply(granted=granted))
        engine.send_held(peer, reply)

    def on_vote_reply(self, peer: str, frame: RaftFrame) -> None:
        engine = self._engine
        if frame.term > engine.term:
            engine.adopt(frame.term)
        elif frame.term == engine.term and engine.state == CANDIDATE and frame.vote_reply.granted:
            self._votes.add(peer)
            if len(self._votes) >= majority(engine.voters):
                engine.become_leader()

    def on_timeout_now(self, peer: str, frame: RaftFrame) -> None:
        engine = self._engine
        if frame.term == engine.term and peer == engine.leader_id and engine.state != LEADER:
            self._won = self._handed_over = True
            engine.election_deadline = -1.0
            engine.again = True


TransferDone = Callable[[bool, str], None]


class Transfer:
    """Leadership handed to a follower: no new proposals until it has all, then TimeoutNow."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.inbox: deque[tuple[str, TransferDone]] = deque()
        self.target = ""
        """To whom leadership is being handed; empty: to nobody."""
        self._done: TransferDone | None = None
        self._term = 0
        self._deadline = self._asked_at = 0.0

    def tick(self, now: float) -> None:
        while self.inbox:
            target, done = self.inbox.popleft()
            refusal = self._refusal(target)
            if refusal or target == self._engine.me:
                done(not refusal, refusal)
                continue
            self.target, self._done, self._term = target, done, self._engine.term
            self._deadline = now + self._engine.settings.transfer_deadline_s
            self._asked_at = -math.inf
        if self._done is not None:
            self._advance(now)

    def _refusal(self, target: str) -> str:
        engine = self._engine
        if engine.state != LEADER:
            return f"not the leader; ask replica {engine.leader_id or '(none is known)'}"
        if target != engine.me and target not in engine.peers:
            return f"no replica {target}"
        if self._done is not None:
            return f"leadership is already being handed to replica {self.target}"
        if target != engine.me and not engine.transport.connected(target):
            return f"replica {target} is not connected"
        return ""

    def _advance(self, now: float) -> None:
        engine = self._engine
        if engine.state != LEADER and engine.leader_id and engine.term > self._term:
            took_over = engine.leader_id == self.target
            self._end(took_over, "" if took_over else f"replica {engine.leader_id} leads instead")
        elif now > self._deadline:
            self._end(False, f"replica {self.target} did not take over in time")
        elif (
            engine.state == LEADER
            and engine.replication.has_all(self.target)
            and now - self._asked_at >= engine.settings.heartbeat_s
        ):
            self._asked_at = now
            frame = engine.frame()
            frame.timeout_now.CopyFrom(TimeoutNow())
            engine.send_now(self.target, frame)

    def _end(self, ok: bool, detail: str) -> None:
        done, self._done, self.target = self._done, None, ""
        if done is not None:
            done(ok, detail)

    def fail_all(self, detail: str, each: Callable[[Callable[[], None]], None]) -> None:
        each(lambda: self._end(False, detail))
        while self.inbox:
            _, done = self.inbox.popleft()
            each(lambda done=done: done(False, detail))  # type: ignore[misc]
