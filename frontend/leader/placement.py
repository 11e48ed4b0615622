"""Leader only: gives each VM that waits for a host one, as soon as there is one with room."""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from frontend.errors import Rejected, Unavailable
from frontend.leader.proposals import Proposals
from frontend.replica import Replica
from frontend.scheduler.placement import place
from frontend.state import hosts, vms
from protos.v1.command_pb2 import Placement, PlaceVms

log = logging.getLogger(__name__)

_CONSIDERED_MAX = 5000
"""VMs that are looked at in one round, oldest first. With more that fit nowhere, later ones wait
until one of these is placed or given up."""

_COMMAND_MAX = 500
"""Placements of one command: a log entry of about 10 kB and some 20 ms of apply."""

_RETRY_S = 0.5


class PlacementLoop:
    def __init__(self, replica: Replica, proposals: Proposals) -> None:
        self._replica, self._proposals = replica, proposals

    async def run(self, term: int) -> None:
        """Until cancelled. Decides anew whenever something was committed."""
        while True:
            seen = self._replica.revision
            began = time.perf_counter()
            decided = self._decide()
            spent_s = time.perf_counter() - began
            if decided:
                await self._propose(decided)
            else:
                await self._replica.wait_revision(seen)
                # With many VMs that fit nowhere a look is dear: don't take one at each commit.
                await asyncio.sleep(10 * spent_s if spent_s > 0.001 else 0)

    def _decide(self) -> list[Placement]:
        """What differs from what the state says already."""
        with self._replica.store.read() as txn:
            pending = vms.pending(txn, _CONSIDERED_MAX)
            if not pending:
                return []
            candidates = hosts.list_page(txn, limit=sys.maxsize)
        decisions = zip(pending, place(pending, candidates), strict=True)
        return [
            placement
            for vm, placement in decisions
            if placement.HasField("host_id") or placement.reason != vm.error
        ][:_COMMAND_MAX]

    async def _propose(self, decided: list[Placement]) -> None:
        try:
            await self._proposals.propose(place_vms=PlaceVms(placements=decided))
            # The next look must see what this one did.
            await self._replica.read()
        except (Rejected, Unavailable) as error:
            log.warning("%d VMs not placed, trying again: %s", len(decided), error)
            await asyncio.sleep(_RETRY_S)
