"""Tables of results: log index -> Result, request id -> log index. They make retries harmless."""

from __future__ import annotations

from itertools import islice

from frontend.state.keys import pack_id, pack_text, unpack_id
from frontend.state.store import ReadTxn, Txn

KEPT = 200_000
KEPT_MS = 15 * 60 * 1000
KEPT_MAX = 2_000_000
"""A result is forgotten when it is both KEPT log indexes and KEPT_MS old: clients ask again for
seconds or minutes, whatever the load. Beyond KEPT_MAX indexes it goes in any case."""

_TIME_BYTES = 8


def find(txn: ReadTxn, request_id: str) -> bytes | None:
    """The serialized Result that this request id was answered with."""
    index = txn.get("results_by_request", pack_text(request_id))
    if index is None:
        return None
    row = txn.get("results", index)
    assert row is not None, f"request {request_id} has an index but no result"
    return row[_TIME_BYTES + 1 + row[_TIME_BYTES] :]


def put(txn: Txn, request_id: str, index: int, at_ms: int, result: bytes) -> None:
    """Keep *result*, behind its request's time and key, which tell when and how to forget it."""
    key, request = pack_id(index), pack_text(request_id)
    txn.put("results", key, pack_id(at_ms) + bytes((len(request),)) + request + result)
    txn.put("results_by_request", request, key)


def expire(txn: Txn, index: int, at_ms: int, batch: int = 1024) -> None:
    """Forget up to *batch* results that are too old for *index*, which was asked for at *at_ms*.

    Both are of the log, so every replica forgets the same ones at the same point."""
    if index <= KEPT:
        return
    for key, row in islice(txn.scan("results"), batch):
        age = index - unpack_id(key)
        aged = age >= KEPT and at_ms - unpack_id(row[:_TIME_BYTES]) > KEPT_MS
        if not (aged or age >= KEPT_MAX):
            break
        request = row[_TIME_BYTES + 1 :][: row[_TIME_BYTES]]
        txn.delete("results", key)
        txn.delete("results_by_request", request)
