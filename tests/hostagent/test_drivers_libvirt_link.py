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
    """What the link asks of one; libvirt's own test driver knows no keep-alives."""

    def domainEventRegisterAny(self, *_: object) -> None: ...
    def registerCloseCallback(self, *_: object) -> None: ...
    def unregisterCloseCallback(self) -> None: ...
    def setKeepAlive(self, *_: object) -> None: ...
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
    assert (daemon.opened, ups) == (1, ["up"])


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
