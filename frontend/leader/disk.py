"""Leader only: a leader whose disk is nearly full hands over before a commit fails under it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from frontend.replica import Replica

log = logging.getLogger(__name__)

FLOOR_BYTES = 16 << 20
"""What a leader must have free: enough to go on while it hands over."""

PAUSE_S = 60.0
"""Between two tries, so that leadership does not run in circles when every disk is full."""

_LOOK_EVERY_S = 1.0


class DiskWatch:
    def __init__(
        self,
        replica: Replica,
        free_bytes: Callable[[], int],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """*free_bytes* is asked once a second."""
        self._replica, self._free_bytes, self._clock = replica, free_bytes, clock
        self._next_try = clock()
        self._tried = replica.id

    async def run(self, term: int) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def look(self) -> None:
        """Hands over if it must; to each of the other replicas in turn, whose disks are unknown
        here."""
        free = self._free_bytes()
        successor = self._successor()
        if free >= FLOOR_BYTES or not successor or self._clock() < self._next_try:
            return
        self._next_try, self._tried = self._clock() + PAUSE_S, successor
        log.warning("disk nearly full, %d MiB free: replica %s is to lead", free >> 20, successor)
        went, why = await self._replica.transfer(successor)
        if not went:
            log.warning("replica %s did not take over: %s", successor, why)

    def _successor(self) -> str:
        """The connected replica after the last that was tried; empty if there is none."""
        peers = self._replica.status().peers
        connected = sorted(name for name, peer in peers.items() if peer.connected)
        later = [name for name in connected if name > self._tried]
        return next(iter(later or connected), "")
