"""What the tables of named objects have in common: records by id, ids by name."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import Message

from frontend.state.keys import LAST_ID, pack_id, pack_text, unpack_id
from frontend.state.store import ReadTxn, Txn


class Record(Protocol):
    """A protobuf message with an id."""

    @property
    def id(self) -> int: ...


R = TypeVar("R", bound=Record)


class Rows(Generic[R]):
    """Records of one type by id. What `get` returns is a copy of its own."""

    def __init__(self, table: str, decode: Callable[[bytes], R]) -> None:
        self.table = table
        self.decode = decode

    def get(self, txn: ReadTxn, object_id: int) -> R | None:
        row = txn.get(self.table, pack_id(object_id))
        return None if row is None else self.decode(row)

    def put(self, txn: Txn, record: R) -> bytes:
        """Store *record*; returns its serialized form, which is also what clients get."""
        assert isinstance(record, Message)
        data = record.SerializeToString(deterministic=True)
        txn.put(self.table, pack_id(record.id), data)
        return data

    def delete(self, txn: Txn, object_id: int) -> None:
        txn.delete(self.table, pack_id(object_id))

    def list_page(
        self,
        txn: ReadTxn,
        after: int = -1,
        limit: int = 100,
        keep: Callable[[R], bool] | None = None,
    ) -> list[R]:
        """Up to *limit* records with an id above *after*, by id; only those that *keep* accepts."""
        if after >= LAST_ID:
            return []
        records = (self.decode(row) for _, row in txn.scan(self.table, pack_id(after + 1)))
        return list(islice(filter(keep, records) if keep else records, limit))


class Names:
    """Ids by unique name."""

    def __init__(self, table: str) -> None:
        self.table = table

    def find(self, txn: ReadTxn, name: str) -> int | None:
        row = txn.get(self.table, pack_text(name))
        return None if row is None else unpack_id(row)

    def put(self, txn: Txn, name: str, object_id: int) -> None:
        txn.put(self.table, pack_text(name), pack_id(object_id))

    def delete(self, txn: Txn, name: str) -> None:
        txn.delete(self.table, pack_text(name))
