"""The event log over gRPC. Users see what concerns objects that they may see; admins see all."""

from __future__ import annotations

from collections.abc import AsyncIterator

from frontend.api import pages
from frontend.api.follow import chosen, follow_events, require_kept
from frontend.auth.callers import Caller
from frontend.replica import Replica
from frontend.state import events
from protos.v1 import event_pb2 as wire


class EventService:
    def __init__(self, replica: Replica) -> None:
        self._replica = replica

    async def list_events(
        self, caller: Caller, request: wire.ListEventsRequest
    ) -> wire.ListEventsResponse:
        limit = pages.size(request.page_size)
        object_id = request.object_id if request.HasField("object_id") else None
        await self._replica.read(request.stale)
        with self._replica.store.read() as txn:
            match = chosen(txn, caller, request.noun, object_id)
            if request.descending:
                page, reached = events.page_before(txn, request.after_revision, limit, match)
            else:
                if request.after_revision:
                    require_kept(txn, request.after_revision)
                page, reached = events.page_after(txn, request.after_revision, limit, match)
        return wire.ListEventsResponse(events=page, next_revision=reached)

    def watch_events(
        self, caller: Caller, request: wire.WatchEventsRequest
    ) -> AsyncIterator[wire.WatchEventsResponse]:
        return follow_events(self._replica, caller, request)
