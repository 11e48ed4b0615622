"""The demo's stream of writes finds what it is there to find: lost and doubled writes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
import pytest

from bench.demo_writes import Counted, Writes
from protos.v1 import event_pb2, event_pb2_grpc, template_pb2, template_pb2_grpc


class Careless(template_pb2_grpc.TemplateServiceServicer, event_pb2_grpc.EventServiceServicer):
    """Acknowledges every update, and does the *nth* as often as it was told to."""

    def __init__(self, nth: int, times: int) -> None:
        self._nth = nth
        self._times = times
        self._updates = 0
        self._templates: list[template_pb2.Template] = []
        self.events: list[event_pb2.Event] = []
        self.special = ""

    async def CreateTemplate(self, request, context):
        request.template.id = len(self._templates)
        self._templates.append(request.template)
        return request.template

    async def UpdateTemplate(self, request, context):
        self._updates += 1
        if self._updates == self._nth:
            self.special = request.request_id
        for _ in range(self._times if self._updates == self._nth else 1):
            self._templates[request.template.id].description = request.template.description
            revision = len(self.events) + 1
            self.events.append(
                event_pb2.Event(
                    revision=revision, request_id=request.request_id, kind="template.updated"
                )
            )
        return self._templates[request.template.id]

    async def GetTemplate(self, request, context):
        return self._templates[request.id]

    async def ListEvents(self, request, context):
        page = self.events[request.after_revision :]
        return event_pb2.ListEventsResponse(events=page, next_revision=len(self.events))


@asynccontextmanager
async def served(careless: Careless) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    template_pb2_grpc.add_TemplateServiceServicer_to_server(careless, server)
    event_pb2_grpc.add_EventServiceServicer_to_server(careless, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


async def counted(careless: Careless) -> Counted:
    async with served(careless) as channel:
        writes = Writes(channel)
        async with writes.stream():
            await writes.grow_by(20)
        return await writes.counted_on(channel)


@pytest.mark.parametrize("times", [0, 1, 2])
def test_lost_and_doubled_writes_are_counted(times: int) -> None:
    careless = Careless(nth=7, times=times)
    assert asyncio.run(counted(careless)) == Counted(
        lost=[careless.special] if times == 0 else [],
        doubled=[careless.special] if times == 2 else [],
    )


def test_write_that_was_logged_but_is_not_in_the_state_is_lost() -> None:
    async def run() -> tuple[Counted, list[str]]:
        careless = Careless(nth=0, times=1)
        async with served(careless) as channel:
            writes = Writes(channel)
            async with writes.stream():
                await writes.grow_by(20)
            last = careless._templates[2].description
            careless._templates[2].description = "older"
            return await writes.counted_on(channel), [last]

    found, lost = asyncio.run(run())
    assert found == Counted(lost=lost, doubled=[])
