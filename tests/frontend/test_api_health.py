"""What an operator is told first."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from frontend.api.health import low_below, map_used, private_memory_bytes, verdict
from frontend.config import Limits
from raft.interfaces import PeerStatus, Role, Status
from tests.frontend.front_end import FrontEnd

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
            status(True, True, halted="disk full, free space and restart (Error: mdb)"),
            ROOM,
            "halted: disk full, free space and restart (Error: mdb)",
        ),
        (
            status(True, True),
            200 << 20,
            "disk nearly full: 200 MiB free, free space now; can lose 1 replica",
        ),
        (
            status(True, False),
            12 << 20,
            "disk nearly full: 12 MiB free, free space now; "
            "degraded: replica 3 is away, can lose 0 replicas",
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


def test_warning_of_a_full_disk_goes_by_its_size_within_bounds() -> None:
    assert low_below(1 << 30) == 256 << 20
    assert low_below(20 << 30) == 1 << 30
    assert low_below(1 << 50) == 4 << 30


def test_map_that_is_nearly_full_is_told_before_it_is() -> None:
    assert verdict(["1"], "1", status(), ROOM, 0.79) == "healthy, can lose 0 replicas"
    assert verdict(["1"], "1", status(), ROOM, 0.8) == (
        "healthy, can lose 0 replicas; log and state have reached 80% of their bound, "
        "raise map_size_gib under [limits] in replica.toml and restart"
    )


def test_full_map_is_not_called_a_full_disk() -> None:
    halted = "mdb_put: MDB_MAP_FULL: Environment mapsize limit reached"
    assert verdict(["1"], "1", status(halted=halted), ROOM, 1.0) == (
        "halted: log and state have reached their bound, "
        "raise map_size_gib under [limits] in replica.toml and restart"
    )


def test_bound_of_log_and_state_is_that_of_the_configuration(front_end: FrontEnd) -> None:
    # Under a bound of 1 TiB a new file is nothing.
    assert 0 < map_used(front_end.config) < 0.001
    small = replace(front_end.config, limits=Limits(map_size_gib=1))
    assert map_used(small) == pytest.approx(1024 * map_used(front_end.config))
    assert front_end.replica.store.map_size_bytes == 1 << 40


def test_memory_of_the_process_is_counted_without_mapped_files() -> None:
    before = private_memory_bytes()
    held = bytearray(b"x" * (64 << 20))
    assert private_memory_bytes() - before > 60 << 20
    assert held
