"""What is told of the guests, and what is compared."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from hostagent import inventory
from hostagent.drivers.base import GuestSpec, Power
from hostagent.drivers.fake import FakeDriver
from hostagent.drivers.fake_script import FakeScript
from protos.v1.agent_pb2 import ExpectedGuest, Guest, GuestPower, Inventory
from protos.v1.host_pb2 import HostCapacity

SPEC = GuestSpec(vm_id=3, epoch=2, name="web", vcpu=1, memory_mib=64)


def test_inventory_tells_what_really_runs(tmp_path: Path) -> None:
    async def scenario() -> Inventory:
        driver = FakeDriver(tmp_path, FakeScript(unknown_guests=("legacy-db",)))
        await driver.define(SPEC)
        await driver.define(replace(SPEC, vm_id=4, epoch=1))
        await driver.start(3)
        taken = await inventory.take(driver, tmp_path)
        await driver.close()
        return taken

    taken = asyncio.run(scenario())
    assert list(taken.guests) == [
        Guest(vm_id=3, epoch=2, power=GuestPower.GUEST_POWER_ON),
        Guest(vm_id=4, epoch=1, power=GuestPower.GUEST_POWER_OFF),
    ]
    assert list(taken.unknown_guests) == ["legacy-db"]
    assert taken.capacity.hypervisor == "fake"
    assert taken.capacity.disk_free_bytes % (1 << 30) == 0


def test_disk_that_cannot_be_read_has_no_room_and_guests_are_told_all_the_same(
    tmp_path: Path,
) -> None:
    async def scenario() -> Inventory:
        driver = FakeDriver(tmp_path, FakeScript())
        await driver.define(SPEC)
        taken = await inventory.take(driver, tmp_path / "gone")
        await driver.close()
        return taken

    taken = asyncio.run(scenario())
    assert (len(taken.guests), taken.capacity.disk_free_bytes) == (1, 0)
    assert taken.capacity.vcpu > 0


def test_every_power_has_its_word_on_the_wire() -> None:
    told = {power: inventory.power_of(power) for power in Power}
    assert told.pop(Power.ABSENT) == GuestPower.GUEST_POWER_UNSPECIFIED
    assert set(told.values()) == set(GuestPower.values()) - {0}


def test_hypervisor_that_does_not_answer_loses_no_guest_and_takes_no_new_one() -> None:
    last = Inventory(guests=[Guest(vm_id=3)], capacity=HostCapacity(vcpu=8, memory_mib=100))
    told = inventory.blind(last, "libvirtd is gone")
    assert told is not None
    assert [guest.vm_id for guest in told.guests] == [3]
    assert told.capacity == HostCapacity(hypervisor_detail="libvirtd is gone")
    assert last.capacity.vcpu == 8
    assert inventory.blind(None, "libvirtd is gone") is None


def test_differences_name_each_guest_that_is_not_as_believed() -> None:
    found = Inventory(
        guests=[Guest(vm_id=1, epoch=1), Guest(vm_id=2, epoch=1), Guest(vm_id=4, epoch=1)],
        unknown_guests=["legacy-db"],
    )
    expected = [
        ExpectedGuest(vm_id=1, epoch=1),
        ExpectedGuest(vm_id=2, epoch=2),
        ExpectedGuest(vm_id=3, epoch=1),
    ]
    assert inventory.differences(found, expected) == [
        "VM 2 is here with epoch 1, not 2",
        "VM 3 should be on this host and is not",
        "VM 4 is on this host and the front-end does not know it",
        "guest legacy-db is not Skyraft's and is left alone",
    ]
