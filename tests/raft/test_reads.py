"""A read barrier answers once the reader's own committed state has all that was acknowledged."""

from __future__ import annotations

from protos.v1.raft_pb2 import AppendReply, ReadIndexReply
from raft.internals import FOLLOWER
from tests.raft.lab import Lab


def test_a_read_on_the_leader_sees_the_write_before_it(lab: Lab) -> None:
    a = lab.elect("A")
    lab.settle()
    a.propose(b"x")
    lab.settle()
    read = a.read()
    lab.settle()
    assert read == [3]
    assert a.stored() == [b"x"]


def test_a_read_on_a_follower_sees_the_write_before_it(lab: Lab) -> None:
    a = lab.elect("A")
    lab.settle()
    outcomes = a.propose(b"x")
    lab.settle("A", "C")
    assert outcomes[0].applied
    read = lab["B"].read()
    lab.settle(rounds=8)
    assert read == [3]
    assert lab["B"].stored() == [b"x"]


def test_a_leader_that_was_deposed_without_knowing_reads_nothing(lab: Lab) -> None:
    """P-18: stock served reads for 30 s after it had lost its majority."""
    a = lab.elect("A")
    lab.settle()
    for peer in "BC":
        a.down(peer)
    read = a.read()
    for _ in range(5):
        lab.wait(0.1)
        a.tick()
    assert read == []
    for _ in range(60):
        lab.wait(0.1)
        a.tick()
    assert read == [0]
    assert a.engine.state == FOLLOWER


def test_a_round_needs_echoes_of_this_term_and_this_round(lab: Lab) -> None:
    a = lab.elect("A")
    lab.settle()
    read = a.read()
    a.tick()
    round_number, term = a.engine.reads.round, a.engine.term
    last = a.journal.last_index
    for stale in (
        {
            "term": term,
            "append_reply": AppendReply(success=True, index=last, round=round_number - 1),
        },
        {
            "term": term - 1,
            "append_reply": AppendReply(success=True, index=last, round=round_number),
        },
    ):
        a.receive("B", **stale)
        assert read == []
    a.receive("B", term=term, append_reply=AppendReply(success=False, index=1, round=round_number))
    a.tick()
    assert read == [last]  # even a refused append proves that the term still holds


def test_a_new_leader_reads_nothing_before_its_own_entry_is_committed(lab: Lab) -> None:
    a = lab.stand("A")
    read = a.read()
    a.tick(3)
    assert read == []
    assert a.engine.stats.read_rounds == 0
    lab.settle(rounds=8)
    assert len(read) == 1
    assert read[0] >= 2


def test_reads_share_one_round(lab: Lab) -> None:
    a = lab.elect("A")
    lab.settle()
    before = a.engine.stats.read_rounds
    reads = [a.read() for _ in range(500)]
    reads += [lab["B"].read() for _ in range(500)]
    lab.settle(rounds=8)
    assert all(len(read) == 1 and read[0] for read in reads)
    assert a.engine.stats.read_rounds - before <= 3


def test_a_follower_that_is_told_not_the_leader_asks_again(lab: Lab) -> None:
    lab.elect("A")
    lab.settle()
    b = lab["B"]
    read = b.read()
    b.tick()
    ((_, question),) = b.transport.sent
    refusal = ReadIndexReply(id=question.read_index.id, index=0)
    b.receive("A", term=b.engine.term, read_index_reply=refusal)
    assert read == []
    lab.wait(0.03)
    lab.settle(rounds=8)
    assert len(read) == 1
    assert read[0] > 0


def test_an_answer_to_a_former_life_answers_nothing(lab: Lab) -> None:
    """Found by the simulator (seed 91): numbers that start again fit the wrong question."""
    lab.elect("A")
    lab.settle()
    b = lab["B"]
    b.read()
    b.tick()
    ((_, question),) = b.transport.sent
    b = b.reopen()
    b.up("A")
    lab.wait(0.2)
    lab.settle()
    read = b.read()
    b.tick()
    stale = lab["A"].engine.frame()
    stale.read_index_reply.CopyFrom(ReadIndexReply(id=question.read_index.id, index=1))
    b.transport.on_frame("A", stale)
    b.tick()
    assert read == []
    lab.settle()
    assert len(read) == 1


def test_a_read_survives_the_loss_of_the_leader(lab: Lab) -> None:
    lab.elect("A")
    lab.settle()
    b = lab["B"]
    read = b.read()
    b.tick()
    lab["C"].down("A")
    lab.wait(0.04)
    b.down("A")
    lab.wait(0.03)
    lab.settle("C", "B", rounds=12)
    assert len(read) == 1
    assert read[0] > 0


def test_the_result_waits_for_the_commit_that_contains_it(lab: Lab) -> None:
    """Applied but uncommitted state is invisible to readers of the environment."""
    a = lab.elect("A")
    lab.settle()
    seen: list[list[bytes]] = []
    a.propose(b"x")
    lab.settle()
    assert a.stored() == []  # applied, and left to share a later commit
    a.engine.read_barrier(lambda _index: seen.append(a.stored()))
    lab.settle()
    assert seen == [[b"x"]]


def test_state_nobody_reads_is_committed_after_twenty_milliseconds(lab: Lab) -> None:
    a = lab.elect("A")
    lab.settle()
    told: list[int] = []
    a.engine.on_commit.append(told.append)
    a.propose(b"x")
    lab.settle()
    assert told == [2]  # with the log: what was applied before
    lab.wait(0.021)
    a.tick()
    assert told == [2, 3]
    assert a.stored() == [b"x"]
