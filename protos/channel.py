"""gRPC channels to the replicas: one channel knows all addresses and goes on by itself when a
replica is lost. Used by the CLI, agents, replicas, benches and tests."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from protos.identity import REPLICA_SERVER_NAME

MAX_MESSAGE_BYTES = 16 << 20
"""Of one gRPC message in either direction."""

Options = list[tuple[str, Any]]

_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a client proves itself with: a certificate and its key, or a bearer token."""

    ca_pem: bytes
    """The CA whose replicas are trusted; no other one is, whatever the system trusts."""

    certificate_pem: bytes = b""
    key_pem: bytes = b""
    token: str = ""
    """Sent with every call, over TLS only. Goes to token ports."""

    @classmethod
    def load(
        cls, *, ca: Path, certificate: Path | None = None, key: Path | None = None, token: str = ""
    ) -> Credentials:
        """From PEM files. Raises OSError; its text names the file."""
        return cls(
            ca_pem=ca.read_bytes(),
            certificate_pem=certificate.read_bytes() if certificate else b"",
            key_pem=key.read_bytes() if key else b"",
            token=token,
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        tls = grpc.ssl_channel_credentials(
            root_certificates=self.ca_pem,
            private_key=self.key_pem or None,
            certificate_chain=self.certificate_pem or None,
        )
        if not self.token:
            return tls
        bearer = grpc.access_token_call_credentials(self.token)
        return grpc.composite_channel_credentials(tls, bearer)


def open_channel(
    addresses: Sequence[str], credentials: Credentials, *, spread: bool = True
) -> grpc.Channel:
    """A channel over all *addresses* (``host:port``; at least one). Connects on first use.

    *spread* keeps a connection to every replica and takes them in turn; without it one replica
    at a time is used, which suits clients that are many, such as host agents.
    Raises ValueError for a malformed address, OSError when no name can be resolved."""
    return grpc.secure_channel(
        target(addresses), credentials.channel_credentials(), client_options(spread=spread)
    )


def open_aio_channel(
    addresses: Sequence[str], credentials: Credentials, *, spread: bool = True
) -> grpc.aio.Channel:
    """The same for asyncio. Names are resolved in the caller's thread when several are given."""
    return grpc.aio.secure_channel(
        target(addresses), credentials.channel_credentials(), client_options(spread=spread)
    )


def client_options(*, spread: bool = True) -> Options:
    return [
        ("grpc.ssl_target_name_override", REPLICA_SERVER_NAME),
        ("grpc.service_config", json.dumps(service_config(spread=spread))),
        ("grpc.enable_retries", 1),
        # A replica that comes back is used again within about a second.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        # Despite its name: how long one attempt to connect may take.
        ("grpc.min_reconnect_backoff_ms", 1000),
        # Finds a replica that hangs or whose machine is gone, while calls wait for it. The
        # keep-alive timeout is TCP_USER_TIMEOUT; unanswered pings have a timeout of their own.
        ("grpc.keepalive_time_ms", 3000),
        ("grpc.keepalive_timeout_ms", 2000),
        ("grpc.http2.ping_timeout_ms", 2000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ]


def server_options() -> Options:
    """For servers that such channels connect to."""
    return [
        # Two replicas on one port would share connections silently: fail to bind instead.
        ("grpc.so_reuseport", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", 10000),
        ("grpc.keepalive_timeout_ms", 5000),
        ("grpc.http2.ping_timeout_ms", 5000),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ]


def service_config(*, spread: bool) -> dict[str, Any]:
    """How calls are spread and retried, as gRPC's service config."""
    # round_robin keeps its connections, so nothing is dialled when a replica dies.
    one_at_a_time = {"pick_first": {"shuffleAddressList": True}}
    return {
        "loadBalancingConfig": [{"round_robin": {}} if spread else one_at_a_time],
        "methodConfig": [
            {
                "name": [{}],
                # Safe for mutations too: each carries a request_id and is done once.
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.02s",
                    "maxBackoff": "0.5s",
                    "backoffMultiplier": 3,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }


def target(addresses: Sequence[str]) -> str:
    """gRPC's name for a list of ``host:port``.

    One host name is left to gRPC, which resolves it anew when needed. gRPC takes no list of
    names, so several are resolved here, once; unknown ones are left out if any is known."""
    if not addresses:
        raise ValueError("no address of a replica given")
    pairs = [split_address(address) for address in addresses]
    if len(pairs) == 1 and _version(pairs[0][0]) is None:
        return f"dns:///{pairs[0][0]}:{pairs[0][1]}"
    numeric = _resolved(pairs)
    # A target has one address family; the one that reaches more replicas is taken.
    family = max((4, 6), key=lambda version: sum(_version(host) == version for host, _ in numeric))
    chosen = [pair for pair in numeric if _version(pair[0]) == family]
    if family == 6:
        return "ipv6:" + ",".join(f"[{host}]:{port}" for host, port in chosen)
    return "ipv4:" + ",".join(f"{host}:{port}" for host, port in chosen)


def split_address(address: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port``. Raises ValueError."""
    host, colon, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    known_host = _HOST_NAME.fullmatch(bare) if bare == host else _version(bare) == 6
    if not colon or not known_host or not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError(f"address {address!r} is not host:port (IPv6: [host]:port)")
    return bare, int(port)


def _version(host: str) -> int | None:
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None


def _resolved(pairs: list[tuple[str, int]]) -> list[tuple[str, int]]:
    numeric: dict[tuple[str, int], None] = {}
    failures = []
    for host, port in pairs:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            failures.append(f"cannot resolve {host}: {error.strerror}")
            continue
        for *_, place in found:
            numeric[(str(place[0]), port)] = None
    if not numeric:
        raise OSError("; ".join(failures))
    return list(numeric)
