"""Table of events: (revision, sequence) -> Event. The audit trail, and what watches follow."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from frontend.state import counters
from frontend.state.keys import LAST_ID, pack_event, unpack_event
from frontend.state.store import ReadTxn, Txn
from protos.v1.command_pb2 import Command
from protos.v1.event_pb2 import Event

KEPT = 1_000_000
"""Events are kept for this many log indexes; the newest one always."""

SCANNED_MAX = 20_000
"""A filtered page looks at no more events than this, so that no reader holds a replica up."""

_FLOOR = "events.floor"

Match = Callable[[Event], bool]


def append(
    txn: Txn, cmd: Command, index: int, kind: str, noun: str, object_id: int, detail: str = ""
) -> None:
    sequence = txn.event_count
    txn.event_count = sequence + 1
    event = Event(
        revision=index,
        sequence=sequence,
        time_ms=cmd.at_ms,
        actor=cmd.actor,
        request_id=cmd.request_id,
        kind=kind,
        noun=noun,
        object_id=object_id,
        detail=detail,
    )
    txn.put("events", pack_event(index, sequence), event.SerializeToString())


def last_revision(txn: ReadTxn) -> int:
    """The log index of the newest change: the revision that a view of the state stands for."""
    for key, _ in txn.scan_back("events"):
        return unpack_event(key)[0]
    return 0


def floor(txn: ReadTxn) -> int:
    """Events up to this revision are gone: who asks for what follows an older one has a gap."""
    return counters.value(txn, _FLOOR)


def page_after(
    txn: ReadTxn, revision: int, limit: int, match: Match | None = None
) -> tuple[list[Event], int]:
    """About *limit* events after *revision*, oldest first, and the revision to go on from.

    A revision is never split: the page may be a little longer than *limit*. The second value is
    *revision* itself when nothing newer exists; it moves on also when nothing matched.
    """
    if revision >= LAST_ID:
        return [], revision
    page: list[Event] = []
    reached, scanned = revision, 0
    for key, row in txn.scan("events", pack_event(max(revision, 0) + 1, 0)):
        index = unpack_event(key)[0]
        if index != reached and (len(page) >= limit or scanned >= SCANNED_MAX):
            break
        reached, scanned = index, scanned + 1
        event = Event.FromString(row)
        if match is None or match(event):
            page.append(event)
    return page, reached


def page_before(
    txn: ReadTxn, revision: int, limit: int, match: Match | None = None
) -> tuple[list[Event], int]:
    """About *limit* events before *revision* (0: the end), newest first.

    The second value is the revision to go on from, 0 when nothing older exists.
    """
    before = pack_event(revision, 0) if 0 < revision <= LAST_ID else b""
    page: list[Event] = []
    reached, scanned = revision, 0
    for key, row in txn.scan_back("events", before):
        index = unpack_event(key)[0]
        if index != reached and (len(page) >= limit or scanned >= SCANNED_MAX):
            return page, reached
        reached, scanned = index, scanned + 1
        event = Event.FromString(row)
        if match is None or match(event):
            page.append(event)
    return page, 0


def expire(txn: Txn, index: int, batch: int = 1024) -> None:
    """Forget up to *batch* events that are more than KEPT indexes older than *index*."""
    newest_gone = index - KEPT
    if newest_gone <= 0:
        return
    last = last_revision(txn)
    gone = 0
    for key, _ in islice(txn.scan("events"), batch):
        revision = unpack_event(key)[0]
        if revision > newest_gone or revision == last:
            break
        txn.delete("events", key)
        gone = revision
    if gone:
        counters.put(txn, _FLOOR, gone)
