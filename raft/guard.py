"""The rules that keep a log safe, as functions of values: no clock, no disk, no network.

PySyncObj's own handlers break each of them; DESIGN.md says how.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


class InvariantBroken(Exception):
    """The cluster's history contradicts itself here. The replica halts rather than go on."""


class Log(Protocol):
    @property
    def last_index(self) -> int: ...

    @property
    def last_term(self) -> int: ...

    def term_at(self, index: int) -> int: ...


@dataclass(frozen=True, slots=True)
class Accepted:
    verified: int
    """The last index at which this log now equals the leader's."""

    skip: int
    """Leading entries of the message that are here already."""

    truncate_from: int = 0
    """First own entry that contradicts the leader's; 0: none."""


@dataclass(frozen=True, slots=True)
class Refused:
    retry_at: int
    """The index the leader should send next."""


def majority(voters: int) -> int:
    return voters // 2 + 1


def log_is_current(last_index: int, last_term: int, log: Log) -> bool:
    """A candidate whose log ends like this has everything that *log* may have committed."""
    return (last_term, last_index) >= (log.last_term, log.last_index)


def may_pre_vote(
    *, next_term: int, term: int, last_index: int, last_term: int, log: Log, leader_alive: bool
) -> bool:
    """Would we vote, were this an election? Promises nothing and changes no term."""
    return not leader_alive and next_term > term and log_is_current(last_index, last_term, log)


def may_vote(
    *,
    candidate: str,
    term: int,
    last_index: int,
    last_term: int,
    log: Log,
    own_term: int,
    voted_for: str,
) -> bool:
    """One candidate a term; the same one again, since its first answer may have been lost."""
    return (
        term == own_term
        and voted_for in ("", candidate)
        and log_is_current(last_index, last_term, log)
    )


def committable(match: Iterable[int], durable: int, voters: int) -> int:
    """The highest index that a majority of *voters* has on disk; *durable* is the leader's own."""
    indexes = sorted([*match, durable], reverse=True)
    return indexes[majority(voters) - 1]


def capped_commit(leader_commit: int, verified: int, own_commit: int) -> int:
    """Never beyond what this leader's own message proved equal, never back."""
    return max(own_commit, min(leader_commit, verified))


def place_append(
    log: Log, commit_index: int, previous_index: int, previous_term: int, terms: Sequence[int]
) -> Accepted | Refused:
    """Decide on an append: only a contradicting term truncates, and never committed entries.

    Raises InvariantBroken if the leader contradicts an entry that is known to be committed.
    """
    if previous_index > log.last_index:
        return Refused(log.last_index + 1)
    if previous_index < 1:
        raise InvariantBroken(f"an append follows entry {previous_index}, before the log begins")
    ours = log.term_at(previous_index)
    if ours != previous_term:
        if previous_index <= commit_index:
            raise InvariantBroken(
                f"entry {previous_index} is committed in term {ours}, "
                f"the leader has it in term {previous_term}"
            )
        return Refused(_first_of_term(log, ours, commit_index + 1, previous_index))
    for position, term in enumerate(terms):
        index = previous_index + 1 + position
        if index > log.last_index:
            return Accepted(previous_index + len(terms), skip=position)
        ours = log.term_at(index)
        if ours != term:
            if index <= commit_index:
                raise InvariantBroken(
                    f"entry {index} is committed in term {ours}, the leader has it in term {term}"
                )
            return Accepted(previous_index + len(terms), skip=position, truncate_from=index)
    return Accepted(previous_index + len(terms), skip=len(terms))


def _first_of_term(log: Log, term: int, low: int, high: int) -> int:
    """First index in low..high with *term*; terms never go down, so halving finds it."""
    while low < high:
        middle = (low + high) // 2
        if log.term_at(middle) < term:
            low = middle + 1
        else:
            high = middle
    return high
