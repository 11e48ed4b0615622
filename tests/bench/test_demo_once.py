"""The demo says "in flight" and "once" only of what was."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from bench.demo_once import Broken, catch_in_flight
from protos.v1.vm_pb2 import LcmState, Vm


class Guests:
    """Each VM is at work (task_id) or through when it is read."""

    def __init__(self, at_work: Iterable[bool]) -> None:
        self._at_work = dict(enumerate(at_work))
        self.ordered: list[str] = []

    async def order(self, name: str) -> Vm:
        self.ordered.append(name)
        return Vm(id=len(self.ordered) - 1, name=name)

    async def until_placed(self, vm_id: int) -> None:
        """At once."""

    async def leader(self) -> int:
        return 2

    async def get(self, vm_id: int) -> Vm:
        if self._at_work[vm_id]:
            return Vm(id=vm_id, lcm_state=LcmState.LCM_STATE_BOOT, task_id=0)
        return Vm(id=vm_id, lcm_state=LcmState.LCM_STATE_RUNNING)


def caught(guests: Guests) -> tuple[Vm, int]:
    return asyncio.run(
        catch_in_flight(guests, ("a", "b"), guests.order, guests.leader)  # type: ignore[arg-type]
    )


def test_vm_that_was_through_before_the_kill_is_not_called_in_flight() -> None:
    guests = Guests([False, True])
    vm, leader = caught(guests)
    assert (vm.id, leader) == (1, 2)
    assert guests.ordered == ["a", "b"]


def test_kill_with_nothing_in_flight_proves_nothing() -> None:
    with pytest.raises(Broken, match="nothing was in flight"):
        caught(Guests([False, False]))
