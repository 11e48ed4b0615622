"""Endless views: changes of VMs, events, a console that grows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from frontend.cli import lookup
from frontend.cli.nouns import EVENT, VM
from frontend.cli.output import Output
from frontend.cli.records import Record, to_record

if TYPE_CHECKING:
    from frontend.cli.connection import Connection

_CONSOLE_BYTES_MAX = 1 << 20
_CONSOLE_PAUSE_S = 0.5


def vm_changes(connection: Connection, target: str | None, after: int | None) -> Iterator[Record]:
    """Each change of a VM, with the time at which this client learned of it."""
    only = lookup.find(connection, VM, target) if target else None
    start = after or connection.call(VM, "List", page_size=1).revision
    for answer in connection.watch(
        VM, lambda reached: VM.request("Watch", after_revision=reached, id=only), start
    ):
        yield {"time_ms": time.time_ns() // 1_000_000, **to_record(answer.vm)}


def events(
    connection: Connection, noun: str, object_id: int | None, after: int | None
) -> Iterator[Record]:
    """Each event as it happens."""
    newest = connection.call(EVENT, "List", page_size=1, descending=True).events
    start = after or (newest[0].revision if newest else 0)
    for answer in connection.watch(
        EVENT,
        lambda reached: EVENT.request(
            "Watch", after_revision=reached, noun=noun, object_id=object_id
        ),
        start,
    ):
        yield to_record(answer.event)


def console(connection: Connection, vm_id: int, tail_bytes: int, printer: Output) -> None:
    """Prints the end of the console, then what is added to it. The API has no stream of it, so
    it is asked for again and again and compared with what was printed."""
    seen = b""
    wanted = tail_bytes
    while True:
        data = connection.call(VM, "ReadVmConsole", id=vm_id, tail_bytes=wanted).data
        printer.raw(added(seen, data))
        seen, wanted = data or seen, _CONSOLE_BYTES_MAX
        time.sleep(_CONSOLE_PAUSE_S)


def added(seen: bytes, data: bytes) -> bytes:
    """What follows *seen* in *data*, where both are ends of one growing text; all of *data* if
    they have nothing in common."""
    mark = seen[-256:]
    at = data.rfind(mark) if mark else -1
    return data if at < 0 else data[at + len(mark) :]
