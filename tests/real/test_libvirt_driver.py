"""The libvirt driver on a real libvirtd, healthy, killed and hung."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostagent.drivers.base import DiskSpec, Driver, DriverError, GuestSpec, Power
from hostagent.drivers.libvirt import LibvirtDriver
from hostagent.drivers.libvirt_link import Timeouts
from tests.hostagent.driver_contract import Bench, DriverContract, Scenario
from tests.real.conftest import PrivateLibvirtd

pytestmark = pytest.mark.real

CLUSTER_ID = "5" * 32
VM = 3


@pytest.fixture
def bench(libvirtd: PrivateLibvirtd) -> Bench:
    return prepared(libvirtd)


def prepared(libvirtd: PrivateLibvirtd) -> Bench:
    disk = libvirtd.directory / "disk.qcow2"
    command = ["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "1M"]
    subprocess.run(command, check=True)
    spec = GuestSpec(
        vm_id=VM,
        epoch=1,
        name="web \x1b[31m & <friends>",
        vcpu=1,
        memory_mib=32,
        disks=(DiskSpec(path=str(disk), format="qcow2"),),
    )
    return Bench(run=lambda scenario: play(libvirtd, scenario), spec=spec)


def play(libvirtd: PrivateLibvirtd, scenario: Scenario, timeouts: Timeouts | None = None) -> None:
    async def whole() -> None:
        driver = LibvirtDriver(
            uri=libvirtd.uri,
            cluster_id=CLUSTER_ID,
            directory=libvirtd.directory,
            kvm_cache=Path("/run/skyraft-tests-kvm.json"),
            timeouts=timeouts,
        )
        try:
            await scenario(driver)
        finally:
            await driver.close()

    asyncio.run(whole())


class TestLibvirtDriver(DriverContract):
    @pytest.fixture
    def bench(self, steady_libvirtd: PrivateLibvirtd) -> Iterator[Bench]:
        bench = prepared(steady_libvirtd)
        yield bench
        bench.run(lambda driver: driver.undefine(VM))


def test_killed_libvirtd_is_named_and_work_goes_on_after_its_restart(
    libvirtd: PrivateLibvirtd, bench: Bench
) -> None:
    async def scenario(driver: Driver) -> None:
        await driver.define(bench.spec)
        await driver.start(VM)
        pid = libvirtd.guest_pid("skyraft-3")
        libvirtd.kill()
        with pytest.raises(DriverError, match=r"libvirtd.*systemctl status libvirtd"):
            await driver.power(VM)
        libvirtd.start()
        assert await driver.power(VM) is Power.ON
        assert libvirtd.guest_pid("skyraft-3") == pid
        await driver.stop(VM, grace_s=0)
        assert await driver.power(VM) is Power.OFF

    play(libvirtd, scenario)


def test_hung_libvirtd_times_out_and_work_goes_on_after_it(
    libvirtd: PrivateLibvirtd, bench: Bench
) -> None:
    async def healthy(driver: Driver) -> None:
        await driver.define(bench.spec)
        await driver.start(VM)

    async def scenario(driver: Driver) -> None:
        assert await driver.power(VM) is Power.ON
        libvirtd.signal(signal.SIGSTOP)
        with pytest.raises(DriverError, match=r"stop guest 3.*did not answer within 3 s; see"):
            await driver.stop(VM, grace_s=0)
        with pytest.raises(DriverError, match="did not answer within 3 s"):
            await driver.power(VM)
        libvirtd.signal(signal.SIGCONT)
        await driver.stop(VM, grace_s=0)
        assert await driver.power(VM) is Power.OFF

    play(libvirtd, healthy)
    play(libvirtd, scenario, Timeouts(connect_s=3, query_s=3, change_s=3))


def test_libvirtd_that_hangs_under_a_running_call_does_not_block_the_agents_end(
    libvirtd: PrivateLibvirtd, bench: Bench
) -> None:
    async def scenario(driver: Driver) -> None:
        await driver.define(bench.spec)
        libvirtd.signal(signal.SIGSTOP)
        with pytest.raises(DriverError, match="did not answer"):
            await driver.power(VM)

    play(libvirtd, scenario, Timeouts(connect_s=1, query_s=1))


@pytest.mark.parametrize(
    ("timeout_s", "rounds"),
    # The longer one outlasts the ten seconds or so after which keepalives used to crash it.
    [(1, 8), (15, 1)],
)
def test_driver_process_survives_a_libvirtd_that_hangs_and_returns(
    libvirtd: PrivateLibvirtd, timeout_s: int, rounds: int
) -> None:
    command = [sys.executable, "-m", "tests.real.busy_driver", libvirtd.uri]
    command += [str(libvirtd.directory), str(timeout_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        try:
            for _ in range(rounds):
                # Its output ends when it crashes.
                assert "answered\n" in driver.stdout, f"driver ended: {driver.wait()}"
                libvirtd.signal(signal.SIGSTOP)
                assert "failed\n" in driver.stdout, f"driver ended: {driver.wait()}"
                libvirtd.signal(signal.SIGCONT)
            assert "answered\n" in driver.stdout, f"driver ended: {driver.wait()}"
        finally:
            driver.kill()


async def _next_power(driver: Driver, act: Callable[[], object], wanted: Power) -> None:
    """*act* runs once events flow; returns when the wanted one comes."""
    acted = False
    async with asyncio.timeout(30):
        async for change in driver.events():
            if not acted:
                acted = True
                await asyncio.to_thread(act)
            elif change.power is wanted:
                return


def test_killed_qemu_is_told_as_a_crash(libvirtd: PrivateLibvirtd, bench: Bench) -> None:
    async def scenario(driver: Driver) -> None:
        await driver.define(bench.spec)
        await driver.start(VM)
        pid = libvirtd.guest_pid("skyraft-3")
        await _next_power(driver, lambda: os.kill(pid, signal.SIGKILL), Power.CRASHED)
        await driver.start(VM)
        assert await driver.power(VM) is Power.ON

    play(libvirtd, scenario)


def test_change_while_libvirtd_was_away_is_told_when_it_is_back(
    libvirtd: PrivateLibvirtd, bench: Bench
) -> None:
    def lose_guest_and_daemon() -> None:
        pid = libvirtd.guest_pid("skyraft-3")
        libvirtd.kill()
        os.kill(pid, signal.SIGKILL)
        libvirtd.start()

    async def scenario(driver: Driver) -> None:
        await driver.define(bench.spec)
        await driver.start(VM)
        await _next_power(driver, lose_guest_and_daemon, Power.CRASHED)

    play(libvirtd, scenario)


def test_guests_of_others_are_listed_and_never_touched(
    libvirtd: PrivateLibvirtd, bench: Bench
) -> None:
    def define(name: str, metadata: str = "") -> None:
        path = libvirtd.directory / f"{name}.xml"
        path.write_text(
            f"<domain type='qemu'><name>{name}</name><memory>32768</memory>{metadata}"
            "<os><type arch='x86_64'>hvm</type></os></domain>"
        )
        libvirtd.run("virsh", "define", str(path))

    stranger = (
        "<metadata><skyraft:guest xmlns:skyraft='urn:skyraft:guest:1' vm_id='9' epoch='1' "
        f"cluster_id='{'a' * 32}'/></metadata>"
    )

    async def scenario(driver: Driver) -> None:
        define("legacy-db")
        define("skyraft-3")
        define("skyraft-9", stranger)
        assert await driver.unknown_guests() == ["legacy-db", "skyraft-3", "skyraft-9"]
        assert await driver.guests() == []
        for act in (driver.define(bench.spec), driver.undefine(VM), driver.start(VM)):
            with pytest.raises(DriverError, match="skyraft-3 is on this host that is not this"):
                await act
        assert "skyraft-3" in libvirtd.run("virsh", "list", "--all", "--name")

    play(libvirtd, scenario)
