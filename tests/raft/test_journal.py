"""The journal keeps what it committed, all or nothing, and refuses what it can't trust."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import lmdb
import pytest

from raft.journal import Journal, JournalRefused
from raft.settings import JournalSettings

SETTINGS = JournalSettings(map_size_bytes=64 << 20, sync=False, cache_entries=8)


def opened(path: Path, cluster: str = "c", replica: str = "1", **settings: int) -> Journal:
    made = JournalSettings(**{"map_size_bytes": 64 << 20, "sync": False, **settings})  # type: ignore[arg-type]
    return Journal(path, cluster_id=cluster, replica_id=replica, settings=made)


def filled(path: Path, count: int = 20, **settings: int) -> Journal:
    journal = opened(path, **settings)
    journal.set_term(2, "3")
    for n in range(count):
        journal.append(1 if n < 5 else 2, b"\0entry %d" % n)
    journal.commit()
    return journal


def damaged(path: Path, key: bytes, value: bytes | None, table: bytes = b"raft_log") -> None:
    env = lmdb.open(str(path), max_dbs=64, map_size=64 << 20)
    with env.begin(write=True) as txn:
        db = env.open_db(table, txn=txn)
        if value is None:
            txn.delete(key, db=db)
        else:
            txn.put(key, value, db=db)
    env.close()


def test_all_logs_begin_alike(tmp_path: Path) -> None:
    one, other = opened(tmp_path / "1"), opened(tmp_path / "2", replica="2")
    assert one.read(1, 10) == other.read(1, 10) == [(0, b"\x01")]
    assert (one.last_index, one.durable_index, one.applied, one.term) == (1, 1, 1, 0)


def test_committed_entries_term_vote_and_applied_survive(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    journal.set_applied(7)
    journal.commit()
    journal.close()
    again = opened(tmp_path)
    assert (again.last_index, again.last_term, again.term, again.voted_for) == (21, 2, 2, "3")
    assert (again.applied, again.visible, again.durable_index) == (7, 7, 21)
    assert again.read(21, 1) == [(2, b"\0entry 19")]


def test_a_tick_is_lost_as_a_whole(tmp_path: Path) -> None:
    """R24, P-7: no crash leaves a part of a change behind."""
    journal = filled(tmp_path)
    state = journal.env.open_db(b"state")
    journal.truncate(10)
    journal.append(3, b"\0other")
    journal.set_term(3, "2")
    journal.set_applied(6)
    journal.txn().put(b"k", b"v", db=state)
    journal.close()
    again = opened(tmp_path)
    assert (again.last_index, again.term, again.voted_for, again.applied) == (21, 2, "3", 1)
    with again.env.begin() as txn:
        assert txn.get(b"k", db=again.env.open_db(b"state", txn=txn)) is None


def test_own_durable_index_moves_at_the_commit(tmp_path: Path) -> None:
    journal = filled(tmp_path)
    journal.append(2, b"\0x")
    assert (journal.last_index, journal.durable_index) == (22, 21)
    journal.commit()
    assert journal.durable_index == 22
    journal.truncate(12)
    assert (journal.last_index, journal.durable_index) == (11, 11)


def test_truncated_entries_are_gone_and_replaced(tmp_path: Path) -> None:
    journal = filled(tmp_path, cache_entries=4)
    journal.truncate(4)
    assert (journal.last_index, journal.last_term) == (3, 1)
    journal.append(5, b"\0new")
    journal.set_term(5, "")
    journal.commit()
    journal.close()
    again = opened(tmp_path)
    assert [term for term, _ in again.read(1, 100)] == [0, 1, 1, 5]


def test_memory_holds_only_the_tail_and_reads_see_everything(tmp_path: Path) -> None:
    journal = filled(tmp_path, count=1000, cache_entries=16)
    assert len(journal._tail) <= 16
    expected = [(0, b"\x01")] + [(1 if n < 5 else 2, b"\0entry %d" % n) for n in range(1000)]
    assert journal.read(1, 5000) == expected
    assert journal.read(980, 10) == expected[979:989]
    assert [journal.term_at(n) for n in (1, 3, 500, 1001)] == [0, 1, 2, 2]
    journal.close()
    again = opened(tmp_path, cache_entries=16)
    assert len(again._tail) <= 16
    assert again.read(1, 5000) == expected


def test_the_tail_is_bounded_in_bytes(tmp_path: Path) -> None:
    journal = opened(tmp_path, cache_bytes=100_000)
    for _ in range(20):
        journal.append(1, b"\0" + b"x" * 50_000)
        journal.set_term(1, "")
        journal.commit()
    assert sum(len(data) for _, data in journal._tail) <= 100_000
    assert len(journal.read(1, 100)) == 21


def test_a_read_stops_at_about_its_size_but_gives_one_entry(tmp_path: Path) -> None:
    journal = opened(tmp_path, cache_entries=3)
    for _ in range(10):
        journal.append(1, b"\0" + b"x" * 999)
    assert len(journal.read(2, 100, max_bytes=2500)) == 3
    assert len(journal.read(2, 100, max_bytes=1)) == 1
    journal.set_term(1, "")
    journal.commit()
    assert len(journal.read(2, 100, max_bytes=2500)) == 3
    assert journal.read(12, 5) == []


@pytest.mark.parametrize(
    ("key", "value", "cause"),
    [
        (struct.pack(">Q", 9), None, "lacks entry 9"),
        (struct.pack(">Q", 1), None, "lacks entry 1"),
        (struct.pack(">Q", 9), b"garbage that is long enough", "damaged entry 9"),
        (struct.pack(">Q", 9), b"", "damaged entry 9"),
        (struct.pack(">Q", 30), b"x" * 30, "lacks entry 22"),
    ],
)
def test_a_log_with_a_hole_or_damage_is_refused_and_kept(
    tmp_path: Path, key: bytes, value: bytes | None, cause: str
) -> None:
    """P-6, R11: stock clears such a journal or goes on without what is missing."""
    filled(tmp_path).close()
    damaged(tmp_path, key, value)
    for _ in range(2):  # nothing is cleared: it is refused the second time as well
        with pytest.raises(JournalRefused, match=f"{cause}.*repair: "):
            opened(tmp_path)


def test_an_entry_of_an_older_term_after_a_newer_one_is_refused(tmp_path: Path) -> None:
    filled(tmp_path).close()
    rest = struct.pack(">Q", 1) + b"\0x"
    damaged(tmp_path, struct.pack(">Q", 15), zlib.crc32(rest).to_bytes(4, "big") + rest)
    with pytest.raises(JournalRefused, match="goes back in term at entry 15"):
        opened(tmp_path)


def hard(term: int, applied: int) -> bytes:
    rest = struct.pack(">QQ", term, applied)
    return zlib.crc32(rest).to_bytes(4, "big") + rest


@pytest.mark.parametrize(
    ("record", "cause"),
    [
        (b"", "unreadable term and vote"),
        (b"\0" * 20, "unreadable term and vote"),
        (hard(1, 1), "records term 1, its log ends in term 2"),
        (hard(2, 22), "applied 22 entries, its log ends at 21"),
    ],
)
def test_an_unbelievable_term_vote_or_applied_index_is_refused(
    tmp_path: Path, record: bytes, cause: str
) -> None:
    """R20: stock starts again at term 0; R11, P-10: stock believes a commit index past the end."""
    filled(tmp_path).close()
    damaged(tmp_path, b"hard", record, b"raft_meta")
    with pytest.raises(JournalRefused, match=cause):
        opened(tmp_path)


def test_another_replicas_or_clusters_journal_is_refused(tmp_path: Path) -> None:
    filled(tmp_path).close()
    with pytest.raises(JournalRefused, match="belongs to cluster_id 'c', this replica has 'd'"):
        opened(tmp_path, cluster="d")
    with pytest.raises(JournalRefused, match="belongs to replica_id '1', this replica has '2'"):
        opened(tmp_path, replica="2")
    assert opened(tmp_path).last_index == 21


def test_a_wiped_journal_is_not_begun_anew(tmp_path: Path) -> None:
    """It would have forgotten its vote: two leaders in a term, acknowledged entries lost."""
    with pytest.raises(JournalRefused, match=r"not the replica's first start.*restore"):
        Journal(tmp_path, cluster_id="c", replica_id="1", settings=SETTINGS, may_create=False)
    filled(tmp_path).close()
    again = Journal(tmp_path, cluster_id="c", replica_id="1", settings=SETTINGS, may_create=False)
    assert again.last_index == 21
    again.close()


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    filled(tmp_path).close()
    damaged(tmp_path, b"format", b"2", b"raft_meta")
    with pytest.raises(JournalRefused, match="has format 2"):
        opened(tmp_path)


def test_a_log_without_its_marks_is_refused(tmp_path: Path) -> None:
    filled(tmp_path).close()
    damaged(tmp_path, b"format", None, b"raft_meta")
    with pytest.raises(JournalRefused, match="no format mark"):
        opened(tmp_path)


def test_two_processes_never_share_a_journal(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    with pytest.raises(JournalRefused, match="is in use"):
        opened(tmp_path)
    journal.close()
    opened(tmp_path).close()


def test_each_start_has_a_higher_incarnation(tmp_path: Path) -> None:
    seen = []
    for _ in range(3):
        journal = opened(tmp_path)
        seen.append(journal.incarnation)
        journal.close()
    assert seen == [1, 2, 3]


def test_a_full_map_leaves_what_was_committed(tmp_path: Path) -> None:
    journal = opened(tmp_path, map_size_bytes=1 << 20)
    journal.set_term(1, "")
    journal.append(1, b"\0small")
    journal.commit()
    journal.append(1, b"\0" + b"x" * (2 << 20))
    with pytest.raises(lmdb.MapFullError):
        journal.commit()
    journal.close()
    again = opened(tmp_path)
    assert again.last_index == 2
