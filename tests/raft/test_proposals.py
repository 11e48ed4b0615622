"""Every proposal has one outcome, from whichever replica and whatever happens."""

from __future__ import annotations

import pytest

from protos.v1.raft_pb2 import Forward, ForwardReply, Proposal, ProposalPlace
from raft.interfaces import Outcome
from tests.raft.lab import Lab


def test_a_write_on_the_leader_is_applied_everywhere(lab: Lab) -> None:
    a = lab.elect("A")
    outcomes = a.propose(b"x")
    lab.settle()
    assert outcomes == [Outcome(True, 3, a.engine.term, b"done x")]
    lab.wait(0.2)
    lab.settle()
    assert all(lab[me].machine.applied == [b"x"] for me in "ABC")


def test_a_write_on_a_follower_answers_with_its_own_apply(lab: Lab) -> None:
    a = lab.elect("A")
    lab.settle()
    outcomes = lab["B"].propose(b"x")
    lab.settle(rounds=8)  # time stands still: no heartbeat is needed
    assert [(o.applied, o.index, o.result) for o in outcomes] == [(True, 3, b"done x")]
    assert lab["B"].machine.applied == a.machine.applied == [b"x"]


def test_a_write_without_a_leader_waits_for_one(lab: Lab) -> None:
    lab.wait(5)
    for me in "ABC":
        lab[me].engine.election_deadline = lab.clock.at + 100
        lab[me].tick()
    outcomes = lab["B"].propose(b"early")
    lab.settle()
    assert outcomes == []
    lab["A"].engine.election_deadline = 0.0
    lab.settle(rounds=15)
    assert [outcome.applied for outcome in outcomes] == [True]
    assert lab["A"].machine.applied == [b"early"]


def test_forwarding_over_a_full_link_ends_at_the_deadline(lab: Lab) -> None:
    """R13, P-31: stock never called back."""
    lab.elect("A")
    lab.settle()
    b = lab["B"]
    outcomes = b.propose(b"x")
    b.transport.refuses = True
    for _ in range(60):
        lab.wait(0.1)
        b.tick()
    assert [(o.applied, o.detail) for o in outcomes] == [(False, "no outcome in time")]


def test_a_lost_link_to_the_leader_answers_what_it_carried(lab: Lab) -> None:
    lab.elect("A")
    lab.settle()
    b = lab["B"]
    outcomes = b.propose(b"x")
    b.tick()
    b.down("A")
    assert [(o.applied, o.detail) for o in outcomes] == [(False, "the link to the leader was lost")]


def test_a_new_leader_answers_what_the_old_one_was_handed(lab: Lab) -> None:
    lab.elect("A")
    lab.settle()
    b = lab["B"]
    outcomes = b.propose(b"x")
    b.tick()
    b.append("C", b.engine.term + 1, (2, 1))
    b.tick()
    assert [(o.applied, o.detail) for o in outcomes] == [
        (False, "the leader changed before it answered")
    ]


def test_who_does_not_lead_accepts_nothing(lab: Lab) -> None:
    b = lab["B"]
    (answer,) = b.receive("C", forward=Forward(proposals=[Proposal(id=7, data=b"x")]))
    assert [(p.id, p.index) for p in answer.forward_reply.places] == [(7, 0)]
    assert b.journal.last_index == 1


def test_not_accepted_by_a_former_leader_is_sent_again(lab: Lab) -> None:
    a = lab.elect("A")
    lab.settle()
    b = lab["B"]
    outcomes = b.propose(b"x")
    b.tick()
    ((_, handed),) = b.transport.sent
    place = ProposalPlace(id=handed.forward.proposals[0].id, index=0)
    b.receive("A", term=a.engine.term, forward_reply=ForwardReply(places=[place]))
    assert outcomes == []
    lab.wait(0.03)
    lab.settle(rounds=8)
    assert [outcome.applied for outcome in outcomes] == [True]
    assert a.machine.applied == [b"x"]


