"""
The bed's wires: a network namespace that is the switch, and one for every host.

    this machine  10.x.y.1 --+                            +-- mgmt  10.x.y.11  host 1
    (replicas, CLI)          |        the switch          |
                             +-- bridge mgmt -------------+-- mgmt  10.x.y.12  host 2
                                 bridge lan, the guests'
                                 gateway -----------------+-- bridge br0 of each host, with taps

All names begin with the bed's, so several beds live side by side, and removing what has the
name removes everything. Needs root and iproute2.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.testbed.interrupts import undisturbed
from bench.testbed.process import ProcessId

NAME_PREFIX = "skybed"
GUEST_BRIDGE = "br0"
"""On every host, for the taps of guests."""

_SUBNETS = ipaddress.IPv4Network("10.213.0.0/16")
"""Each bed takes a /24 of it that this machine has no route into."""

END_DEADLINE_S = 20.0
"""For processes that were killed to be gone."""

_POLL_S = 0.02
_LOCK = Path("/run/lock/skyraft-bed")


class NetworkError(Exception):
    """The wires can't be laid; the text is iproute2's."""


class BedNetwork:
    """Lays the wires when made; close() takes them away."""

    def __init__(self, bed: str, guest_gateway: ipaddress.IPv4Interface) -> None:
        """*bed* is the bed's name; *guest_gateway* is the address of the guests' bridge."""
        self.bed = bed
        self.switch = f"{bed}-net"
        self._hosts = 0
        try:
            # Two beds made at once must not take the same subnet.
            with _locked():
                self._subnet = _free_subnet()
                self._connect_machine()
            self._ip(self.switch, "link", "add", "lan", "type", "bridge")
            self._ip(self.switch, "address", "add", str(guest_gateway), "dev", "lan")
            self._ip(self.switch, "link", "set", "lan", "up")
        except BaseException:
            self.close()
            raise

    @property
    def machine_address(self) -> str:
        """Of this machine as the hosts see it: replicas listen here."""
        return str(self._subnet[1])

    def add_host(self) -> str:
        """A namespace with a management link and the guests' bridge; returns its name."""
        self._hosts += 1
        name, number = f"{self.bed}-h{self._hosts}", self._hosts
        _run("ip", "netns", "add", name)
        self._ip(name, "link", "set", "lo", "up")
        for link, port in (("mgmt", f"mgmt{number}"), ("lan", f"lan{number}")):
            _run("ip", "link", "add", link, "netns", name, "type", "veth", "peer", "name", port,
                 "netns", self.switch)  # fmt: skip
            self._ip(self.switch, "link", "set", port, "master", link, "up")
        address = f"{self._subnet[10 + number]}/{self._subnet.prefixlen}"
        self._ip(name, "address", "add", address, "dev", "mgmt")
        self._ip(name, "link", "set", "mgmt", "up")
        self._ip(name, "link", "add", GUEST_BRIDGE, "type", "bridge")
        self._ip(name, "link", "set", GUEST_BRIDGE, "up")
        self._ip(name, "link", "set", "lan", "master", GUEST_BRIDGE, "up")
        return name

    def in_switch(self, command: Sequence[str]) -> list[str]:
        """*command* as it is run on the guests' network, at their gateway."""
        return ["ip", "netns", "exec", self.switch, *command]

    def close(self) -> None:
        """Removes all of it; whatever still runs in a namespace is killed."""
        remove(self.bed)

    def _connect_machine(self) -> None:
        _run("ip", "netns", "add", self.switch)
        self._ip(self.switch, "link", "set", "lo", "up")
        self._ip(self.switch, "link", "add", "mgmt", "type", "bridge")
        self._ip(self.switch, "link", "set", "mgmt", "up")
        _run("ip", "link", "add", self.bed, "type", "veth", "peer", "name", "uplink",
             "netns", self.switch)  # fmt: skip
        self._ip(self.switch, "link", "set", "uplink", "master", "mgmt", "up")
        address = f"{self._subnet[1]}/{self._subnet.prefixlen}"
        _run("ip", "address", "add", address, "dev", self.bed)
        _run("ip", "link", "set", self.bed, "up")

    def _ip(self, namespace: str, *arguments: str) -> None:
        _run("ip", "-n", namespace, *arguments)


def namespaces(bed: str) -> list[str]:
    """Network namespaces of that bed; of all beds for NAME_PREFIX."""
    found = json.loads(_run("ip", "-json", "netns", "list") or "[]")
    return sorted(each["name"] for each in found if each["name"].startswith(bed))


def links(bed: str) -> list[str]:
    """Interfaces of this machine's own namespace that are that bed's."""
    found = json.loads(_run("ip", "-json", "link", "show") or "[]")
    return sorted(each["ifname"] for each in found if each["ifname"].startswith(bed))


def processes_in(namespace: str) -> list[ProcessId]:
    """Whoever is in that network namespace, descendants and daemons included."""
    pids = _run("ip", "netns", "pids", namespace).split()
    return [identity for pid in pids if (identity := ProcessId.of(int(pid))) is not None]


def remove(bed: str) -> None:
    """
    Kills what runs in the bed's namespaces, removes them and its links.

    Raises NetworkError, and leaves all as it is, when a process can't be ended: one that waits
    for a disk in the kernel, say.
    """
    for namespace in namespaces(bed):
        _empty(namespace)
    for link in links(bed):
        # Gone by itself when its other end is.
        with contextlib.suppress(NetworkError):
            _run("ip", "link", "delete", link)
    for namespace in namespaces(bed):
        _run("ip", "netns", "delete", namespace)


def _empty(namespace: str, deadline_s: float = END_DEADLINE_S) -> None:
    """Until there is none: a dying process may just have started another one."""
    end = time.monotonic() + deadline_s
    while found := processes_in(namespace):
        if time.monotonic() > end:
            pids = ", ".join(str(identity.pid) for identity in found)
            raise NetworkError(f"{namespace}: SIGKILL does not end process {pids}")
        for identity in found:
            identity.kill()
        time.sleep(_POLL_S)


def _free_subnet() -> ipaddress.IPv4Network:
    routes = json.loads(_run("ip", "-4", "-json", "route", "show", "table", "all") or "[]")
    taken = []
    for route in routes:
        if route["dst"] != "default":
            taken.append(ipaddress.ip_network(route["dst"], strict=False))
    for subnet in _SUBNETS.subnets(new_prefix=24):
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise NetworkError(f"{_SUBNETS} is in use here: no addresses for the bed")


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    _LOCK.parent.mkdir(parents=True, exist_ok=True)
    with _LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(*command: str) -> str:
    """In a session of its own and waited for: Ctrl-C must not end iproute2 half-way."""
    with undisturbed():
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, start_new_session=True
        )
    if done.returncode:
        raise NetworkError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
