"""
Watches: what changed after a revision, in order and without gaps, then what changes next.

Read from the local table of committed events, so any replica serves any watch, and a client goes
on at another replica from the last revision it was given. No watch has a queue of its own: a slow
client costs nothing but the position it has reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from frontend.auth.callers import Caller
from frontend.errors import Rejected
from frontend.replica import Replica
from frontend.state import events, vms
from frontend.state.store import ReadTxn
from protos.v1.event_pb2 import Event, WatchEventsRequest, WatchEventsResponse
from protos.v1.vm_pb2 import Vm, WatchVmsRequest, WatchVmsResponse

_BATCH = 256

_SCANNED_MAX = 1000
"""Events that a watch decodes before other calls of this replica get their turn."""

PUBLIC_NOUNS = frozenset({"cluster", "host", "image", "template"})
"""What every user may list, they may also see change."""


def may_see(txn: ReadTxn, caller: Caller, event: Event) -> bool:
    if caller.admin or event.actor == caller.actor or event.noun in PUBLIC_NOUNS:
        return True
    if event.noun != "vm":
        return False
    vm = vms.get(txn, event.object_id)
    return vm is not None and vm.owner == caller.actor


def chosen(
    txn: ReadTxn, caller: Caller, noun: str, object_id: int | None
) -> Callable[[Event], bool]:
    """The filter of a request: its noun and id, and what the caller may see."""

    def match(event: Event) -> bool:
        return (
            (not noun or event.noun == noun)
            and (object_id is None or event.object_id == object_id)
            and may_see(txn, caller, event)
        )

    return match


def require_kept(txn: ReadTxn, after_revision: int) -> None:
    """Rejected out_of_range when events that would follow *after_revision* are forgotten."""
    floor = events.floor(txn)
    if after_revision < floor:
        raise Rejected(
            "out_of_range",
            f"events up to revision {floor} are no longer kept: list the objects anew and watch "
            "from the revision that the list gives",
            "after_revision",
        )


async def follow_events(
    replica: Replica, caller: Caller, request: WatchEventsRequest
) -> AsyncIterator[WatchEventsResponse]:
    reached = request.after_revision
    object_id = request.object_id if request.HasField("object_id") else None
    if not reached:
        with replica.store.read() as txn:
            reached = events.floor(txn)
    while True:
        seen = replica.revision
        with replica.store.read() as txn:
            require_kept(txn, reached)
            scanned, next_revision = events.page_after(txn, reached, _SCANNED_MAX)
            page = list(filter(chosen(txn, caller, request.noun, object_id), scanned))
        for event, resume in zip(
            page, resume_points([event.revision for event in page], reached), strict=True
        ):
            yield WatchEventsResponse(event=event, revision=resume)
        if next_revision == reached:
            await replica.wait_revision(seen)
        else:
            # Nothing of it may have been for this caller, and nothing else here waits.
            await asyncio.sleep(0)
        reached = next_revision


async def follow_vms(
    replica: Replica, caller: Caller, request: WatchVmsRequest
) -> AsyncIterator[WatchVmsResponse]:
    only = request.id if request.HasField("id") else None
    reached = request.after_revision
    if not reached:
        with replica.store.read() as txn:
            reached = events.last_revision(txn)
        async for change in _present(replica, caller, only, reached):
            yield change
    while True:
        seen = replica.revision
        with replica.store.read() as txn:
            require_kept(txn, reached)
            changed, next_revision = _changed(txn, caller, only, reached)
        for vm, resume in zip(
            changed, resume_points([vm.revision for vm in changed], reached), strict=True
        ):
            yield WatchVmsResponse(vm=vm, revision=resume)
        if next_revision == reached:
            await replica.wait_revision(seen)
        else:
            # Nothing of it may have been for this caller, and nothing else here waits.
            await asyncio.sleep(0)
        reached = next_revision


async def _present(
    replica: Replica, caller: Caller, only: int | None, revision: int
) -> AsyncIterator[WatchVmsResponse]:
    """The VMs as they are. Only the last one carries a revision to resume from: a client that is
    cut off before it has all of them must begin again."""
    held: Vm | None = None
    owner = "" if caller.admin else caller.actor
    after, limit = (-1, _BATCH) if only is None else (only - 1, 1)
    while True:
        # A read transaction a page: held over a slow client it would pin old pages of the state.
        with replica.store.read() as txn:
            page = vms.list_page(txn, after, limit, owner=owner)
        if only is not None:
            page = [vm for vm in page if vm.id == only]
        for vm in page:
            if held is not None:
                yield WatchVmsResponse(vm=held)
            held = vm
        if len(page) < _BATCH:
            break
        after = page[-1].id
    if held is not None:
        yield WatchVmsResponse(vm=held, revision=revision)


def _changed(txn: ReadTxn, caller: Caller, only: int | None, reached: int) -> tuple[list[Vm], int]:
    """VMs that changed after *reached* in the order of their last changes, and how far that goes.

    A VM that has changed again beyond this page is left to the page that its last change is in,
    so that revisions never go back."""

    scanned, next_revision = events.page_after(txn, reached, _SCANNED_MAX)
    ids = dict.fromkeys(
        event.object_id
        for event in scanned
        if event.noun == "vm" and (only is None or event.object_id == only)
    )
    found = [vms.get(txn, vm_id) for vm_id in ids]
    changed = [
        vm
        for vm in found
        if vm is not None
        and reached < vm.revision <= next_revision
        and (caller.admin or vm.owner == caller.actor)
    ]
    return sorted(changed, key=lambda vm: vm.revision), next_revision


def resume_points(revisions: list[int], start: int) -> list[int]:
    """For each of a sorted page's rows, from where to go on after it. Rows of one revision that
    has more rows to come resume from the revision before, so that none of them is skipped."""
    points, before = [], start
    for position, revision in enumerate(revisions):
        last = position + 1 == len(revisions) or revisions[position + 1] != revision
        if last:
            before = revision
        points.append(before)
    return points
