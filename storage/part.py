"""A file that is still arriving: counted, hashed and written a chunk at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from pathlib import Path
from types import TracebackType

from storage.errors import StorageError, from_os_error
from storage.threads import in_thread

Chunks = AsyncIterable[bytes] | Iterable[bytes]

_READ_BYTES = 1 << 20
_ROOM_CHECK_BYTES = 16 << 20


class Part:
    """Opens or goes on with *path*. Blocking work is done in threads by receive() alone."""

    def __init__(self, path: Path) -> None:
        self._digest = hashlib.sha256()
        self.length = 0
        """Bytes on disk."""
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as err:
            raise from_os_error(err, "opening a file for the image") from err

    def __enter__(self) -> Part:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None
    ) -> None:
        os.close(self._fd)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def resume(self, limit_bytes: int) -> None:
        """Hashes what an earlier transfer left. A part that is too long is begun anew."""
        try:
            if os.fstat(self._fd).st_size > limit_bytes:
                os.ftruncate(self._fd, 0)
            while chunk := os.read(self._fd, _READ_BYTES):
                self._digest.update(chunk)
                self.length += len(chunk)
        except OSError as err:
            raise from_os_error(err, "reading a partial image") from err

    async def receive(
        self, chunks: Chunks, limit_bytes: int, require_room: Callable[[int], None]
    ) -> None:
        """
        Appends all *chunks* and syncs. *require_room* is asked now and then whether to go on.

        StorageError size_mismatch when more than *limit_bytes* (0: no limit) come, disk_full,
        io_error. What the source raises passes through.
        """
        checked = self.length
        async for chunk in _each(chunks):
            if limit_bytes and self.length + len(chunk) > limit_bytes:
                raise StorageError(
                    "size_mismatch", f"more than the announced {limit_bytes} bytes", "send again"
                )
            if self.length - checked > _ROOM_CHECK_BYTES:
                require_room(0)
                checked = self.length
            await in_thread(self._take, chunk)
        await in_thread(self._sync)

    def _take(self, chunk: bytes) -> None:
        try:
            left = memoryview(chunk)
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError as err:
            raise from_os_error(err, "writing the image") from err
        self._digest.update(chunk)
        self.length += len(chunk)

    def _sync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as err:
            raise from_os_error(err, "writing the image") from err


async def _each(chunks: Chunks) -> AsyncIterator[bytes]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        for chunk in chunks:
            yield chunk


def sync_file(path: Path) -> None:
    """Puts what others wrote to *path* on disk, before a rename tells that it is whole."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(directory: Path) -> None:
    """Makes a rename or removal in *directory* survive a power cut."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
