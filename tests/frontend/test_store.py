"""The write overlay: reads see it, scans merge it, only flush lets it out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lmdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frontend.state import keys
from frontend.state.store import TABLES, Store, Txn


@pytest.fixture
def env(tmp_path: Path) -> Iterator[lmdb.Environment]:
    with lmdb.open(str(tmp_path), max_dbs=64, map_size=1 << 28, sync=False) as env:
        yield env


def fill(env: lmdb.Environment, store: Store, rows: dict[bytes, bytes]) -> None:
    with env.begin(write=True) as raw:
        txn = store.wrap(raw)
        for key, value in rows.items():
            txn.put("templates", key, value)
        txn.flush()


def test_write_is_seen_by_its_own_reads_and_by_nobody_else_before_flush(
    env: lmdb.Environment,
) -> None:
    store = Store(env)
    with env.begin(write=True) as raw:
        txn = store.wrap(raw)
        txn.put("templates", b"a", b"1")
        assert txn.get("templates", b"a") == b"1"
        assert store.wrap(raw).get("templates", b"a") is None
        txn.flush()
        assert store.wrap(raw).get("templates", b"a") == b"1"


def test_discarded_writes_leave_nothing(env: lmdb.Environment) -> None:
    store = Store(env)
    fill(env, store, {b"kept": b"1"})
    with env.begin(write=True) as raw:
        txn = store.wrap(raw)
        txn.put("templates", b"new", b"1")
        txn.delete("templates", b"kept")
        txn.discard()
        txn.flush()
    with store.read() as view:
        assert list(view.scan("templates")) == [(b"kept", b"1")]


def test_deleting_what_is_not_there_is_no_error(env: lmdb.Environment) -> None:
    store = Store(env)
    with env.begin(write=True) as raw:
        txn = store.wrap(raw)
        txn.delete("templates", b"nothing")
        txn.flush()


def test_reader_keeps_its_view_while_others_commit(env: lmdb.Environment) -> None:
    store = Store(env)
    fill(env, store, {b"a": b"1"})
    with store.read() as view:
        fill(env, store, {b"a": b"2", b"b": b"2"})
        assert list(view.scan("templates")) == [(b"a", b"1")]


def test_out_of_order_event_is_a_bug_that_halts(env: lmdb.Environment) -> None:
    store = Store(env)
    with env.begin(write=True) as raw:
        txn = store.wrap(raw)
        txn.put("events", keys.pack_event(2, 0), b"")
        txn.flush()
        txn.put("events", keys.pack_event(1, 0), b"")
        with pytest.raises(AssertionError, match="not beyond the last"):
            txn.flush()


def test_store_opens_all_tables_beside_other_databases(env: lmdb.Environment) -> None:
    env.open_db(b"log")
    assert set(Store(env).dump()) == set(TABLES)


KEYS = st.binary(min_size=1, max_size=3)
CHANGES = st.dictionaries(KEYS, st.none() | st.binary(max_size=2), max_size=12)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stored=st.dictionaries(KEYS, st.binary(max_size=2), max_size=12),
    changes=CHANGES,
    start=st.binary(max_size=2),
    prefix=st.binary(max_size=2),
)
def test_scans_give_what_a_sorted_dictionary_would(
    env: lmdb.Environment,
    stored: dict[bytes, bytes],
    changes: dict[bytes, bytes | None],
    start: bytes,
    prefix: bytes,
) -> None:
    store = Store(env)
    with env.begin(write=True) as raw:
        base = store.wrap(raw)
        for key, value in stored.items():
            base.put("templates", key, value)
        base.flush()
        txn = store.wrap(raw)
        model: dict[bytes, bytes] = dict(stored)
        for key, changed in changes.items():
            if changed is None:
                txn.delete("templates", key)
                model.pop(key, None)
            else:
                txn.put("templates", key, changed)
                model[key] = changed
        check_scans(txn, model, start, prefix)
        raw.abort()


def check_scans(txn: Txn, model: dict[bytes, bytes], start: bytes, prefix: bytes) -> None:
    rows = sorted(model.items())
    inside = [row for row in rows if row[0].startswith(prefix)]
    assert list(txn.scan("templates")) == rows
    assert list(txn.scan("templates", start)) == [row for row in rows if row[0] >= start]
    assert list(txn.scan("templates", prefix=prefix)) == inside
    assert list(txn.scan("templates", prefix + start, prefix)) == [
        row for row in inside if row[0] >= prefix + start
    ]
    assert list(txn.scan_back("templates")) == rows[::-1]
    assert list(txn.scan_back("templates", prefix=prefix)) == inside[::-1]
    if start:
        below = [row for row in rows if row[0] < start]
        assert list(txn.scan_back("templates", start)) == below[::-1]


@given(st.lists(st.integers(0, 2**63 - 1)))
def test_key_order_is_numeric_order(numbers: list[int]) -> None:
    assert [keys.unpack_id(key) for key in sorted(map(keys.pack_id, numbers))] == sorted(numbers)


@given(st.text(), st.text())
def test_different_names_have_different_keys_that_lmdb_accepts(one: str, other: str) -> None:
    assert (keys.pack_text(one) == keys.pack_text(other)) == (one == other)
    assert 0 < len(keys.pack_text(one)) <= 255


def test_key_of_a_very_long_name_is_short() -> None:
    assert len(keys.pack_text("\U0001f600" * 128)) < 64


@pytest.mark.parametrize(
    ("prefix", "after"), [(b"a", b"b"), (b"a\xff", b"b"), (b"\xff\xff", b""), (b"", b"")]
)
def test_after_prefix_is_the_first_key_beyond(prefix: bytes, after: bytes) -> None:
    assert keys.after_prefix(prefix) == after
