"""
The connections to libvirtd: calls that cannot hang the agent, events, reconnection.

Every call runs in a daemon thread of its own with a deadline, and has a connection to itself.
A call that misses the deadline is left to its thread and keeps its connection until it returns;
the next call gets a new one. Nothing that libvirtd does can keep the agent from working, or from
ending.

Never two threads on one connection, no keepalive, no closing under a call: libvirt before 10.4
reads freed memory when anything wakes a thread that waits for an answer (CVE-2024-4418). Events
have a connection of their own on which nobody waits, and it tells when libvirtd is gone.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import libvirt

from hostagent.drivers.base import DriverError

log = logging.getLogger(__name__)

T = TypeVar("T")

_LINES_MAX = 8
"""Calls that run at once, each on a connection of its own. More wait for their turn."""

_CANCEL_PATIENCE_S = 5.0

_UNANSWERED_MAX = 32
"""Calls that missed their deadline and still hold a thread and a connection."""

_event_loop_lock = threading.Lock()
_event_loop_runs = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long libvirtd may take for each kind of call, in seconds."""

    connect_s: float = 5.0
    query_s: float = 10.0
    change_s: float = 60.0
    """Define, start, destroy and the like."""
    memory_s: float = 600.0
    """Writes or reads a guest's memory."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A connection for calls, one at a time."""

    connection: Any
    generation: int


@dataclass(frozen=True, slots=True)
class _Watch:
    """The connection that brings events."""

    connection: Any
    event_id: int


