"""Creates VMs, many at a time where many are wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from frontend.cli.connection import CALL_TIMEOUT_S
from frontend.cli.errors import CliError, usage
from frontend.cli.nouns import VM
from frontend.cli.resources import request_ids

if TYPE_CHECKING:
    from frontend.cli.connection import Connection

_IN_FLIGHT = 64
"""Requests that wait for their answer at the same time."""


def names(name: str | None, count: int) -> list[str]:
    """Empty names are chosen by the front-end. Raises a usage error for one that was given."""
    if name == "":
        raise usage("the name is empty", "give a name, or leave it out: the front-end chooses one")
    if count == 1 or name is None:
        return [name or ""] * count
    return [f"{name}-{number}" for number in range(count)]


def create(
    connection: Connection, vm_names: Sequence[str], request_id: str, **fields: Any
) -> list[Any]:
    """The VMs in the order of their names.

    Raises CliError for the first that was refused; its text tells how many were made. Repeating
    the command with the same request id makes the others only."""
    method = connection.method(VM, "Create")
    answers: list[Any] = []
    waiting: deque[tuple[Any, Any]] = deque()
    requests = [
        VM.request("Create", name=name, request_id=one_request, **fields)
        for name, one_request in zip(vm_names, request_ids(request_id, len(vm_names)), strict=True)
    ]
    try:
        for request in requests:
            if len(waiting) == _IN_FLIGHT:
                answers.append(_answer(connection, *waiting.popleft()))
            waiting.append((request, method.future(request, timeout=CALL_TIMEOUT_S)))
        while waiting:
            answers.append(_answer(connection, *waiting.popleft()))
    except CliError as error:
        # Those in flight are let finish: nobody could say otherwise whether they were made.
        answers += [call.result() for _, call in waiting if call.exception() is None]
        if len(requests) > 1:
            error.cause += f" ({len(answers)} of {len(requests)} VMs were created)"
            error.next_step += f"; --request-id {request_id} with the same options makes the rest"
        raise
    return answers


def _answer(connection: Connection, request: Any, call: Any) -> Any:
    with connection.failures(VM, request):
        return call.result()
