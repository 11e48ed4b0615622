"""A steady stream of writes, and the proof that each acknowledged one is there exactly once."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import grpc
import grpc.aio

from protos.v1.event_pb2 import ListEventsRequest
from protos.v1.event_pb2_grpc import EventServiceStub
from protos.v1.template_pb2 import (
    CreateTemplateRequest,
    ListTemplatesRequest,
    Template,
)
from protos.v1.template_pb2_grpc import TemplateServiceStub

WRITERS = 4
PACE_S = 0.005
"""Between two writes of a writer: steady load that leaves the machine's cores to the guests."""

ATTEMPT_S = 2.0
GIVE_UP_S = 60.0

AGAIN = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    }
)
"""Outcome unknown: the same request id is sent again."""


class Writes:
    """Creates templates, each under a request id of its own, for as long as stream() is open."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._templates = TemplateServiceStub(channel)
        self._run = uuid.uuid4().hex[:8]
        self._next = 0
        self._stop = False
        self._changed = asyncio.Condition()
        self.acknowledged: dict[str, tuple[float, float]] = {}
        """Request id -> when it was first sent and when acknowledged (monotonic, s)."""

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[None]:
        """Writes go on until the block is left and every write that was begun is acknowledged."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(self._writer())
            try:
                yield
            finally:
                self._stop = True

    async def first_after(self, moment: float) -> float:
        """When the first write that was begun at *moment* or later was acknowledged."""
        async with asyncio.timeout(GIVE_UP_S), self._changed:
            while True:
                times = [ack for begun, ack in self.acknowledged.values() if begun >= moment]
                if times:
                    return min(times)
                await self._changed.wait()

    async def grow_by(self, count: int) -> None:
        """Returns when that many more writes are acknowledged."""
        goal = len(self.acknowledged) + count
        async with asyncio.timeout(GIVE_UP_S), self._changed:
            await self._changed.wait_for(lambda: len(self.acknowledged) >= goal)

    def longest_pause_s(self) -> float:
        """Between two acknowledgements that follow each other."""
        moments = sorted(ack for _, ack in self.acknowledged.values())
        return max((b - a for a, b in pairwise(moments)), default=0.0)

    async def _writer(self) -> None:
        while not self._stop:
            self._next += 1
            request_id = f"{self._run}-{self._next}"
            await self._write(request_id)
            await asyncio.sleep(PACE_S)

    async def _write(self, request_id: str) -> None:
        request = CreateTemplateRequest(
            request_id=request_id,
            template=Template(name=f"write-{request_id}", vcpu=1, memory_mib=128),
        )
        begun = time.monotonic()
        while True:
            try:
                await self._templates.CreateTemplate(request, timeout=ATTEMPT_S)
                break
            except grpc.aio.AioRpcError as err:
                if err.code() not in AGAIN or time.monotonic() - begun > GIVE_UP_S:
                    raise
        async with self._changed:
            self.acknowledged[request_id] = (begun, time.monotonic())
            self._changed.notify_all()

    async def lost_on(self, channel: grpc.aio.Channel) -> list[str]:
        """Acknowledged writes that a linearizable read through *channel* does not show."""
        stub, token, names = TemplateServiceStub(channel), "", set[str]()
        while True:
            page = await stub.ListTemplates(
                ListTemplatesRequest(page_size=1000, page_token=token), timeout=GIVE_UP_S
            )
            names.update(template.name for template in page.templates)
            token = page.next_page_token
            if not token:
                return [each for each in self.acknowledged if f"write-{each}" not in names]

    async def repeated_on(self, channel: grpc.aio.Channel) -> list[str]:
        """Writes that took effect more than once, by the event log."""
        seen = await events_by_request(channel, "template.created")
        return [request_id for request_id, count in seen.items() if count > 1]


async def events_by_request(channel: grpc.aio.Channel, kind: str) -> Counter[str]:
    """How many events of that kind each request has caused."""
    stub, revision, seen = EventServiceStub(channel), 0, Counter[str]()
    while True:
        page = await stub.ListEvents(
            ListEventsRequest(after_revision=revision, page_size=1000, noun=kind.partition(".")[0]),
            timeout=GIVE_UP_S,
        )
        seen.update(event.request_id for event in page.events if event.kind == kind)
        if not page.events or page.next_revision <= revision:
            return seen
        revision = page.next_revision
