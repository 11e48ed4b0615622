"""What is measured: the same small operations on etcd and on Skyraft, over the same channels."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Protocol

import grpc.aio
from google.protobuf.field_mask_pb2 import FieldMask

from bench import etcd
from bench.load import Operation
from protos.v1 import pipeline_pb2, pipeline_pb2_grpc, template_pb2, template_pb2_grpc

OBJECTS = 1_000
"""Keys or templates that writes and reads are spread over."""

VALUE_BYTES = 256
CALL_DEADLINE_S = 20.0
_FILLER = "x" * (VALUE_BYTES - 16)


class Subject(Protocol):
    name: str

    async def prepare(self) -> None:
        """Makes the objects."""

    def writer(self, client: int) -> Operation:
        """One durable write of VALUE_BYTES to one of the objects, acknowledged."""

    def reader(self, client: int) -> Operation:
        """One linearizable read of one of the objects."""


def values() -> Callable[[], str]:
    """Makes a new value of VALUE_BYTES at each call."""
    numbers = itertools.count()
    return lambda: f"{next(numbers):016x}{_FILLER}"


def objects(client: int) -> Callable[[], int]:
    """Walks over the objects, every client from another start, so that neighbours differ."""
    numbers = itertools.count(client * 37)
    return lambda: next(numbers) % OBJECTS


class EtcdSubject:
    """Put and Range over one channel to all members."""

    name = "etcd"

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._client = etcd.Client(channel)

    async def prepare(self) -> None:
        for first in range(0, OBJECTS, 50):
            async with asyncio.TaskGroup() as group:
                for number in range(first, first + 50):
                    group.create_task(self._put(number, _FILLER))

    async def _put(self, number: int, value: str) -> None:
        request = etcd.rpc.PutRequest(key=b"template/%d" % number, value=value.encode())
        await self._client.put(request, timeout=CALL_DEADLINE_S)

    def writer(self, client: int) -> Operation:
        value, chosen = values(), objects(client)
        return lambda: self._put(chosen(), value())

    def txn_writer(self, client: int, puts: int) -> Operation:
        """Puts of *puts* different keys in one transaction: one entry of etcd's log."""
        value, chosen = values(), objects(client)

        async def write() -> None:
            request = etcd.rpc.TxnRequest()
            for _ in range(puts):
                put = request.success.add().request_put
                put.key, put.value = b"template/%d" % chosen(), value().encode()
            answer = await self._client.txn(request, timeout=CALL_DEADLINE_S)
            if not answer.succeeded:
                raise AssertionError("a transaction without conditions was refused")

        return write

    def reader(self, client: int) -> Operation:
        chosen = objects(client)

        async def read() -> None:
            request = etcd.rpc.RangeRequest(key=b"template/%d" % chosen())
            found = await self._client.range(request, timeout=CALL_DEADLINE_S)
            if found.count != 1:
                raise AssertionError("a key that was written is not there")

        return read


class SkyraftSubject:
    """TemplateService, unary and through PipelineService, over one channel to all replicas."""

    name = "skyraft"

    def __init__(self, channel: grpc.aio.Channel, *, run: str) -> None:
        """*run* makes request ids differ from those of every other run."""
        self._templates = template_pb2_grpc.TemplateServiceStub(channel)
        self._pipelines = pipeline_pb2_grpc.PipelineServiceStub(channel)
        self._requests = itertools.count()
        self._run = run
        self._ids: list[int] = []

    def _request_id(self) -> str:
        return f"{self._run}-{next(self._requests)}"

    async def prepare(self) -> None:
        for first in range(0, OBJECTS, 50):
            async with asyncio.TaskGroup() as group:
                for number in range(first, first + 50):
                    group.create_task(self._create(number))

    async def _create(self, number: int) -> None:
        template = template_pb2.Template(
            name=f"bench-{self._run}-{number}", description=_FILLER, vcpu=1, memory_mib=128
        )
        request = template_pb2.CreateTemplateRequest(
            request_id=self._request_id(), template=template
        )
        made = await self._templates.CreateTemplate(request, timeout=CALL_DEADLINE_S)
        self._ids.append(made.id)

    def _update(self, number: int, value: str) -> template_pb2.UpdateTemplateRequest:
        return template_pb2.UpdateTemplateRequest(
            request_id=self._request_id(),
            template=template_pb2.Template(id=self._ids[number], description=value),
            update_mask=FieldMask(paths=["description"]),
        )

    def _get(self, number: int) -> template_pb2.GetTemplateRequest:
        return template_pb2.GetTemplateRequest(id=self._ids[number])

    def writer(self, client: int) -> Operation:
        value, chosen = values(), objects(client)
        return lambda: self._templates.UpdateTemplate(
            self._update(chosen(), value()), timeout=CALL_DEADLINE_S
        )

    def reader(self, client: int) -> Operation:
        chosen = objects(client)
        return lambda: self._templates.GetTemplate(self._get(chosen()), timeout=CALL_DEADLINE_S)

    def stream_writer(self, client: int, per_message: int) -> Operation:
        value, chosen = values(), objects(client)
        return self._stream(
            lambda: [
                pipeline_pb2.Operation(id=n, update_template=self._update(chosen(), value()))
                for n in range(per_message)
            ]
        )

    def stream_reader(self, client: int, per_message: int) -> Operation:
        chosen = objects(client)
        return self._stream(
            lambda: [
                pipeline_pb2.Operation(id=n, get_template=self._get(chosen()))
                for n in range(per_message)
            ]
        )

    def _stream(self, batch: Callable[[], Sequence[pipeline_pb2.Operation]]) -> Operation:
        """One stream of its own, opened by the first message."""
        call: grpc.aio.StreamStreamCall | None = None

        async def exchange() -> None:
            nonlocal call
            if call is None:
                call = self._pipelines.Pipeline()
            operations = batch()
            await call.write(pipeline_pb2.PipelineRequest(operations=operations))
            waiting = len(operations)
            while waiting:
                response = await call.read()
                if response is grpc.aio.EOF:
                    raise AssertionError("the stream ended before its answers")
                for result in response.results:
                    if result.HasField("error"):
                        raise AssertionError(f"refused: {result.error}")
                waiting -= len(response.results)

        return exchange
