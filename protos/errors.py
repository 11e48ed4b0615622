"""Reasons for refusals: which gRPC status each becomes, how a server writes them into the
status, and how a client reads them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf import any_pb2, message
from google.rpc import error_details_pb2, status_pb2

from protos.v1 import pipeline_pb2

DOMAIN = "skyraft"
"""ErrorInfo.domain of everything that Skyraft itself refuses."""

_DETAILS_KEY = "grpc-status-details-bin"
_RETRY_DELAY_MS = 100

_Code = grpc.StatusCode
STATUS_CODES: Final[dict[str, grpc.StatusCode]] = {
    "invalid_argument": _Code.INVALID_ARGUMENT,
    "request_id_reused": _Code.INVALID_ARGUMENT,
    "out_of_range": _Code.OUT_OF_RANGE,
    "not_found": _Code.NOT_FOUND,
    "already_exists": _Code.ALREADY_EXISTS,
    "wrong_state": _Code.FAILED_PRECONDITION,
    "in_use": _Code.FAILED_PRECONDITION,
    "revision_mismatch": _Code.ABORTED,
    "resource_exhausted": _Code.RESOURCE_EXHAUSTED,
    "unauthenticated": _Code.UNAUTHENTICATED,
    "permission_denied": _Code.PERMISSION_DENIED,
    "token_unknown": _Code.PERMISSION_DENIED,
    "token_expired": _Code.PERMISSION_DENIED,
    "token_revoked": _Code.PERMISSION_DENIED,
    "token_used": _Code.PERMISSION_DENIED,
    "unimplemented": _Code.UNIMPLEMENTED,
    "cancelled": _Code.CANCELLED,
    "deadline_exceeded": _Code.DEADLINE_EXCEEDED,
    "unavailable": _Code.UNAVAILABLE,
    "data_loss": _Code.DATA_LOSS,
    "internal": _Code.INTERNAL,
}
"""Reasons are for programs and never change their meaning. A reason that is missing here is
answered as INTERNAL."""

RETRYABLE: Final = frozenset({"unavailable", "deadline_exceeded"})
"""The outcome is unknown: ask again with the same request_id."""


def status_code(reason: str) -> grpc.StatusCode:
    return STATUS_CODES.get(reason, _Code.INTERNAL)


def error_status(reason: str, text: str, field: str = "") -> status_pb2.Status:
    """The google.rpc.Status of a refusal: ErrorInfo always, BadRequest when *field* (its path in
    the request) is at fault, RetryInfo when asking again may help."""
    number: int = status_code(reason).value[0]
    status = status_pb2.Status(code=number, message=text)
    _add(status, error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
    if field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=field, description=text)
        _add(status, error_details_pb2.BadRequest(field_violations=[violation]))
    if reason in RETRYABLE:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(_RETRY_DELAY_MS)
        _add(status, retry)
    return status


def abort_arguments(
    reason: str, text: str, field: str = ""
) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """What ``await context.abort(*...)`` takes: code, details, trailing metadata."""
    packed = error_status(reason, text, field).SerializeToString()
    return status_code(reason), text, ((_DETAILS_KEY, packed),)


def operation_error(reason: str, text: str, field: str = "") -> pipeline_pb2.OperationError:
    """The same, as the answer to one operation of a Pipeline."""
    return pipeline_pb2.OperationError(
        code=status_code(reason).value[0],
        reason=reason,
        message=text,
        field=field,
        retry=reason in RETRYABLE,
    )


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call failed, as a client sees it."""

    reason: str
    """A key of STATUS_CODES; for what gRPC itself reports, the lower-case name of its code."""

    message: str

    field: str = ""
    """Path of the request's field at fault, if one is."""

    retryable: bool = False
    """Asking again with the same request_id may succeed and does no harm."""


def failure_of(error: grpc.RpcError) -> Failure:
    """Reads what :func:`error_status` wrote, from an error of a sync or an aio call."""
    # A grpc.RpcError is in fact always a Call, or an AioRpcError with the same three methods.
    call: Any = error
    code: grpc.StatusCode = call.code()
    text: str = call.details() or code.name.lower()
    status = _status_in(call.trailing_metadata() or ())
    if status is None:
        reason = code.name.lower()
        return Failure(reason, text, retryable=reason in RETRYABLE)
    return _read(status, code)


def failure_of_operation(error: pipeline_pb2.OperationError) -> Failure:
    return Failure(error.reason, error.message, error.field, error.retry)


def _add(status: status_pb2.Status, detail: message.Message) -> None:
    status.details.add().Pack(detail)


def _status_in(metadata: Any) -> status_pb2.Status | None:
    for key, value in metadata:
        if key == _DETAILS_KEY:
            try:
                return status_pb2.Status.FromString(value)
            except message.DecodeError:
                return None
    return None


def _read(status: status_pb2.Status, code: grpc.StatusCode) -> Failure:
    reason, field, retryable = code.name.lower(), "", False
    detail: any_pb2.Any
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        request = error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(request) and request.field_violations:
            field = request.field_violations[0].field
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retryable = True
    return Failure(reason, status.message, field, retryable)
