"""
Many operations in flight over one stream: the fast road into the front-end.

Every operation of a message is started at once, through the handlers of the unary methods, and
answered as it finishes; what finishes together travels together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from google.protobuf.message import Message

from frontend.api.call import refusal_of, refuse_unknown_fields, snake_case
from frontend.auth import permissions
from frontend.auth.callers import Caller
from frontend.errors import Rejected
from protos.errors import operation_error
from protos.v1 import pipeline_pb2 as wire
from protos.v1 import template_pb2, vm_pb2

IN_FLIGHT_MAX = 4096
"""Operations of one stream. Beyond it the stream is not read, so its client waits too."""

_RESULTS_MAX = 512
_BYTES_MAX = 1 << 20
"""Of one response, roughly: gRPC's clients take 4 MiB unless told otherwise."""

Send = Callable[[wire.PipelineResponse], Awaitable[None]]
Handler = Callable[[Caller, Any], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Verb:
    """What one field of Operation.request means."""

    handler: Handler
    result: str
    """The field of OperationResult that takes its answer."""

    path: str
    """The unary method, whose permission holds here too."""

    changes: bool
    """Fields that this version does not know are refused."""


def verbs(**services: object) -> dict[str, Verb]:
    """By the name of the field in Operation; *services* are the nouns, vm and template."""
    results = {
        field.message_type.name: field.name
        for field in wire.OperationResult.DESCRIPTOR.oneofs_by_name["result"].fields
        if field.message_type is not None
    }
    methods = {
        snake_case(method.name): (service.full_name, method, services[noun])
        for noun, service in (
            ("vm", vm_pb2.DESCRIPTOR.services_by_name["VmService"]),
            ("template", template_pb2.DESCRIPTOR.services_by_name["TemplateService"]),
        )
        for method in service.methods
    }
    found = {}
    for field in wire.Operation.DESCRIPTOR.oneofs_by_name["request"].fields:
        service_name, method, noun = methods[field.name]
        found[field.name] = Verb(
            handler=getattr(noun, field.name),
            result=results[method.output_type.name],
            path=f"/{service_name}/{method.name}",
            changes="request_id" in method.input_type.fields_by_name,
        )
    return found


class PipelineService:
    def __init__(self, known: dict[str, Verb]) -> None:
        self._verbs = known

    async def pipeline(
        self, caller: Caller, requests: AsyncIterator[wire.PipelineRequest], send: Send
    ) -> None:
        stream = _Stream(self._verbs, caller)
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(stream.read(requests))
                await stream.write(send)
                reader.cancel()
        finally:
            stream.abandon()


class _Stream:
    """One client's operations in flight."""

    def __init__(self, known: dict[str, Verb], caller: Caller) -> None:
        self._verbs, self._caller = known, caller
        self._permitted: set[str] = set()
        self._operations: set[asyncio.Future[Message | bytes]] = set()
        self._in_flight = 0
        self._ended = False
        self._responses: deque[wire.PipelineResponse] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def read(self, requests: AsyncIterator[wire.PipelineRequest]) -> None:
        async for request in requests:
            for operation in request.operations:
                self._start(operation)
            while self._in_flight >= IN_FLIGHT_MAX:
                self._room.clear()
                await self._room.wait()
        self._ended = True
        self._news.set()

    async def write(self, send: Send) -> None:
        """Until the client has ended its stream and has all its answers."""
        while not (self._ended and not self._in_flight):
            await self._news.wait()
            self._news.clear()
            while self._responses:
                response = self._responses.popleft()
                await send(response)
                self._in_flight -= len(response.results)
                self._room.set()

    def abandon(self) -> None:
        """The client is gone; what was proposed may still happen."""
        for operation in self._operations:
            operation.cancel()

    def _start(self, operation: wire.Operation) -> None:
        self._in_flight += 1
        name = operation.WhichOneof("request")
        try:
            verb = self._verb(name)
            request = getattr(operation, name)
            if verb.changes:
                refuse_unknown_fields(request)
            answer = verb.handler(self._caller, request)
        except Rejected as error:
            self._failed(operation.id, name, error)
            return
        # Changes come as futures already; only reads need a task of their own. Not one of a
        # group: that an operation fails is an answer and must not end the others.
        future = asyncio.ensure_future(answer)
        self._operations.add(future)
        future.add_done_callback(partial(self._finished, operation.id, name, verb.result))

    def _verb(self, name: str | None) -> Verb:
        verb = self._verbs.get(name or "")
        if verb is None:
            raise Rejected("unimplemented", "the operation is empty or unknown to this version")
        if verb.path not in self._permitted:
            permissions.require(verb.path, self._caller)
            self._permitted.add(verb.path)
        return verb

    def _finished(
        self, number: int, name: str, field: str, future: asyncio.Future[Message | bytes]
    ) -> None:
        self._operations.discard(future)
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            self._failed(number, name, error)
            return
        answer = future.result()
        if isinstance(answer, bytes):
            into = getattr(self._result(number, len(answer)), field)
            # An empty answer must be set too, or the client would see none.
            into.SetInParent()
            into.MergeFromString(answer)
        else:
            getattr(self._result(number, answer.ByteSize()), field).CopyFrom(answer)

    def _failed(self, number: int, name: str | None, error: BaseException) -> None:
        assert isinstance(error, Exception), "operations are cancelled with their stream only"
        refusal = refusal_of(f"Pipeline {name}", error)
        self._result(number, 0).error.CopyFrom(operation_error(*refusal))

    def _result(self, number: int, size: int) -> wire.OperationResult:
        """A place in the response that goes out next."""
        responses = self._responses
        if (
            not responses
            or self._bytes + size > _BYTES_MAX
            or len(responses[-1].results) >= _RESULTS_MAX
        ):
            responses.append(wire.PipelineResponse())
            self._bytes = 0
        self._bytes += size
        self._news.set()
        return responses[-1].results.add(id=number)
