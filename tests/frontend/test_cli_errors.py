"""Every failure names its cause, the next step and the exit code."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from frontend.cli.errors import EXIT_REJECTED, EXIT_UNAVAILABLE, from_rpc
from protos.errors import STATUS_CODES, abort_arguments
from protos.v1.cluster_pb2 import TransferLeadershipRequest
from protos.v1.vm_pb2 import CreateVmRequest, GetVmRequest, PoweroffVmRequest


class Refused(grpc.RpcError):
    """What a call raises, made as the server makes it."""

    def __init__(self, reason: str, text: str, field: str = "") -> None:
        super().__init__()
        self._arguments = abort_arguments(reason, text, field)

    def code(self) -> Any:
        return self._arguments[0]

    def details(self) -> str:
        return self._arguments[1]

    def trailing_metadata(self) -> Any:
        return self._arguments[2]


@pytest.mark.parametrize("reason", sorted(STATUS_CODES))
def test_every_reason_leads_on(reason: str) -> None:
    error = from_rpc(Refused(reason, "why"), "vm", GetVmRequest(id=3))
    assert error.reason == reason
    assert error.cause == "why"
    assert error.next_step
    assert "{" not in error.next_step
    assert error.exit_code in (EXIT_REJECTED, EXIT_UNAVAILABLE)


@pytest.mark.parametrize("reason", ["unavailable", "deadline_exceeded"])
def test_unknown_outcome_says_how_to_repeat_safely(reason: str) -> None:
    error = from_rpc(Refused(reason, "no leader"), "vm", CreateVmRequest(request_id="abc"))
    assert error.exit_code == EXIT_UNAVAILABLE
    assert "--request-id abc" in error.next_step


def test_unanswered_read_is_just_repeated() -> None:
    error = from_rpc(Refused("unavailable", "no leader"), "vm", GetVmRequest(id=3))
    assert "--request-id" not in error.next_step
    assert "cluster status" in error.next_step


@pytest.mark.parametrize("reason", ["not_found", "wrong_state"])
def test_transfer_that_fails_leads_to_the_replicas(reason: str) -> None:
    request = TransferLeadershipRequest(target_id="7")
    error = from_rpc(Refused(reason, "no", "target_id"), "cluster", request)
    assert "`skyraft cluster status`" in error.next_step


@pytest.mark.parametrize("reason", ["in_use", "wrong_state"])
def test_next_step_never_has_an_empty_target(reason: str) -> None:
    error = from_rpc(Refused(reason, "no"), "vm", CreateVmRequest(request_id="abc"))
    assert "`skyraft vm list`" in error.next_step


def test_next_step_names_the_object() -> None:
    error = from_rpc(Refused("wrong_state", "VM 3 is DONE"), "vm", PoweroffVmRequest(id=3))
    assert "`skyraft vm show 3`" in error.next_step
    assert error.exit_code == EXIT_REJECTED


def test_missing_object_is_looked_for_where_the_field_points() -> None:
    request = CreateVmRequest(template_id=9)
    error = from_rpc(Refused("not_found", "there is no template 9", "template_id"), "vm", request)
    assert "skyraft template list" in error.next_step
    assert "(field template_id)" in error.cause
