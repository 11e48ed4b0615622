"""Makes sure that the bridges which guests are plugged into are there."""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import Iterable

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from hostagent.network.base import NetworkError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")


class Bridges:
    """The bridges of the network namespace that the agent runs in."""

    def __init__(self, *, create: bool = True) -> None:
        """With *create* off the administrator makes bridges, and a missing one is an error."""
        self._create = create
        self._one_at_a_time = asyncio.Lock()

    async def ensure(self, names: Iterable[str]) -> None:
        """Every bridge in *names* is there and up. NetworkError names the first that is not."""
        async with self._one_at_a_time:
            for name in sorted(set(names)):
                await asyncio.to_thread(self._ensure, name)

    def _ensure(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise NetworkError(
                f"{name!r} cannot be the name of a bridge; give the cluster's network a bridge "
                "name of at most 15 letters, digits, dots, dashes and underscores"
            )
        try:
            with IPRoute() as route:
                self._ensure_on(route, name)
        except NetlinkError as err:
            raise NetworkError(_explained(name, err)) from err
        except OSError as err:
            raise NetworkError(
                f"bridge {name}: no netlink: {err}; see whether the agent may use it"
            ) from err

    def _ensure_on(self, route: IPRoute, name: str) -> None:
        found = list(route.link_lookup(ifname=name))
        if not found:
            if not self._create:
                raise NetworkError(
                    f"bridge {name} does not exist and this host may not make bridges; "
                    f"make it (ip link add {name} type bridge) and try again"
                )
            try:
                route.link("add", ifname=name, kind="bridge")
            except NetlinkError as err:
                # Somebody else made it in between: as good.
                if err.code != errno.EEXIST:
                    raise
            found = list(route.link_lookup(ifname=name))
        link = next(iter(route.get_links(found[0])))
        if _kind(link) != "bridge":
            raise NetworkError(
                f"{name} is an interface but not a bridge; give the cluster's network another "
                "bridge name, or remove the interface"
            )
        route.link("set", index=found[0], state="up")


def _kind(link: object) -> str | None:
    info = link.get_attr("IFLA_LINKINFO")  # type: ignore[attr-defined]
    return None if info is None else info.get_attr("IFLA_INFO_KIND")


def _explained(name: str, err: NetlinkError) -> str:
    if err.code in (errno.EPERM, errno.EACCES):
        return f"bridge {name}: not permitted; run the agent as root (or with CAP_NET_ADMIN)"
    return f"bridge {name}: {err}; see `ip -d link show {name}` on the host"
