"""Log, term, vote, applied index and state tables: one LMDB environment, one commit a tick.

Written by the tick thread alone; any thread may read the environment through `env.begin()`.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from raft.settings import JournalSettings

FORMAT = b"1"
NO_OP = b"\x01"
_KEY = struct.Struct(">Q")
_HEAD = struct.Struct(">IQ")  # checksum of all that follows, term
_TERM = struct.Struct(">Q")
_HARD = struct.Struct(">IQQ")  # checksum of all that follows, term, applied; then the vote
_pack_key, _pack_term = _KEY.pack, _TERM.pack

Entry = tuple[int, bytes]
"""(term, data)"""


class JournalRefused(Exception):
    """The journal on disk can't be trusted. The message names the cause and the repair."""


class Journal:
    """Index 1 is written at creation and the same everywhere, so every log begins alike.

    Invariants: durable_index <= last_index; applied <= last_index; term >= last_term. What was
    appended, truncated or applied since the last commit() is lost in a crash, all together.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        cluster_id: str,
        replica_id: str,
        settings: JournalSettings | None = None,
        may_create: bool = True,
    ) -> None:
        """*may_create* must be false for a replica that has run before: on an empty directory it
        would have forgotten its vote and what it acknowledged, and could lose both for all."""
        self._settings = settings or JournalSettings()
        self._may_create = may_create
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = self._take_lock()
        self.env = lmdb.open(
            str(self.path),
            map_size=self._settings.map_size_bytes,
            max_dbs=64,
            max_readers=1024,
            sync=self._settings.sync,
            metasync=self._settings.sync,
        )
        self._log = self.env.open_db(b"raft_log")
        self._meta = self.env.open_db(b"raft_meta")
        self._txn: lmdb.Transaction | None = None
        self._pending: list[tuple[bytes, bytes]] = []
        self._tail: list[Entry] = []
        self._tail_first = 1
        self._tail_bytes = 0
        self._hard_dirty = False
        self.log_dirty = False
        """An acknowledgement or a vote waits for the next commit."""
        self.last_index = self.last_term = self.durable_index = 0
        self.term, self.voted_for, self.applied = 0, "", 1
        self.visible = 0
        """Applied index as of the last commit: what readers of `env` see."""
        self.commits = 0
        self.sync_seconds = 0.0
        try:
            self.incarnation = self._open(cluster_id, replica_id)
        except JournalRefused:
            self.close()
            raise

    def _take_lock(self) -> int:
        """LMDB lets two processes write in turns; two replicas on one journal must not."""
        lock = os.open(self.path / "replica.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise self._refusal("is in use", "stop the other replica process first") from None
        return lock

    def _open(self, cluster_id: str, replica_id: str) -> int:
        with self.env.begin() as txn:
            found = txn.get(b"format", db=self._meta)
            used = txn.stat(db=self._log)["entries"] > 0
        if found is None and used:
            raise self._refusal(
                "has log entries but no format mark", "restore the directory from a copy"
            )
        if found is None and not self._may_create:
            raise self._refusal(
                "is empty, and this is not the replica's first start: it would have forgotten "
                "what it voted and acknowledged",
                "restore its own directory; nothing is lost while the others are a majority",
            )
        if found is None:
            self._create(cluster_id, replica_id)
        elif found != FORMAT:
            raise self._refusal(
                f"has format {bytes(found).decode(errors='replace')}, not {FORMAT.decode()}",
                "start the version that wrote it",
            )
        self._load(cluster_id, replica_id)
        with self.env.begin(write=True) as txn:
            incarnation = int(txn.get(b"incarnation", b"0", db=self._meta)) + 1
            txn.put(b"incarnation", b"%d" % incarnation, db=self._meta)
        return incarnation

    def _create(self, cluster_id: str, replica_id: str) -> None:
        with self.env.begin(write=True) as txn:
            txn.put(_pack_key(1), _sealed(0, NO_OP), db=self._log)
            txn.put(b"hard", self._hard_record(), db=self._meta)
            txn.put(b"incarnation", b"0", db=self._meta)
            txn.put(b"cluster_id", cluster_id.encode(), db=self._meta)
            txn.put(b"replica_id", replica_id.encode(), db=self._meta)
            txn.put(b"format", FORMAT, db=self._meta)

    def _load(self, cluster_id: str, replica_id: str) -> None:
        with self.env.begin() as txn:
            for name, ours in ((b"cluster_id", cluster_id), (b"replica_id", replica_id)):
                theirs = bytes(txn.get(name, b"", db=self._meta)).decode(errors="replace")
                if theirs != ours:
                    raise self._refusal(
                        f"belongs to {name.decode()} {theirs!r}, this replica has {ours!r}",
                        "point `data` at this replica's own directory",
                    )
            self._load_log(txn)
            hard = txn.get(b"hard", b"", db=self._meta)
        if len(hard) < _HARD.size or zlib.crc32(hard[4:]) != _HARD.unpack_from(hard)[0]:
            raise self._refusal("has an unreadable term and vote record", _REPAIR)
        _, self.term, self.applied = _HARD.unpack_from(hard)
        self.voted_for = hard[_HARD.size :].decode()
        if self.term < self.last_term:
            raise self._refusal(
                f"records term {self.term}, its log ends in term {self.last_term}", _REPAIR
            )
        if not 1 <= self.applied <= self.last_index:
            raise self._refusal(
                f"applied {self.applied} entries, its log ends at {self.last_index}", _REPAIR
            )
        self.visible = self.applied

    def _load_log(self, txn: lmdb.Transaction) -> None:
        for key, value in txn.cursor(self._log):
            index = _KEY.unpack(key)[0] if len(key) == _KEY.size else -1
            if index != self.last_index + 1:
                raise self._refusal(f"lacks entry {self.last_index + 1}", _REPAIR)
            term, data = self._opened(index, bytes(value))
            if term < self.last_term:
                raise self._refusal(f"goes back in term at entry {index}", _REPAIR)
            self._remember(term, data)
            self._trim()
        if not self.last_index:
            raise self._refusal("lacks entry 1", _REPAIR)
        self.durable_index = self.last_index

    def _opened(self, index: int, value: bytes) -> Entry:
        if len(value) < _HEAD.size or zlib.crc32(value[4:]) != _HEAD.unpack_from(value)[0]:
            raise self._refusal(f"has a damaged entry {index} (checksum)", _REPAIR)
        return _HEAD.unpack_from(value)[1], value[_HEAD.size :]

    def _refusal(self, cause: str, repair: str) -> JournalRefused:
        return JournalRefused(f"journal {self.path}: {cause}; repair: {repair}")

    # --- reading ---------------------------------------------------------------------------

    def term_at(self, index: int) -> int:
        """Term of entry *index*; 1 <= index <= last_index."""
        if index == self.last_index:
            return self.last_term
        if index >= self._tail_first:
            return self._tail[index - self._tail_first][0]
        return self.read(index, 1)[0][0]

    def read(self, first: int, count: int, max_bytes: int = 1 << 62) -> list[Entry]:
        """Up to *count* entries from *first* and about *max_bytes*, but at least one that is."""
        count = min(count, self.last_index - first + 1)
        if count <= 0:
            return []
        found: list[Entry] = []
        stored = min(count, self._tail_first - first)
        if stored > 0:
            found = self._read_stored(first, stored, max_bytes)
            if len(found) < stored:
                return found
        at = first + len(found) - self._tail_first
        found += self._tail[at : at + count - len(found)]
        return _clipped(found, max_bytes)

    def _read_stored(self, first: int, count: int, max_bytes: int) -> list[Entry]:
        found: list[Entry] = []
        size = 0
        with self._reading() as txn:
            cursor = txn.cursor(self._log)
            if cursor.set_key(_pack_key(first)):
                for key, value in cursor:
                    found.append(self._opened(_KEY.unpack(key)[0], bytes(value)))
                    size += len(value)
                    if len(found) >= count or size >= max_bytes:
                        break
        if not found:
            raise self._refusal(f"lacks entry {first}", _REPAIR)
        return found

    @contextmanager
    def _reading(self) -> Iterator[lmdb.Transaction]:
        if self._txn is not None:  # sees what this transaction wrote and trimmed from the tail
            yield self._txn
        else:
            with self.env.begin() as txn:
                yield txn

    # --- writing: nothing lasts before commit() ----------------------------------------------

    def append(self, term: int, data: bytes) -> int:
        """Add one entry at the end; its index."""
        self._remember(term, data)
        sealed = _pack_term(term) + data
        self._pending.append(
            (_pack_key(self.last_index), zlib.crc32(sealed).to_bytes(4, "big") + sealed)
        )
        self.log_dirty = True
        return self.last_index

    def _remember(self, term: int, data: bytes) -> None:
        self._tail.append((term, data))
        self._tail_bytes += len(data)
        self.last_index += 1
        self.last_term = term

    def truncate(self, first: int) -> None:
        """Forget entries from *first* on. The caller has checked that none is committed."""
        self._write_pending()
        txn = self.txn()
        last_term = self.term_at(first - 1)
        for index in range(first, self.last_index + 1):
            txn.delete(_pack_key(index), db=self._log)
        if first >= self._tail_first:
            del self._tail[first - self._tail_first :]
        else:
            self._tail, self._tail_first = [], first
        self._tail_bytes = sum(len(data) for _, data in self._tail)
        self.last_index, self.last_term = first - 1, last_term
        self.durable_index = min(self.durable_index, first - 1)
        self.log_dirty = True

    def set_term(self, term: int, voted_for: str) -> None:
        self.term, self.voted_for = term, voted_for
        self._hard_dirty = self.log_dirty = True

    def set_applied(self, index: int) -> None:
        self.applied = index
        self._hard_dirty = True

    def txn(self) -> lmdb.Transaction:
        """The open write transaction; state changes go through it as well."""
        if self._txn is None:
            self._txn = self.env.begin(write=True)
        return self._txn

    @property
    def dirty(self) -> bool:
        return self._txn is not None or self._hard_dirty or self.log_dirty

    def commit(self) -> None:
        """Make everything since the last commit durable, all or nothing.

        Errors: lmdb.Error, OSError. The transaction is then undone and this object must not be
        used for writing again: open the journal anew.
        """
        started = time.perf_counter()
        last, applied = self.last_index, self.applied
        self._write_pending()
        txn = self.txn()
        if self._hard_dirty:
            txn.put(b"hard", self._hard_record(), db=self._meta)
            self._hard_dirty = False
        self._txn = None
        txn.commit()
        self.durable_index, self.visible = last, applied
        self.log_dirty = False
        self._trim()
        self.commits += 1
        self.sync_seconds += time.perf_counter() - started

    def _write_pending(self) -> None:
        if self._pending:
            cursor = self.txn().cursor(self._log)
            cursor.putmulti(self._pending, append=True)
            cursor.close()
            self._pending = []

    def _hard_record(self) -> bytes:
        rest = _HARD.pack(0, self.term, self.applied)[4:] + self.voted_for.encode()
        return zlib.crc32(rest).to_bytes(4, "big") + rest

    def _trim(self) -> None:
        """Let go of the older half of a full tail; what goes is in LMDB."""
        limit = self._settings
        while len(self._tail) > limit.cache_entries or (
            self._tail_bytes > limit.cache_bytes and len(self._tail) > 1
        ):
            half = (len(self._tail) + 1) // 2
            self._tail_bytes -= sum(len(data) for _, data in self._tail[:half])
            del self._tail[:half]
            self._tail_first += half

    def abort(self) -> None:
        """Undo what was not committed; the journal is then only good for reading `env`."""
        txn, self._txn = self._txn, None
        self._pending = []
        if txn is not None:
            txn.abort()

    def close(self) -> None:
        if self._lock >= 0:
            self.abort()
            self.env.close()
            os.close(self._lock)
            self._lock = -1


_REPAIR = "stop this replica, keep the directory for analysis, restore it from a copy of its own"


def _clipped(entries: list[Entry], max_bytes: int) -> list[Entry]:
    size = 0
    for position, (_, data) in enumerate(entries):
        size += len(data)
        if size >= max_bytes:
            return entries[: position + 1]
    return entries


def _sealed(term: int, data: bytes) -> bytes:
    rest = _pack_term(term) + data
    return zlib.crc32(rest).to_bytes(4, "big") + rest
