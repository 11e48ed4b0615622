"""The rules alone: what may be truncated, committed and voted for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft.guard import (
    Accepted,
    InvariantBroken,
    Refused,
    capped_commit,
    committable,
    log_is_current,
    majority,
    may_pre_vote,
    may_vote,
    place_append,
)


@dataclass
class ListLog:
    terms: list[int]
    """Of entries 1, 2, ..."""

    @property
    def last_index(self) -> int:
        return len(self.terms)

    @property
    def last_term(self) -> int:
        return self.terms[-1]

    def term_at(self, index: int) -> int:
        return self.terms[index - 1]


def place(log: list[int], commit: int, previous: tuple[int, int], terms: list[int]) -> object:
    return place_append(ListLog(log), commit, *previous, terms)  # type: ignore[arg-type]


def test_entries_that_are_here_already_are_kept() -> None:
    """Rule 2, R26: stock truncates everything after the previous entry."""
    assert place([0, 1, 1, 1, 1], 4, (2, 1), [1]) == Accepted(verified=3, skip=1)
    assert place([0, 1, 1], 3, (1, 0), [1, 1, 1]) == Accepted(verified=4, skip=2)
    assert place([0, 1, 1], 3, (3, 1), []) == Accepted(verified=3, skip=0)


def test_only_a_contradicting_term_truncates() -> None:
    assert place([0, 1, 1, 1], 2, (2, 1), [1, 2]) == Accepted(verified=4, skip=1, truncate_from=4)


def test_a_contradiction_at_or_below_the_commit_index_halts() -> None:
    """Rule 16."""
    with pytest.raises(InvariantBroken):
        place([0, 1, 1], 3, (2, 1), [2])
    with pytest.raises(InvariantBroken):
        place([0, 1, 1], 3, (3, 2), [])
    with pytest.raises(InvariantBroken):
        place([0, 1, 1], 3, (0, 0), [])


def test_a_gap_is_refused_with_the_place_to_go_on() -> None:
    assert place([0, 1, 1], 1, (9, 4), [4]) == Refused(4)


def test_a_conflict_skips_its_whole_term() -> None:
    """R23: stock steps back one entry a heartbeat."""
    assert place([0, 1, 1] + [2] * 100, 1, (90, 3), []) == Refused(4)
    assert place([0, 1, 1] + [2] * 100, 50, (90, 3), []) == Refused(51)


def test_commit_needs_a_majority_on_disk_the_own_disk_included() -> None:
    """Rule 9: the leader counts itself only up to its own synced entry."""
    assert committable([5, 3], durable=9, voters=3) == 5
    assert committable([5, 3], durable=4, voters=3) == 4
    assert committable([9, 9], durable=1, voters=3) == 9
    assert committable([1, 1, 7, 8], durable=6, voters=5) == 6
    assert committable([], durable=4, voters=1) == 4


def test_commit_stops_at_what_the_message_verified_and_never_goes_back() -> None:
    """R1, P-2."""
    assert capped_commit(50, verified=3, own_commit=1) == 3
    assert capped_commit(2, verified=9, own_commit=5) == 5


def test_one_candidate_a_term_and_that_one_again() -> None:
    """R25: stock grants the repeated request of the same candidate nothing."""
    log = ListLog([0, 1, 1])

    def vote(candidate: str, voted_for: str, term: int = 3, last: tuple[int, int] = (3, 1)) -> bool:
        return may_vote(
            candidate=candidate,
            term=term,
            last_index=last[0],
            last_term=last[1],
            log=log,
            own_term=3,
            voted_for=voted_for,
        )

    assert vote("A", "")
    assert vote("A", "A")
    assert not vote("B", "A")
    assert not vote("A", "", term=2)
    assert not vote("A", "", last=(2, 1))
    assert vote("A", "", last=(1, 2))


def test_a_pre_vote_needs_a_silent_leader_a_later_term_and_a_current_log() -> None:
    log = ListLog([0, 1, 1])

    def ask(next_term: int = 2, last_index: int = 3, alive: bool = False) -> bool:
        return may_pre_vote(
            next_term=next_term,
            term=1,
            last_index=last_index,
            last_term=1,
            log=log,
            leader_alive=alive,
        )

    assert ask()
    assert not ask(alive=True)
    assert not ask(next_term=1)
    assert not ask(last_index=2)


def test_majorities() -> None:
    assert [majority(n) for n in (1, 2, 3, 4, 5)] == [1, 2, 2, 3, 3]
    assert log_is_current(2, 5, ListLog([0, 4, 4]))


TERMS = st.lists(st.integers(0, 4), min_size=0, max_size=12).map(sorted)


@given(TERMS, TERMS, st.integers(0, 12), st.integers(0, 12), st.integers(1, 13))
def test_following_the_verdict_makes_the_logs_equal_up_to_what_was_verified(
    ours: list[int], theirs: list[int], first: int, count: int, commit: int
) -> None:
    """Entries are told apart by term alone, as Raft's log matching allows: so the logs here are
    made to agree on their common prefix and to differ in term after it."""
    mine, leader = [0, *ours], [0, *theirs]
    common = 0
    while common < min(len(mine), len(leader)) and mine[common] == leader[common]:
        common += 1
    # After the first difference no two entries may agree in term and index.
    leader = leader[:common] + [term + 10 for term in leader[common:]]
    commit = min(commit, common)
    previous = min(first + 1, len(leader))
    terms = leader[previous : previous + count]
    verdict = place(mine, commit, (previous, leader[previous - 1]), terms)
    if isinstance(verdict, Refused):
        assert commit < verdict.retry_at <= len(mine) + 1
        assert verdict.retry_at <= previous
        return
    assert isinstance(verdict, Accepted)
    if verdict.truncate_from:
        assert verdict.truncate_from > commit
        mine = mine[: verdict.truncate_from - 1]
    mine = mine[:previous] + terms[: verdict.skip] + mine[previous + verdict.skip :]
    mine += terms[verdict.skip :]
    assert mine[: verdict.verified] == leader[: verdict.verified]
