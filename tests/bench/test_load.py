"""The load generator counts what happened inside the measured time, and fails loudly."""

from __future__ import annotations

import asyncio

import pytest

from bench.load import closed_loop


def test_every_client_waits_for_its_answer_before_it_asks_again() -> None:
    under_way = [0, 0]
    most = [0, 0]

    def client(number: int) -> object:
        async def operation() -> None:
            under_way[number] += 1
            most[number] = max(most[number], under_way[number])
            await asyncio.sleep(0)
            under_way[number] -= 1

        return operation

    figures = asyncio.run(
        closed_loop([client(0), client(1)], seconds=0.05, warm_up_s=0.01)  # type: ignore[list-item]
    )
    assert most == [1, 1]
    assert figures.operations == len(figures.latencies_s) > 0
    assert figures.rate == figures.operations / 0.05


def test_operations_of_one_message_all_count() -> None:
    async def operation() -> None:
        await asyncio.sleep(0)

    figures = asyncio.run(closed_loop([operation], seconds=0.02, warm_up_s=0, weight=16))
    assert figures.operations == 16 * len(figures.latencies_s)


def test_a_failed_operation_ends_the_measurement() -> None:
    async def operation() -> None:
        raise ConnectionError("refused")

    with pytest.raises(ExceptionGroup) as failure:
        asyncio.run(closed_loop([operation], seconds=60, warm_up_s=0))
    assert failure.group_contains(ConnectionError)
