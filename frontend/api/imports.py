"""
Images fetched from a URL by the replica that was asked to.

An import is not replicated work: the replica that began it ends it, with a copy or with a failure.
If that replica dies, the leader declares the import failed after a while (leader/expiry.py), and
the replica itself does so when it is back.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from frontend.api.image_files import ImageFiles
from frontend.api.mutation import Mutations
from frontend.auth.callers import Caller
from frontend.errors import Rejected, Unavailable
from frontend.replica import Replica
from protos.v1.command_pb2 import FailImage
from protos.v1.image_pb2 import Image, ImportImageRequest
from storage.errors import StorageError

log = logging.getLogger(__name__)

DEADLINE_S = 3600.0
"""An import that takes longer has failed; the leader's own patience is a little longer."""

REDIRECTS_MAX = 5
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_REPORT_TRIES = 6


class Imports:
    def __init__(
        self, replica: Replica, mutations: Mutations, files: ImageFiles, notes: Path
    ) -> None:
        """*notes*: a directory of this replica's own, where imports under way are written down."""
        self._replica, self._mutations, self._files = replica, mutations, files
        self._notes = notes
        self._notes.mkdir(mode=0o700, exist_ok=True)
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Ends what an earlier process left unfinished, then carries imports until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for note in self._notes.iterdir():
                group.create_task(
                    self._fail(
                        int(note.name),
                        f"replica {self._replica.id} was restarted during the import: "
                        "delete the image and import it again",
                    )
                )
            await asyncio.Event().wait()

    async def require_fetchable(self, caller: Caller, url: str) -> None:
        """Rejected unless *url* is one that this caller may have fetched."""
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise Rejected("invalid_argument", f"url: {error}", "url") from None
        await _check_target(caller, parsed)

    def begin(self, caller: Caller, image: Image, request: ImportImageRequest) -> None:
        """Fetches in the background. A repeated request finds its image known and begins none."""
        note = self._notes / str(image.id)
        if self._group is None or note.exists() or image.sha256 or image.error:
            return
        note.touch()
        self._group.create_task(self._fetch(caller, image.id, request), name=f"import {image.id}")

    async def _fetch(self, caller: Caller, image_id: int, request: ImportImageRequest) -> None:
        try:
            async with (
                asyncio.timeout(DEADLINE_S),
                _opened(caller, request.url) as response,
                self._files.added(
                    response.aiter_raw(256 << 10),
                    sha256=request.sha256.lower(),
                    size_bytes=int(response.headers.get("content-length", 0)),
                ) as stored,
            ):
                await self._files.add_copy(image_id, stored)
        except TimeoutError:
            await self._fail(image_id, f"not done after {DEADLINE_S:.0f} s")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            await self._fail(
                image_id, f"cannot fetch {request.url}: {error or type(error).__name__}"
            )
        except StorageError as error:
            await self._fail(image_id, str(error))
        except Rejected as error:
            await self._fail(image_id, error.detail)
        except Unavailable as error:
            await self._fail(image_id, f"the copy could not be registered: {error}")
        else:
            log.info("image %d imported from %s", image_id, request.url)
            self._note(image_id).unlink(missing_ok=True)

    async def _fail(self, image_id: int, why: str) -> None:
        log.warning("import of image %d failed: %s", image_id, why)
        fail = FailImage(image_id=image_id, error=why[:1000])
        for _ in range(_REPORT_TRIES):
            try:
                await self._mutations.internal(f"replica/{self._replica.id}", fail_image=fail)
            except Rejected as error:
                log.info("image %d: %s", image_id, error)
            except Unavailable:
                continue
            self._note(image_id).unlink(missing_ok=True)
            return

    def _note(self, image_id: int) -> Path:
        return self._notes / str(image_id)


@asynccontextmanager
async def _opened(caller: Caller, url: str) -> AsyncIterator[httpx.Response]:
    async def check(request: httpx.Request) -> None:
        await _check_target(caller, request.url)

    # Every request of a chain of redirects passes the check, not just the first.
    async with (
        httpx.AsyncClient(
            follow_redirects=True,
            max_redirects=REDIRECTS_MAX,
            timeout=_TIMEOUT,
            trust_env=False,
            event_hooks={"request": [check]},
        ) as client,
        client.stream("GET", url, headers={"accept-encoding": "identity"}) as response,
    ):
        response.raise_for_status()
        yield response


async def _check_target(caller: Caller, url: httpx.URL) -> None:
    """Users may not use the front-end as a proxy to what only its machine can reach."""
    if url.scheme not in ("http", "https") or not url.host:
        raise Rejected("invalid_argument", "url must begin with http:// or https://", "url")
    if caller.admin:
        return
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(url.host, url.port or 443, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Rejected(
            "invalid_argument", f"url: cannot resolve {url.host}: {error}", "url"
        ) from None
    for *_, place in found:
        address = ipaddress.ip_address(str(place[0]).partition("%")[0])
        if address.is_loopback or address.is_link_local or address.is_unspecified:
            raise Rejected(
                "permission_denied", f"url: {url.host} is the front-end's own machine", "url"
            )
