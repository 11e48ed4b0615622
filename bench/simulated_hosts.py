"""Many hosts in one process: real enrolment, certificates and sessions, and guests that exist in
name only. They load the front-end as agents do, without the agents' own memory and disks."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType

import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from protos.channel import Credentials, open_aio_channel
from protos.v1 import agent_pb2, agent_pb2_grpc, token_pb2, token_pb2_grpc
from protos.v1.host_pb2 import HostCapacity

CAPACITY = HostCapacity(vcpu=64, memory_mib=262_144, hypervisor="fake", disk_free_bytes=10**12)
HEARTBEAT_S = 1.0
RECONNECT_S = 0.2


@dataclass(frozen=True, slots=True)
class Enrolled:
    host_id: int
    credentials: Credentials
    addresses: Sequence[str]


async def enroll(
    admin: grpc.aio.Channel,
    token_addresses: Sequence[str],
    ca_pem: bytes,
    cluster_id: int,
    name: str,
) -> Enrolled:
    """One host, with a one-time token made for it."""
    made = await token_pb2_grpc.TokenServiceStub(admin).CreateToken(
        token_pb2.CreateTokenRequest(
            request_id=uuid.uuid4().hex, kind=token_pb2.TOKEN_KIND_JOIN, cluster_id=cluster_id
        ),
        timeout=20,
    )
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    pem = csr.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    async with open_aio_channel(token_addresses, Credentials(ca_pem=ca_pem)) as channel:
        answer = await agent_pb2_grpc.AgentServiceStub(channel).Enroll(
            agent_pb2.EnrollRequest(
                request_id=uuid.uuid4().hex, token=made.secret, csr_pem=pem.decode(), name=name
            ),
            timeout=20,
        )
    credentials = Credentials(
        ca_pem=answer.ca_pem.encode(),
        certificate_pem=answer.certificate_pem.encode(),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    return Enrolled(answer.host_id, credentials, list(answer.addresses))


class SimulatedHosts:
    """Keeps a session to the leader for each host and does every task at once, successfully.

    Use as an async context manager."""

    def __init__(self, hosts: Sequence[Enrolled]) -> None:
        self._hosts = hosts
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> SimulatedHosts:
        await self._group.__aenter__()
        self._tasks = [self._group.create_task(self._serve(host)) for host in self._hosts]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)

    async def _serve(self, host: Enrolled) -> None:
        """One session after another, at the leader as soon as its address is known."""
        leader = ""
        turn = host.host_id
        while True:
            address = leader or host.addresses[turn % len(host.addresses)]
            turn += 1
            async with open_aio_channel([address], host.credentials) as channel:
                try:
                    leader = await self._session(channel)
                except grpc.aio.AioRpcError:
                    leader = ""
            if not leader:
                await asyncio.sleep(RECONNECT_S)

    async def _session(self, channel: grpc.aio.Channel) -> str:
        """Until it ends. The leader's address when another replica leads, else nothing."""
        outbox: asyncio.Queue[agent_pb2.SessionRequest] = asyncio.Queue()
        hello = agent_pb2.Hello(agent_version="bench", capacity=CAPACITY)
        outbox.put_nowait(agent_pb2.SessionRequest(hello=hello))
        inventory = agent_pb2.Inventory(capacity=CAPACITY)
        outbox.put_nowait(agent_pb2.SessionRequest(inventory=inventory))
        call = agent_pb2_grpc.AgentServiceStub(channel).Session(outgoing(outbox))
        async for message in call:
            kind = message.WhichOneof("message")
            if kind == "not_leader":
                return str(message.not_leader.leader_address)
            if kind == "task":
                outbox.put_nowait(agent_pb2.SessionRequest(report=done(message.task)))
        return ""


async def outgoing(
    outbox: asyncio.Queue[agent_pb2.SessionRequest],
) -> AsyncIterator[agent_pb2.SessionRequest]:
    """What is in *outbox*, and a heartbeat whenever a second passed without anything."""
    sequence = 0
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                message = await outbox.get()
        except TimeoutError:
            sequence += 1
            message = agent_pb2.SessionRequest(heartbeat=agent_pb2.Heartbeat(sequence=sequence))
        yield message


def done(task: agent_pb2.Task) -> agent_pb2.TaskReport:
    return agent_pb2.TaskReport(task_id=task.id, ok=True, vm_id=task.vm_id, epoch=task.epoch)
