"""Watches: nothing is missed, nothing comes twice, wherever a client goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from frontend.api.follow import follow_events, follow_vms, resume_points
from frontend.auth.callers import Caller
from protos.errors import failure_of
from protos.identity import USER
from protos.v1 import event_pb2, vm_pb2
from tests.frontend.front_end import DEADLINE_S, FrontEnd, Stubs
from tests.frontend.leading import Scene, played


@pytest.fixture(scope="module")
def template_id(front_end: FrontEnd) -> int:
    front_end.cluster()
    return front_end.template("watched").id


def create(front_end: FrontEnd, template_id: int, owner: Stubs | None = None) -> vm_pb2.Vm:
    made: vm_pb2.Vm = (owner or front_end.admin).vms.CreateVm(
        vm_pb2.CreateVmRequest(template_id=template_id)
    )
    return made


def describe(front_end: FrontEnd, vm_id: int, text: str) -> vm_pb2.Vm:
    changed: vm_pb2.Vm = front_end.admin.vms.UpdateVm(
        vm_pb2.UpdateVmRequest(
            vm=vm_pb2.Vm(id=vm_id, description=text), update_mask=FieldMask(paths=["description"])
        )
    )
    return changed


def watch(
    stubs: Stubs, after: int = 0, vm_id: int | None = None
) -> Iterator[vm_pb2.WatchVmsResponse]:
    request = vm_pb2.WatchVmsRequest(after_revision=after, id=vm_id)
    changes: Iterator[vm_pb2.WatchVmsResponse] = stubs.vms.WatchVms(request, timeout=DEADLINE_S)
    return changes


def test_watch_begins_with_what_there_is_and_goes_on_with_changes(
    front_end: FrontEnd, template_id: int
) -> None:
    made = create(front_end, template_id)
    changes = watch(front_end.admin)
    present = next(change for change in changes if change.vm.id == made.id)
    assert present.vm.owner == "user/root"
    describe(front_end, made.id, "after the watch began")
    descriptions = (change.vm.description for change in changes if change.vm.id == made.id)
    assert "after the watch began" in descriptions


def test_watch_resumes_without_gap_or_repetition(front_end: FrontEnd, template_id: int) -> None:
    made = create(front_end, template_id)
    reached = made.revision
    wanted = [str(number) for number in range(20)]
    for text in wanted:
        describe(front_end, made.id, text)
    seen: list[int] = []
    last = ""
    # A new stream for every change: each begins where the last one was cut.
    while last != wanted[-1]:
        change = next(watch(front_end.admin, reached, made.id))
        assert change.revision > reached
        reached, last = change.revision, change.vm.description
        seen.append(change.revision)
    assert seen == sorted(set(seen))


def test_watch_beyond_the_newest_revision_waits_for_it(
    front_end: FrontEnd, template_id: int
) -> None:
    made = create(front_end, template_id)
    future = front_end.revision() + 20
    changes = watch(front_end.admin, future, made.id)
    while describe(front_end, made.id, "again").revision <= future:
        pass
    assert next(changes).revision > future


def test_user_is_told_of_own_vms_only(front_end: FrontEnd, template_id: int) -> None:
    ann = front_end.user("ann")
    after = front_end.revision()
    create(front_end, template_id)
    own = create(front_end, template_id, ann)
    assert next(watch(ann, after)).vm.id == own.id
    assert next(watch(ann)).vm.owner == "user/ann"


def test_watch_of_somebody_elses_vm_is_not_found(front_end: FrontEnd, template_id: int) -> None:
    made = create(front_end, template_id)
    changes = watch(front_end.user("eve"), 0, made.id)
    with pytest.raises(Exception) as caught:  # noqa: PT011  a grpc.RpcError, read below
        next(changes)
    assert failure_of(caught.value).reason == "not_found"  # type: ignore[arg-type]


def test_events_come_in_order_with_who_and_what(front_end: FrontEnd, template_id: int) -> None:
    after = front_end.revision()
    made = create(front_end, template_id)
    stream = front_end.admin.events.WatchEvents(
        event_pb2.WatchEventsRequest(after_revision=after, noun="vm"), timeout=DEADLINE_S
    )
    first = next(stream).event
    assert (first.kind, first.object_id, first.actor) == ("vm.created", made.id, "user/root")
    assert first.revision == made.revision


def test_events_of_others_are_not_for_users(front_end: FrontEnd, template_id: int) -> None:
    ann = front_end.user("ann")
    create(front_end, template_id)
    own = create(front_end, template_id, ann)
    listed = ann.events.ListEvents(event_pb2.ListEventsRequest(page_size=1000, noun="vm")).events
    assert {event.object_id for event in listed} >= {own.id}
    for event in listed:
        vm = front_end.admin.vms.GetVm(vm_pb2.GetVmRequest(id=event.object_id))
        assert vm.owner == "user/ann" or event.actor == "user/ann"
    nouns = {event.noun for event in ann.events.ListEvents(event_pb2.ListEventsRequest()).events}
    assert "token" not in nouns
    assert "security" not in nouns


def test_pages_of_events_meet(front_end: FrontEnd, template_id: int) -> None:
    for _ in range(5):
        create(front_end, template_id)
    list_events = front_end.admin.events.ListEvents
    paged, after = [], 0
    while True:
        page = list_events(event_pb2.ListEventsRequest(after_revision=after, page_size=2))
        if page.next_revision == after:
            break
        paged += page.events
        after = page.next_revision
    whole = list(list_events(event_pb2.ListEventsRequest(page_size=1000)).events)
    assert paged == whole[: len(paged)]
    back = list_events(event_pb2.ListEventsRequest(page_size=1000, descending=True)).events
    assert paged == list(back)[::-1][: len(paged)]


def test_rows_of_one_revision_are_not_left_before_the_last() -> None:
    assert resume_points([3, 5, 5, 5, 8], 2) == [3, 3, 3, 5, 8]


@pytest.mark.parametrize("follow", ["events", "vms"])
def test_watch_that_catches_up_leaves_turns_to_others(tmp_path: Path, follow: str) -> None:
    async def scenario(scene: Scene) -> None:
        scene.cloud.cluster()
        for number in range(3500):
            scene.cloud.template(f"t{number}", "user/ann")
        # Of thousands of events none is for this caller.
        bob = Caller(kind=USER, name="bob", actor="user/bob", expire_ms=1 << 62)
        changes = (
            follow_events(scene.replica, bob, event_pb2.WatchEventsRequest(noun="vm"))
            if follow == "events"
            else follow_vms(scene.replica, bob, vm_pb2.WatchVmsRequest(after_revision=1))
        )
        waiting = asyncio.ensure_future(anext(changes))
        turns = 0
        while not scene.replica._tide:
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 3
        waiting.cancel()

    played(tmp_path, scenario)
