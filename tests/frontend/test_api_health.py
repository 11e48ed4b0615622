"""What an operator is told first."""

from __future__ import annotations

import math

import pytest

from frontend.api.health import private_memory_bytes, verdict
from raft.interfaces import PeerStatus, Role, Status

ROOM = 1 << 40


def status(
    *connected: bool, leader: str = "1", halted: str = "", role: Role = Role.LEADER
) -> Status:
    peers = {
        str(number): PeerStatus(match=5, last_contact_s=0.1 if up else math.inf, connected=up)
        for number, up in enumerate(connected, 2)
    }
    return Status(role, 3, leader, 5, 5, 5, peers, halted)


@pytest.mark.parametrize(
    ("seen", "free", "said"),
    [
        (status(True, True), ROOM, "healthy, can lose 1 replica"),
        (status(True, True, True, True), ROOM, "healthy, can lose 2 replicas"),
        (status(), ROOM, "healthy, can lose 0 replicas"),
        (status(True, False), ROOM, "degraded: replica 3 is away, can lose 0 replicas"),
        (
            status(False, False, leader=""),
            ROOM,
            "no quorum: 1 of 3 replicas reachable from here, 2 needed; start or reconnect 2, 3",
        ),
        (status(True, True, leader=""), ROOM, "no leader: an election is under way"),
        (
            status(True, True, halted="mdb_txn_commit: No space left on device"),
            ROOM,
            "halted: disk full, free space and restart (mdb_txn_commit: No space left on device)",
        ),
        (
            status(True, True, halted="mdb_txn_commit: Input/output error"),
            4096,
            "halted: disk full, free space and restart (mdb_txn_commit: Input/output error)",
        ),
        (
            status(True, True, halted="two leaders in term 4"),
            ROOM,
            "halted: two leaders in term 4; restart this replica",
        ),
    ],
)
def test_verdict(seen: Status, free: int, said: str) -> None:
    ids = ["1", *seen.peers]
    assert verdict(ids, "1", seen, free) == said


def test_memory_of_the_process_is_counted_without_mapped_files() -> None:
    before = private_memory_bytes()
    held = bytearray(b"x" * (64 << 20))
    assert private_memory_bytes() - before > 60 << 20
    assert held
