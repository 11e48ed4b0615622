"""The replicated state's tables in one LMDB environment, and transactions over them.

The environment belongs to the Raft journal: log and state change in one write transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import takewhile
from operator import itemgetter
from types import TracebackType
from typing import Self

import lmdb

from frontend.state.keys import after_prefix

TABLES = (
    "clusters",
    "clusters_by_name",
    "counters",
    "events",
    "hosts",
    "hosts_by_key",
    "hosts_by_name",
    "images",
    "images_by_name",
    "leases",
    "leases_free",
    "results",
    "results_by_request",
    "tasks",
    "tasks_waiting",
    "templates",
    "templates_by_name",
    "tokens",
    "tokens_by_sha256",
    "vms",
    "vms_by_host",
    "vms_by_image",
    "vms_by_owner",
    "vms_live",
    "vms_live_by_owner",
    "vms_pending",
)

# Keys only ever grow here: LMDB then fills its pages instead of splitting them in half.
APPEND_ONLY = frozenset({"events", "results"})

# Transactions are opened without `buffers`, so what LMDB gives is always bytes, whatever its type
# stubs allow for.
Row = tuple[bytes, bytes]


class ReadTxn:
    """One consistent view of all tables. Keys and values are bytes; table modules decode them.

    A context manager. Not for sharing between threads.
    """

    __slots__ = ("_dbs", "_raw")

    def __init__(self, raw: lmdb.Transaction, dbs: dict[str, lmdb._Database]) -> None:
        self._raw = raw
        self._dbs = dbs

    def get(self, table: str, key: bytes) -> bytes | None:
        return self._raw.get(key, db=self._dbs[table])  # type: ignore[return-value]

    def scan(self, table: str, start: bytes = b"", prefix: bytes = b"") -> Iterator[Row]:
        """Rows with *prefix* from key *start* on, in key order: the same on every replica."""
        rows = self._stored(table, max(start, prefix))
        if prefix:
            return takewhile(lambda row: row[0].startswith(prefix), rows)
        return rows

    def scan_back(self, table: str, before: bytes = b"", prefix: bytes = b"") -> Iterator[Row]:
        """Rows with *prefix* and a key below *before* (empty: all), last one first."""
        if prefix and not before:
            before = after_prefix(prefix)
        rows = self._stored_back(table, before)
        if prefix:
            return takewhile(lambda row: row[0].startswith(prefix), rows)
        return rows

    def _stored(self, table: str, start: bytes) -> Iterator[Row]:
        cursor = self._raw.cursor(db=self._dbs[table])
        if cursor.set_range(start) if start else cursor.first():
            yield from cursor.iternext()  # type: ignore[misc]

    def _stored_back(self, table: str, before: bytes) -> Iterator[Row]:
        cursor = self._raw.cursor(db=self._dbs[table])
        found = cursor.prev() if before and cursor.set_range(before) else cursor.last()
        if found:
            yield from cursor.iterprev()  # type: ignore[misc]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._raw.abort()


class Txn(ReadTxn):
    """What one command reads and writes. Nothing reaches the tables before `flush`.

    A handler that raises Rejected is simply not flushed, so it leaves nothing behind. Reads and
    scans see the writes made so far; a scan under way does not see writes made after it began.
    """

    __slots__ = ("_changes", "event_count")

    def __init__(self, raw: lmdb.Transaction, dbs: dict[str, lmdb._Database]) -> None:
        self._raw = raw
        self._dbs = dbs
        self._changes: dict[str, dict[bytes, bytes | None]] = {}
        self.event_count = 0

    def get(self, table: str, key: bytes) -> bytes | None:
        changed = self._changes.get(table)
        if changed is not None and key in changed:
            return changed[key]
        return self._raw.get(key, db=self._dbs[table])  # type: ignore[return-value]

    def put(self, table: str, key: bytes, value: bytes) -> None:
        changed = self._changes.get(table)
        if changed is None:
            changed = self._changes[table] = {}
        changed[key] = value

    def delete(self, table: str, key: bytes) -> None:
        """Deleting what is not there is no error."""
        self._changes.setdefault(table, {})[key] = None

    def flush(self) -> None:
        """Hand the writes over to the LMDB transaction, which the caller commits."""
        raw = self._raw
        for table, changed in self._changes.items():
            db = self._dbs[table]
            append = table in APPEND_ONLY
            for key, value in changed.items():
                if value is None:
                    raw.delete(key, db=db)
                elif not raw.put(key, value, db=db, append=append):
                    raise AssertionError(f"{table}: key {key.hex()} is not beyond the last")
        self._changes.clear()

    def discard(self) -> None:
        """Forget the writes since the last flush."""
        self._changes.clear()
        self.event_count = 0

    def _stored(self, table: str, start: bytes) -> Iterator[Row]:
        rows = super()._stored(table, start)
        changed = self._changes.get(table)
        if not changed:
            return rows
        mine = sorted((key, value) for key, value in changed.items() if key >= start)
        return _merged(rows, mine, dict(changed), reverse=False)

    def _stored_back(self, table: str, before: bytes) -> Iterator[Row]:
        rows = super()._stored_back(table, before)
        changed = self._changes.get(table)
        if not changed:
            return rows
        mine = [(key, value) for key, value in changed.items() if not before or key < before]
        return _merged(rows, sorted(mine, reverse=True), dict(changed), reverse=True)


def _merged(
    stored: Iterator[Row],
    mine: list[tuple[bytes, bytes | None]],
    changed: dict[bytes, bytes | None],
    *,
    reverse: bool,
) -> Iterator[Row]:
    written = [(key, value) for key, value in mine if value is not None]
    untouched = (row for row in stored if row[0] not in changed)
    return merge(untouched, written, key=itemgetter(0), reverse=reverse)


class Store:
    """Opens the tables in *env*, which must allow `len(TABLES)` more named databases."""

    def __init__(self, env: lmdb.Environment) -> None:
        self._env = env
        self._dbs = {name: env.open_db(b"state/" + name.encode()) for name in TABLES}

    @property
    def map_size_bytes(self) -> int:
        """Upper bound of the environment's file."""
        return int(self._env.info()["map_size"])

    def read(self) -> ReadTxn:
        """A view of what is committed now. Any thread; close it soon, it pins old pages."""
        return ReadTxn(self._env.begin(), self._dbs)

    def wrap(self, raw: lmdb.Transaction) -> Txn:
        """The write side over a transaction that the caller began and will commit."""
        return Txn(raw, self._dbs)

    def dump(self) -> dict[str, list[Row]]:
        """Every row of every table: for comparing replicas, not for big states."""
        with self.read() as txn:
            return {name: list(txn.scan(name)) for name in TABLES}
