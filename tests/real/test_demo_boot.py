"""One real guest, booted through the whole of Skyraft: API, log, agent, libvirt, QEMU."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys

import pytest
from rich.console import Console

from bench.demo_show import Show
from bench.demo_steps import Demo
from bench.testbed import network
from bench.testbed.bed import Bed
from bench.testbed.hosts import NEEDED

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        os.geteuid() != 0 or any(shutil.which(program) is None for program in NEEDED),
        reason=f"needs root and {', '.join(NEEDED)}",
    ),
]


def test_vm_boots_with_its_name_address_and_key_and_leaves_nothing():
    with Bed(hosts=1) as bed:
        demo = Demo(bed, Show(Console(file=sys.stderr), 5), names=["web-1"])
        demo.elect()
        asyncio.run(demo.enrol())
        asyncio.run(demo.import_image())
        asyncio.run(demo.boot())
        demo.tear_down()
    figures = {row.name: row.value for row in demo.rows}
    assert figures["vm_boot_s.web-1"] > 0


def test_two_beds_live_side_by_side():
    with Bed(hosts=1) as one, Bed(hosts=1) as other:
        assert one.network is not None
        assert other.network is not None
        assert one.network.machine_address != other.network.machine_address
        other.close()
        assert network.namespaces(one.name) == [f"{one.name}-h1", f"{one.name}-net"]
        assert network.namespaces(other.name) == network.links(other.name) == []
    assert network.namespaces(one.name) == network.links(one.name) == []