def test_a_place_for_a_former_life_fits_no_proposal(lab: Lab) -> None:
    """Found by the simulator (seed 91): a late answer told a client of somebody else's entry."""
    a = lab.elect("A")
    lab.settle()
    b = lab["B"]
    b.propose(b"x")
    b.tick()
    ((_, handed),) = b.transport.sent
    b = b.reopen()
    b.up("A")
    lab.wait(0.2)
    lab.settle()
    outcomes = b.propose(b"y")
    b.tick()
    place = ProposalPlace(id=handed.forward.proposals[0].id, index=3, term=a.engine.term)
    b.receive("A", term=a.engine.term, forward_reply=ForwardReply(places=[place]))
    a.propose(b"z")
    lab.settle(rounds=8)
    assert [outcome.applied for outcome in outcomes] in ([], [False])


def test_an_overwritten_entry_answers_its_proposer(lab: Lab) -> None:
    """R18, P-32: waiters whose entry never commits leaked."""
    a = lab.stand("A")
    a.transport.sent.clear()
    outcomes = a.propose(b"mine")
    a.tick()
    a.append("C", a.engine.term + 1, (1, 0), [(2, b"theirs")] * 3, commit=4)
    a.tick()
    assert [(o.applied, o.detail) for o in outcomes] == [
        (False, "another leader's entry took its place")
    ]
    assert a.machine.applied == [b"theirs"] * 3


def test_seventy_thousand_proposals_at_once_have_one_outcome_each(lab: Lab) -> None:
    """R22, P-34: the 65,536th raised although it was queued."""
    a = lab.elect("A")
    outcomes: list[Outcome] = []
    for _ in range(70_000):
        a.engine.propose(b"", outcomes.append)
    lab.settle(rounds=20)
    assert len(outcomes) == 70_000
    assert all(outcome.applied for outcome in outcomes)
    assert len({outcome.index for outcome in outcomes}) == 70_000


def test_a_queue_without_a_leader_is_bounded(lab: Lab) -> None:
    b = lab["B"]
    outcomes = [b.propose(b"x" * (4 << 20)) for _ in range(17)]
    b.tick()
    refused = [o[0].detail for o in outcomes if o]
    assert refused == ["too many proposals wait for a leader"]


def test_an_apply_that_raises_halts_and_keeps_nothing_of_it(lab: Lab) -> None:
    """R21, P-15, counter case 3: half an effect was repeated for ever."""
    a = lab.elect("A")
    lab.settle()
    outcomes = [a.propose(entry) for entry in (b"good", b"raise", b"after")]
    lab.settle()
    assert "a bug in a handler" in a.engine.status().halted
    assert [o.applied for each in outcomes for o in each][-2:] == [False, False]
    assert a.stored() == []
    assert a.machine.applied == [b"good"]
    again = a.reopen()
    assert again.journal.last_index == 5  # durable before it was applied


def test_a_callback_that_raises_applies_its_entry_once(lab: Lab) -> None:
    """R6, P-15: stock applied it again."""
    a = lab.elect("A")
    lab.settle()

    def bad(_outcome: Outcome) -> None:
        raise RuntimeError("a bug of the caller")

    a.engine.propose(b"once", bad)
    outcomes = a.propose(b"next")
    lab.settle()
    a.tick(3)
    assert a.machine.applied == [b"once", b"next"]
    assert "a bug of the caller" in a.engine.status().halted
    assert [o.applied for o in outcomes] == [True]


def test_after_a_halt_everything_is_answered_at_once(lab: Lab) -> None:
    a = lab.elect("A")
    waiting, reading = a.propose(b"x"), a.read()
    a.engine.halt("a test")
    later, later_read = a.propose(b"y"), a.read()
    a.tick()
    assert [o.applied for o in waiting + later] == [False, False]
    assert reading == later_read == [0]
    assert "halted: a test" in later[0].detail


@pytest.mark.parametrize("data", [b"", b"\0", b"\x01", b"\xff" * 3])
def test_any_bytes_are_a_proposal(lab: Lab, data: bytes) -> None:
    a = lab.elect("A")
    outcomes = a.propose(data)
    lab.settle()
    assert [o.applied for o in outcomes] == [True]
    assert a.machine.applied == [data]
