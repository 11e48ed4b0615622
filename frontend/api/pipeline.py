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
"""What one stream may have in flight, by weight. Beyond it nothing is started and the stream is
not read, so its client waits too."""

_WEIGHTS = {"get": 4, "list": 256}
"""By what the operation's name begins with; changes weigh 1. Reads that wait together are
answered in one moment, with up to megabytes for a list."""

_UNSENT_BYTES_MAX = 8 << 20
"""Of answers that the client has not taken. Beyond it, too, nothing is started."""

_BURST = 64
"""Operations started before other calls of this replica get their turn."""

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

    weight: int


async def _no_handler(caller: Caller, request: object) -> bytes:
    raise AssertionError("refused before it is called")


_UNKNOWN = Verb(handler=_no_handler, result="", path="", changes=False, weight=1)


@dataclass(slots=True)
class _Response:
    """Answers that go out together, how many bytes they take and what they weighed in flight."""

    message: wire.PipelineResponse
    size: int = 0
    weight: int = 0


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
            weight=_WEIGHTS.get(field.name.partition("_")[0], 1),
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
        self._responses: deque[_Response] = deque()
        self._unsent_bytes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def read(self, requests: AsyncIterator[wire.PipelineRequest]) -> None:
        started = 0
        async for request in requests:
            for operation in request.operations:
                if self._full():
                    await self._wait_for_room()
                elif started % _BURST == 0:
                    await asyncio.sleep(0)
                self._start(operation)
                started += 1
            if self._full():
                await self._wait_for_room()
        self._ended = True
        self._news.set()

    async def write(self, send: Send) -> None:
        """Until the client has ended its stream and has all its answers."""
        while not (self._ended and not self._in_flight):
            await self._news.wait()
            self._news.clear()
            while self._responses:
                response = self._responses.popleft()
                await send(response.message)
                self._in_flight -= response.weight
                self._unsent_bytes -= response.size
                self._room.set()

    def abandon(self) -> None:
        """The client is gone; what was proposed may still happen."""
        for operation in self._operations:
            operation.cancel()

    def _full(self) -> bool:
        return self._in_flight >= IN_FLIGHT_MAX or self._unsent_bytes >= _UNSENT_BYTES_MAX

    async def _wait_for_room(self) -> None:
        while self._full():
            self._room.clear()
            await self._room.wait()

    def _start(self, operation: wire.Operation) -> None:
        name = operation.WhichOneof("request")
        verb = self._verbs.get(name or "", _UNKNOWN)
        self._in_flight += verb.weight
        try:
            self._require(verb)
            request = getattr(operation, name or "")
            if verb.changes:
                refuse_unknown_fields(request)
            answer = verb.handler(self._caller, request)
        except Rejected as error:
            self._failed(operation.id, verb, error)
            return
        # Changes come as futures already; only reads need a task of their own. Not one of a
        # group: that an operation fails is an answer and must not end the others.
        future = asyncio.ensure_future(answer)
        self._operations.add(future)
        future.add_done_callback(partial(self._finished, operation.id, verb))

    def _require(self, verb: Verb) -> None:
        if verb is _UNKNOWN:
            raise Rejected("unimplemented", "the operation is empty or unknown to this version")
        if verb.path not in self._permitted:
            permissions.require(verb.path, self._caller)
            self._permitted.add(verb.path)

    def _finished(self, number: int, verb: Verb, future: asyncio.Future[Message | bytes]) -> None:
        self._operations.discard(future)
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            self._failed(number, verb, error)
            return
        answer = future.result()
        if isinstance(answer, bytes):
            into = getattr(self._result(number, verb, len(answer)), verb.result)
            # An empty answer must be set too, or the client would see none.
            into.SetInParent()
            into.MergeFromString(answer)
        else:
            result = self._result(number, verb, answer.ByteSize())
            getattr(result, verb.result).CopyFrom(answer)

    def _failed(self, number: int, verb: Verb, error: BaseException) -> None:
        assert isinstance(error, Exception), "operations are cancelled with their stream only"
        told = operation_error(*refusal_of(f"Pipeline {verb.path}", error))
        self._result(number, verb, told.ByteSize()).error.CopyFrom(told)

    def _result(self, number: int, verb: Verb, size: int) -> wire.OperationResult:
        """A place in the response that goes out next."""
        responses = self._responses
        if (
            not responses
            or responses[-1].size + size > _BYTES_MAX
            or len(responses[-1].message.results) >= _RESULTS_MAX
        ):
            responses.append(_Response(wire.PipelineResponse()))
        response = responses[-1]
        response.size += size
        response.weight += verb.weight
        self._unsent_bytes += size
        self._news.set()
        return response.message.results.add(id=number)
