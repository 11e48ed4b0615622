"""
What an import reads from a URL: users get no further than to public addresses.

The address that was checked is the address that is dialled, at each redirect anew, so a name that
says one thing to the check and another to the connection gains nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from socket import SOCK_STREAM

import httpx

from frontend.auth.callers import Caller
from frontend.errors import Rejected

REDIRECTS_MAX = 5
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_NAT64 = IPv6Network("64:ff9b::/96")


@asynccontextmanager
async def opened(
    caller: Caller, url: str, trust: ssl.SSLContext | None = None
) -> AsyncIterator[httpx.Response]:
    """The answer to GET *url*, its body not read yet. *trust* None: the public authorities.

    Raises Rejected, httpx.HTTPError, httpx.InvalidURL, and what TLS and the socket raise."""
    async with (
        httpx.AsyncClient(
            transport=_CheckedTransport(caller, trust),
            follow_redirects=True,
            max_redirects=REDIRECTS_MAX,
            timeout=_TIMEOUT,
            trust_env=False,
        ) as client,
        client.stream("GET", url, headers={"accept-encoding": "identity"}) as response,
    ):
        response.raise_for_status()
        yield response


class _CheckedTransport(httpx.AsyncBaseTransport):
    """Dials the addresses that `targets` allows, under the name that the URL has."""

    def __init__(self, caller: Caller, trust: ssl.SSLContext | None) -> None:
        self._caller = caller
        # A kept connection could serve another name with the same address.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._dialling = httpx.AsyncHTTPTransport(
            verify=True if trust is None else trust, trust_env=False, limits=limits
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        addresses = await targets(self._caller, request.url)
        for address in addresses[:-1]:
            try:
                return await self._dial(request, address)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._dial(request, addresses[-1])

    async def _dial(self, request: httpx.Request, address: str) -> httpx.Response:
        named = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode()},
        )
        return await self._dialling.handle_async_request(named)

    async def aclose(self) -> None:
        await self._dialling.aclose()


async def targets(caller: Caller, url: httpx.URL) -> list[str]:
    """The addresses of *url*'s host, at least one, if *caller* may have them dialled. Rejected.

    Users may not use the front-end as a proxy to what only its machine or its network reaches."""
    if url.scheme not in ("http", "https") or not url.host:
        raise Rejected("invalid_argument", "url must begin with http:// or https://", "url")
    loop = asyncio.get_running_loop()
    try:
        # The name as it goes over the wire: not every resolver knows the others.
        found = await loop.getaddrinfo(
            url.raw_host.decode(), url.port or url.scheme, type=SOCK_STREAM
        )
    except (OSError, UnicodeError) as error:
        raise Rejected(
            "invalid_argument", f"url: cannot resolve {url.host}: {error}", "url"
        ) from None
    addresses = list(dict.fromkeys(str(place[0]) for *_, place in found))
    for address in addresses:
        if not caller.admin and not public(address):
            raise Rejected(
                "permission_denied",
                f"url: {url.host} leads to {address}, which is no public address: "
                "upload the image, or let an admin import it",
                "url",
            )
    return addresses


def public(address: str) -> bool:
    """Whether *address* is one of the Internet at large, also where it wraps an IPv4 address."""
    whole = ip_address(address)
    reached = _inner(whole) if isinstance(whole, IPv6Address) else whole
    return reached.is_global and not reached.is_multicast and not reached.is_reserved


def _inner(address: IPv6Address) -> IPv4Address | IPv6Address:
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
