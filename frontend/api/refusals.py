"""
Refused strangers become events, but a stranger must not be able to fill the log: what comes in
bursts is counted and told once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from frontend.api.mutation import Mutations
from frontend.errors import Rejected, Unavailable
from protos.v1.command_pb2 import RecordEvent

log = logging.getLogger(__name__)

KIND, NOUN = "security.refused", "security"

_KINDS_MAX = 8
"""Events that one report makes at most; the rest is summed up in the last."""

_REMEMBERED_MAX = 1000


class Refusals:
    """One per replica. `note` is free of I/O; `run` writes the events."""

    def __init__(self, mutations: Mutations, actor: str, *, pause_s: float = 10.0) -> None:
        """Reports are at least *pause_s* apart; the first one goes out at once."""
        self._mutations, self._actor, self._pause_s = mutations, actor, pause_s
        self._counts: Counter[str] = Counter()
        self._noted = asyncio.Event()

    def note(self, detail: str) -> None:
        """*detail* says who was refused what, and why; never a secret."""
        if len(self._counts) >= _REMEMBERED_MAX and detail not in self._counts:
            detail = "others"
        self._counts[detail] += 1
        self._noted.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._noted.wait()
            self._noted.clear()
            counts, self._counts = self._counts, Counter()
            for detail in summary(counts):
                await self._record(detail)
            await asyncio.sleep(self._pause_s)

    async def _record(self, detail: str) -> None:
        log.warning("refused: %s", detail)
        event = RecordEvent(kind=KIND, noun=NOUN, detail=detail)
        try:
            await self._mutations.internal(self._actor, record_event=event)
        except (Rejected, Unavailable) as error:
            # The line above is all that is left of it; whoever is refused must not queue up here.
            log.warning("a refusal could not be recorded as an event: %s", error)


def summary(counts: Counter[str]) -> list[str]:
    """At most _KINDS_MAX lines, the most frequent first."""
    ranked = counts.most_common()
    lines = [f"{detail} ({times} times)" if times > 1 else detail for detail, times in ranked]
    if len(lines) <= _KINDS_MAX:
        return lines
    rest = ranked[_KINDS_MAX - 1 :]
    total = sum(times for _, times in rest)
    return [*lines[: _KINDS_MAX - 1], f"{len(rest)} other kinds of refusals ({total} times)"]
