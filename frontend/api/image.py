"""Images over gRPC: their records in the state, their bytes in this replica's datastore."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from frontend.api import pages
from frontend.api.enrolled import require_enrolled
from frontend.api.image_files import ImageFiles
from frontend.api.imports import Imports
from frontend.api.mutation import Mutations
from frontend.auth.callers import Caller
from frontend.commands import validation
from frontend.errors import Rejected
from frontend.replica import Replica
from frontend.state import events, images, results
from protos.identity import HOST
from protos.v1 import image_pb2 as wire
from protos.v1.command_pb2 import RegisterImage

Requests = AsyncIterator[wire.UploadImageRequest]


class ImageService:
    def __init__(
        self, replica: Replica, mutations: Mutations, files: ImageFiles, imports: Imports
    ) -> None:
        self._replica, self._submit = replica, mutations.submit
        self._files, self._imports = files, imports

    async def upload_image(self, caller: Caller, requests: Requests) -> bytes:
        """Stored and inspected here first, registered then: an image that is known exists."""
        header = await _header(requests)
        if header.sha256:
            validation.sha256(header.sha256, "sha256")
        await self._require_free_name(header)
        async with self._files.added(
            _chunks(requests), sha256=header.sha256, size_bytes=header.size_bytes
        ) as stored:
            register = RegisterImage(
                name=header.name,
                description=header.description,
                format=self._files.format_of(stored),
                size_bytes=stored.size_bytes,
                virtual_size_bytes=stored.virtual_size_bytes,
                sha256=stored.sha256,
                replica_id=self._replica.id,
                labels=header.labels,
                copies_wanted=self._files.copies_wanted,
            )
            return await self._submit(caller, header.request_id, register_image=register)

    async def import_image(self, caller: Caller, request: wire.ImportImageRequest) -> bytes:
        if request.sha256:
            validation.sha256(request.sha256, "sha256")
        await self._imports.require_fetchable(caller, request.url)
        register = RegisterImage(
            name=request.name,
            description=request.description,
            labels=request.labels,
            copies_wanted=self._files.copies_wanted,
        )
        payload = await self._submit(caller, request.request_id, register_image=register)
        self._imports.begin(caller, wire.Image.FromString(payload), request)
        return payload

    def update_image(
        self, caller: Caller, request: wire.UpdateImageRequest
    ) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, update_image=request)

    def delete_image(
        self, caller: Caller, request: wire.DeleteImageRequest
    ) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, delete_image=request)

    async def get_image(self, caller: Caller, request: wire.GetImageRequest) -> wire.Image:
        await self._replica.read(request.stale)
        with self._replica.store.read() as txn:
            found = images.get(txn, request.id)
        if found is None:
            raise Rejected("not_found", f"there is no image {request.id}", "id")
        return found

    async def list_images(
        self, caller: Caller, request: wire.ListImagesRequest
    ) -> wire.ListImagesResponse:
        limit, after = pages.size(request.page_size), pages.start(request.page_token)
        await self._replica.read(request.stale)
        with self._replica.store.read() as txn:
            rows = images.list_page(txn, after, limit + 1)
            revision = events.last_revision(txn)
        page, more = pages.cut(rows, limit)
        return wire.ListImagesResponse(images=page, next_page_token=more, revision=revision)

    async def read_image(
        self, caller: Caller, request: wire.ReadImageRequest
    ) -> AsyncIterator[wire.ReadImageResponse]:
        if caller.kind == HOST:
            await require_enrolled(self._replica, caller)
        size = self._files.size_bytes(request.sha256)
        if request.offset > size:
            raise Rejected(
                "out_of_range", f"offset {request.offset} is beyond the {size} bytes", "offset"
            )
        yield wire.ReadImageResponse(size_bytes=size)
        async for chunk in self._files.read(request.sha256, request.offset):
            yield wire.ReadImageResponse(chunk=chunk)

    async def _require_free_name(self, header: wire.UploadImageHeader) -> None:
        """Refuses at once what registering would refuse after gigabytes were sent."""
        validation.object_name(header.name)
        await self._replica.read()
        with self._replica.store.read() as txn:
            taken = images.names.find(txn, header.name)
            # Its own image has the name when an upload is repeated.
            repeated = results.find(txn, header.request_id) is not None
        if taken is not None and not repeated:
            raise Rejected("already_exists", f"image {taken} has the name {header.name}", "name")


async def _header(requests: Requests) -> wire.UploadImageHeader:
    async for request in requests:
        if request.WhichOneof("part") == "header":
            return request.header
        break
    raise Rejected("invalid_argument", "the first message must be the header", "header")


async def _chunks(requests: Requests) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("part") != "chunk":
            raise Rejected("invalid_argument", "after the header only chunks follow", "chunk")
        yield request.chunk
