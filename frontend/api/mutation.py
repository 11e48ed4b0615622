"""What a change is given before the log, because apply may not know it: id, actor, time."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid

from google.protobuf.message import Message

from frontend.auth.callers import Caller
from frontend.commands import validation
from frontend.replica import Replica
from frontend.state import events
from protos.v1.command_pb2 import Command

_LARGE_BYTES = 4096
"""What apply would refuse costs the log nothing from this size on; below, looking at each request
twice would cost more than the few bytes."""


_AHEAD_MAX_MS = 5 * 60 * 1000

log = logging.getLogger(__name__)


class Mutations:
    """Turns requests into commands and proposes them."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._newest_ms = newest_event_ms(replica)

    def submit(self, caller: Caller, request_id: str, **op: object) -> asyncio.Future[bytes]:
        """
        Proposes the command whose one field of the oneof is *op*; the future gives the
        serialized answer. Rejected when *request_id* is empty: an id made here would be another
        one when the request is sent again, and the change would be made twice.
        """
        command = Command(
            request_id=checked(request_id),
            actor=caller.actor,
            admin=caller.admin,
            at_ms=self.now_ms(),
            **op,  # type: ignore[arg-type]
        )
        if command.ByteSize() > _LARGE_BYTES:
            for request in op.values():
                assert isinstance(request, Message)
                validation.texts(request)
        return self._replica.submit(command)

    def internal(self, actor: str, **op: object) -> asyncio.Future[bytes]:
        """The same for what the front-end asks of itself."""
        return self._replica.submit(
            Command(
                request_id=uuid.uuid4().hex,
                actor=actor,
                admin=True,
                at_ms=self.now_ms(),
                **op,  # type: ignore[arg-type]
            )
        )

    def now_ms(self) -> int:
        """The wall clock, except that it does not go back when the clock is set right, not even
        over a restart. From an absurd time it does: else one jump ahead would put off every
        expiry for good."""
        wall_ms = time.time_ns() // 1_000_000
        if self._newest_ms > wall_ms + _AHEAD_MAX_MS:
            log.warning(
                "the newest change is %d s ahead of this machine's clock: going on by the clock",
                (self._newest_ms - wall_ms) // 1000,
            )
            self._newest_ms = wall_ms
        self._newest_ms = now = max(self._newest_ms, wall_ms)
        return now


def checked(request_id: str) -> str:
    """Refused here already, so that nothing without an id comes into the log."""
    validation.request_id(request_id)
    return request_id


def newest_event_ms(replica: Replica) -> int:
    """When the newest event that this replica knows of was decided."""
    with replica.store.read() as txn:
        page, _ = events.page_before(txn, 0, 1)
    return page[0].time_ms if page else 0
