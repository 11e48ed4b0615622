"""Promises of protos/errors.py, over real gRPC calls where the wire matters."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import grpc
import grpc.aio
import pytest

from protos.errors import (
    STATUS_CODES,
    Failure,
    abort_arguments,
    error_status,
    failure_of,
    failure_of_operation,
    operation_error,
)
from protos.v1 import template_pb2, template_pb2_grpc


class Refuser(template_pb2_grpc.TemplateServiceServicer):
    """Refuses GetTemplate with the reason that the test set; DeleteTemplate says just INTERNAL."""

    refusal: tuple[str, str, str] = ("", "", "")

    def GetTemplate(self, request: object, context: grpc.ServicerContext) -> object:
        code, details, trailing = abort_arguments(*self.refusal)
        context.set_trailing_metadata(trailing)
        context.abort(code, details)
        raise AssertionError

    def DeleteTemplate(self, request: object, context: grpc.ServicerContext) -> object:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff garbage"),))
        context.abort(grpc.StatusCode.INTERNAL, "went wrong")
        raise AssertionError


@pytest.fixture
def served(tmp_path: object) -> Iterator[tuple[Refuser, str]]:
    # A Unix socket: only the form of the status is looked at here.
    from concurrent.futures import ThreadPoolExecutor

    refuser = Refuser()
    server = grpc.server(ThreadPoolExecutor(2))
    template_pb2_grpc.add_TemplateServiceServicer_to_server(refuser, server)
    address = f"unix:{tmp_path}/errors.sock"
    server.add_insecure_port(address)
    server.start()
    yield refuser, address
    server.stop(0).wait()


@pytest.mark.parametrize("reason", sorted(STATUS_CODES))
def test_reason_and_field_reach_the_client(served: tuple[Refuser, str], reason: str) -> None:
    refuser, address = served
    refuser.refusal = (reason, "vcpu is 0: choose 1 to 64", "template.vcpu")
    with (
        grpc.insecure_channel(address) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        template_pb2_grpc.TemplateServiceStub(channel).GetTemplate(
            template_pb2.GetTemplateRequest()
        )
    retryable = reason in ("unavailable", "deadline_exceeded")
    expected = Failure(reason, "vcpu is 0: choose 1 to 64", "template.vcpu", retryable)
    assert failure_of(caught.value) == expected
    assert caught.value.code() is STATUS_CODES[reason]


def test_aio_clients_read_the_same(served: tuple[Refuser, str]) -> None:
    refuser, address = served
    refuser.refusal = ("not_found", "there is no template 7", "")

    async def call() -> Failure:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = template_pb2_grpc.TemplateServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.GetTemplate(template_pb2.GetTemplateRequest(id=7))
            return failure_of(caught.value)

    assert asyncio.run(call()) == Failure("not_found", "there is no template 7")


def test_failure_without_readable_details_keeps_its_code(served: tuple[Refuser, str]) -> None:
    _, address = served
    with grpc.insecure_channel(address) as channel:
        stub = template_pb2_grpc.TemplateServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.DeleteTemplate(template_pb2.DeleteTemplateRequest())
        assert failure_of(caught.value) == Failure("internal", "went wrong")
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListTemplates(template_pb2.ListTemplatesRequest())
        assert failure_of(caught.value).reason == "unimplemented"


def test_nobody_listening_is_unavailable_and_worth_a_retry(tmp_path: object) -> None:
    with grpc.insecure_channel(f"unix:{tmp_path}/nobody.sock") as channel:
        stub = template_pb2_grpc.TemplateServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetTemplate(template_pb2.GetTemplateRequest(), timeout=10)
    failure = failure_of(caught.value)
    assert (failure.reason, failure.retryable) == ("unavailable", True)


def test_unknown_reason_is_an_internal_error() -> None:
    assert error_status("no_such_reason", "?").code == grpc.StatusCode.INTERNAL.value[0]


def test_pipeline_tells_the_same_as_a_unary_call() -> None:
    error = operation_error("revision_mismatch", "it is at revision 9", "expected_revision")
    assert error.code == grpc.StatusCode.ABORTED.value[0]
    assert failure_of_operation(error) == Failure(
        "revision_mismatch", "it is at revision 9", "expected_revision"
    )
    assert failure_of_operation(operation_error("unavailable", "no leader")).retryable
