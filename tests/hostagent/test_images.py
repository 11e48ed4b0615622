"""Base images come from any replica that has them, whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hostagent import images as module
from hostagent.images import ImageFetcher
from protos.v1.vm_pb2 import Disk
from storage.datastore import ImageStore
from storage.errors import StorageError
from tests.hostagent.replicas import Certificates, Replica

# Starts like a disk: with a boot sector.
IMAGE = bytes(510) + b"\x55\xaa" + random.Random(3).randbytes(1 << 20)
SHA256 = hashlib.sha256(IMAGE).hexdigest()
DISK = Disk(image_id=4, image_sha256=SHA256, image_size_bytes=len(IMAGE))


def play(
    directory: Path, scenario: Callable[[ImageFetcher, ImageStore, list[Replica]], Awaitable[None]]
) -> None:
    async def whole() -> None:
        certificates = Certificates()
        replicas = [Replica(certificates), Replica(certificates)]
        for replica in replicas:
            await replica.start()
        store = ImageStore(directory)
        fetcher = ImageFetcher(
            store, certificates.credentials(), lambda: [each.address for each in replicas]
        )
        try:
            await scenario(fetcher, store, replicas)
        finally:
            for replica in replicas:
                await replica.stop()

    asyncio.run(whole())


def test_image_is_fetched_from_whichever_replica_has_it(tmp_path: Path) -> None:
    async def scenario(fetcher: ImageFetcher, store: ImageStore, replicas: list[Replica]) -> None:
        replicas[1].images[SHA256] = IMAGE
        await fetcher.ensure(DISK)
        assert store.path(SHA256).read_bytes() == IMAGE
        before = len(replicas[0].reads + replicas[1].reads)
        await fetcher.ensure(DISK)
        assert len(replicas[0].reads + replicas[1].reads) == before

    play(tmp_path, scenario)


def test_guests_that_need_one_image_share_one_transfer(tmp_path: Path) -> None:
    async def scenario(fetcher: ImageFetcher, store: ImageStore, replicas: list[Replica]) -> None:
        for replica in replicas:
            replica.images[SHA256] = IMAGE
        await asyncio.gather(*(fetcher.ensure(DISK) for _ in range(8)))
        assert len(replicas[0].reads + replicas[1].reads) == 1

    play(tmp_path, scenario)


def test_broken_transfer_goes_on_from_the_other_replica(tmp_path: Path) -> None:
    async def scenario(fetcher: ImageFetcher, store: ImageStore, replicas: list[Replica]) -> None:
        for replica in replicas:
            replica.images[SHA256] = IMAGE
            replica.breaks_after = 700_000
        await fetcher.ensure(DISK)
        assert store.path(SHA256).read_bytes() == IMAGE
        offsets = replicas[0].reads + replicas[1].reads
        assert sorted(offsets)[0] == 0
        assert sorted(offsets)[1] >= 700_000

    play(tmp_path, scenario)


def test_replica_with_a_bad_copy_does_not_prevent_a_good_one(tmp_path: Path) -> None:
    async def scenario(fetcher: ImageFetcher, store: ImageStore, replicas: list[Replica]) -> None:
        replicas[0].images[SHA256] = b"x" * len(IMAGE)
        replicas[1].images[SHA256] = IMAGE
        await fetcher.ensure(DISK)
        assert store.path(SHA256).read_bytes() == IMAGE

    play(tmp_path, scenario)


def test_replica_that_stalls_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STALL_TIMEOUT_S", 0.2)

    class Stalling(Replica):
        async def ReadImage(self, request: object, context: object):  # type: ignore[no-untyped-def]
            await asyncio.Event().wait()
            yield

    async def scenario(fetcher: ImageFetcher, store: ImageStore, replicas: list[Replica]) -> None:
        await replicas[0].stop()
        replicas[0] = Stalling(replicas[1]._certificates)
        await replicas[0].start()
        replicas[1].images[SHA256] = IMAGE
        await fetcher.ensure(DISK)
        assert store.has(SHA256)

    play(tmp_path, scenario)


def test_image_that_nobody_has_tells_what_each_replica_said(tmp_path: Path) -> None:
    async def scenario(fetcher: ImageFetcher, store: ImageStore, replicas: list[Replica]) -> None:
        await replicas[0].stop()
        with pytest.raises(StorageError) as caught:
            await fetcher.ensure(DISK)
        text = str(caught.value)
        assert text.startswith("image 4 could not be fetched from any replica")
        assert f"{replicas[1].address}: no such image here" in text
        assert replicas[0].address in text

    play(tmp_path, scenario)
