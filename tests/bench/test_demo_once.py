"""The demo says "in flight" and "once" only of what was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from bench.demo_once import WITNESSED, Broken, asked, catch_in_flight, seen_on_hosts
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


def journal(directory: Path, *done: tuple[int, str]) -> Path:
    directory.mkdir()
    lines = [json.dumps({"what": "effect", "vm_id": vm_id, "verb": verb}) for vm_id, verb in done]
    (directory / "journal.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return directory


def test_every_effect_on_any_vm_and_host_is_compared_with_what_was_asked(tmp_path: Path) -> None:
    seen = seen_on_hosts(
        {
            "a": journal(tmp_path / "a", (0, "define"), (0, "define"), (0, "start"), (1, "stop")),
            "b": journal(tmp_path / "b", (0, "start")),
        }
    )
    vms = [Vm(id=0, host_id=0), Vm(id=1, host_id=1)]
    wanted = asked(vms, ["a", "b"])
    assert seen - wanted == {("a", 0, "define"): 1, ("a", 1, "stop"): 1, ("b", 0, "start"): 1}
    assert (wanted - seen).keys() >= {("b", 1, "define"), ("b", 1, "start")}


def test_vms_on_real_hosts_are_counted_by_events_and_consoles() -> None:
    assert asked([Vm(id=5)]) == {(who, 5, what): 1 for who, what in WITNESSED}
