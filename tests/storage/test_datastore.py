"""The image store keeps whole, verified files under their hashes, and nothing else."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.datastore import ImageStore
from storage.errors import StorageError
from tests.storage.disk_images import raw_image

IMAGE = raw_image(2048)
SHA256 = hashlib.sha256(IMAGE).hexdigest()


def pieces(content: bytes, size: int = 100_000) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


class Source:
    """Serves an image from an offset and can break off after some bytes."""

    def __init__(self, content: bytes = IMAGE) -> None:
        self.content = content
        self.break_after: int | None = None
        self.asked: list[int] = []

    async def open_at(self, offset: int) -> AsyncIterator[bytes]:
        self.asked.append(offset)
        sent = 0
        for piece in pieces(self.content[offset:]):
            if self.break_after is not None and sent >= self.break_after:
                raise ConnectionResetError("the link went down")
            yield piece
            sent += len(piece)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images", reserve_bytes=0)


def files(store: ImageStore) -> list[str]:
    return sorted(p.name for p in store._directory.rglob("*") if p.is_file())


def add_reason(store: ImageStore, chunks: list[bytes], **checks) -> str:
    with pytest.raises(StorageError) as refused:
        asyncio.run(store.add(chunks, **checks))
    return refused.value.reason


def test_added_image_is_kept_under_its_hash(store):
    stored = asyncio.run(store.add(pieces(IMAGE), sha256=SHA256, size_bytes=len(IMAGE)))
    assert (stored.sha256, stored.size_bytes, stored.format) == (SHA256, len(IMAGE), "raw")
    assert stored.path.read_bytes() == IMAGE
    assert stored.path.stat().st_mode & 0o777 == 0o400
    assert (store.list(), store.has(SHA256), store.size_bytes(SHA256)) == (
        [SHA256],
        True,
        len(IMAGE),
    )


def test_async_source_is_taken_too(store):
    assert asyncio.run(store.add(Source().open_at(0))).sha256 == SHA256


def test_adding_twice_is_success(store):
    for _ in range(2):
        asyncio.run(store.add(pieces(IMAGE)))
    assert files(store) == [SHA256]


def test_reading_goes_on_from_an_offset(store):
    async def tail() -> bytes:
        return b"".join([chunk async for chunk in store.read(SHA256, 5000)])

    asyncio.run(store.add(pieces(IMAGE)))
    assert asyncio.run(tail()) == IMAGE[5000:]
    assert b"".join(store.open(SHA256, 600_000)) == IMAGE[600_000:]


@pytest.mark.parametrize(
    ("content", "checks", "reason"),
    [
        (IMAGE, {"sha256": "0" * 64}, "checksum_mismatch"),
        (IMAGE, {"size_bytes": len(IMAGE) + 1}, "size_mismatch"),
        (IMAGE, {"size_bytes": len(IMAGE) - 1}, "size_mismatch"),
        (b"not an image", {}, "image_invalid"),
        (b"", {}, "image_invalid"),
        (IMAGE, {"size_bytes": 1 << 60}, "disk_full"),
    ],
)
def test_refused_upload_leaves_nothing_behind(store, content, checks, reason):
    assert add_reason(store, pieces(content), **checks) == reason
    assert files(store) == []


def test_source_that_fails_leaves_nothing_behind(store):
    source = Source()
    source.break_after = 200_000
    with pytest.raises(ConnectionResetError):
        asyncio.run(store.add(source.open_at(0)))
    assert files(store) == []


def test_cancelled_upload_leaves_nothing_behind(store):
    async def stall() -> AsyncIterator[bytes]:
        yield IMAGE[:1000]
        await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.ensure_future(store.add(stall()))
        while not any(name.startswith("upload-") for name in files(store)):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert files(store) == []


def test_full_disk_is_named_and_cleaned_up(store, monkeypatch):
    def full(fd: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StorageError) as refused:
        asyncio.run(store.add(pieces(IMAGE)))
    assert (refused.value.reason, refused.value.code) == ("disk_full", "resource_exhausted")
    assert "No space left" in refused.value.detail
    assert files(store) == []


def test_reserve_is_never_filled(tmp_path):
    assert add_reason(ImageStore(tmp_path, reserve_bytes=1 << 60), [IMAGE]) == "disk_full"


def test_crashed_upload_is_removed_at_start_and_partial_fetch_kept(store):
    (store._incoming / "upload-1234").write_bytes(b"x")
    (store._incoming / f"{SHA256}.part").write_bytes(IMAGE[:1000])
    assert files(ImageStore(store._directory)) == [f"{SHA256}.part"]


def test_interrupted_fetch_goes_on_where_it_stopped(store):
    source = Source()
    source.break_after = 300_000
    with pytest.raises(ConnectionResetError):
        asyncio.run(store.fetch(SHA256, len(IMAGE), source.open_at))
    assert store._partial(SHA256).stat().st_size == 300_000
    source.break_after = None
    asyncio.run(ImageStore(store._directory).fetch(SHA256, len(IMAGE), source.open_at))
    assert source.asked == [0, 300_000]
    assert store.path(SHA256).read_bytes() == IMAGE
    assert files(store) == [SHA256]


def test_fetch_of_what_ends_early_can_go_on(store):
    with pytest.raises(StorageError, match="of 1048576 bytes"):
        asyncio.run(store.fetch(SHA256, len(IMAGE), Source(IMAGE[:5000]).open_at))
    assert store._partial(SHA256).stat().st_size == 5000
    asyncio.run(store.fetch(SHA256, len(IMAGE), Source().open_at))
    assert store.has(SHA256)


def test_wrong_bytes_are_dropped_so_that_the_next_fetch_starts_anew(store):
    wrong = b"x" + IMAGE[1:]
    with pytest.raises(StorageError) as refused:
        asyncio.run(store.fetch(SHA256, len(IMAGE), Source(wrong).open_at))
    assert refused.value.reason == "checksum_mismatch"
    assert files(store) == []


def test_fetches_of_one_image_share_one_transfer(store):
    source = Source()

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(store.fetch(SHA256, len(IMAGE), source.open_at))

    asyncio.run(both())
    assert source.asked == [0]


def test_cancelled_fetch_reads_no_file_of_others(store, monkeypatch):
    store._partial(SHA256).write_bytes(IMAGE[:300_000])
    reading, go_on = threading.Event(), threading.Event()
    real_read = os.read

    def slow(fd: int, size: int) -> bytes:
        if threading.current_thread() is not threading.main_thread():
            reading.set()
            go_on.wait(20)
        return real_read(fd, size)

    monkeypatch.setattr(os, "read", slow)
    innocent = store._directory / "innocent"
    innocent.write_bytes(IMAGE)

    async def cancelled() -> int:
        fetch = asyncio.ensure_future(store.fetch(SHA256, len(IMAGE), Source().open_at))
        await asyncio.to_thread(reading.wait, 20)
        fetch.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        # Would get the number of a descriptor that was closed.
        fd = os.open(innocent, os.O_RDONLY)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await fetch
        return fd

    # Its end waits for threads that are left over, if there are any.
    fd = asyncio.run(cancelled())
    try:
        assert os.lseek(fd, 0, os.SEEK_CUR) == 0
    finally:
        os.close(fd)
    assert store._partial(SHA256).stat().st_size == 300_000


def test_lost_bits_are_found(store):
    path = asyncio.run(store.add(pieces(IMAGE))).path
    store.verify(SHA256)
    path.chmod(0o600)
    path.write_bytes(b"y" + IMAGE[1:])
    with pytest.raises(StorageError) as refused:
        store.verify(SHA256)
    assert refused.value.reason == "checksum_mismatch"


def test_deleting_twice_is_success(store):
    asyncio.run(store.add(pieces(IMAGE)))
    assert (store.delete(SHA256), store.delete(SHA256)) == (True, False)
    assert files(store) == []


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "/etc/passwd", "a" * 63, "A" * 64])
def test_name_that_is_no_hash_is_refused(store, name):
    for call in (store.path, store.has, store.delete):
        with pytest.raises(StorageError) as refused:
            call(name)
        assert refused.value.code == "not_found"