class LibvirtLink:
    """Connections made when needed and used again. Belongs to one event loop."""

    def __init__(
        self,
        uri: str,
        timeouts: Timeouts,
        *,
        on_domain: Callable[[str], None],
        on_up: Callable[[], None],
    ) -> None:
        """*on_domain* gets the name of a domain that changed; *on_up*: events come from now on."""
        self._uri = uri
        self._timeouts = timeouts
        self._on_domain = on_domain
        self._on_up = on_up
        self._watch: _Watch | None = None
        self._watch_opening: asyncio.Future[_Watch] | None = None
        self._idle: list[Any] = []
        self._line_opening: asyncio.Future[Any] | None = None
        self._generation = 0
        self._turns = asyncio.Semaphore(_LINES_MAX)
        self._unanswered: set[asyncio.Future[Any]] = set()
        self._closed = False
        self.lost = asyncio.Event()
        """Set while no events come."""
        self.lost.set()

    async def call(self, what: str, work: Callable[[Any], T], timeout_s: float) -> T:
        """
        *work* gets a connection, in a thread. *what* names it in errors: "start guest 3".

        *timeout_s* includes the wait for a turn. Raises DriverError when libvirtd is away, does
        not answer in time, or closes the connection meanwhile; libvirt.libvirtError for what it
        refuses.
        """
        await self.connected()
        waited_s = await self._turn(what, timeout_s)
        try:
            if len(self._unanswered) >= _UNANSWERED_MAX:
                raise DriverError(
                    f"cannot {what}: libvirtd ({self._uri}) still owes {_UNANSWERED_MAX} answers",
                    "restart it on the host (guests go on running), then try again",
                )
            line = await self._line()
            answer = _begin(lambda: work(line.connection))
            try:
                await _settled(answer, timeout_s - waited_s)
            finally:
                self._put_back(line, answer)
        finally:
            self._turns.release()
        if not answer.done():
            turn = f", {waited_s:.1f} s of it waiting for a turn" if waited_s > 0.1 else ""
            raise DriverError(
                f"cannot {what}: libvirtd ({self._uri}) did not answer within {timeout_s:g} s"
                f"{turn}",
                "see `systemctl status libvirtd` on the host, restart it if it hangs (guests go "
                "on running), then try again",
            )
        try:
            return answer.result()
        except libvirt.libvirtError as err:
            if not _means_lost(err):
                raise
            self._give_up_lines()
            raise DriverError(
                f"cannot {what}: the connection to libvirtd ({self._uri}) broke: {err}",
                "see `systemctl status libvirtd` on the host, then try again",
            ) from err

    async def connected(self) -> None:
        """Returns once events come. Raises DriverError."""
        if self._watch is not None:
            return
        if self._watch_opening is None:
            # One at a time, also over several calls: a hung libvirtd would get one more thread
            # and one more socket with each.
            _run_event_loop()
            loop = asyncio.get_running_loop()
            self._watch_opening = _begin(lambda: self._open_watch(loop))
            self._watch_opening.add_done_callback(self._watch_opened)
        await self._opened(self._watch_opening, self._timeouts.connect_s)

    async def close(self) -> None:
        self._closed = True
        self._give_up_lines()
        if self._watch is not None:
            self._give_up_watch(self._watch.connection)

    async def _turn(self, what: str, timeout_s: float) -> float:
        """Seconds that it took. The caller releases it."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            async with asyncio.timeout(timeout_s):
                await self._turns.acquire()
        except TimeoutError:
            raise DriverError(
                f"cannot {what}: {_LINES_MAX} other calls to libvirtd ({self._uri}) went before "
                f"it for {timeout_s:g} s",
                "try again; see `systemctl status libvirtd` on the host if that goes on",
            ) from None
        return loop.time() - start

    async def _line(self) -> _Line:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeouts.connect_s
        # Another call may be quicker to take the one that was dialled.
        while not self._idle:
            if self._line_opening is None:
                self._line_opening = _begin(lambda: libvirt.open(self._uri))
                self._line_opening.add_done_callback(self._line_opened)
            await self._opened(self._line_opening, deadline - loop.time())
        return _Line(self._idle.pop(), self._generation)

    async def _opened(self, opening: asyncio.Future[Any], timeout_s: float) -> None:
        done, _ = await asyncio.wait({opening}, timeout=timeout_s)
        if not done:
            raise DriverError(
                f"libvirtd ({self._uri}) did not answer within {self._timeouts.connect_s:g} s",
                "see `systemctl status libvirtd` on the host and restart it if it hangs",
            )
        try:
            opening.result()
        except libvirt.libvirtError as err:
            raise DriverError(
                f"cannot reach libvirtd ({self._uri}): {err}",
                "see whether it runs (`systemctl status libvirtd`) on the host",
            ) from err

    def _line_opened(self, opening: asyncio.Future[Any]) -> None:
        """Before those who wait are told; perhaps long after they gave up."""
        self._line_opening = None
        if opening.exception() is not None:
            return
        if self._closed:
            self._retire(opening.result())
        else:
            self._idle.append(opening.result())

    def _watch_opened(self, opening: asyncio.Future[_Watch]) -> None:
        self._watch_opening = None
        if opening.exception() is not None:
            return
        self._watch = opening.result()
        # Its end may have been told before it was known here.
        if self._closed or not self._watch.connection.isAlive():
            self._give_up_watch(self._watch.connection)
            return
        self.lost.clear()
        self._on_up()

    def _open_watch(self, loop: asyncio.AbstractEventLoop) -> _Watch:
        connection = libvirt.open(self._uri)

        def lifecycle(_conn: Any, domain: Any, _event: int, _detail: int, _opaque: Any) -> None:
            _post(loop, self._on_domain, domain.name())

        def closed(gone: Any, _reason: int, _opaque: Any) -> None:
            _post(loop, self._give_up_watch, gone)

        connection.registerCloseCallback(closed, None)
        event_id = connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle, None
        )
        return _Watch(connection, event_id)

    def _put_back(self, line: _Line, answer: asyncio.Future[Any]) -> None:
        """After a call: for the next one, unless *answer* is still to come."""
        if not answer.done():
            self._unanswered.add(answer)
            answer.add_done_callback(lambda late: self._answered_late(line, late))
            self._give_up_lines()
        elif line.generation == self._generation and not self._closed:
            self._idle.append(line.connection)
        else:
            self._retire(line.connection)

    def _answered_late(self, line: _Line, answer: asyncio.Future[Any]) -> None:
        self._unanswered.discard(answer)
        if answer.exception() is not None:
            log.debug("late answer of libvirtd: %s", answer.exception())
        self._retire(line.connection)

    def _give_up_lines(self) -> None:
        """New ones for the next calls; those with a call inside end with it."""
        self._generation += 1
        idle, self._idle = self._idle, []
        for connection in idle:
            self._retire(connection)

    def _give_up_watch(self, connection: Any) -> None:
        watch = self._watch
        if watch is None or watch.connection is not connection:
            return
        if not self._closed:
            log.warning("the connection to libvirtd (%s) is lost", self._uri)
        self._watch = None
        self.lost.set()
        self._give_up_lines()
        self._retire(connection, watch.event_id)

    def _retire(self, connection: Any, event_id: int | None = None) -> None:
        """Closes one that nobody uses. Closing asks libvirtd and may hang like any other call."""
        closing = _begin(lambda: _close(connection, event_id))
        self._unanswered.add(closing)
        closing.add_done_callback(self._unanswered.discard)


def _post(loop: asyncio.AbstractEventLoop, target: Callable[[Any], None], value: Any) -> None:
    """From libvirt's thread into ours, if ours still runs."""
    try:
        loop.call_soon_threadsafe(target, value)
    except RuntimeError:
        log.debug("event after the end of the loop is dropped")


