"""Bridges, in a network namespace of the test's own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from hostagent.network.base import NetworkError, NoBridges
from hostagent.network.bridge import Bridges


@pytest.mark.parametrize("name", ["", "a" * 16, "br 0", "../br", "-br", "br/0", "br\x00"])
def test_name_that_no_interface_can_have_is_refused(name: str) -> None:
    with pytest.raises(NetworkError, match="cannot be the name of a bridge"):
        asyncio.run(Bridges().ensure([name]))


def test_fake_hosts_need_no_bridge() -> None:
    asyncio.run(NoBridges().ensure(["br0"]))


def inside(script: str, *wrapper: str) -> str:
    """Runs Python, under *wrapper*, in a new network namespace; what it prints."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    prelude = (
        "import asyncio\nfrom hostagent.network.base import NetworkError\n"
        "from hostagent.network.bridge import Bridges\n"
    )
    command = ["unshare", "-n", *wrapper, sys.executable, "-c", prelude + script]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.real
def test_bridge_is_made_once_and_is_up() -> None:
    said = inside(
        "import subprocess\n"
        "for _ in range(2):\n"
        "    asyncio.run(Bridges().ensure(['skyraft0', 'skyraft1', 'skyraft0']))\n"
        "print(subprocess.check_output(['ip', '-br', 'link', 'show', 'type', 'bridge'], text=True))"
    )
    lines = [line.split() for line in said.splitlines() if line]
    assert [(line[0], "UP" in line[-1]) for line in lines] == [
        ("skyraft0", True),
        ("skyraft1", True),
    ]


@pytest.mark.real
def test_bridge_that_may_not_be_made_is_named_with_the_command() -> None:
    said = inside(
        "try: asyncio.run(Bridges(create=False).ensure(['skyraft0']))\n"
        "except NetworkError as err: print(err)"
    )
    assert "skyraft0 does not exist" in said
    assert "ip link add skyraft0 type bridge" in said


@pytest.mark.real
def test_interface_that_is_no_bridge_is_named() -> None:
    said = inside(
        "try: asyncio.run(Bridges().ensure(['lo']))\nexcept NetworkError as err: print(err)"
    )
    assert said.startswith("lo is an interface but not a bridge; give")


@pytest.mark.real
def test_lack_of_permission_names_the_bridge_and_the_way_out() -> None:
    said = inside(
        "try: asyncio.run(Bridges().ensure(['skyraft0']))\nexcept NetworkError as err: print(err)",
        *("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"),
    )
    assert said.startswith("bridge skyraft0: not permitted; run the agent as root")
