"""Tables of results: log index -> Result, request id -> log index. They make retries harmless."""

from __future__ import annotations

from itertools import islice

from frontend.state.keys import pack_id, pack_text, unpack_id
from frontend.state.store import ReadTxn, Txn

KEPT = 200_000
"""Results are kept for this many log indexes: minutes under full load, days on a quiet cloud."""


def find(txn: ReadTxn, request_id: str) -> bytes | None:
    """The serialized Result that this request id was answered with."""
    index = txn.get("results_by_request", pack_text(request_id))
    if index is None:
        return None
    row = txn.get("results", index)
    assert row is not None, f"request {request_id} has an index but no result"
    return row[1 + row[0] :]


def put(txn: Txn, request_id: str, index: int, result: bytes) -> None:
    """Keep *result*, behind its request's key so that it can be found again to be forgotten."""
    key, request = pack_id(index), pack_text(request_id)
    txn.put("results", key, bytes((len(request),)) + request + result)
    txn.put("results_by_request", request, key)


def expire(txn: Txn, index: int, batch: int = 1024) -> None:
    """Forget up to *batch* results that are more than KEPT indexes older than *index*."""
    newest_gone = index - KEPT
    if newest_gone <= 0:
        return
    for key, row in islice(txn.scan("results"), batch):
        if unpack_id(key) > newest_gone:
            break
        txn.delete("results", key)
        txn.delete("results_by_request", row[1 : 1 + row[0]])
