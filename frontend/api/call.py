"""
What every gRPC call goes through, once for all methods: who calls, may they, is the message one
that this server understands, and what the outcome looks like on the wire.

Wrapped around each handler at registration. gRPC's interceptors would do the same for several
times the cost of a whole handler.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from time import perf_counter
from typing import Any, NoReturn, Protocol

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from frontend.api.metrics import ApiStats, MethodStats
from frontend.auth.callers import Caller
from frontend.errors import Rejected, Unavailable
from protos.errors import abort_arguments
from storage.errors import StorageError

log = logging.getLogger(__name__)

Context = Any
"""A grpc.aio.ServicerContext; grpc ships no types."""

Handler = Callable[..., Any]
Parse = Callable[[bytes], Any]
Refusal = tuple[str, str, str]
"""Reason, text, field: what protos.errors turns into a status."""


class Door(Protocol):
    def admit(self, path: str, context: Context) -> Caller:
        """Who calls the method *path*. Raises Rejected unless they may."""

    def still(self, caller: Caller) -> None:
        """Raises Rejected if *caller* would not be let in any more."""


class Calls:
    """Makes gRPC handlers of the plain handlers of a noun."""

    def __init__(self, door: Door, stats: ApiStats) -> None:
        self._door, self._stats = door, stats

    def service(self, descriptor: ServiceDescriptor, noun: object) -> dict[str, Any]:
        """The service's gRPC handlers by name; *noun* has a snake_case method for each.

        unary: ``(caller, request) -> awaitable of a message, or of one serialized``
        one in, stream out: ``(caller, request) -> async generator of messages``
        stream in, one out: ``(caller, requests) -> awaitable``, requests an async iterator
        both: ``(caller, requests, send) -> awaitable``
        """
        return {
            method.name: self._method(method, getattr(noun, snake_case(method.name)))
            for method in descriptor.methods
        }

    def _method(self, method: MethodDescriptor, handler: Handler) -> Any:
        path = f"/{method.containing_service.full_name}/{method.name}"
        stats, parse = self._stats.of(path), parser(method)
        make = {
            (False, False): (grpc.unary_unary_rpc_method_handler, self._unary),
            (False, True): (grpc.unary_stream_rpc_method_handler, self._answers),
            (True, False): (grpc.stream_unary_rpc_method_handler, self._gathers),
            (True, True): (grpc.stream_stream_rpc_method_handler, self._converses),
        }
        register, wrap = make[method.client_streaming, method.server_streaming]
        # No deserializer: malformed bytes reach the wrapper and get a proper answer.
        return register(wrap(path, stats, parse, handler), response_serializer=serialize)

    def _unary(self, path: str, stats: MethodStats, parse: Parse, handler: Handler) -> Handler:
        admit, observe = self._door.admit, stats.observe

        async def call(raw: bytes, context: Context) -> Message | bytes:
            began = perf_counter()
            try:
                answer: Message | bytes = await handler(admit(path, context), parse(raw))
            except Exception as error:  # noqa: BLE001  the edge: nothing leaves untranslated
                refusal = refusal_of(path, error)
            else:
                observe("ok", perf_counter() - began)
                return answer
            observe(refusal[0], perf_counter() - began)
            await abort(context, refusal)

        return call

    def _answers(self, path: str, stats: MethodStats, parse: Parse, handler: Handler) -> Handler:
        async def run(raw: bytes, context: Context) -> None:
            caller = self._door.admit(path, context)
            async with aclosing(handler(caller, parse(raw))) as answers:
                async for answer in answers:
                    self._door.still(caller)
                    await context.write(answer)

        return _guarded(path, stats, run)

    def _gathers(self, path: str, stats: MethodStats, parse: Parse, handler: Handler) -> Handler:
        async def run(_: Any, context: Context) -> Message | bytes:
            caller = self._door.admit(path, context)
            answer: Message | bytes = await handler(caller, self._incoming(caller, context, parse))
            return answer

        return _guarded(path, stats, run)

    def _converses(self, path: str, stats: MethodStats, parse: Parse, handler: Handler) -> Handler:
        async def run(_: Any, context: Context) -> None:
            caller = self._door.admit(path, context)
            await handler(caller, self._incoming(caller, context, parse), context.write)

        return _guarded(path, stats, run)

    async def _incoming(self, caller: Caller, context: Context, parse: Parse) -> AsyncIterator[Any]:
        """The messages of a client's stream, as long as it would still be let in."""
        first = True
        while (raw := await context.read()) is not grpc.aio.EOF:
            # The first comes right after the door, where a host that enrolled a moment ago may
            # not be known here yet.
            if not first:
                self._door.still(caller)
            first = False
            yield parse(raw)


def _guarded(path: str, stats: MethodStats, run: Handler) -> Handler:
    async def call(request: Any, context: Context) -> Any:
        began = perf_counter()
        try:
            answer = await run(request, context)
        except Exception as error:  # noqa: BLE001  the edge: nothing leaves untranslated
            refusal = refusal_of(path, error)
        else:
            stats.observe("ok", perf_counter() - began)
            return answer
        stats.observe(refusal[0], perf_counter() - began)
        await abort(context, refusal)

    return call


async def abort(context: Context, refusal: Refusal) -> NoReturn:
    await context.abort(*abort_arguments(*refusal))
    raise AssertionError("abort returns by raising")


def refusal_of(path: str, error: Exception) -> Refusal:
    """How *error* is told to the caller. What is not an answer is a bug: logged, and not told."""
    if isinstance(error, Rejected):
        return error.code, error.detail, error.field
    if isinstance(error, Unavailable):
        return "unavailable", str(error) or "no leader; ask again with the same request_id", ""
    if isinstance(error, StorageError):
        return error.code, str(error), ""
    if isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        return refusal_of(path, error.exceptions[0])
    log.error("bug in %s", path, exc_info=error)
    return "internal", "the server failed; its log has the trace", ""


def parser(method: MethodDescriptor) -> Parse:
    """Bytes to the method's request; Rejected for malformed bytes.

    Where the request changes something, fields that this server does not know are refused too: a
    newer client would otherwise believe that they were obeyed."""
    from_string = GetMessageClass(method.input_type).FromString
    fields = method.input_type.fields_by_name
    # A pipeline checks each operation by itself; what newer agents say is no request.
    strict = "request_id" in fields or method.name == "UploadImage"

    def parse(raw: bytes) -> Message:
        try:
            request: Message = from_string(raw)
        except DecodeError:
            raise Rejected(
                "invalid_argument", f"malformed message: not a {method.input_type.full_name}"
            ) from None
        if strict:
            refuse_unknown_fields(request)
        return request

    return parse


def refuse_unknown_fields(request: Message) -> None:
    size = request.ByteSize()
    request.DiscardUnknownFields()
    if request.ByteSize() != size:
        raise Rejected(
            "invalid_argument",
            f"{request.DESCRIPTOR.full_name} has fields that this version does not know: "
            "update the replicas, or leave the fields out",
        )


def serialize(answer: Message | bytes) -> bytes:
    """Results of commands are kept serialized; they go out as they are."""
    return answer if answer.__class__ is bytes else answer.SerializeToString()  # type: ignore[union-attr]


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
