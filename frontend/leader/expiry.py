"""Leader only: ends what nobody else will end, imports whose replica is gone."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable

from frontend.errors import Rejected, Unavailable
from frontend.leader.proposals import Proposals
from frontend.replica import Replica
from frontend.state import images
from protos.v1.command_pb2 import FailImage
from protos.v1.image_pb2 import IMAGE_STATE_LOCKED, Image

log = logging.getLogger(__name__)

IMPORT_MAX_S = 3900.0
"""Longer than a replica gives an import (api/imports.py: one hour)."""

_LOOK_EVERY_S = 30.0


class Expiry:
    def __init__(
        self,
        replica: Replica,
        proposals: Proposals,
        *,
        import_max_s: float = IMPORT_MAX_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replica, self._proposals = replica, proposals
        self._import_max_s, self._clock = import_max_s, clock
        self._first_seen: dict[int, float] = {}

    async def run(self, term: int) -> None:
        """Until cancelled. A new leader counts from its own start."""
        self._first_seen.clear()
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def look(self) -> None:
        """One round over all images."""
        now = self._clock()
        with self._replica.store.read() as txn:
            importing = {image.id for image in images.list_page(txn, -1, sys.maxsize, _importing)}
        self._first_seen = {image_id: self._first_seen.get(image_id, now) for image_id in importing}
        for image_id, since in self._first_seen.items():
            if now - since > self._import_max_s:
                await self._fail(image_id)

    async def _fail(self, image_id: int) -> None:
        error = (
            f"the import did not end within {self._import_max_s:.0f} s; its replica may be gone: "
            "delete the image and import it again"
        )
        try:
            await self._proposals.propose(fail_image=FailImage(image_id=image_id, error=error))
        except (Rejected, Unavailable) as refused:
            log.warning("import of image %d not ended, trying again: %s", image_id, refused)


def _importing(image: Image) -> bool:
    return image.state == IMAGE_STATE_LOCKED and not image.sha256
