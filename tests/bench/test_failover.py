"""The failover bench finds what it is there to find: lost and doubled writes."""

from __future__ import annotations

import asyncio
from collections import Counter

from bench.failover import run_kills


class Store:
    """Keeps records in memory; forgets or doubles what it is told to."""

    name = "store"

    def __init__(self, *, forgets: int = 0, doubles: int = 0) -> None:
        self._records: Counter[int] = Counter()
        self._forgets = forgets
        self._doubles = doubles
        self.killed: list[int] = []

    async def ready(self) -> int:
        return len(self.killed) % 3

    def kill(self, member: int) -> None:
        self.killed.append(member)

    def restart(self, member: int) -> None:
        assert self.killed[-1] == member

    async def write(self, number: int, timeout_s: float) -> None:
        await asyncio.sleep(0)
        self._records[number] += 1

    async def stored(self) -> Counter[int]:
        for number in range(self._forgets):
            del self._records[number]
        for number in range(self._forgets, self._forgets + self._doubles):
            self._records[number] += 1
        return self._records


def test_each_kill_gives_one_figure_and_nothing_is_missed() -> None:
    kills = []
    store = Store()
    outcome = asyncio.run(run_kills(store, 3, lambda: kills.append(1)))
    assert len(outcome.outages_s) == len(kills) == 3
    assert store.killed == [0, 1, 2]
    assert outcome.acknowledged >= 6
    assert (outcome.lost, outcome.doubled) == (0, 0)


def test_lost_and_doubled_writes_are_counted() -> None:
    outcome = asyncio.run(run_kills(Store(forgets=2, doubles=1), 3, lambda: None))
    assert (outcome.lost, outcome.doubled) == (2, 1)
