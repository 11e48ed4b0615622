"""Schedules that make stock PySyncObj lose or invent entries, moved by hand through this engine.

R and P numbers name the cases in which the defect was first reproduced.
"""

from __future__ import annotations

from protos.v1.raft_pb2 import AppendReply, RaftFrame
from tests.raft.lab import Lab

ENTRIES = [(1, b"%d" % n) for n in range(2, 11)]


def reply(index: int, *, success: bool = True, round: int = 0) -> AppendReply:
    return AppendReply(success=success, index=index, round=round)


def test_a_late_copy_of_an_append_removes_nothing(lab: Lab) -> None:
    """R26, P-1: acknowledged and applied entries vanished, and a candidate without them won."""
    b = lab["B"]
    (ack,) = b.append("A", 1, (1, 0), ENTRIES, commit=8)
    assert (ack.append_reply.success, ack.append_reply.index) == (True, 10)
    (ack,) = b.append("A", 1, (1, 0), ENTRIES[:3], commit=1)
    assert ack.append_reply.index == 4  # no more than this message proved
    assert (b.journal.last_index, b.engine.commit_index, b.engine.applied_index) == (10, 8, 8)


def test_overlap_and_new_entries_in_one_append(lab: Lab) -> None:
    b = lab["B"]
    b.append("A", 1, (1, 0), ENTRIES, commit=8)
    (ack,) = b.append("A", 1, (6, 1), [*ENTRIES[5:], (1, b"new")], commit=11)
    assert (ack.append_reply.index, b.engine.commit_index, b.engine.stats.truncated) == (11, 11, 0)
    assert b.machine.applied[-1] == b"new"


def test_commit_is_capped_to_what_the_append_verified(lab: Lab) -> None:
    """R1, P-2, counter case 4: a follower committed its own divergent entries."""
    b = lab["B"]
    b.append("A", 1, (1, 0), [(1, b"kept"), (1, b"lost-1"), (1, b"lost-2")])
    b.append("C", 2, (2, 1), [], commit=50)
    assert (b.engine.commit_index, b.machine.applied) == (2, [b"kept"])


def test_commit_index_of_a_mismatching_append_is_not_believed(lab: Lab) -> None:
    """R1 without any match: nothing may be committed."""
    b = lab["B"]
    b.append("A", 1, (1, 0), [(1, b"lost-1"), (1, b"lost-2")])
    (nack,) = b.append("C", 2, (50, 2), [], commit=50)
    assert not nack.append_reply.success
    assert (nack.append_reply.index, b.engine.commit_index, b.machine.applied) == (4, 1, [])


def test_an_acknowledgement_of_an_older_term_is_not_counted(lab: Lab) -> None:
    """R3, P-3, counter case 2: it carried no term and committed with no acknowledgement at all."""
    a = lab.elect("A")
    lab.settle()
    a.down("B")
    a.down("C")
    a.propose(b"v1")
    a.tick()
    commit = a.engine.commit_index
    a.receive("B", term=a.engine.term - 1, append_reply=reply(a.journal.last_index))
    assert a.engine.commit_index == commit
    a.receive("B", term=a.engine.term, append_reply=reply(a.journal.last_index))
    assert a.engine.commit_index == commit + 1


def test_an_acknowledgement_beyond_the_log_is_clamped(lab: Lab) -> None:
    """P-3: entries that are not even written were committed in advance."""
    a = lab.elect("A")
    lab.settle()
    a.receive("B", term=a.engine.term, append_reply=reply(a.journal.last_index + 50))
    assert a.engine.commit_index == a.journal.last_index
    assert a.engine.replication.progress["B"].match == a.journal.last_index


def test_a_nack_never_goes_below_what_is_known_to_match(lab: Lab) -> None:
    """P-26 and late refusals: next stays above match and inside the log."""
    a = lab.elect("A")
    lab.settle()
    known = a.engine.replication.progress["B"]
    match = known.match
    for index in (0, 1, match, 10_000):
        a.receive("B", term=a.engine.term, append_reply=reply(index, success=False))
        assert match < known.next <= a.journal.last_index + 1


def test_entries_in_flight_are_not_sent_again_after_an_acknowledgement(lab: Lab) -> None:
    """R9, P-38, counter case 1: 50 commands took 176 entries and 129 truncations."""
    a, b = lab.elect("A"), lab["B"]
    lab.settle()
    a.transport.sent.clear()
    sent, flights = 0, []
    for n in range(50):
        a.propose(b"%d" % n)
        a.tick()
        flights.append(a.transport.to("B"))
        a.transport.sent.clear()
        if len(flights) > 3:
            for frame in flights.pop(0):
                sent += len(frame.append_entries.entries)
                b.transport.on_frame("A", frame)
            b.tick()
            lab.deliver("B", "A")
    assert sent == 47
    assert b.engine.stats.truncated == 0


def test_a_hundred_divergent_entries_are_repaired_in_a_few_round_trips(lab: Lab) -> None:
    """R23, P-25: 100 heartbeats, 10.1 s."""
    a, b = lab["A"], lab["B"]
    b.append("C", 1, (1, 0), [(1, b"divergent")] * 100)
    a.append("C", 2, (1, 0), [(2, b"other")] * 100)
    lab.elect("A", "C")
    a.transport.sent.clear()
    lab.wait(0.2)
    a.tick()
    trips = 0
    while a.engine.replication.progress["B"].match < a.journal.last_index:
        trips += 1
        lab.deliver("A", "B")
        b.tick()
        lab.deliver("B", "A")
        a.tick()
        assert trips < 5
    assert [term for term, _ in b.log()] == [term for term, _ in a.log()]


