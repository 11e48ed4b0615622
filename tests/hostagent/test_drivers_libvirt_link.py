"""A libvirtd that hangs, and one that comes back. What a real one does: tests/real."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

libvirt = pytest.importorskip("libvirt")

from hostagent.drivers import libvirt_link as module  # noqa: E402
from hostagent.drivers.base import DriverError  # noqa: E402
from hostagent.drivers.libvirt_link import LibvirtLink, Timeouts  # noqa: E402
from tests.hostagent.replicas import until  # noqa: E402


class Connection:
    """What the link asks of one."""

    def domainEventRegisterAny(self, *_: object) -> int:
        return 0

    def domainEventDeregisterAny(self, event_id: int) -> None: ...
    def registerCloseCallback(self, *_: object) -> None: ...
    def unregisterCloseCallback(self) -> None: ...
    def isAlive(self) -> bool:
        return True

    def close(self) -> None: ...


class Daemon:
    """Stands in for libvirt.open: hangs until it is let go."""

    def __init__(self) -> None:
        self.opened = 0
        self.answers = threading.Event()

    def open(self, uri: str) -> Connection:
        self.opened += 1
        self.answers.wait(20)
        return Connection()


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    daemon = Daemon()
    monkeypatch.setattr(libvirt, "open", daemon.open)
    yield daemon
    daemon.answers.set()


def link(ups: list[str]) -> LibvirtLink:
    return LibvirtLink(
        "test:///default",
        Timeouts(connect_s=0.02),
        on_domain=lambda name: None,
        on_up=lambda: ups.append("up"),
    )


def test_libvirtd_that_hangs_is_dialled_once_however_often_it_is_needed(daemon: Daemon) -> None:
    async def scenario() -> None:
        connection = link([])
        for _ in range(10):
            with pytest.raises(DriverError, match="did not answer within"):
                await connection.connected()
        callers = [connection.connected() for _ in range(10)]
        for outcome in await asyncio.gather(*callers, return_exceptions=True):
            assert isinstance(outcome, DriverError)
        assert daemon.opened == 1

    asyncio.run(scenario())


def test_connection_that_comes_late_is_used(daemon: Daemon) -> None:
    ups: list[str] = []

    async def scenario() -> None:
        connection = link(ups)
        with pytest.raises(DriverError):
            await connection.connected()
        daemon.answers.set()
        await until(lambda: not connection.lost.is_set(), "the connection")
        assert await connection.call("ask", lambda conn: "answered", 20.0) == "answered"
        await connection.close()

    asyncio.run(scenario())
    # One brings events, one is for calls.
    assert (daemon.opened, ups) == (2, ["up"])


def test_refusal_is_told_to_all_who_wait_and_the_next_call_dials_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dialled: list[str] = []

    def refuse(uri: str) -> None:
        dialled.append(uri)
        raise libvirt.libvirtError("Connection refused")

    monkeypatch.setattr(libvirt, "open", refuse)

    async def scenario() -> None:
        connection = LibvirtLink(
            "test:///default", Timeouts(), on_domain=lambda name: None, on_up=lambda: None
        )
        for tries in (1, 2):
            callers = [connection.connected() for _ in range(3)]
            for outcome in await asyncio.gather(*callers, return_exceptions=True):
                assert "Connection refused" in str(outcome)
            assert len(dialled) == tries

    asyncio.run(scenario())


def test_libvirtd_that_answers_nothing_gets_no_more_calls_until_it_does(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answers.set()
    monkeypatch.setattr(module, "_UNANSWERED_MAX", 2)
    go_on = threading.Event()

    async def scenario() -> None:
        connection = LibvirtLink(
            "test:///default", Timeouts(), on_domain=lambda name: None, on_up=lambda: None
        )
        for refusal in ("within 0.01 s", "within 0.01 s", "still owes 2 answers"):
            with pytest.raises(DriverError, match=refusal):
                await connection.call("ask", lambda conn: go_on.wait(20), 0.01)
        go_on.set()
        await until(lambda: not connection._unanswered, "the late answers")
        assert await connection.call("ask", lambda conn: "answered", 20.0) == "answered"
        await connection.close()

    try:
        asyncio.run(scenario())
    finally:
        go_on.set()


def test_two_calls_are_never_inside_one_connection(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answers.set()
    monkeypatch.setattr(module, "_LINES_MAX", 2)
    inside: set[int] = set()
    used: set[int] = set()

    def work(conn: Connection) -> None:
        assert id(conn) not in inside
        inside.add(id(conn))
        used.add(id(conn))
        threading.Event().wait(0.005)
        inside.remove(id(conn))

    async def scenario() -> None:
        connection = LibvirtLink(
            "test:///default", Timeouts(), on_domain=lambda name: None, on_up=lambda: None
        )
        await asyncio.gather(*(connection.call("ask", work, 20.0) for _ in range(10)))
        await connection.close()

    asyncio.run(scenario())
    assert 1 <= len(used) <= 2


def test_call_that_gets_no_turn_in_time_says_so(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answers.set()
    monkeypatch.setattr(module, "_LINES_MAX", 1)
    entered, go_on = threading.Event(), threading.Event()

    def work(_conn: Connection) -> bool:
        entered.set()
        return go_on.wait(20)

    async def scenario() -> None:
        connection = LibvirtLink(
            "test:///default", Timeouts(), on_domain=lambda name: None, on_up=lambda: None
        )
        long = asyncio.ensure_future(connection.call("save", work, 20.0))
        await until(entered.is_set, "the long call")
        with pytest.raises(DriverError, match="cannot ask: 1 other calls to libvirtd"):
            await connection.call("ask", lambda conn: None, 0.01)
        go_on.set()
        assert await long
        await connection.close()

    try:
        asyncio.run(scenario())
    finally:
        go_on.set()


def test_connection_is_not_closed_while_a_late_call_is_inside(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answers.set()
    go_on = threading.Event()
    told: list[str] = []
    closed = threading.Event()
    mine: list[Connection] = []

    def close(connection: Connection) -> None:
        if connection in mine:
            told.append("closed")
            closed.set()

    monkeypatch.setattr(Connection, "close", close)

    def work(conn: Connection) -> None:
        mine.append(conn)
        go_on.wait(20)
        told.append("returned")

    async def scenario() -> None:
        connection = LibvirtLink(
            "test:///default", Timeouts(), on_domain=lambda name: None, on_up=lambda: None
        )
        with pytest.raises(DriverError, match=r"did not answer within 0\.05 s"):
            await connection.call("ask", work, 0.05)
        other = await connection.call("ask", lambda conn: conn, 20.0)
        assert other not in mine
        go_on.set()
        await until(closed.is_set, "the end of the late call's connection")
        await connection.close()

    try:
        asyncio.run(scenario())
    finally:
        go_on.set()
    assert told == ["returned", "closed"]
