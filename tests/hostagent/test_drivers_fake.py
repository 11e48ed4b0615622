"""The fake hypervisor: the contract, and what its script promises."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hostagent.drivers.base import Driver, DriverError, GuestSpec, NicSpec, Power
from hostagent.drivers.fake import FakeDriver, effects
from hostagent.drivers.fake_script import FakeScript, from_mapping, load
from tests.hostagent.driver_contract import Bench, DriverContract, Scenario

SPEC = GuestSpec(
    vm_id=3,
    epoch=1,
    name="web",
    vcpu=1,
    memory_mib=64,
    nics=(NicSpec(mac="02:00:0a:00:00:07", bridge="br0", ip="10.0.0.7", prefix_length=24),),
    ssh_public_keys=("ssh-ed25519 AAAA ann",),
)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(run=lambda scenario: play(tmp_path, FakeScript(), scenario), spec=SPEC)


def play(directory: Path, script: FakeScript | Path, scenario: Scenario) -> None:
    async def whole() -> None:
        driver = FakeDriver(directory, script)
        try:
            await scenario(driver)
        finally:
            await driver.close()

    asyncio.run(whole())


class TestFakeDriver(DriverContract):
    pass


def test_effects_are_counted_over_agent_restarts(tmp_path: Path) -> None:
    async def scenario(driver: Driver) -> None:
        await driver.define(SPEC)
        await driver.start(3)

    play(tmp_path, FakeScript(), scenario)
    play(tmp_path, FakeScript(), scenario)
    assert effects(tmp_path) == {(3, "define"): 1, (3, "start"): 1}


def test_scripted_failure_hits_the_chosen_calls_and_has_no_effect(tmp_path: Path) -> None:
    script = from_mapping({"rules": [{"verb": "start", "vm_id": 3, "times": 2, "fail": "no room"}]})

    async def scenario(driver: Driver) -> None:
        await driver.define(SPEC)
        for _ in range(2):
            with pytest.raises(DriverError, match="no room"):
                await driver.start(3)
        assert effects(tmp_path)[(3, "start")] == 0
        await driver.start(3)
        assert await driver.power(3) is Power.ON

    play(tmp_path, script, scenario)


def test_scripted_hang_lasts_until_the_caller_gives_up(tmp_path: Path) -> None:
    script = from_mapping({"rules": [{"verb": "define", "hang": True}]})

    async def scenario(driver: Driver) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(driver.define(SPEC), 0.05)
        assert await driver.guests() == []

    play(tmp_path, script, scenario)


def test_guest_that_ignores_the_power_button_is_forced_off(tmp_path: Path) -> None:
    script = from_mapping({"guests": [{"vm_id": 3, "ignores_shutdown": True}]})

    async def scenario(driver: Driver) -> None:
        await driver.define(SPEC)
        await driver.start(3)
        await driver.stop(3, grace_s=0.05)
        assert await driver.power(3) is Power.OFF

    play(tmp_path, script, scenario)


def test_scripted_crash_is_told_as_an_event(tmp_path: Path) -> None:
    script = from_mapping({"guests": [{"crash_after_s": 0.1}]})

    async def scenario(driver: Driver) -> None:
        await driver.define(SPEC)
        await driver.start(3)
        async for change in driver.events():
            assert (change.vm_id, change.power) == (3, Power.CRASHED)
            return

    play(tmp_path, script, scenario)


def test_console_imitates_a_guest_that_read_its_context(tmp_path: Path) -> None:
    now_s = 1000.0

    async def scenario() -> None:
        nonlocal now_s
        driver = FakeDriver(tmp_path, wall_clock=lambda: now_s)
        await driver.define(SPEC)
        await driver.start(3)
        now_s += 2
        lines = (await driver.console_tail(3, 10_000)).decode().splitlines()
        assert "hostname=web" in lines
        assert any("10.0.0.7" in line for line in lines)
        assert any("ssh-ed25519 AAAA ann" in line for line in lines)
        assert lines[-1] == "uptime=2"
        await driver.close()
        # The guest ran on while no agent did; a reboot starts its counter anew.
        now_s += 5
        driver = FakeDriver(tmp_path, wall_clock=lambda: now_s)
        assert (await driver.console_tail(3, 9)).decode() == "uptime=7\n"
        await driver.reboot(3, hard=True)
        assert (await driver.console_tail(3, 9)).decode() == "uptime=0\n"
        await driver.close()

    asyncio.run(scenario())


def test_changed_script_file_counts_from_the_next_call(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_text("unknown_guests: [legacy-db]\n")

    async def scenario(driver: Driver) -> None:
        assert await driver.unknown_guests() == ["legacy-db"]
        path.write_text("unknown_guests: []\nrules:\n- {verb: define, fail: broken}\n")
        assert await driver.unknown_guests() == []
        with pytest.raises(DriverError, match="broken"):
            await driver.define(SPEC)

    play(tmp_path / "host", path, scenario)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("bot_s: 1", "no key 'bot_s'"),
        ("boot_s: soon", "boot_s takes float"),
        ("rules: [{verb: fly}]", "no verb 'fly'"),
        ("rules: [{fail: x}]", "a rule needs a verb"),
        ("rules: 3", "rules takes tuple"),
        ("- 1", "takes keys and values"),
        ("a: [", "script.yaml"),
    ],
)
def test_faulty_script_is_refused_with_its_fault(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=fault):
        load(path)