def test_entries_of_an_older_term_commit_only_with_one_of_the_own_term(lab: Lab) -> None:
    """Raft figure 8: counting copies of an old entry is not enough."""
    a = lab["A"]
    a.append("B", 1, (1, 0), [(1, b"old")])
    lab["C"].append("B", 1, (1, 0), [(1, b"old")])
    lab.stand("A", "C")
    a.receive("C", term=a.engine.term, append_reply=reply(2))
    assert a.engine.commit_index == 1
    a.receive("C", term=a.engine.term, append_reply=reply(3))
    assert a.engine.commit_index == 3


def test_own_entries_count_once_they_are_synced(lab: Lab) -> None:
    """Rule 9: appends leave first; an answer before our own sync decides nothing."""
    a = lab.elect("A")
    lab.settle()
    commit = a.engine.commit_index
    index = a.journal.append(a.engine.term, b"\0x")
    a.engine.replication.send()
    assert a.transport.to("B")[-1].append_entries.entries[-1].data == b"\0x"
    a.engine.replication.progress["B"].match = index
    assert not a.engine.replication.advance_commit()
    a.journal.commit()
    assert a.engine.replication.advance_commit()
    assert a.engine.commit_index == commit + 1


def test_an_acknowledgement_leaves_after_the_commit(lab: Lab) -> None:
    """Rule 9, P-8."""
    b = lab["B"]
    order: list[str] = []
    commit, send = b.journal.commit, b.transport.send

    def watched_commit() -> None:
        order.append("commit")
        commit()

    def watched_send(peer_id: str, frame: RaftFrame) -> bool:
        order.append("send")
        return send(peer_id, frame)

    b.journal.commit = watched_commit  # type: ignore[method-assign]
    b.transport.send = watched_send  # type: ignore[method-assign]
    b.append("A", 1, (1, 0), ENTRIES)
    assert order == ["commit", "send"]


def test_two_leaders_in_a_term_halt_the_witness(lab: Lab) -> None:
    """Rule 16."""
    b = lab["B"]
    b.append("A", 1, (1, 0), ENTRIES)
    b.append("C", 1, (1, 0), [])
    assert "two leaders in term 1" in b.engine.status().halted


def test_a_conflict_below_the_commit_index_halts(lab: Lab) -> None:
    """Rule 16: committed entries are not overwritten, whoever asks."""
    b = lab["B"]
    b.append("A", 1, (1, 0), ENTRIES, commit=8)
    b.append("C", 2, (5, 1), [(2, b"other")])
    assert "entry 6 is committed in term 1" in b.engine.status().halted
    assert b.journal.last_index == 10


def test_an_entry_of_an_unknown_kind_halts_and_applies_nothing_twice(lab: Lab) -> None:
    """R5, P-16: stock went on and applied what followed twice."""
    b = lab["B"]
    b.journal.append(0, b"\x03seven")
    b.journal.append(0, b"\0a")
    b.journal.commit()
    b.append("A", 1, (3, 0), [], commit=3)
    assert "entry 2 is of the unknown kind 3" in b.engine.status().halted
    assert b.machine.applied == []


def test_frames_of_strangers_and_other_clusters_are_dropped(lab: Lab) -> None:
    """Rule 1."""
    b = lab["B"]
    assert b.append("X", 9, (1, 0), ENTRIES) == []
    b.transport.on_frame("A", b.engine.frame().__class__(cluster_id="other", term=9))
    b.tick()
    assert (b.engine.term, b.journal.last_index, b.engine.stats.frames_refused) == (0, 1, 2)


def test_a_stale_leader_learns_the_newer_term(lab: Lab) -> None:
    """R15, P-22: it got no answer at all."""
    b = lab["B"]
    b.append("A", 3, (1, 0))
    (nack,) = b.append("C", 1, (1, 0), ENTRIES)
    assert (nack.term, nack.append_reply.success) == (3, False)
    assert b.journal.last_index == 1


def test_a_follower_far_behind_is_read_from_disk_and_catches_up(lab: Lab) -> None:
    """The memory holds only a tail: what is older comes from LMDB, in bounded frames."""
    a, b = lab.elect("A", "C"), lab["B"]
    a.journal._settings = type(a.journal._settings)(cache_entries=10, sync=False)
    for n in range(300):
        a.propose(b"%d " % n + b"x" * 20_000)
    lab.settle("A", "C")
    assert len(a.journal._tail) <= 10
    a.transport.sent.clear()
    lab.wait(0.2)
    a.tick()
    for _ in range(60):
        lab.deliver("A", "B")
        b.tick()
        lab.deliver("B", "A")
        a.tick()
    assert b.journal.last_index == a.journal.last_index
    assert b.machine.applied == a.machine.applied


def test_what_is_in_flight_to_one_follower_is_bounded(lab: Lab) -> None:
    """P-39: a slow peer must not grow the leader."""
    a = lab.elect("A")
    lab.settle()
    a.transport.sent.clear()
    for _ in range(64):
        a.propose(b"x" * (1 << 20))
    for _ in range(80):
        a.tick()
    assert sum(len(f.append_entries.entries) > 0 for f in a.transport.to("B")) <= 16


def test_an_entry_of_four_mebibytes_replicates_and_a_larger_one_is_refused(lab: Lab) -> None:
    """R12, P-33: entries near the batch size broke the follower's parser."""
    a = lab.elect("A")
    largest, larger = a.propose(b"x" * (4 << 20)), a.propose(b"x" * ((4 << 20) + 1))
    edge = a.propose(b"x" * (131072 - 5))
    lab.settle()
    assert (largest[0].applied, edge[0].applied) == (True, True)
    assert not larger[0].applied
    assert "at most 4194304" in larger[0].detail
    lab.wait(0.2)
    lab.settle()
    assert len(lab["B"].machine.applied[-1]) == 131072 - 5
