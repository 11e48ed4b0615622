"""
A directory of verified image files, each named by the SHA-256 of its bytes.

A file gets its name only after its bytes are counted, hashed, inspected and on disk, so whatever
has such a name is whole and safe to use as a base. Names never change their content: copies on
other machines can be compared by name alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from storage.errors import StorageError, from_os_error
from storage.formats import Format, ImageInfo
from storage.inspection import inspect
from storage.part import Chunks, Part, sync_directory
from storage.threads import in_thread

CHUNK_BYTES = 256 << 10
"""What readers hand out at a time: well below gRPC's 4 MiB message limit."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A verified file of the store; sizes in bytes."""

    sha256: str
    path: Path
    format: Format
    size_bytes: int
    virtual_size_bytes: int


class ImageStore:
    """One per directory. Safe to use from one event loop and any number of threads."""

    def __init__(self, directory: Path, *, reserve_bytes: int = 64 << 20) -> None:
        """
        Makes *directory* if need be and removes uploads that a crash left behind.

        *reserve_bytes* of the disk are never filled: the machine needs them for its own log.
        """
        self._directory = directory.absolute()
        self._incoming = self._directory / "incoming"
        self._reserve_bytes = reserve_bytes
        self._fetching: dict[str, asyncio.Lock] = {}
        try:
            self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self._incoming.glob("upload-*"):
                left.unlink(missing_ok=True)
        except OSError as err:
            raise from_os_error(err, f"opening the datastore {directory}") from err

    # What is there.

    def has(self, sha256: str) -> bool:
        return self._file(sha256).exists()

    def path(self, sha256: str) -> Path:
        """Absolute path of the read-only file; StorageError image_missing when not here."""
        path = self._file(sha256)
        if not path.exists():
            raise StorageError(
                "image_missing",
                f"image {sha256[:12]} is not in {self._directory}",
                "fetch it from a replica that has it",
            )
        return path

    def list(self) -> list[str]:
        """Names (SHA-256) of all images, sorted."""
        return sorted(p.name for p in self._directory.iterdir() if _SHA256.fullmatch(p.name))

    def size_bytes(self, sha256: str) -> int:
        return self.path(sha256).stat().st_size

    def free_bytes(self) -> int:
        """What may still be written here, the reserve left out."""
        return max(0, shutil.disk_usage(self._directory).free - self._reserve_bytes)

    def inspect(self, sha256: str) -> ImageInfo:
        """Format and sizes. Blocking."""
        return inspect(self.path(sha256))

    def verify(self, sha256: str) -> None:
        """Reads the whole file again; StorageError checksum_mismatch if the disk lost bits."""
        digest = hashlib.sha256()
        for chunk in self.open(sha256):
            digest.update(chunk)
        if digest.hexdigest() != sha256:
            raise StorageError(
                "checksum_mismatch",
                f"image {sha256[:12]} has changed on disk",
                "delete it here and fetch it again from another replica",
            )

    def delete(self, sha256: str) -> bool:
        """True if it was there. Its partial download, if any, goes too."""
        existed = self.has(sha256)
        try:
            self._partial(sha256).unlink(missing_ok=True)
            self._file(sha256).unlink(missing_ok=True)
            sync_directory(self._directory)
        except OSError as err:
            raise from_os_error(err, f"deleting image {sha256[:12]}") from err
        return existed

    # Reading.

    def open(self, sha256: str, offset: int = 0) -> Iterator[bytes]:
        """The bytes from *offset* on, a chunk at a time. Blocking."""
        with self.path(sha256).open("rb") as file:
            file.seek(offset)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    async def read(self, sha256: str, offset: int = 0) -> AsyncIterator[bytes]:
        """As open(), for an event loop."""
        file = await in_thread(self.path(sha256).open, "rb")
        try:
            file.seek(offset)
            while chunk := await in_thread(file.read, CHUNK_BYTES):
                yield chunk
        finally:
            file.close()

    # Writing.

    async def add(self, chunks: Chunks, *, sha256: str = "", size_bytes: int = 0) -> StoredImage:
        """
        Stores what *chunks* give. *sha256* and *size_bytes* are checked when given.

        StorageError: disk_full (at once when *size_bytes* does not fit), checksum_mismatch,
        size_mismatch, image_invalid, image_unsafe. Nothing is left behind on any failure.
        Adding what is there already succeeds.
        """
        self.require_room(size_bytes)
        path = self._incoming / f"upload-{secrets.token_hex(8)}"
        try:
            with Part(path) as part:
                await part.receive(chunks, size_bytes, self.require_room)
            return await in_thread(self._accept, path, part, sha256, size_bytes)
        finally:
            path.unlink(missing_ok=True)

    async def fetch(
        self, sha256: str, size_bytes: int, open_at: Callable[[int], AsyncIterable[bytes]]
    ) -> StoredImage:
        """
        Makes sure that the image is here; *open_at(offset)* gives its bytes from there on.

        Goes on where an earlier call was interrupted, also by a crash. Concurrent calls for one
        image share one transfer. Whatever *open_at* raises is passed on and the part that
        arrived is kept. StorageError as add(); a part that proves wrong is dropped.
        """
        async with self._fetching.setdefault(sha256, asyncio.Lock()):
            if self.has(sha256):
                return await in_thread(self._describe, sha256)
            path = self._partial(sha256)
            with Part(path) as part:
                await in_thread(part.resume, size_bytes)
                self.require_room(size_bytes - part.length)
                if part.length < size_bytes:
                    await part.receive(open_at(part.length), size_bytes, self.require_room)
            if part.length < size_bytes:
                raise StorageError(
                    "size_mismatch", f"got {part.length} of {size_bytes} bytes", "fetch again"
                )
            try:
                return await in_thread(self._accept, path, part, sha256, size_bytes)
            finally:
                path.unlink(missing_ok=True)

    def require_room(self, more_bytes: int) -> None:
        """StorageError disk_full unless *more_bytes* fit."""
        free = self.free_bytes()
        if more_bytes > free or free == 0:
            raise StorageError(
                "disk_full",
                f"the image needs {more_bytes >> 20} MiB, {self._directory} has {free >> 20} MiB "
                f"to give ({self._reserve_bytes >> 20} MiB are kept free)",
                "free some space or move the datastore to a larger disk, then try again",
            )

    def _accept(self, path: Path, part: Part, sha256: str, size_bytes: int) -> StoredImage:
        """Gives a complete file its name, if it deserves one."""
        if size_bytes and part.length != size_bytes:
            raise StorageError(
                "size_mismatch",
                f"got {part.length} bytes, {size_bytes} were announced",
                "send again",
            )
        if sha256 and part.sha256 != sha256.lower():
            raise StorageError(
                "checksum_mismatch",
                f"the bytes' SHA-256 is {part.sha256}, {sha256:.80} was announced",
                "check the announced value, or send again",
            )
        info = inspect(path)
        final = self._file(part.sha256)
        try:
            path.chmod(0o400)
            path.rename(final)
            sync_directory(self._directory)
        except OSError as err:
            raise from_os_error(err, f"storing image {part.sha256[:12]}") from err
        return _stored(final, info)

    def _describe(self, sha256: str) -> StoredImage:
        return _stored(self.path(sha256), self.inspect(sha256))

    def _file(self, sha256: str) -> Path:
        # The name comes from the network: anything but a hash could climb out of the directory.
        if not _SHA256.fullmatch(sha256):
            raise StorageError("image_missing", f"{sha256!r:.80} is not a SHA-256")
        return self._directory / sha256

    def _partial(self, sha256: str) -> Path:
        return self._incoming / f"{self._file(sha256).name}.part"


def _stored(path: Path, info: ImageInfo) -> StoredImage:
    return StoredImage(path.name, path, info.format, info.size_bytes, info.virtual_size_bytes)
