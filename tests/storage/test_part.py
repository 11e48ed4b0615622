"""A file that arrives in pieces, over several attempts."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from storage.errors import StorageError
from storage.part import Part


def anything_goes(more_bytes: int) -> None:
    assert more_bytes == 0


def receive(part: Part, *chunks: bytes, limit: int = 0) -> None:
    asyncio.run(part.receive(chunks, limit, anything_goes))


def test_hash_covers_what_an_earlier_attempt_left(tmp_path):
    with Part(tmp_path / "a") as part:
        receive(part, b"one ", b"two ")
    with Part(tmp_path / "a") as part:
        part.resume(100)
        assert part.length == 8
        receive(part, b"three")
    assert part.sha256 == hashlib.sha256(b"one two three").hexdigest()
    assert (tmp_path / "a").read_bytes() == b"one two three"


def test_leftover_longer_than_the_file_is_begun_anew(tmp_path):
    (tmp_path / "a").write_bytes(b"much too long")
    with Part(tmp_path / "a") as part:
        part.resume(4)
        assert part.length == 0
        receive(part, b"four")
    assert (tmp_path / "a").read_bytes() == b"four"


def test_bytes_over_the_limit_are_not_written(tmp_path):
    with Part(tmp_path / "a") as part, pytest.raises(StorageError) as refused:
        receive(part, b"1234", b"5", limit=4)
    assert refused.value.reason == "size_mismatch"
    assert (tmp_path / "a").read_bytes() == b"1234"


def test_room_is_asked_for_on_the_way(tmp_path):
    def full(more_bytes: int) -> None:
        raise StorageError("disk_full", "no room")

    with Part(tmp_path / "a") as part, pytest.raises(StorageError, match="no room"):
        asyncio.run(part.receive([bytes(9 << 20)] * 3, 0, full))


def test_directory_that_is_gone_is_named(tmp_path):
    with pytest.raises(StorageError, match="opening a file"):
        Part(tmp_path / "gone" / "a")
