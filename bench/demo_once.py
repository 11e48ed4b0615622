"""Done exactly once: a VM caught in flight, and the count of what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path

import grpc.aio

from bench.demo_guests import Guests
from bench.demo_writes import events_by_request
from hostagent.drivers.fake import effects
from protos.v1.event_pb2 import ListEventsRequest
from protos.v1.event_pb2_grpc import EventServiceStub
from protos.v1.vm_pb2 import Vm

Effects = Counter[tuple[str, int, str]]
"""Who says so (a host's name, or a witness), of which VM, what: how often."""

WITNESSED = (("events", "created"), ("events", "reached RUNNING"), ("console", "booted"))


class Broken(Exception):
    """A promise did not hold; the text says which and what was seen instead."""


async def catch_in_flight(
    guests: Guests,
    names: Iterable[str],
    order: Callable[[str], Awaitable[Vm]],
    leader: Callable[[], Awaitable[int]],
) -> tuple[Vm, int]:
    """
    A VM that a host is at work on, read at this moment, and the replica that leads.

    A VM that was through before the read proves nothing; then the next of *names* is ordered.
    Raises Broken when all were.
    """
    tried = []
    for name in names:
        made = await order(name)
        await guests.until_placed(made.id)
        leads = await leader()
        # Last of all: whoever kills the leader next has to know that the work is not done.
        vm = await guests.get(made.id)
        if vm.HasField("task_id"):
            return vm, leads
        tried.append(vm.id)
    raise Broken(f"nothing was in flight: VMs {tried} were each done before the leader was killed")


def asked(vms: Iterable[Vm], hosts: Sequence[str] = ()) -> Effects:
    """What had to be seen, once each, of VMs that were only created; *hosts* if they are fake."""
    wanted: Effects = Counter()
    for vm in vms:
        wanted.update((witness, vm.id, what) for witness, what in WITNESSED)
        if hosts:
            wanted.update((hosts[vm.host_id], vm.id, verb) for verb in ("define", "start"))
    return wanted


def seen_on_hosts(directories: Mapping[str, Path]) -> Effects:
    """All that fake hosts did, on whatever VM, by their own journals; they are in *directories*."""
    return Counter(
        {
            (host, vm_id, verb): times
            for host, directory in directories.items()
            for (vm_id, verb), times in effects(directory).items()
        }
    )


async def seen_of(channel: grpc.aio.Channel, guests: Guests, vms: Iterable[Vm]) -> Effects:
    """What became of each VM by the event log and its console, and creates that were done again."""
    seen: Effects = Counter()
    for vm in vms:
        page = await EventServiceStub(channel).ListEvents(
            ListEventsRequest(page_size=1000, noun="vm", object_id=vm.id)
        )
        kinds = [event.kind for event in page.events]
        arrivals = [event.detail.endswith("-> ACTIVE/RUNNING") for event in page.events]
        seen["events", vm.id, "created"] = kinds.count("vm.created")
        seen["events", vm.id, "reached RUNNING"] = arrivals.count(True)
        seen["console", vm.id, "booted"] = len((await guests.console(vm.id)).boots)
    for request_id, times in (await events_by_request(channel, "vm.created")).items():
        # Done again, it made a VM under another id.
        seen["events", -1, f"created again by request {request_id}"] = times - 1
    return +seen
