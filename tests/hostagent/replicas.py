"""Small replicas for the agent's tests: real gRPC and TLS, with answers that the test decides."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio

from frontend.auth.certificates import Authority, create_authority
from protos.channel import Credentials, server_options
from protos.v1 import agent_pb2_grpc, image_pb2_grpc
from protos.v1.agent_pb2 import (
    HeartbeatAck,
    NotLeader,
    ReportAck,
    SessionRequest,
    SessionResponse,
    Task,
    TaskKind,
    TaskReport,
    Welcome,
)
from protos.v1.image_pb2 import ReadImageRequest, ReadImageResponse
from protos.v1.vm_pb2 import Nic, Vm

CLUSTER_ID = "c" * 32


class Certificates:
    """The CA of one front-end, and what it issued."""

    def __init__(self) -> None:
        self.authority: Authority = create_authority(CLUSTER_ID)[0]
        self.replica = self.authority.issue_replica("1", ["127.0.0.1"])
        self.host = self.authority.issue_host(7)

    def credentials(self) -> Credentials:
        return Credentials(
            ca_pem=self.authority.certificate_pem,
            certificate_pem=self.host.certificate_pem,
            key_pem=self.host.key_pem,
        )


class Replica(agent_pb2_grpc.AgentServiceServicer, image_pb2_grpc.ImageServiceServicer):
    def __init__(self, certificates: Certificates, *, leads: bool = True, term: int = 1) -> None:
        self._certificates = certificates
        self.leads = leads
        self.term = term
        self.leader_address = ""
        self.acknowledges = True
        self.answers_heartbeats = True
        self.received: list[SessionRequest] = []
        self.sessions = 0
        self.outbox: asyncio.Queue[SessionResponse | None] = asyncio.Queue()
        self.images: dict[str, bytes] = {}
        self.reads: list[int] = []
        self.breaks_after: int | None = None
        self.address = ""
        self._server: Any = None

    async def start(self, address: str = "127.0.0.1:0") -> None:
        self._server = grpc.aio.server(options=server_options())
        agent_pb2_grpc.add_AgentServiceServicer_to_server(self, self._server)
        image_pb2_grpc.add_ImageServiceServicer_to_server(self, self._server)
        issued = self._certificates.replica
        credentials = grpc.ssl_server_credentials(
            [(issued.key_pem, issued.certificate_pem)],
            self._certificates.authority.certificate_pem,
            require_client_auth=True,
        )
        port = self._server.add_secure_port(address, credentials)
        self.address = f"127.0.0.1:{port}"
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(None)

    def send(self, task: Task) -> None:
        task.term = task.term or self.term
        self.outbox.put_nowait(SessionResponse(task=task))

    def of(self, kind: str) -> list[Any]:
        """What came of that kind, in order."""
        return [getattr(one, kind) for one in self.received if one.WhichOneof("message") == kind]

    def reports(self) -> list[TaskReport]:
        return self.of("report")

    async def Session(
        self, requests: AsyncIterator[SessionRequest], context: Any
    ) -> AsyncIterator[SessionResponse]:
        self.sessions += 1
        if not self.leads:
            yield SessionResponse(not_leader=NotLeader(leader_address=self.leader_address))
            return
        self.outbox = outbox = asyncio.Queue()
        welcome = Welcome(term=self.term, leader_id="1", heartbeat_interval_ms=100)
        outbox.put_nowait(SessionResponse(welcome=welcome))
        listener = asyncio.ensure_future(self._listen(requests, outbox))
        try:
            while (message := await outbox.get()) is not None:
                yield message
        finally:
            listener.cancel()

    async def _listen(
        self, requests: AsyncIterator[SessionRequest], outbox: asyncio.Queue[Any]
    ) -> None:
        async for request in requests:
            self.received.append(request)
            kind = request.WhichOneof("message")
            if kind == "heartbeat" and self.answers_heartbeats:
                ack = HeartbeatAck(sequence=request.heartbeat.sequence)
                outbox.put_nowait(SessionResponse(heartbeat_ack=ack))
            elif kind == "report" and self.acknowledges:
                report_ack = ReportAck(task_id=request.report.task_id)
                outbox.put_nowait(SessionResponse(report_ack=report_ack))

    async def ReadImage(
        self, request: ReadImageRequest, context: Any
    ) -> AsyncIterator[ReadImageResponse]:
        self.reads.append(request.offset)
        image = self.images.get(request.sha256)
        if image is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such image here")
            return
        sent = 0
        for offset in range(request.offset, len(image), 65536):
            if self.breaks_after is not None and sent >= self.breaks_after:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "the replica goes down")
            chunk = image[offset : offset + 65536]
            sent += len(chunk)
            yield ReadImageResponse(chunk=chunk, size_bytes=len(image))


def vm(vm_id: int = 5, epoch: int = 1) -> Vm:
    nic = Nic(mac="02:00:0a:00:00:05", ip="10.0.0.5", prefix_length=24, bridge="skyraft0")
    return Vm(id=vm_id, name=f"web-{vm_id}", epoch=epoch, vcpu=1, memory_mib=64, nics=[nic])


def task(task_id: int, kind: TaskKind, vm_id: int = 5, epoch: int = 1, **more: Any) -> Task:
    return Task(
        id=task_id, vm_id=vm_id, kind=kind, epoch=epoch, vm=vm(vm_id, epoch), timeout_s=30, **more
    )


async def until(condition: Callable[[], Any], what: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s:g} s")
        await asyncio.sleep(0.005)
