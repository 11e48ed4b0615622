"""Strangers can't fill the log."""

from __future__ import annotations

import asyncio
from collections import Counter

from frontend.api.refusals import Refusals, summary
from frontend.errors import Unavailable


class Recorded:
    """Where events go."""

    def __init__(self, *, up: bool = True) -> None:
        self.details: list[str] = []
        self.arrived = asyncio.Event()
        self._up = up

    async def internal(self, actor: str, **op: object) -> bytes:
        self.details.append(op["record_event"].detail)  # type: ignore[attr-defined]
        self.arrived.set()
        if not self._up:
            raise Unavailable("no leader")
        return b""


def test_a_thousand_kinds_make_a_handful_of_events() -> None:
    counts = Counter({f"stranger {number}": 1 for number in range(1000)})
    lines = summary(counts)
    assert len(lines) == 8
    assert lines[-1] == "993 other kinds of refusals (993 times)"


def test_repeated_refusals_are_counted() -> None:
    assert summary(Counter({"a": 3, "b": 1})) == ["a (3 times)", "b"]


def test_first_refusal_is_recorded_at_once_and_later_ones_together() -> None:
    async def scenario() -> list[str]:
        recorded = Recorded()
        refusals = Refusals(recorded, "replica/1", pause_s=0.0)  # type: ignore[arg-type]
        running = asyncio.ensure_future(refusals.run())
        refusals.note("first")
        await recorded.arrived.wait()
        recorded.arrived.clear()
        for _ in range(50):
            refusals.note("again")
        await recorded.arrived.wait()
        running.cancel()
        return recorded.details

    assert asyncio.run(scenario()) == ["first", "again (50 times)"]


def test_refusals_do_not_pile_up_while_nothing_can_be_recorded() -> None:
    async def scenario() -> int:
        recorded = Recorded(up=False)
        refusals = Refusals(recorded, "replica/1", pause_s=0.0)  # type: ignore[arg-type]
        running = asyncio.ensure_future(refusals.run())
        for number in range(5000):
            refusals.note(f"stranger {number}")
        await recorded.arrived.wait()
        running.cancel()
        return len(recorded.details)

    assert asyncio.run(scenario()) <= 8
