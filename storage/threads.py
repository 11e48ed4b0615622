"""Blocking work in threads, for an event loop that may lose interest in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

A = TypeVarTuple("A")
T = TypeVar("T")

THREADS = 4
"""That work on disks at a time: more would only make each of them slower."""

_disk_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="disk")
"""Not the loop's own: what is quick must not wait for its turn behind a slow disk."""


async def in_thread(
    work: Callable[[*A], T], *arguments: *A, pool: ThreadPoolExecutor | None = None
) -> T:
    """
    *work* in a thread of *pool*, else of the one for disks. Its errors pass through.

    A caller that is cancelled ends when *work* has ended, or at once when it has not begun. So
    whatever the caller closes, unlocks or removes afterwards is not in use any more.
    """
    begun = (pool or _disk_pool).submit(work, *arguments)
    ended = asyncio.wrap_future(begun)
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        if not begun.cancel():
            await _wait_out(ended)
        raise


async def _wait_out(ended: asyncio.Future[T]) -> None:
    """However often the waiting is cancelled."""
    while not ended.done():
        try:
            await asyncio.wait({ended})
        except asyncio.CancelledError:
            continue
    # Looked at, or the loop would complain of an error that nobody saw.
    if not ended.cancelled():
        ended.exception()
