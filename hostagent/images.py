"""Brings base images from the replicas into this host's store, from any that has them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence

import grpc.aio

from protos.channel import Credentials, open_aio_channel
from protos.errors import failure_of
from protos.v1 import image_pb2_grpc
from protos.v1.image_pb2 import ReadImageRequest
from protos.v1.vm_pb2 import Disk
from storage.datastore import ImageStore
from storage.errors import StorageError

log = logging.getLogger(__name__)

STALL_TIMEOUT_S = 20.0
"""A replica that sends nothing for this long is left for the next."""

_ROUNDS = 2
# A first part from a replica whose copy is bad shows only at the end; the second round starts
# from nothing.
_TRY_ANOTHER = frozenset({"checksum_mismatch", "size_mismatch", "image_invalid"})


class ImageFetcher:
    """Reads from the replicas at *addresses()* (their api ports)."""

    def __init__(
        self, store: ImageStore, credentials: Credentials, addresses: Callable[[], Sequence[str]]
    ) -> None:
        self._store = store
        self._credentials = credentials
        self._addresses = addresses

    async def ensure(self, disk: Disk) -> None:
        """
        The base image of *disk* is in the store, verified.

        Concurrent calls for one image share a transfer; an interrupted one goes on where it
        stopped, from whichever replica. Raises StorageError that tells what each replica said.
        """
        if self._store.has(disk.image_sha256):
            return
        said: dict[str, str] = {}
        for _ in range(_ROUNDS):
            # Any order: hosts that start together should not all ask the same replica.
            for address in random.sample(addresses := list(self._addresses()), len(addresses)):
                problem = await self._try(address, disk)
                if not problem:
                    return
                said[address] = problem
                log.warning("image %s from %s: %s", disk.image_sha256[:12], address, problem)
        raise StorageError(
            "image_missing",
            f"image {disk.image_id} could not be fetched from any replica ("
            + "; ".join(f"{address}: {problem}" for address, problem in sorted(said.items()))
            + ")",
            "see that a replica holds a good copy of it (skyraft image show), then recover the VM",
        )

    async def _try(self, address: str, disk: Disk) -> str:
        """Empty when the image is here now, else what went wrong with this replica."""

        async def open_at(offset: int) -> AsyncIterator[bytes]:
            async with open_aio_channel([address], self._credentials) as channel:
                stub = image_pb2_grpc.ImageServiceStub(channel)
                request = ReadImageRequest(sha256=disk.image_sha256, offset=offset)
                call = stub.ReadImage(request)
                try:
                    while True:
                        part = await asyncio.wait_for(call.read(), STALL_TIMEOUT_S)
                        if part is grpc.aio.EOF:
                            return
                        yield part.chunk
                finally:
                    call.cancel()

        try:
            await self._store.fetch(disk.image_sha256, disk.image_size_bytes, open_at)
        except grpc.aio.AioRpcError as err:
            return failure_of(err).message
        except TimeoutError:
            return f"nothing came for {STALL_TIMEOUT_S:g} s"
        except StorageError as err:
            if err.reason in _TRY_ANOTHER:
                return err.detail
            raise
        return ""
