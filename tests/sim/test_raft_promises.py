"""Promises of the replicated log, under storms of faults, and proof that the storms would notice.

The second half plants the defects of stock PySyncObj into this engine, one at a time: a rule is
worth its lines only if some history goes wrong without it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import raft.replication as replication
from raft.elections import Elections
from raft.engine import Engine
from raft.guard import Accepted, Refused
from raft.history import Violation
from raft.interfaces import Role
from raft.journal import Journal
from raft.proposals import Proposals
from raft.reads import Reads
from raft.replication import Replication
from raft.sim import run_seed
from raft.simcluster import SimCluster, SimJournal

pytestmark = pytest.mark.sim

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cluster(tmp_path: Path) -> SimCluster:
    made = SimCluster(7, tmp_path)
    made.run_until(lambda: made.leader() is not None, 5, "a first leader")
    return made


@pytest.mark.parametrize("seed", range(30))
def test_nothing_acknowledged_is_lost_in_a_storm(seed: int) -> None:
    run_seed(seed, storm_s=6.0)


def test_the_same_seed_is_the_same_history_in_every_process() -> None:
    program = "from raft.sim import run_seed; print(run_seed(5, storm_s=4.0).digest())"
    digests = set()
    for hash_seed in ("0", "1", "2"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1
    assert digests != {hashlib.sha256().hexdigest() + "\n"}


def test_the_command_line_reports_what_it_ran() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "raft.sim", "--seeds", "1", "--json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert '"violations": 0' in done.stdout


def test_a_killed_leader_is_replaced_within_a_third_of_a_second(cluster: SimCluster) -> None:
    for _ in range(10):
        cluster.run(2.0)
        old = cluster.leader()
        assert old is not None
        at = cluster.clock.now()
        cluster.crash(old)
        cluster.write(next(iter(cluster.up)), b"after")
        assert cluster.clock.now() - at < 0.33
        cluster.start(old)


def test_a_leader_without_power_is_replaced_after_the_election_timeout(
    cluster: SimCluster,
) -> None:
    old = cluster.leader()
    assert old is not None
    at = cluster.clock.now()
    cluster.crash(old, power=True)
    cluster.run_until(lambda: cluster.leader() is not None, 3, "another leader")
    assert 0.3 < cluster.clock.now() - at < 1.8


def test_power_loss_of_all_replicas_at_every_commit_loses_nothing(cluster: SimCluster) -> None:
    for n in range(20):
        asks = [cluster.propose(me, b"%d" % n) for me in sorted(cluster.up)]
        for replica in cluster.up.values():
            replica.journal.fault = ("before", "after")[n % 2]
        cluster.run(0.5)
        for me in cluster.ids:
            if me in cluster.up:
                cluster.up[me].journal.fault = ""
            else:
                cluster.start(me)
        cluster.run_until(lambda asks=asks: all(a.answered for a in asks), 10, "answers")  # type: ignore[misc]
    cluster.run(2.0)
    cluster.history.settled([replica.engine for replica in cluster.up.values()])


def test_a_replica_cut_off_for_a_minute_disturbs_nobody_when_it_returns(
    cluster: SimCluster,
) -> None:
    leader = cluster.leader()
    assert leader is not None
    term = cluster.up[leader].engine.term
    other = next(me for me in cluster.ids if me != leader)
    for me in cluster.ids:
        if me != other:
            cluster.network.cuts |= {(me, other), (other, me)}
    cluster.run(60)
    cluster.network.cuts.clear()
    cluster.run(5)
    assert cluster.leader() == leader
    assert {r.engine.term for r in cluster.up.values()} == {term}


def test_a_leader_that_is_heard_but_hears_nobody_makes_room(cluster: SimCluster) -> None:
    """One-way cut: its heartbeats arrive, no answer comes back."""
    old = cluster.leader()
    assert old is not None
    cluster.network.cuts |= {(me, old) for me in cluster.ids if me != old}
    cluster.run_until(lambda: cluster.leader() not in (None, old), 5, "another leader")
    assert cluster.up[old].engine.role is not Role.LEADER


def test_memory_of_the_log_stays_bounded(cluster: SimCluster) -> None:
    leader = cluster.leader()
    assert leader is not None
    for n in range(500):
        cluster.propose(leader, b"%d" % n)
        cluster.run(0.002)
    cluster.run(1.0)
    for replica in cluster.up.values():
        assert replica.engine.applied_index > 500
        assert len(replica.journal._tail) <= 64
        assert not replica.engine.proposals._placed


# --- planted defects -----------------------------------------------------------------------------


def _truncate_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """P-1: whatever follows the previous entry is dropped, even if it matches."""

    def place(log, commit, previous, term, terms):  # type: ignore[no-untyped-def]
        if previous > log.last_index:
            return Refused(log.last_index + 1)
        if log.term_at(previous) != term:
            return Refused(previous)
        cut = previous + 1 if previous < log.last_index else 0
        return Accepted(previous + len(terms), skip=0, truncate_from=cut)

    monkeypatch.setattr(replication, "place_append", place)


def _believe_any_commit_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """P-2: not capped to what the append verified, but to the end of the own log."""
    journals: list[Journal] = []
    append = Replication.on_append

    def on_append(self, peer, frame):  # type: ignore[no-untyped-def]
        journals[:] = [self._engine.journal]
        append(self, peer, frame)

    monkeypatch.setattr(Replication, "on_append", on_append)
    monkeypatch.setattr(
        replication,
        "capped_commit",
        lambda leader, _verified, own: max(own, min(leader, journals[0].last_index)),
    )


def _acknowledge_before_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """P-8."""
    monkeypatch.setattr(
        Engine,
        "acknowledge",
        lambda self, peer, index, number: self.transport.send(peer, _ack(self, index, number)),
    )


def _ack(engine: Engine, index: int, number: int):  # type: ignore[no-untyped-def]
    frame = engine.frame()
    frame.append_reply.success = True
    frame.append_reply.index, frame.append_reply.round = index, number
    return frame


def _vote_before_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """P-8 for votes: they leave at once, and power loss forgets them."""
    monkeypatch.setattr(Engine, "send_held", Engine.send_now)


def _forget_the_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    """P-20: term and vote die with the process."""
    load = SimJournal._load

    def forgetful(self, cluster_id, replica_id):  # type: ignore[no-untyped-def]
        load(self, cluster_id, replica_id)
        self.term, self.voted_for = self.last_term, ""

    monkeypatch.setattr(SimJournal, "_load", forgetful)


def _vote_without_looking_at_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.guard.log_is_current", lambda *_: True)


def _commit_entries_of_older_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raft figure 8."""

    def advance(self) -> bool:  # type: ignore[no-untyped-def]
        engine = self._engine
        match = sorted([p.match for p in self.progress.values()], reverse=True)
        index = min(match[len(match) // 2 - (len(match) + 1) % 2], engine.journal.durable_index)
        if engine.state != 2 or index <= engine.commit_index:
            return False
        engine.commit_index = index
        return True

    monkeypatch.setattr(Replication, "advance_commit", advance)


def _read_without_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """P-18: whoever believes to lead answers."""

    def confirm(self) -> None:  # type: ignore[no-untyped-def]
        if self._open is not None:
            if self._open.local:
                self._visible.append((self._open.index, self._open.local))
            self._reply(self._open.remote, self._open.index)
            self._open = None

    monkeypatch.setattr(Reads, "confirm", confirm)


def _apply_again_after_a_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """State and applied index in different commits."""
    load = SimJournal._load

    def forgetful(self, cluster_id, replica_id):  # type: ignore[no-untyped-def]
        load(self, cluster_id, replica_id)
        self.applied = self.visible = max(1, self.applied - 3)

    monkeypatch.setattr(SimJournal, "_load", forgetful)


def _never_answer_lost_forwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """P-31."""
    monkeypatch.setattr(Proposals, "_expire", lambda self, now: None)
    monkeypatch.setattr(Proposals, "_fail_unplaced", lambda self, detail: None)


def _no_retry_after_a_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pre-vote that is lost is never asked again: liveness."""
    start = Elections._start_pre_vote

    def once(self, now):  # type: ignore[no-untyped-def]
        if self._engine.stats.pre_votes:
            self._engine.rearm(1000, 1000)
        else:
            start(self, now)

    monkeypatch.setattr(Elections, "_start_pre_vote", once)


PLANTED = [
    _truncate_always,
    _believe_any_commit_index,
    _acknowledge_before_the_commit,
    _vote_before_the_commit,
    _forget_the_vote,
    _vote_without_looking_at_the_log,
    _commit_entries_of_older_terms,
    _read_without_a_round,
    _apply_again_after_a_restart,
    _never_answer_lost_forwards,
    _no_retry_after_a_split,
]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__.strip("_"))
def test_a_planted_defect_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(Violation):
        _weather(range(60))


def _weather(seeds: range) -> None:
    for seed in seeds:
        run_seed(seed, storm_s=6.0)
