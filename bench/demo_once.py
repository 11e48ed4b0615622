"""Done exactly once: a VM caught in flight, and the count of what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from bench.demo_guests import Guests
from protos.v1.vm_pb2 import Vm


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