def _close(connection: Any, event_id: int | None) -> None:
    # Each by itself: on a broken connection all of them fail, yet let go of what they hold here.
    if event_id is not None:
        with suppress(libvirt.libvirtError):
            connection.domainEventDeregisterAny(event_id)
        with suppress(libvirt.libvirtError):
            connection.unregisterCloseCallback()
    with suppress(libvirt.libvirtError):
        connection.close()


def _begin(work: Callable[[], T]) -> asyncio.Future[T]:
    """Starts *work* in a daemon thread of its own."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        try:
            result = work()
        # Everything, so that a bug surfaces in the caller and not in a thread nobody watches.
        except BaseException as err:  # noqa: BLE001
            _forget_locals(err)
            _settle(None, err)
        else:
            _settle(result, None)

    def _settle(result: T | None, error: BaseException | None) -> None:
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:
            log.debug("answer after the end of the loop is dropped")

    threading.Thread(target=run, name="libvirt-call", daemon=True).start()
    return future


def _forget_locals(error: BaseException) -> None:
    """Lest an error carry domains, and the connection with them, into another thread."""
    for link in _chain(error):
        traceback.clear_frames(link.__traceback__)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__context__


async def _settled(answer: asyncio.Future[Any], timeout_s: float) -> None:
    """
    Returns when *answer* is there, or late.

    A cancelled caller still waits a little for it: what comes next for the same guest should not
    be overtaken by it.
    """
    try:
        await asyncio.wait({answer}, timeout=timeout_s)
    except asyncio.CancelledError:
        await asyncio.wait({answer}, timeout=min(timeout_s, _CANCEL_PATIENCE_S))
        if answer.done():
            answer.exception()
        raise


def _means_lost(err: Any) -> bool:
    code, domain = err.get_error_code(), err.get_error_domain()
    return (
        code in (libvirt.VIR_ERR_INVALID_CONN, libvirt.VIR_ERR_NO_CONNECT)
        or domain in (libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE)
        or (code == libvirt.VIR_ERR_SYSTEM_ERROR and "client socket is closed" in str(err))
    )


def _run_event_loop() -> None:
    """libvirt's own event loop, once for the process; connections need it for events."""
    global _event_loop_runs
    with _event_loop_lock:
        if _event_loop_runs:
            return
        # By default libvirt prints every error on stderr, besides raising it.
        libvirt.registerErrorHandler(lambda _context, _error: None, None)
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_turn_event_loop, name="libvirt-events", daemon=True).start()
        _event_loop_runs = True


def _turn_event_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
