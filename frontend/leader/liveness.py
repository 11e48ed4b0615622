"""
Leader only: a host that is silent for too long is in ERROR; when it is heard again it is back.

Goes by the monotonic clock of this process alone. A new leader has heard nobody yet, so every
host gets the full time anew.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable

from frontend.errors import Rejected, Unavailable
from frontend.leader.hosts import Hosts
from frontend.leader.proposals import Proposals
from frontend.replica import Replica
from frontend.state import hosts as host_table
from protos.v1.command_pb2 import MarkHost
from protos.v1.host_pb2 import (
    HOST_STATE_DISABLED,
    HOST_STATE_ERROR,
    HOST_STATE_MONITORED,
    Host,
)

log = logging.getLogger(__name__)

SILENCE_MAX_S = 30.0
LOOK_EVERY_S = 2.0


class Liveness:
    def __init__(
        self,
        replica: Replica,
        hosts: Hosts,
        proposals: Proposals,
        *,
        silence_max_s: float = SILENCE_MAX_S,
        look_every_s: float = LOOK_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replica, self._hosts, self._proposals = replica, hosts, proposals
        self._silence_max_s, self._look_every_s = silence_max_s, look_every_s
        self._clock = clock
        self._grace_from = self._looked = clock()

    async def run(self, term: int) -> None:
        """Until cancelled."""
        self._grace_from = self._looked = self._clock()
        while True:
            await asyncio.sleep(self._look_every_s)
            await self.look()

    async def look(self) -> None:
        """One round over all hosts."""
        now = self._clock()
        if now - self._looked > 2 * self._look_every_s + 1:
            # This process stood still: that the hosts were not heard is its own fault.
            self._grace_from = now
        self._looked = now
        with self._replica.store.read() as txn:
            known = host_table.list_page(txn, limit=sys.maxsize)
        connected = set(self._hosts.connected())
        for host in known:
            await self._judge(host, now, host.id in connected)
        for host_id in connected - {host.id for host in known}:
            self._hosts.drop(host_id)

    async def _judge(self, host: Host, now: float, connected: bool) -> None:
        heard = self._hosts.heard(host.id)
        silent_s = now - max(self._grace_from if heard is None else heard, self._grace_from)
        if silent_s > self._silence_max_s and _counts_as_alive(host):
            await self._mark_silent(host, connected)
        elif connected and silent_s < self._silence_max_s and _counts_as_silent(host):
            self._hosts.report_again(host.id)

    async def _mark_silent(self, host: Host, connected: bool) -> None:
        what = "its agent stands still" if connected else "its agent is not connected"
        detail = f"nothing heard for {self._silence_max_s:.0f} s: {what}"
        log.warning("host %d (%s): %s", host.id, host.name, detail)
        mark = MarkHost(host_id=host.id, state=HOST_STATE_ERROR, detail=detail)
        try:
            await self._proposals.propose(mark_host=mark)
        except (Rejected, Unavailable) as error:
            log.warning("host %d not marked, trying again: %s", host.id, error)


def _counts_as_alive(host: Host) -> bool:
    """One that was never seen is not missed."""
    return host.state == HOST_STATE_MONITORED or (
        host.state == HOST_STATE_DISABLED and not host.error and bool(host.agent_version)
    )


def _counts_as_silent(host: Host) -> bool:
    return host.state == HOST_STATE_ERROR or (
        host.state == HOST_STATE_DISABLED and bool(host.error)
    )
