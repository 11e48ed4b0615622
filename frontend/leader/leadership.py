"""Starts what runs on the leader only when this replica becomes it, and stops it when it is not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from frontend.errors import Unavailable
from frontend.leader.hosts import Hosts
from frontend.replica import Replica
from raft.interfaces import Role

log = logging.getLogger(__name__)


class Component(Protocol):
    async def run(self, term: int) -> None:
        """Works until cancelled. An exception is a bug: it ends the process."""


class Leadership:
    def __init__(self, replica: Replica, hosts: Hosts, components: Sequence[Component]) -> None:
        self._replica, self._hosts, self._components = replica, hosts, components
        self._term = 0
        self._changed = asyncio.Event()
        replica.role_changed.append(self._role_changed)

    def _role_changed(self, role: Role, term: int) -> None:
        self._term = term if role is Role.LEADER else 0
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled. Raises what a component raises: leading without it would be worse
        than leaving it to another replica."""
        while True:
            self._changed.clear()
            if self._term:
                await self._lead(self._term)
            await self._changed.wait()

    async def _lead(self, term: int) -> None:
        try:
            # Decisions must rest on all that earlier leaders committed.
            await self._replica.read()
        except Unavailable as error:
            log.warning("cannot lead at term %d yet: %s", term, error)
            if self._term == term:
                self._changed.set()
            return
        if self._changed.is_set():
            return
        log.info("leading at term %d", term)
        self._hosts.open(term)
        try:
            async with asyncio.TaskGroup() as group:
                running = [
                    group.create_task(each.run(term), name=type(each).__name__)
                    for each in self._components
                ]
                await self._changed.wait()
                for task in running:
                    task.cancel()
        finally:
            self._hosts.close()
            log.info("no longer leading at term %d", term)
