"""Table of counters: the next id of each noun. An id is never given twice."""

from __future__ import annotations

from frontend.state.keys import pack_id, unpack_id
from frontend.state.store import ReadTxn, Txn


def take(txn: Txn, noun: str) -> int:
    """A fresh id for *noun*: 0, 1, 2, ..."""
    key = noun.encode()
    row = txn.get("counters", key)
    number = 0 if row is None else unpack_id(row)
    txn.put("counters", key, pack_id(number + 1))
    return number


def value(txn: ReadTxn, name: str) -> int:
    row = txn.get("counters", name.encode())
    return 0 if row is None else unpack_id(row)


def put(txn: Txn, name: str, number: int) -> None:
    txn.put("counters", name.encode(), pack_id(number))
