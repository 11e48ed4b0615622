"""The peer: a three-member etcd on loopback with mutual TLS, on the same disk as the replicas."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import grpc
import grpc.aio

from bench.testbed.replicas import free_ports

START_DEADLINE_S = 30.0

rpc: Any = grpc.protos("bench/etcd_rpc.proto")
"""Compiled on import by grpcio-tools: etcd's messages are no part of Skyraft's wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """PEM files that a member shows to clients and to the other members."""

    ca: Path
    certificate: Path
    key: Path


class Client:
    """etcd's methods over any gRPC channel, so that both systems share the client's code."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        def method(name: str, request: str, response: str) -> Any:
            return channel.unary_unary(
                f"/etcdserverpb.{name}",
                request_serializer=getattr(rpc, request).SerializeToString,
                response_deserializer=getattr(rpc, response).FromString,
            )

        self.put = method("KV/Put", "PutRequest", "PutResponse")
        self.txn = method("KV/Txn", "TxnRequest", "TxnResponse")
        self.range = method("KV/Range", "RangeRequest", "RangeResponse")
        self.status = method("Maintenance/Status", "StatusRequest", "StatusResponse")


class Member:
    """One etcd process. It keeps its name, ports and directory over restarts."""

    def __init__(self, name: str, directory: Path, client_port: int, peer_port: int) -> None:
        self.name = name
        self.address = f"127.0.0.1:{client_port}"
        self.peer_url = f"https://127.0.0.1:{peer_port}"
        self.directory = directory
        self.arguments: list[str] = []
        self.log = directory / "etcd.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    def start(self) -> None:
        self._output = self.log.open("ab")
        self._process = subprocess.Popen(
            self.arguments, stdout=self._output, stderr=subprocess.STDOUT, cwd=self.directory
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def end(self, number: signal.Signals) -> None:
        """Sends the signal and waits until the process is gone."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
        if self._output is not None:
            self._output.close()


class Etcd:
    """Three members. Use as a context manager; leaving it kills what still runs."""

    def __init__(
        self, directory: Path, tls: ServerTls, *, heartbeat_ms: int = 100, election_ms: int = 1000
    ) -> None:
        ports = free_ports(6)
        self.members = [
            Member(f"m{n}", directory / f"etcd-{n}", ports[2 * n], ports[2 * n + 1])
            for n in range(3)
        ]
        peers = ",".join(f"{member.name}={member.peer_url}" for member in self.members)
        for member in self.members:
            member.directory.mkdir(parents=True)
            member.arguments = arguments(member, peers, tls, heartbeat_ms, election_ms)

    @property
    def addresses(self) -> list[str]:
        return [member.address for member in self.members]

    def __enter__(self) -> Etcd:
        for member in self.members:
            member.start()
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            if member.running:
                member.end(signal.SIGKILL)

    async def leader(self, channels: Sequence[grpc.aio.Channel]) -> int:
        """Index of the member that leads, once every running member agrees.

        *channels* go to one member each, in order. Raises TimeoutError."""
        clients = [Client(channel) for channel in channels]
        async with asyncio.timeout(START_DEADLINE_S):
            while True:
                statuses = await asyncio.gather(*(self._status(client) for client in clients))
                known = [status for status in statuses if status is not None]
                leaders = {status.leader for status in known}
                if len(known) == sum(member.running for member in self.members) and (
                    len(leaders) == 1 and leaders != {0}
                ):
                    for position, status in enumerate(statuses):
                        if status is not None and status.header.member_id == status.leader:
                            return position
                await asyncio.sleep(0.05)

    @staticmethod
    async def _status(client: Client) -> Any:
        try:
            return await client.status(rpc.StatusRequest(), timeout=1)
        except grpc.aio.AioRpcError:
            return None


def arguments(
    member: Member, peers: str, tls: ServerTls, heartbeat_ms: int, election_ms: int
) -> list[str]:
    """etcd as shipped, but for the two times, mutual TLS on both ports, and quiet logs."""
    url = f"https://{member.address}"
    files = (("ca", tls.ca), ("cert", tls.certificate), ("key", tls.key))
    options = {
        "name": member.name,
        "data-dir": str(member.directory / "data"),
        "listen-client-urls": url,
        "advertise-client-urls": url,
        "listen-peer-urls": member.peer_url,
        "initial-advertise-peer-urls": member.peer_url,
        "initial-cluster": peers,
        "initial-cluster-state": "new",
        "initial-cluster-token": "skyraft-bench",
        "heartbeat-interval": str(heartbeat_ms),
        "election-timeout": str(election_ms),
        "logger": "zap",
        "log-level": "error",
        "client-cert-auth": "true",
        "peer-client-cert-auth": "true",
    }
    for prefix in ("", "peer-"):
        for name, path in files:
            flag = "trusted-ca-file" if name == "ca" else f"{name}-file"
            options[prefix + flag] = str(path.resolve())
    return ["etcd", *(f"--{name}={value}" for name, value in options.items())]


def etcd_version() -> str:
    """For instance "3.4.23". Raises OSError when etcd is not installed."""
    output = subprocess.run(["etcd", "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"etcd Version: (\S+)", output.stdout)
    return found.group(1) if found else "unknown"
