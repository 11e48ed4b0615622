"""What every driver promises; a driver's own test file gives it a `driver` fixture."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from hostagent.drivers.base import Driver, DriverError, GuestSpec, Power

Scenario = Callable[[Driver], Awaitable[None]]


@dataclass
class Bench:
    """*run* gives a scenario a fresh driver over the same hypervisor and closes it after."""

    run: Callable[[Scenario], None]
    spec: GuestSpec


class DriverContract:
    def test_start_runs_the_guest_and_a_repeat_changes_nothing(self, bench: Bench) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.define(bench.spec)
            assert await driver.power(bench.spec.vm_id) is Power.OFF
            await driver.start(bench.spec.vm_id)
            await driver.start(bench.spec.vm_id)
            assert await driver.power(bench.spec.vm_id) is Power.ON

        bench.run(scenario)

    def test_define_again_leaves_a_running_guest_running(self, bench: Bench) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.define(bench.spec)
            await driver.start(bench.spec.vm_id)
            await driver.define(bench.spec)
            assert await driver.power(bench.spec.vm_id) is Power.ON

        bench.run(scenario)

    def test_define_of_a_new_epoch_is_shown(self, bench: Bench) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.define(bench.spec)
            await driver.define(replace(bench.spec, epoch=bench.spec.epoch + 1))
            assert [guest.epoch for guest in await driver.guests()] == [bench.spec.epoch + 1]

        bench.run(scenario)

    def test_guest_outlives_its_agent(self, bench: Bench) -> None:
        async def first(driver: Driver) -> None:
            await driver.define(bench.spec)
            await driver.start(bench.spec.vm_id)

        async def second(driver: Driver) -> None:
            (guest,) = await driver.guests()
            assert (guest.vm_id, guest.epoch) == (bench.spec.vm_id, bench.spec.epoch)
            assert guest.power is Power.ON

        bench.run(first)
        bench.run(second)

    def test_hard_stop_ends_it_and_a_repeat_succeeds(self, bench: Bench) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.stop(bench.spec.vm_id, grace_s=0)
            await driver.define(bench.spec)
            await driver.start(bench.spec.vm_id)
            await driver.stop(bench.spec.vm_id, grace_s=0)
            await driver.stop(bench.spec.vm_id, grace_s=0)
            assert await driver.power(bench.spec.vm_id) is Power.OFF

        bench.run(scenario)

    def test_stop_uses_force_after_its_grace(self, bench: Bench) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.define(bench.spec)
            await driver.start(bench.spec.vm_id)
            await driver.stop(bench.spec.vm_id, grace_s=0.5)
            assert await driver.power(bench.spec.vm_id) is Power.OFF

        bench.run(scenario)

    def test_hard_reboot_keeps_it_running(self, bench: Bench) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.define(bench.spec)
            await driver.start(bench.spec.vm_id)
            await driver.reboot(bench.spec.vm_id, hard=True)
            assert await driver.power(bench.spec.vm_id) is Power.ON

        bench.run(scenario)

    def test_paused_guest_goes_on(self, bench: Bench) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.define(bench.spec)
            await driver.start(bench.spec.vm_id)
            await driver.pause(bench.spec.vm_id)
            await driver.pause(bench.spec.vm_id)
            assert await driver.power(bench.spec.vm_id) is Power.PAUSED
            await driver.start(bench.spec.vm_id)
            assert await driver.power(bench.spec.vm_id) is Power.ON

        bench.run(scenario)

    def test_saved_guest_is_restored_and_repeats_succeed(self, bench: Bench) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.define(bench.spec)
            await driver.start(bench.spec.vm_id)
            await driver.save(bench.spec.vm_id)
            await driver.save(bench.spec.vm_id)
            assert await driver.power(bench.spec.vm_id) is Power.SAVED
            await driver.restore(bench.spec.vm_id)
            await driver.restore(bench.spec.vm_id)
            assert await driver.power(bench.spec.vm_id) is Power.ON

        bench.run(scenario)

    def test_restore_without_saved_memory_is_refused(self, bench: Bench) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.define(bench.spec)
            with pytest.raises(DriverError, match="no saved memory; start it"):
                await driver.restore(bench.spec.vm_id)

        bench.run(scenario)

    def test_undefine_forgets_a_running_or_saved_guest(self, bench: Bench) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.undefine(bench.spec.vm_id)
            await driver.define(bench.spec)
            await driver.start(bench.spec.vm_id)
            await driver.undefine(bench.spec.vm_id)
            assert await driver.power(bench.spec.vm_id) is Power.ABSENT
            await driver.define(bench.spec)
            await driver.start(bench.spec.vm_id)
            await driver.save(bench.spec.vm_id)
            await driver.undefine(bench.spec.vm_id)
            assert await driver.guests() == []

        bench.run(scenario)

    @pytest.mark.parametrize("verb", ["start", "restore", "save", "pause"])
    def test_unknown_guest_is_named_in_the_error(self, bench: Bench, verb: str) -> None:
        async def scenario(driver: Driver) -> None:
            with pytest.raises(DriverError, match="guest 404 is not defined"):
                await getattr(driver, verb)(404)

        bench.run(scenario)

    @pytest.mark.parametrize("verb", ["save", "pause"])
    def test_guest_that_is_off_cannot_be_halted(self, bench: Bench, verb: str) -> None:
        async def scenario(driver: Driver) -> None:
            await driver.define(bench.spec)
            with pytest.raises(DriverError, match=f"is off, cannot {verb} it; start it first"):
                await getattr(driver, verb)(bench.spec.vm_id)

        bench.run(scenario)

    def test_changes_are_told(self, bench: Bench) -> None:
        async def scenario(driver: Driver) -> None:
            told: list[Power] = []
            waiting = asyncio.Event()

            async def listen() -> None:
                waiting.set()
                async for change in driver.events():
                    if change.vm_id == bench.spec.vm_id:
                        told.append(change.power)
                        if change.power is Power.ABSENT:
                            return

            async with asyncio.TaskGroup() as group:
                group.create_task(listen())
                await waiting.wait()
                await driver.define(bench.spec)
                await driver.start(bench.spec.vm_id)
                await _until(lambda: Power.ON in told)
                await driver.stop(bench.spec.vm_id, grace_s=0)
                await _until(lambda: told[-1] is Power.OFF)
                await driver.undefine(bench.spec.vm_id)

        bench.run(scenario)

    def test_capacity_names_the_hypervisor(self, bench: Bench) -> None:
        async def scenario(driver: Driver) -> None:
            capacity = await driver.capacity()
            assert capacity.vcpu > 0
            assert capacity.memory_mib > 0
            assert capacity.hypervisor in ("kvm", "qemu", "fake")

        bench.run(scenario)

    def test_console_of_an_unknown_guest_is_an_error(self, bench: Bench) -> None:
        async def scenario(driver: Driver) -> None:
            with pytest.raises(DriverError, match="guest 404 is not defined"):
                await driver.console_tail(404, 100)

        bench.run(scenario)


async def _until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)
