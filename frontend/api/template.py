"""Templates over gRPC. Everybody may read them; commands/template.py says who may change them."""

from __future__ import annotations

import asyncio

from frontend.api import pages
from frontend.api.mutation import Mutations
from frontend.auth.callers import Caller
from frontend.errors import Rejected
from frontend.replica import Replica
from frontend.state import events, templates
from protos.v1 import template_pb2 as wire


class TemplateService:
    def __init__(self, replica: Replica, mutations: Mutations) -> None:
        self._replica, self._submit = replica, mutations.submit

    def create_template(
        self, caller: Caller, request: wire.CreateTemplateRequest
    ) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, create_template=request)

    def update_template(
        self, caller: Caller, request: wire.UpdateTemplateRequest
    ) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, update_template=request)

    def delete_template(
        self, caller: Caller, request: wire.DeleteTemplateRequest
    ) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, delete_template=request)

    async def get_template(self, caller: Caller, request: wire.GetTemplateRequest) -> wire.Template:
        await self._replica.read(request.stale)
        with self._replica.store.read() as txn:
            found = templates.get(txn, request.id)
        if found is None:
            raise Rejected("not_found", f"there is no template {request.id}", "id")
        return found

    async def list_templates(
        self, caller: Caller, request: wire.ListTemplatesRequest
    ) -> wire.ListTemplatesResponse:
        limit, after = pages.size(request.page_size), pages.start(request.page_token)
        await self._replica.read(request.stale)
        with self._replica.store.read() as txn:
            rows = templates.list_page(txn, after, limit + 1)
            revision = events.last_revision(txn)
        page, more = pages.cut(rows, limit)
        return wire.ListTemplatesResponse(templates=page, next_page_token=more, revision=revision)
