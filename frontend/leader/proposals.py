"""What the leader's components decide by themselves, on its way to the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from protos.identity import SYSTEM_ACTOR


class Submit(Protocol):
    """frontend.api.mutation.Mutations.internal: an awaitable of the result's payload."""

    def __call__(self, actor: str, **op: object) -> Any: ...


class Proposals:
    def __init__(self, submit: Submit) -> None:
        self._submit: Callable[..., Any] = submit

    async def propose(self, **op: object) -> bytes:
        """The command whose one operation is *op*. Raises Rejected, Unavailable."""
        payload: bytes = await self._submit(SYSTEM_ACTOR, **op)
        return payload
