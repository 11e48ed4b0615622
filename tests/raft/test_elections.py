"""Who may lead, who may vote, and how leadership is handed over; R and P name stock's defects."""

from __future__ import annotations

from protos.v1.raft_pb2 import PreVote, RaftFrame, RequestVote, TimeoutNow, VoteReply
from raft.interfaces import Role
from raft.internals import CANDIDATE, FOLLOWER, LEADER
from tests.raft.lab import Lab, Node


def asked(node: Node, candidate: str, term: int, last: tuple[int, int] = (1, 0)) -> bool:
    """Whether *node* grants *candidate*, whose log ends at *last*, its vote."""
    request = RequestVote(last_index=last[0], last_term=last[1])
    frames = node.receive(candidate, term=term, request_vote=request)
    return any(f.vote_reply.granted for f in frames if f.HasField("vote_reply"))


def kinds(frames: list[RaftFrame]) -> list[str | None]:
    return [frame.WhichOneof("message") for frame in frames]


def test_one_voter_counts_once(lab: Lab) -> None:
    """R10, P-14: two answers of one voter, or a stranger's, won an election."""
    five = Lab("ABCDE", directory=lab.directory / "five")
    five.connect()
    a = five["A"]
    five.wait(5)
    a.engine.set_term(1, "A")
    a.engine.become(CANDIDATE)
    a.engine.elections._votes = {"A"}
    for voter in ("B", "B", "stranger", "B"):
        a.receive(voter, term=1, vote_reply=VoteReply(granted=True))
    assert a.engine.state == CANDIDATE
    a.receive("C", term=1, vote_reply=VoteReply(granted=True))
    assert a.engine.state == LEADER
    five.close()


def test_refused_votes_do_not_count(lab: Lab) -> None:
    a = lab["A"]
    a.engine.set_term(1, "A")
    a.engine.become(CANDIDATE)
    a.engine.elections._votes = {"A"}
    for voter in ("B", "C"):
        a.receive(voter, term=1, vote_reply=VoteReply(granted=False))
    assert a.engine.state == CANDIDATE


def test_a_deposed_leader_does_not_campaign_at_once(lab: Lab) -> None:
    """R14, P-23: its deadline was long past, so it stood in the very next tick."""
    a = lab.elect("A")
    lab.wait(0.2)
    lab.settle()
    term = a.engine.term
    a.append("C", term + 1, (1, 0))
    a.transport.sent.clear()
    for _ in range(3):
        lab.wait(0.1)
        a.tick()
    assert (a.engine.state, a.engine.term) == (FOLLOWER, term + 1)
    assert kinds([frame for _, frame in a.transport.sent]) == []


def test_a_stale_candidate_learns_the_newer_term(lab: Lab) -> None:
    """R15, P-22."""
    b = lab["B"]
    b.append("A", 3, (1, 0))
    (answer,) = b.receive("C", term=1, request_vote=RequestVote(last_index=9, last_term=9))
    assert (answer.term, answer.vote_reply.granted) == (3, False)


def test_no_vote_within_the_minimum_timeout_of_hearing_a_leader(lab: Lab) -> None:
    """R16, P-21, rule 6: stickiness."""
    b = lab["B"]
    lab.wait(5)
    b.append("A", 3, (1, 0))
    assert not asked(b, "C", 4, last=(9, 9))
    assert (b.engine.term, b.engine.leader_id) == (3, "A")
    lab.wait(0.3)
    assert not asked(b, "C", 4, last=(9, 9))
    lab.wait(0.2)
    assert asked(b, "C", 4, last=(9, 9))


def test_no_vote_right_after_a_restart(lab: Lab) -> None:
    """Rule 6: whoever just started may have heard a leader a moment ago."""
    b = lab["B"].reopen()
    b.up("A", "C")
    assert not asked(b, "C", 4, last=(9, 9))
    lab.wait(0.5)
    assert asked(b, "C", 4, last=(9, 9))


def test_a_leader_ignores_vote_requests(lab: Lab) -> None:
    a = lab.elect("A")
    assert not asked(a, "C", a.engine.term + 5, last=(9, 9))
    assert a.engine.state == LEADER


