"""What guests are plugged into, for whoever needs no netlink."""

from __future__ import annotations

from collections.abc import Iterable


class NetworkError(Exception):
    """The host's network cannot be made as needed. The text names cause and next step."""


class NoBridges:
    """For a hypervisor whose guests are not plugged in: the fake one."""

    async def ensure(self, names: Iterable[str]) -> None:
        return
