"""Hosts over gRPC. They come by enrolment (api/agent.py), not by a call of this service."""

from __future__ import annotations

import asyncio

from frontend.api import pages
from frontend.api.mutation import Mutations
from frontend.auth.callers import Caller
from frontend.errors import Rejected
from frontend.replica import Replica
from frontend.state import events, hosts
from protos.v1 import host_pb2 as wire


class HostService:
    def __init__(self, replica: Replica, mutations: Mutations) -> None:
        self._replica, self._submit = replica, mutations.submit

    def update_host(self, caller: Caller, request: wire.UpdateHostRequest) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, update_host=request)

    def delete_host(self, caller: Caller, request: wire.DeleteHostRequest) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, delete_host=request)

    async def get_host(self, caller: Caller, request: wire.GetHostRequest) -> wire.Host:
        await self._replica.read(request.stale)
        with self._replica.store.read() as txn:
            found = hosts.get(txn, request.id)
        if found is None:
            raise Rejected("not_found", f"there is no host {request.id}", "id")
        return found

    async def list_hosts(
        self, caller: Caller, request: wire.ListHostsRequest
    ) -> wire.ListHostsResponse:
        limit, after = pages.size(request.page_size), pages.start(request.page_token)
        await self._replica.read(request.stale)
        with self._replica.store.read() as txn:
            rows = hosts.list_page(txn, after, limit + 1)
            revision = events.last_revision(txn)
        page, more = pages.cut(rows, limit)
        return wire.ListHostsResponse(hosts=page, next_page_token=more, revision=revision)