def test_the_same_candidate_is_granted_again_and_no_other(lab: Lab) -> None:
    """R25, P-24, rule 7; also after a restart: the vote is durable."""
    b = lab["B"]
    lab.wait(5)
    assert asked(b, "A", 2)
    assert asked(b, "A", 2)
    assert not asked(b, "C", 2)
    b = b.reopen()
    b.up("A", "C")
    lab.wait(5)
    b.engine.election_deadline = lab.clock.at + 100
    assert not asked(b, "C", 2)
    assert asked(b, "A", 2)


def test_no_vote_for_a_log_that_lacks_entries(lab: Lab) -> None:
    b = lab["B"]
    b.append("A", 1, (1, 0), [(1, b"x"), (1, b"y")])
    lab.wait(5)
    b.engine.election_deadline = lab.clock.at + 100
    assert not asked(b, "C", 2, last=(2, 1))
    assert asked(b, "C", 3, last=(3, 1))


def test_a_cut_off_replica_does_not_raise_its_term(lab: Lab) -> None:
    """R27, P-21: after 20 s alone it deposed a healthy leader with one message."""
    a = lab.elect("A")
    c = lab["C"]
    term = a.engine.term
    for _ in range(200):
        lab.wait(0.1)
        for me in "AB":
            lab[me].tick()
        lab.deliver("A", "B")
        lab["B"].tick()
        lab.deliver("B", "A")
        c.tick()
        c.transport.sent = type(c.transport.sent)(
            (peer, frame) for peer, frame in c.transport.sent if peer == "B"
        )
        lab.deliver("C", "B")  # it reaches one follower, not the leader
        lab["B"].tick()
        lab.deliver("B", "C")
    assert (c.engine.term, a.engine.term, a.engine.state) == (term, term, LEADER)
    assert c.engine.stats.pre_votes > 10


def test_a_leader_that_hears_no_majority_steps_down(lab: Lab) -> None:
    """R28, P-18: stock answered as leader for 30 s."""
    a = lab.elect("A")
    roles: list[Role] = []
    a.engine.on_role.append(lambda role, _term: roles.append(role))
    started = lab.clock.at
    while a.engine.state == LEADER:
        lab.wait(0.05)
        a.tick()
        assert lab.clock.at - started < 1.0
    assert roles == [Role.FOLLOWER]
    assert a.engine.leader_id == ""


def test_a_leader_that_hears_a_majority_stays(lab: Lab) -> None:
    a = lab.elect("A", "B")
    for _ in range(50):
        lab.wait(0.1)
        lab.settle("A", "B", rounds=1)
    assert a.engine.state == LEADER


def test_a_closed_link_to_the_leader_is_silence(lab: Lab) -> None:
    """The process died: its followers stand within 0.1 s instead of an election timeout."""
    lab.elect("A")
    lab["B"].down("A")
    lab.wait(0.04)
    lab["C"].down("A")
    lab.wait(0.03)
    lab.settle("B", "C", rounds=12)
    assert lab["B"].engine.state == LEADER


def test_one_followers_broken_link_deposes_nobody(lab: Lab) -> None:
    a = lab.elect("A")
    lab.settle()
    lab["B"].down("A")
    for _ in range(20):
        lab.wait(0.05)
        for me in "ABC":
            lab[me].tick()
        lab.deliver("A", "C")
        lab.deliver("C", "A")
        lab.deliver("B", "C")
        lab.deliver("C", "B")
    assert lab["B"].engine.stats.pre_votes > 0
    assert (a.engine.state, lab["B"].engine.term) == (LEADER, a.engine.term)


def test_a_pre_vote_changes_nothing_at_the_voter(lab: Lab) -> None:
    b = lab["B"]
    lab.wait(5)
    b.engine.election_deadline = lab.clock.at + 100
    (answer,) = b.receive("A", term=7, pre_vote=PreVote(next_term=8, last_index=1, last_term=0))
    assert answer.pre_vote_reply.granted
    assert (b.engine.term, b.engine.voted_for) == (0, "")
    assert asked(b, "C", 1)


