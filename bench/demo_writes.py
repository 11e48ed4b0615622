"""A steady stream of writes, and the proof that each acknowledged one is there exactly once."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import grpc
import grpc.aio
from google.protobuf.field_mask_pb2 import FieldMask

from protos.v1.event_pb2 import ListEventsRequest
from protos.v1.event_pb2_grpc import EventServiceStub
from protos.v1.template_pb2 import (
    CreateTemplateRequest,
    GetTemplateRequest,
    Template,
    UpdateTemplateRequest,
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
    """
    Updates templates, each time under a request id of its own, while stream() is open.

    Updates, because nothing stands in the way of doing one twice: a create that were done twice
    would be refused for its name, and the log would look clean.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._templates = TemplateServiceStub(channel)
        self._run = uuid.uuid4().hex[:8]
        self._next = 0
        self._stop = False
        self._changed = asyncio.Condition()
        self._latest: dict[int, str] = {}
        """Template id -> what its writer, the only one, was last told that it holds."""
        self.acknowledged: dict[str, tuple[float, float]] = {}
        """Request id -> when it was first sent and when acknowledged (monotonic, s)."""

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[None]:
        """Writes go on until the block is left and every write that was begun is acknowledged."""
        made = [await self._create(f"stream-{self._run}-{n}") for n in range(WRITERS)]
        async with asyncio.TaskGroup() as group:
            for template_id in made:
                group.create_task(self._writer(template_id))
            try:
                yield
            finally:
                self._stop = True

    async def _create(self, name: str) -> int:
        template = Template(name=name, vcpu=1, memory_mib=128)
        request = CreateTemplateRequest(request_id=name, template=template)
        return int((await self._templates.CreateTemplate(request, timeout=GIVE_UP_S)).id)

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

    async def _writer(self, template_id: int) -> None:
        while not self._stop:
            self._next += 1
            await self._write(template_id, f"{self._run}-{self._next}")
            await asyncio.sleep(PACE_S)

    async def _write(self, template_id: int, request_id: str) -> None:
        request = UpdateTemplateRequest(
            request_id=request_id,
            template=Template(id=template_id, description=request_id),
            update_mask=FieldMask(paths=["description"]),
        )
        begun = time.monotonic()
        while True:
            try:
                await self._templates.UpdateTemplate(request, timeout=ATTEMPT_S)
                break
            except grpc.aio.AioRpcError as err:
                if err.code() not in AGAIN or time.monotonic() - begun > GIVE_UP_S:
                    raise
        async with self._changed:
            self.acknowledged[request_id] = (begun, time.monotonic())
            self._latest[template_id] = request_id
            self._changed.notify_all()

    async def counted_on(self, channel: grpc.aio.Channel) -> Counted:
        """What linearizable reads through *channel* show of the writes."""
        done = await events_by_request(channel, "template.updated")
        stub = TemplateServiceStub(channel)
        held = {}
        for template_id in self._latest:
            found = await stub.GetTemplate(GetTemplateRequest(id=template_id), timeout=GIVE_UP_S)
            held[template_id] = found.description
        overwritten = [latest for key, latest in self._latest.items() if held[key] != latest]
        return Counted(
            lost=[*(each for each in self.acknowledged if not done[each]), *overwritten],
            doubled=[each for each in self.acknowledged if done[each] > 1],
        )


@dataclass(frozen=True, slots=True)
class Counted:
    """Request ids of acknowledged writes that were not done exactly once."""

    lost: list[str]
    """Without an event, or the last one of its template and yet not what the template holds."""
    doubled: list[str]
    """With more than one event: every time a write is applied it leaves one."""


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
