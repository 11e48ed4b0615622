"""
Images fetched from a URL by the replica that was asked to.

An import is not replicated work: the replica that began it ends it, with a copy or with a failure.
If that replica dies, the leader declares the import failed after a while (leader/expiry.py), and
the replica itself does so when it is back.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

import httpx

from frontend.api.fetching import opened, targets
from frontend.api.image_files import ImageFiles
from frontend.api.mutation import Mutations
from frontend.auth.callers import Caller
from frontend.errors import Rejected, Unavailable
from frontend.replica import Replica
from frontend.state import images
from protos.v1.command_pb2 import FailImage
from protos.v1.image_pb2 import Image, ImportImageRequest
from storage.errors import StorageError

log = logging.getLogger(__name__)

DEADLINE_S = 3600.0
"""An import that takes longer has failed; the leader's own patience is a little longer."""

_REPORT_TRIES = 6


class Imports:
    def __init__(
        self,
        replica: Replica,
        mutations: Mutations,
        files: ImageFiles,
        notes: Path,
        *,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """*notes*: a directory of this replica's own, where imports under way are written down.
        *trust*: which HTTPS servers are believed; None: those of the public authorities."""
        self._replica, self._mutations, self._files = replica, mutations, files
        self._notes, self._trust = notes, trust
        self._under_way: set[int] = set()
        self._notes.mkdir(mode=0o700, exist_ok=True)
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Ends what an earlier process left unfinished, then carries imports until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for image_id in self._noted():
                group.create_task(
                    self._fail(
                        image_id,
                        f"replica {self._replica.id} was restarted during the import: "
                        "delete the image and import it again",
                    )
                )
            await asyncio.Event().wait()

    def _noted(self) -> list[int]:
        """Images whose import had begun when the process before this one ended."""
        names = [note.name for note in self._notes.iterdir()]
        for name in names:
            if not name.isdecimal():
                log.warning("%s is no note of an import: left alone", self._notes / name)
        return [int(name) for name in names if name.isdecimal()]

    async def require_fetchable(self, caller: Caller, url: str) -> None:
        """Rejected unless *url* is one that this caller may have fetched."""
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise Rejected("invalid_argument", f"url: {error}", "url") from None
        await targets(caller, parsed)

    def begin(self, caller: Caller, image: Image, request: ImportImageRequest) -> None:
        """Fetches in the background. A repeated request finds its image known and begins none."""
        if self._group is None or image.id in self._under_way:
            return
        self._under_way.add(image.id)
        self._group.create_task(self._import(caller, image.id, request), name=f"import {image.id}")

    async def _import(self, caller: Caller, image_id: int, request: ImportImageRequest) -> None:
        """Whatever goes wrong with one import is its own: the process and the others go on."""
        try:
            if await self._wanted(image_id):
                self._note(image_id).touch()
                await self._fetch(caller, image_id, request)
        except OSError as error:
            await self._fail(image_id, f"cannot be written down or fetched: {error}")
        except Exception as error:
            # What a stranger's server sends can break any library in its own way.
            log.warning("import of image %d broke", image_id, exc_info=error)
            await self._fail(
                image_id, f"cannot fetch {request.url}: {error or type(error).__name__}"
            )
        finally:
            self._under_way.discard(image_id)

    async def _wanted(self, image_id: int) -> bool:
        """A repeated request has the first answer, whatever became of the image since."""
        try:
            await self._replica.read()
        except Unavailable:
            # To fetch once more does no harm.
            return True
        with self._replica.store.read() as txn:
            image = images.get(txn, image_id)
        return image is not None and not image.sha256 and not image.error

    async def _fetch(self, caller: Caller, image_id: int, request: ImportImageRequest) -> None:
        try:
            async with (
                asyncio.timeout(DEADLINE_S),
                opened(caller, request.url, self._trust) as response,
                self._files.added(
                    response.aiter_raw(256 << 10),
                    sha256=request.sha256.lower(),
                    size_bytes=int(response.headers.get("content-length", 0)),
                ) as stored,
            ):
                await self._files.add_copy(image_id, stored)
        except TimeoutError:
            await self._fail(image_id, f"not done after {DEADLINE_S:.0f} s")
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, ValueError) as error:
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
            self._forget(image_id)

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
            self._forget(image_id)
            return

    def _forget(self, image_id: int) -> None:
        try:
            self._note(image_id).unlink(missing_ok=True)
        except OSError as error:
            # A restart will report the import as failed, which changes nothing any more.
            log.warning("the note of image %d stays: %s", image_id, error)

    def _note(self, image_id: int) -> Path:
        return self._notes / str(image_id)