def test_a_vote_is_durable_before_it_leaves(lab: Lab) -> None:
    """Rule 9: also a candidate's vote for itself."""
    b = lab["B"]
    lab.wait(5)
    dirty: list[bool] = []
    send = b.transport.send

    def watched(peer: str, frame: RaftFrame) -> bool:
        if frame.WhichOneof("message") in ("request_vote", "vote_reply"):
            dirty.append(b.journal.log_dirty)
        return send(peer, frame)

    b.transport.send = watched  # type: ignore[method-assign]
    asked(b, "C", 2)
    lab.wait(5)
    lab.elect("B")
    assert dirty
    assert not any(dirty)


def test_a_stalled_process_hears_its_leader_before_it_believes_a_timeout(lab: Lab) -> None:
    """SIGSTOP, a slow disk: what arrived meanwhile is read first."""
    lab.elect("A")
    lab.settle()
    b = lab["B"]
    lab.wait(30)
    lab["A"].engine.heartbeat()
    frame = lab["A"].transport.to("B")[-1]
    poll = b.engine._poller.poll
    b.engine._poller.poll = lambda _wait: b.transport.on_frame("A", frame)  # type: ignore[method-assign]
    b.tick()
    b.engine._poller.poll = poll  # type: ignore[method-assign]
    assert b.engine.stats.pre_votes == 0


# --- transfer ---------------------------------------------------------------------------------


def handed(lab: Lab, leader: str, target: str) -> list[tuple[bool, str]]:
    answers: list[tuple[bool, str]] = []
    lab[leader].engine.transfer(target, lambda ok, why: answers.append((ok, why)))
    return answers


def test_leadership_is_handed_over_without_a_silence(lab: Lab) -> None:
    a = lab.elect("A")
    lab.settle()
    waiting = a.propose(b"before")
    answers = handed(lab, "A", "C")
    lab.settle(rounds=12)
    assert lab["C"].engine.state == LEADER
    assert lab["C"].engine.term == a.engine.term
    assert answers == [(True, "")]
    assert [outcome.applied for outcome in waiting] == [True]


def test_a_leader_that_hands_over_takes_no_new_proposals(lab: Lab) -> None:
    """P-36: stock went on accepting, and the target was never up to date."""
    a = lab.elect("A")
    lab.settle()
    answers = handed(lab, "A", "C")
    a.tick()
    outcomes = a.propose(b"during")
    last = a.journal.last_index
    a.tick(3)
    assert a.journal.last_index == last
    assert outcomes == []
    lab.settle(rounds=12)
    assert answers == [(True, "")]
    assert [outcome.applied for outcome in outcomes] == [True]  # through the new leader


def test_a_handover_that_fails_is_reported_and_the_leader_goes_on(lab: Lab) -> None:
    a = lab.elect("A")
    lab.settle()
    answers = handed(lab, "A", "C")
    outcomes = a.propose(b"x")
    for _ in range(30):
        lab.wait(0.1)
        lab.settle("A", "B", rounds=2)
    assert answers == [(False, "replica C did not take over in time")]
    assert a.engine.state == LEADER
    assert [outcome.applied for outcome in outcomes] == [True]


def test_impossible_handovers_are_refused_with_a_reason(lab: Lab) -> None:
    a = lab.elect("A")
    lab.settle()
    lab["A"].down("B")
    answers = [handed(lab, "A", target) for target in ("A", "X", "B")]
    follower = handed(lab, "C", "B")
    lab.settle("A", "C")
    assert [answer[0] for answer in answers] == [
        (True, ""),
        (False, "no replica X"),
        (False, "replica B is not connected"),
    ]
    assert follower == [(False, "not the leader; ask replica A")]
    assert a.engine.state == LEADER


def test_only_the_leader_of_the_term_can_say_timeout_now(lab: Lab) -> None:
    b = lab["B"]
    b.append("A", 3, (1, 0))
    for sender, term in (("C", 3), ("A", 2)):
        b.receive(sender, term=term, timeout_now=TimeoutNow())
        b.tick()
        assert (b.engine.state, b.engine.term) == (FOLLOWER, 3)
    b.receive("A", term=3, timeout_now=TimeoutNow())
    b.tick()
    assert (b.engine.state, b.engine.term) == (CANDIDATE, 4)
