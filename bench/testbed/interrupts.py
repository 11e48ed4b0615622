"""Ctrl-C, SIGTERM and SIGHUP: how they end a program, and work that they have to wait for."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType

import click

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Whether the program was told to end, and by which signal."""

    def __init__(self) -> None:
        self.number = 0
        """Of the first signal; 0 before it."""
        self._in_loop = False
        self._cancel: Callable[[], object] | None = None

    def check(self) -> None:
        """KeyboardInterrupt once a signal came: a callback may have swallowed the first one."""
        if self.number:
            raise KeyboardInterrupt

    def run(self, work: Coroutine[object, object, None]) -> None:
        """asyncio.run() of *work*; a signal cancels it, and then KeyboardInterrupt is raised."""

        async def cancellable() -> None:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            if task is not None:
                self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            if self.number:
                work.close()
            else:
                await work

        # Raised inside the event loop, it would end it with tasks and connections half-way.
        self._in_loop = True
        try:
            asyncio.run(cancellable())
        finally:
            self._in_loop, self._cancel = False, None
            self.check()

    def note(self, number: int, frame: FrameType | None) -> None:
        """The handler: the first signal ends what runs, those that follow do nothing."""
        first = not self.number
        self.number = self.number or number
        if first and self._cancel is not None:
            self._cancel()
        elif first and not self._in_loop:
            raise KeyboardInterrupt


@contextlib.contextmanager
def ends_in_good_order(take_down: Callable[[], str]) -> Iterator[Interruption]:
    """
    The first signal ends the block by KeyboardInterrupt, with all clean-up; no later one disturbs.

    Then *take_down* removes what clean-up has missed, and its text ends the program: SystemExit
    with 128 + the signal's number. Signals are ignored from then on. In the main thread only.
    """
    interruption = Interruption()
    before = {number: signal.signal(number, interruption.note) for number in NUMBERS}
    try:
        yield interruption
    except BaseException:
        # Whatever else came of it, an interrupted child's failure say, is not the cause.
        if not interruption.number:
            raise
    finally:
        if not interruption.number:
            for number, handler in before.items():
                signal.signal(number, handler)
    if interruption.number:
        for number in NUMBERS:
            signal.signal(number, signal.SIG_IGN)
        text = take_down()
        # After SIGHUP nobody may be there to read it.
        with contextlib.suppress(OSError):
            click.echo(text, err=True)
        raise SystemExit(128 + interruption.number)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that come while the block runs take effect when it is done."""
    if threading.current_thread() is not threading.main_thread():
        # Handlers run in the main thread: nothing is raised here.
        yield
        return
    came: list[int] = []
    before = {}
    try:
        for number in NUMBERS:
            before[number] = signal.signal(number, lambda each, _: came.append(each))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for each in came:
            signal.raise_signal(each)
