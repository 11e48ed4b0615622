"""Makes calls at once on the libvirt driver, for ever: busy_driver URI DIRECTORY TIMEOUT_S."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from hostagent.drivers.base import DriverError
from hostagent.drivers.libvirt import LibvirtDriver
from hostagent.drivers.libvirt_link import Timeouts

CALLS = 6


async def main(uri: str, directory: Path, timeout_s: float) -> None:
    """After each round a line: "answered" when all calls were, else "failed"."""
    driver = LibvirtDriver(
        uri=uri,
        cluster_id="5" * 32,
        directory=directory,
        timeouts=Timeouts(connect_s=1, query_s=timeout_s),
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(_drain(driver))
        while True:
            calls = (_answered(driver) for _ in range(CALLS))
            line = "answered" if all(await asyncio.gather(*calls)) else "failed"
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()


async def _drain(driver: LibvirtDriver) -> None:
    async for _ in driver.events():
        pass


async def _answered(driver: LibvirtDriver) -> bool:
    try:
        await driver.guests()
    except DriverError:
        return False
    return True


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
