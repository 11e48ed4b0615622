"""The event log: ordered, never split, filtered, and forgotten from its old end."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontend.state import events
from frontend.state.store import Txn
from protos.v1.command_pb2 import Command
from protos.v1.event_pb2 import Event
from tests.frontend.cloud import Cloud


def write(cloud: Cloud, index: int, *kinds: str) -> None:
    with cloud.env.begin(write=True) as raw:
        txn = cloud.store.wrap(raw)
        for number, kind in enumerate(kinds):
            cmd = Command(request_id=f"r{index}", actor="user/ann", at_ms=5)
            events.append(txn, cmd, index, kind, kind.split(".")[0], number)
        txn.flush()


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    cloud = Cloud(tmp_path)
    write(cloud, 1, "vm.created", "image.state")
    write(cloud, 3, "vm.state")
    write(cloud, 4, "vm.state", "vm.state", "vm.state")
    return cloud


def revisions(page: list[Event]) -> list[tuple[int, int]]:
    return [(event.revision, event.sequence) for event in page]


def test_page_never_splits_a_revision(cloud: Cloud) -> None:
    with cloud.read() as txn:
        page, reached = events.page_after(txn, 0, 1)
        assert (revisions(page), reached) == ([(1, 0), (1, 1)], 1)
        page, reached = events.page_after(txn, 3, 1)
        assert (revisions(page), reached) == ([(4, 0), (4, 1), (4, 2)], 4)
        assert events.page_after(txn, 4, 1) == ([], 4)
        assert events.page_after(txn, 2**63 - 1, 1) == ([], 2**63 - 1)


def test_filtered_page_moves_on_also_when_nothing_matches(cloud: Cloud) -> None:
    with cloud.read() as txn:
        page, reached = events.page_after(txn, 1, 10, lambda event: event.noun == "image")
        assert (page, reached) == ([], 4)


def test_newest_events_come_first_when_read_backwards(cloud: Cloud) -> None:
    with cloud.read() as txn:
        page, reached = events.page_before(txn, 0, 2)
        assert (revisions(page), reached) == ([(4, 2), (4, 1), (4, 0)], 4)
        page, reached = events.page_before(txn, reached, 2)
        assert (revisions(page), reached) == ([(3, 0), (1, 1), (1, 0)], 0)


def test_last_revision_is_that_of_the_newest_change(cloud: Cloud) -> None:
    with cloud.read() as txn:
        assert events.last_revision(txn) == 4


def test_event_tells_who_when_and_under_which_request(cloud: Cloud) -> None:
    with cloud.read() as txn:
        [event] = events.page_after(txn, 1, 1)[0]
    assert (event.actor, event.time_ms, event.request_id) == ("user/ann", 5, "r3")


def expire(cloud: Cloud, index: int) -> None:
    with cloud.env.begin(write=True) as raw:
        txn: Txn = cloud.store.wrap(raw)
        events.expire(txn, index)
        txn.flush()


def test_old_events_are_forgotten_and_the_floor_says_so(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "KEPT", 10)
    expire(cloud, 11)
    with cloud.read() as txn:
        assert events.floor(txn) == 1
        assert revisions(events.page_after(txn, 0, 1)[0]) == [(3, 0)]


def test_newest_event_is_never_forgotten(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEPT", 10)
    expire(cloud, 1000)
    with cloud.read() as txn:
        assert events.floor(txn) == 3
        assert events.last_revision(txn) == 4
