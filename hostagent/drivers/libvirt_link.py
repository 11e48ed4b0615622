"""
The connection to libvirtd: calls that cannot hang the agent, events, reconnection.

Every call runs in a daemon thread of its own with a deadline. A call that misses it is left to
its thread, and the connection is given up with it, so that the next call starts on a new one;
nothing that libvirtd does can keep the agent from working, or from ending.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import libvirt

from hostagent.drivers.base import DriverError

log = logging.getLogger(__name__)

T = TypeVar("T")

_KEEPALIVE_INTERVAL_S = 2
_KEEPALIVE_COUNT = 5
"""libvirtd is taken for hung after about ten seconds without an answer from its event loop."""

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


class LibvirtLink:
    """One connection at a time, made when needed. Belongs to one event loop."""

    def __init__(
        self,
        uri: str,
        timeouts: Timeouts,
        *,
        on_domain: Callable[[str], None],
        on_up: Callable[[], None],
    ) -> None:
        """*on_domain* gets the name of a domain that changed; *on_up* tells of a new connection."""
        self._uri = uri
        self._timeouts = timeouts
        self._on_domain = on_domain
        self._on_up = on_up
        self._connection: Any = None
        self._opening: asyncio.Future[Any] | None = None
        self._unanswered: set[asyncio.Future[Any]] = set()
        self.lost = asyncio.Event()
        """Set while there is no connection."""
        self.lost.set()

    async def call(self, what: str, work: Callable[[Any], T], timeout_s: float) -> T:
        """
        *work* gets the connection, in a thread. *what* names it in errors: "start guest 3".

        Raises DriverError when libvirtd is away, does not answer in time, or closes the
        connection meanwhile; libvirt.libvirtError for what it refuses.
        """
        connection = await self.connected()
        if len(self._unanswered) >= _UNANSWERED_MAX:
            raise DriverError(
                f"cannot {what}: libvirtd ({self._uri}) still owes {_UNANSWERED_MAX} answers",
                "restart it on the host (guests go on running), then try again",
            )
        answer = _begin(lambda: work(connection))
        try:
            return await _answered(answer, timeout_s)
        except TimeoutError:
            self._unanswered.add(answer)
            answer.add_done_callback(self._answered_late)
            self._give_up(connection)
            raise DriverError(
                f"cannot {what}: libvirtd ({self._uri}) did not answer within {timeout_s:g} s",
                "see `systemctl status libvirtd` on the host, restart it if it hangs (guests go "
                "on running), then try again",
            ) from None
        except libvirt.libvirtError as err:
            if not _means_lost(err):
                raise
            self._give_up(connection)
            raise DriverError(
                f"cannot {what}: the connection to libvirtd ({self._uri}) broke: {err}",
                "see `systemctl status libvirtd` on the host, then try again",
            ) from err

    async def connected(self) -> Any:
        """The connection, made anew if need be. Raises DriverError."""
        if self._connection is not None:
            return self._connection
        if self._opening is None:
            # One at a time, also over several calls: a hung libvirtd would get one more thread
            # and one more socket with each.
            _run_event_loop()
            loop = asyncio.get_running_loop()
            self._opening = _begin(lambda: self._open(loop))
            self._opening.add_done_callback(self._opened)
        opening = self._opening
        done, _ = await asyncio.wait({opening}, timeout=self._timeouts.connect_s)
        if not done:
            raise DriverError(
                f"libvirtd ({self._uri}) did not answer within {self._timeouts.connect_s:g} s",
                "see `systemctl status libvirtd` on the host and restart it if it hangs",
            )
        try:
            return opening.result()
        except libvirt.libvirtError as err:
            raise DriverError(
                f"cannot reach libvirtd ({self._uri}): {err}",
                "see whether it runs (`systemctl status libvirtd`) on the host",
            ) from err

    async def close(self) -> None:
        if self._connection is not None:
            self._give_up(self._connection)

    def _opened(self, opening: asyncio.Future[Any]) -> None:
        """Before those who wait are told; perhaps long after they gave up."""
        self._opening = None
        if opening.cancelled() or opening.exception() is not None:
            return
        self._connection = opening.result()
        self.lost.clear()
        self._on_up()

    def _answered_late(self, answer: asyncio.Future[Any]) -> None:
        self._unanswered.discard(answer)
        if not answer.cancelled() and answer.exception() is not None:
            log.debug("late answer of libvirtd: %s", answer.exception())

    def _open(self, loop: asyncio.AbstractEventLoop) -> Any:
        connection = libvirt.open(self._uri)

        def lifecycle(_conn: Any, domain: Any, _event: int, _detail: int, _opaque: Any) -> None:
            _post(loop, self._on_domain, domain.name())

        def closed(gone: Any, _reason: int, _opaque: Any) -> None:
            _post(loop, self._give_up, gone)

        connection.domainEventRegisterAny(
            None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle, None
        )
        connection.registerCloseCallback(closed, None)
        connection.setKeepAlive(_KEEPALIVE_INTERVAL_S, _KEEPALIVE_COUNT)
        return connection

    def _give_up(self, connection: Any) -> None:
        if connection is not self._connection:
            return
        log.warning("connection to libvirtd (%s) is given up", self._uri)
        self._connection = None
        self.lost.set()
        # Closing talks to libvirtd and may hang like any other call.
        threading.Thread(target=_close, args=(connection,), daemon=True).start()


def _post(loop: asyncio.AbstractEventLoop, target: Callable[[Any], None], value: Any) -> None:
    """From libvirt's thread into ours, if ours still runs."""
    try:
        loop.call_soon_threadsafe(target, value)
    except RuntimeError:
        log.debug("event after the end of the loop is dropped")


def _close(connection: Any) -> None:
    try:
        connection.unregisterCloseCallback()
        connection.close()
    except libvirt.libvirtError as err:
        log.debug("closing a lost connection: %s", err)


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


async def _answered(answer: asyncio.Future[T], timeout_s: float) -> T:
    """
    TimeoutError when *answer* takes longer; its thread is then left alone.

    A cancelled caller still waits a little for it: what comes next for the same guest should not
    be overtaken by it.
    """
    try:
        done, _ = await asyncio.wait({answer}, timeout=timeout_s)
    except asyncio.CancelledError:
        await asyncio.wait({answer}, timeout=min(timeout_s, _CANCEL_PATIENCE_S))
        answer.cancel()
        raise
    if not done:
        raise TimeoutError
    return answer.result()


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
