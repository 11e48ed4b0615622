"""Blocking work that is never left alone with what its caller takes away."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from storage.threads import in_thread


def test_result_and_error_reach_the_caller() -> None:
    assert asyncio.run(in_thread(divmod, 7, 2)) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(in_thread(divmod, 7, 0))


@pytest.mark.parametrize("cancellations", [1, 3])
def test_cancelled_caller_stays_until_its_work_has_ended(cancellations: int) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(20)
        ended.set()

    async def scenario() -> None:
        caller = asyncio.ensure_future(in_thread(work))
        await asyncio.to_thread(begun.wait, 20)
        for _ in range(cancellations):
            caller.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
            assert not caller.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert ended.is_set()

    asyncio.run(scenario())


def test_work_that_waits_for_its_turn_is_not_begun_after_a_cancellation() -> None:
    go_on = threading.Event()
    done: list[str] = []

    async def scenario(pool: ThreadPoolExecutor) -> None:
        first = asyncio.ensure_future(in_thread(go_on.wait, 20, pool=pool))
        second = asyncio.ensure_future(in_thread(done.append, "second", pool=pool))
        await asyncio.sleep(0)
        second.cancel()
        with suppress(asyncio.CancelledError):
            await second
        go_on.set()
        assert await first

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(scenario(pool))
    assert not done
