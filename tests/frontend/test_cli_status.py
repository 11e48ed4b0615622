"""What `cluster status` makes of the replicas' answers."""

from __future__ import annotations

from frontend.cli.records import Record
from frontend.cli.status import Answer, combine, lines
from protos.v1 import cluster_pb2 as wire

PLACES = {"1": "h:11", "2": "h:21", "3": "h:31"}


def answer(
    replica_id: str, *, leader: str = "1", term: int = 4, applied: int = 100, version: str = "1"
) -> Answer:
    status = wire.GetStatusResponse(
        cluster_id="0123456789abcdef",
        replica_id=replica_id,
        role=wire.REPLICA_ROLE_LEADER if leader == replica_id else wire.REPLICA_ROLE_FOLLOWER,
        term=term,
        leader_id=leader,
        last_index=applied,
        commit_index=applied,
        applied_index=applied,
        disk_free_bytes=1 << 30,
        version=version,
        verdict=f"as {replica_id} sees it",
        replicas=[
            wire.Replica(id=each, api_address=place, match_index=90, last_contact_ms=7)
            for each, place in PLACES.items()
        ],
    )
    return Answer(PLACES[replica_id], status)


def silent(address: str) -> Answer:
    return Answer(address, None, f"nothing listens at {address}")


def row(record: Record, replica_id: str) -> Record:
    (found,) = [each for each in record["replicas"] if each["id"] == replica_id]
    return dict(found)


def test_verdict_is_the_leaders() -> None:
    record = combine([answer("2"), answer("1"), answer("3")])
    assert (record["leader_id"], record["verdict"]) == ("1", "as 1 sees it")
    assert [each["id"] for each in record["replicas"]] == ["1", "2", "3"]


def test_halted_replica_is_shown_with_its_own_verdict() -> None:
    halted = answer("3")
    assert halted.status is not None
    halted.status.halted = "Error: mdb_txn_commit: Input/output error"
    halted.status.verdict = "halted: disk full, free space and restart"
    shown = lines(combine([answer("1"), answer("2"), halted]), 120)
    assert "replica 3 halted: disk full, free space and restart" in shown


def test_disk_of_a_follower_that_is_nearly_full_is_not_healthy() -> None:
    leader, poor = answer("1"), answer("3")
    assert leader.status is not None
    assert poor.status is not None
    leader.status.verdict = "healthy, can lose 1 replica"
    poor.status.verdict = "disk nearly full: 9 MiB free, free space now; can lose 1 replica"
    record = combine([leader, answer("2"), poor])
    assert record["verdict"] == "disk nearly full at replica 3; can lose 1 replica"
    assert f"replica 3: {poor.status.verdict}" in lines(record, 120)


def test_lag_counts_from_the_leaders_commit_index() -> None:
    record = combine([answer("1"), answer("2", applied=97), answer("3")])
    assert [each["lag"] for each in record["replicas"]] == [0, 3, 0]


def test_deposed_leader_that_does_not_know_it_yet_is_not_the_leader() -> None:
    record = combine([answer("1", term=4), answer("2", leader="2", term=5), answer("3")])
    assert (record["leader_id"], record["term"]) == ("2", 5)


def test_silent_replica_is_shown_with_its_cause_and_the_leaders_last_word() -> None:
    record = combine([answer("1"), answer("2"), silent("h:31")])
    gone = row(record, "3")
    assert (gone["role"], gone["reachable"]) == ("UNREACHABLE", False)
    assert (gone["last_contact_ms"], gone["lag"]) == (7, None)
    assert "replica 3: nothing listens at h:31" in lines(record, 120)


def test_single_silent_token_port_is_told_by_elimination() -> None:
    record = combine([answer("1"), answer("2"), silent("h:33")])
    assert row(record, "3")["address"] == "h:33"


def test_two_silent_token_ports_stay_nameless_and_every_replica_has_one_row() -> None:
    record = combine([answer("1"), silent("h:23"), silent("h:33")])
    assert [each["id"] for each in record["replicas"]] == ["1", "", ""]


def test_replica_that_the_context_does_not_list_is_shown() -> None:
    record = combine([answer("1"), answer("2")])
    assert "not among the addresses" in row(record, "3")["error"]


def test_no_leader_is_no_leader() -> None:
    record = combine([answer("2", leader=""), answer("3", leader=""), silent("h:11")])
    assert record["leader_id"] == ""
    assert record["verdict"] == "as 2 sees it"


def test_nobody_answers() -> None:
    record = combine([silent(place) for place in PLACES.values()])
    assert record["verdict"] == "none of 3 addresses answers"


def test_every_row_has_the_same_fields() -> None:
    record = combine([answer("1"), silent("h:21")])
    assert len({frozenset(each) for each in record["replicas"]}) == 1


def test_table_fits_80_columns() -> None:
    record = combine([answer("1"), answer("2"), silent("127.0.0.1:17022")])
    table = lines(record, 80)[:4]
    assert max(map(len, table)) <= 80


def test_different_versions_are_pointed_out() -> None:
    shown = lines(combine([answer("1"), answer("2", version="2"), answer("3")]), 120)
    assert "the replicas run different versions: 1, 2" in shown
