"""How a command may fail: cause, next step, exit code; and how a gRPC status becomes that."""

from __future__ import annotations

from typing import Any

EXIT_REJECTED = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3
EXIT_INTERRUPTED = 130

_UNAVAILABLE_REASONS = {"unavailable", "deadline_exceeded", "cancelled"}
_REFERRED = {"cluster", "host", "image", "template", "vm"}
_DEFAULT_STEP = "`skyraft {noun} --help` tells what is accepted"
_REPLICAS_STEP = "`skyraft cluster status` shows the replicas and which of them answer"

_NEXT_STEPS = {
    "already_exists": "choose another name, or `skyraft {noun} list` to see what is there",
    "in_use": "`skyraft {noun} show {target}` and `skyraft vm list` tell what uses it",
    "internal": "this is a bug in Skyraft: the replica's log holds the trace",
    "not_found": "`skyraft {noun} list` shows what exists",
    "out_of_range": "that revision is too old or in the future: start without it",
    "permission_denied": "`skyraft context show` tells who you are; an admin may do this",
    "request_id_reused": "leave --request-id out, or repeat exactly the first request",
    "resource_exhausted": "free some room, then repeat the command",
    "revision_mismatch": "it changed meanwhile: look at it again, then repeat the command",
    "token_expired": "ask an admin for a new token: `skyraft token create`",
    "token_revoked": "ask an admin for a new token: `skyraft token create`",
    "token_unknown": "`skyraft context show` tells which token was used; a new one is needed",
    "unauthenticated": "`skyraft context show` tells which certificate or token was used",
    "unimplemented": "client and replicas differ: compare `skyraft version` and `cluster status`",
    "wrong_state": "`skyraft {noun} show {target}` tells its state; wait for its step to end",
}


class CliError(Exception):
    """Ends the command: printed as `skyraft: reason: cause` and the next step below."""

    def __init__(self, reason: str, cause: str, next_step: str, exit_code: int) -> None:
        super().__init__(f"{reason}: {cause}")
        self.reason = reason
        self.cause = cause
        self.next_step = next_step
        self.exit_code = exit_code


def rejected(reason: str, cause: str, next_step: str) -> CliError:
    """The request was understood and refused; repeating it changes nothing."""
    return CliError(reason, cause, next_step, EXIT_REJECTED)


def usage(cause: str, next_step: str) -> CliError:
    """The command line, a file it names or the configuration is wrong; nothing was sent."""
    return CliError("usage", cause, next_step, EXIT_USAGE)


def unavailable(cause: str, next_step: str, *, reason: str = "unavailable") -> CliError:
    """Nobody answered or the outcome is unknown; repeating the request may work."""
    return CliError(reason, cause, next_step, EXIT_UNAVAILABLE)


def from_rpc(error: Any, noun: str, request: Any = None) -> CliError:
    """*error* is a `grpc.RpcError`; *request*, if a mutation, gives the id to repeat it with."""
    from protos.errors import failure_of

    failure = failure_of(error)
    cause = failure.message
    if failure.field not in ("", "id", "name"):
        cause = f"{cause} (field {failure.field})"
    if failure.retryable or failure.reason in _UNAVAILABLE_REASONS:
        return unavailable(cause, _repeat(request), reason=failure.reason)
    at_fault = failure.field.removesuffix("_id")
    if failure.field.endswith("_id") and at_fault in _REFERRED:
        noun = at_fault  # what is missing is what the field refers to
    return rejected(failure.reason, cause, _next_step(failure.reason, noun, request))


def _next_step(reason: str, noun: str, request: Any) -> str:
    if reason in ("not_found", "wrong_state") and hasattr(request, "target_id"):
        return _REPLICAS_STEP  # a replica's id, not a cluster's
    step = _NEXT_STEPS.get(reason) or _DEFAULT_STEP
    target = _target(request)
    if "{target}" in step and not target:
        step = "`skyraft {noun} list` shows what exists and its state"
    return step.format(noun=noun, target=target)


def _target(request: Any) -> str:
    target = getattr(request, "id", None)
    return "" if target is None else str(target)


def _repeat(request: Any) -> str:
    request_id = getattr(request, "request_id", "")
    if not request_id:
        return "`skyraft cluster status` tells which replicas answer; then repeat the command"
    return (
        f"the outcome is unknown: repeat the command with --request-id {request_id}, "
        "it then happens once at most"
    )
