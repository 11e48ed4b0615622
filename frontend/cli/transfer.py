"""Sends an image file, with its checksum, progress on standard error and another try when the
replica that received it is lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frontend.cli.errors import CliError, usage
from frontend.cli.nouns import IMAGE
from frontend.cli.options import interactive

if TYPE_CHECKING:
    from frontend.cli.connection import Connection

CHUNK_BYTES = 1 << 20
_TRIES = 3
_TIMEOUT_S = 24 * 3600.0
"""Of one try: a slow line may take long, and the user can stop it at any time."""

Advance = Callable[[int], None]


def upload(connection: Connection, file: Path, **header: Any) -> Any:
    """Returns the Image. Raises CliError; a usage error if *file* cannot be read."""
    try:
        size = file.stat().st_size
        with _progress("checksum", size) as advance:
            digest = _sha256(file, advance)
        return _tries(connection, file, {**header, "sha256": digest, "size_bytes": size})
    except OSError as error:
        raise usage(f"cannot read {file}: {error.strerror}", "name a file you may read") from error


def _tries(connection: Connection, file: Path, header: dict[str, Any]) -> Any:
    """The same request id each time, so that a try whose answer was lost counts."""
    for attempt in range(_TRIES):
        try:
            return _send(connection, file, header)
        except CliError as error:
            if error.reason != "unavailable" or attempt == _TRIES - 1:
                raise
    raise AssertionError("the last try returns or raises")


def _send(connection: Connection, file: Path, header: dict[str, Any]) -> Any:
    wire = IMAGE.module
    first = wire.UploadImageHeader(**header)
    method = connection.method(IMAGE, "Upload")
    with _progress("upload", first.size_bytes) as advance, connection.failures(IMAGE, first):
        return method(_messages(file, wire, first, advance), timeout=_TIMEOUT_S)


def _messages(file: Path, wire: Any, header: Any, advance: Advance) -> Iterator[Any]:
    """The stream of one upload. gRPC takes the next message when there is room for it, so the
    bar shows what really went out."""
    yield wire.UploadImageRequest(header=header)
    with file.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            yield wire.UploadImageRequest(chunk=chunk)
            advance(len(chunk))


def _sha256(file: Path, advance: Advance) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


@contextmanager
def _progress(what: str, size: int) -> Iterator[Advance]:
    """A bar with rate and time left on a terminal; nothing elsewhere."""
    if not interactive():
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description:<8}"),
        BarColumn(bar_width=None),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=size)
        yield lambda count: progress.update(task, advance=count)
