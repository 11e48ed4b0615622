"""The load generator: closed-loop clients as coroutines, the same for every system measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bench.report import percentile

Operation = Callable[[], Awaitable[object]]
"""One request of one client, with everything it has to wait for."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a number of clients got done. Latencies are those of whole requests, sorted."""

    operations: int
    seconds: float
    latencies_s: Sequence[float]

    @property
    def rate(self) -> float:
        return self.operations / self.seconds

    @property
    def p50_ms(self) -> float:
        return percentile(self.latencies_s, 50) * 1000

    @property
    def p99_ms(self) -> float:
        return percentile(self.latencies_s, 99) * 1000


async def closed_loop(
    clients: Sequence[Operation], *, seconds: float, warm_up_s: float, weight: int = 1
) -> Figures:
    """Each client sends its next request when it has the answer to the last.

    *weight* is how many operations one request carries. Requests that were sent or answered
    outside the measured time are not counted; an error ends the measurement.
    """
    start = time.perf_counter() + warm_up_s
    end = start + seconds
    latencies: list[float] = []

    async def client(operation: Operation) -> None:
        while (sent := time.perf_counter()) < end:
            await operation()
            answered = time.perf_counter()
            if sent >= start and answered <= end:
                latencies.append(answered - sent)

    async with asyncio.TaskGroup() as group:
        for operation in clients:
            group.create_task(client(operation))
    latencies.sort()
    return Figures(len(latencies) * weight, seconds, latencies)
