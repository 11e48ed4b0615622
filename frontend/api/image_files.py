"""
This replica's image files, and every replica's wish to have a copy of each image.

Runs on all replicas. A file goes when no image in the state has its content any more; a file that
is being registered is held until the state knows of it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import grpc
import grpc.aio

from frontend.api.leader_calls import translated
from frontend.api.mutation import Mutations
from frontend.errors import Rejected, Unavailable
from frontend.replica import Replica
from frontend.state import images
from protos.channel import Credentials, open_aio_channel
from protos.v1 import image_pb2 as wire
from protos.v1.command_pb2 import AddImageCopy
from protos.v1.image_pb2_grpc import ImageServiceStub
from storage.datastore import ImageStore, StoredImage
from storage.errors import StorageError
from storage.formats import Format

log = logging.getLogger(__name__)

COPIES_WANTED = 2
"""Copies on different replicas before an image may be used, so that one loss costs none."""

_FORMATS: dict[Format, wire.ImageFormat] = {
    "raw": wire.IMAGE_FORMAT_RAW,
    "qcow2": wire.IMAGE_FORMAT_QCOW2,
}
_LOOK_PAUSE_S = 0.1
_RETRY_PAUSE_S = 5.0
_STRAY_AGE_S = 3600.0
"""A file that no image was ever seen to need goes when it is this old: a registration may have
been under way when the process before this one ended."""


class ImageFiles:
    def __init__(
        self,
        replica: Replica,
        mutations: Mutations,
        store: ImageStore,
        credentials: Credentials,
        api_addresses: Mapping[str, str],
    ) -> None:
        """*api_addresses* of all replicas, by id; *credentials* are this replica's own."""
        self._replica, self._mutations, self._store = replica, mutations, store
        self._credentials, self._addresses = credentials, dict(api_addresses)
        self._held: Counter[str] = Counter()
        self._needed: set[str] | None = None
        self.copies_wanted = min(COPIES_WANTED, len(self._addresses))

    # For the service.

    @asynccontextmanager
    async def added(
        self, chunks: AsyncIterable[bytes], *, sha256: str = "", size_bytes: int = 0
    ) -> AsyncIterator[StoredImage]:
        """Stores *chunks*; the file stays at least until the block ends. StorageError."""
        stored = await self._store.add(chunks, sha256=sha256, size_bytes=size_bytes)
        self._held[stored.sha256] += 1
        try:
            yield stored
            # What the block proposed is in the state now, but perhaps not in our view of it.
            await self._replica.read()
        finally:
            self._held[stored.sha256] -= 1
            # Makes the next look differ, in case nobody needs the file after all.
            self._needed = {*(self._needed or ()), stored.sha256}

    @staticmethod
    def format_of(stored: StoredImage) -> wire.ImageFormat:
        return _FORMATS[stored.format]

    def size_bytes(self, sha256: str) -> int:
        return self._store.size_bytes(sha256)

    def read(self, sha256: str, offset: int) -> AsyncIterator[bytes]:
        return self._store.read(sha256, offset)

    # By itself.

    async def run(self) -> None:
        """Copies what is missing here and removes what nobody needs, until cancelled."""
        await self._catch_up()
        while True:
            seen = self._replica.revision
            began = time.perf_counter()
            missing = self._look()
            # Never more than a few percent of the time, however many images there are.
            pause_s = max(_LOOK_PAUSE_S, 30 * (time.perf_counter() - began))
            whole = True
            for image in missing:
                whole = await self._obtain(image) and whole
            await asyncio.sleep(pause_s if whole else _RETRY_PAUSE_S)
            if whole:
                await self._replica.wait_revision(seen)

    async def _catch_up(self) -> None:
        """A state from before a restart may lack the very image whose only copy is here."""
        while True:
            try:
                return await self._replica.read()
            except Unavailable:
                await asyncio.sleep(_LOOK_PAUSE_S)

    def _look(self) -> list[wire.Image]:
        """Removes what nobody needs; returns the images of which no copy is here."""
        with self._replica.store.read() as txn:
            known = images.list_page(txn, limit=sys.maxsize, keep=lambda image: bool(image.sha256))
        needed = {image.sha256 for image in known}
        if needed != self._needed:
            self._remove_unneeded(needed)
        return [image for image in known if self._lacks(image)]

    def _lacks(self, image: wire.Image) -> bool:
        if image.state == wire.IMAGE_STATE_ERROR:
            return False
        return self._replica.id not in image.replica_ids or not self._store.has(image.sha256)

    async def _obtain(self, image: wire.Image) -> bool:
        """False: not now, worth another try."""
        sources = [name for name in image.replica_ids if name != self._replica.id]
        # Not all from the same one when several replicas copy from two.
        sources.sort(key=lambda name: (int(name) - int(self._replica.id)) % 1000)
        for source in sources or [""]:
            try:
                stored = await self._store.fetch(
                    image.sha256, image.size_bytes, partial(self._from, source, image)
                )
                if self._replica.id not in image.replica_ids:
                    await self.add_copy(image.id, stored)
                return True
            except (Rejected, Unavailable, StorageError) as error:
                log.warning("image %d not copied from replica %s: %s", image.id, source, error)
                if isinstance(error, Rejected) and error.code == "not_found":
                    return True
        return False

    async def _from(self, source: str, image: wire.Image, offset: int) -> AsyncIterator[bytes]:
        address = self._addresses.get(source)
        if address is None:
            raise Unavailable(f"no replica is known to have image {image.id}")
        async with open_aio_channel([address], self._credentials) as channel:
            call = ImageServiceStub(channel).ReadImage(
                wire.ReadImageRequest(sha256=image.sha256, offset=offset)
            )
            try:
                async for part in call:
                    if part.chunk:
                        yield part.chunk
            except grpc.RpcError as error:
                raise translated(error) from None

    async def add_copy(self, image_id: int, stored: StoredImage) -> None:
        """Tells the others that a verified copy is here. Rejected, Unavailable."""
        copy = AddImageCopy(
            image_id=image_id,
            replica_id=self._replica.id,
            sha256=stored.sha256,
            format=self.format_of(stored),
            size_bytes=stored.size_bytes,
            virtual_size_bytes=stored.virtual_size_bytes,
        )
        await self._mutations.internal(f"replica/{self._replica.id}", add_image_copy=copy)

    def _remove_unneeded(self, needed: set[str]) -> None:
        oldest = time.time() - _STRAY_AGE_S
        for sha256 in self._store.list():
            if sha256 in needed or self._held[sha256] > 0:
                continue
            if sha256 in (self._needed or ()) or self._store.path(sha256).stat().st_mtime < oldest:
                log.info("no image needs %s any more: removing it", sha256[:12])
                self._store.delete(sha256)
        self._needed = needed | {sha256 for sha256, held in self._held.items() if held > 0}
        self._held = +self._held
