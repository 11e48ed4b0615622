"""A front-end of one replica in a thread: real log, real state, real certificates, real gRPC."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import grpc
import pytest

from bench.testbed.replicas import free_ports
from frontend.auth.certificates import Authority, Role
from frontend.config import ReplicaAddresses, ReplicaConfig, Timing, init_cluster, load
from frontend.main import serving
from frontend.replica import Replica
from protos.channel import Credentials, open_channel
from protos.errors import Failure, failure_of
from protos.v1 import (
    agent_pb2_grpc,
    cluster_pb2,
    cluster_pb2_grpc,
    event_pb2_grpc,
    host_pb2_grpc,
    image_pb2_grpc,
    pipeline_pb2_grpc,
    template_pb2,
    template_pb2_grpc,
    token_pb2_grpc,
    vm_pb2,
    vm_pb2_grpc,
)

DEADLINE_S = 20.0
"""Generous: it only matters when a test fails."""

FAST = Timing(election_timeout_min_s=0.05, election_timeout_max_s=0.1, heartbeat_s=0.01)

T = TypeVar("T")


def addresses(replica_ids: list[str]) -> list[ReplicaAddresses]:
    ports = iter(free_ports(3 * len(replica_ids)))
    return [
        ReplicaAddresses(
            id=replica_id,
            raft=f"127.0.0.1:{next(ports)}",
            api=f"127.0.0.1:{next(ports)}",
            token=f"127.0.0.1:{next(ports)}",
        )
        for replica_id in replica_ids
    ]


def wait_for(what: str, found: Callable[[], T | None]) -> T:
    """The first true value of *found*, or a failed test that names *what*."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        value = found()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {DEADLINE_S:.0f} s")
        time.sleep(0.01)


def refusal(call: Callable[[], object]) -> Failure:
    """How the call that must fail failed."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return failure_of(caught.value)


class _Ids(grpc.UnaryUnaryClientInterceptor, grpc.StreamUnaryClientInterceptor):
    """Chooses request ids for the tests that have no need of a special one."""

    def intercept_unary_unary(self, proceed: Any, details: Any, request: Any) -> Any:
        if "request_id" in request.DESCRIPTOR.fields_by_name and not request.request_id:
            complete = type(request)()
            complete.CopyFrom(request)
            complete.request_id = uuid.uuid4().hex
            request = complete
        return proceed(details, request)

    def intercept_stream_unary(self, proceed: Any, details: Any, requests: Any) -> Any:
        def complete() -> Iterator[Any]:
            for request in requests:
                if request.WhichOneof("part") == "header" and not request.header.request_id:
                    request.header.request_id = uuid.uuid4().hex
                yield request

        return proceed(details, complete())


class Stubs:
    """Every service over one channel. Changes without a request id are given one."""

    def __init__(self, plain: grpc.Channel) -> None:
        self.channel = plain
        """Sends what the test says and nothing else."""
        channel = grpc.intercept_channel(plain, _Ids())
        self.agents = agent_pb2_grpc.AgentServiceStub(channel)
        self.clusters = cluster_pb2_grpc.ClusterServiceStub(channel)
        self.events = event_pb2_grpc.EventServiceStub(channel)
        self.hosts = host_pb2_grpc.HostServiceStub(channel)
        self.images = image_pb2_grpc.ImageServiceStub(channel)
        self.pipelines = pipeline_pb2_grpc.PipelineServiceStub(channel)
        self.templates = template_pb2_grpc.TemplateServiceStub(channel)
        self.tokens = token_pb2_grpc.TokenServiceStub(channel)
        self.vms = vm_pb2_grpc.VmServiceStub(channel)


class FrontEnd:
    """A context manager; stubs and credentials for whoever should call it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "cloud"
        self.cluster_id = init_cluster(self.directory, addresses(["1"]))
        config = load(self.directory / "replica-1" / "replica.toml")
        self.config: ReplicaConfig = replace(config, timing=FAST)
        self.ca_pem = (self.directory / "ca" / "ca.crt").read_bytes()
        self.authority = Authority.load(self.cluster_id, config.ca, config.ca_key)
        self._channels: list[grpc.Channel] = []
        self._started: Future[Replica] = Future()
        self._thread = threading.Thread(target=self._run, name="front-end")
        self._stop: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        self._thread.start()
        self.replica = self._started.result(DEADLINE_S)
        self.admin = self.user("root", Role.ADMIN)
        wait_for("a leader", lambda: self.status().leader_id)
        return self

    def __exit__(self, *_: object) -> None:
        for channel in self._channels:
            channel.close()
        self._stop()
        self._thread.join()

    def _run(self) -> None:
        async def serve() -> None:
            stop = asyncio.Event()
            self._stop = lambda: loop.call_soon_threadsafe(stop.set)
            loop = asyncio.get_running_loop()
            async with serving(self.config) as replica:
                self._started.set_result(replica)
                await stop.wait()

        asyncio.run(serve())

    # Who calls.

    def open(self, address: str, credentials: Credentials) -> Stubs:
        channel = open_channel([address], credentials)
        self._channels.append(channel)
        return Stubs(channel)

    def user(self, name: str, role: Role = Role.USER) -> Stubs:
        """With a certificate of the CA, on the api port."""
        return self.certified(self.authority.issue_user(name, role))

    def certified(self, issued: Any) -> Stubs:
        return self.identified(issued.certificate_pem, issued.key_pem)

    def identified(self, certificate_pem: bytes, key_pem: bytes) -> Stubs:
        credentials = Credentials(
            ca_pem=self.ca_pem, certificate_pem=certificate_pem, key_pem=key_pem
        )
        return self.open(self.config.me.api, credentials)

    def bearer(self, token: str) -> Stubs:
        """With a token, on the token port."""
        return self.open(self.config.me.token, Credentials(ca_pem=self.ca_pem, token=token))

    # Short ways.

    def revision(self) -> int:
        """Of a linearizable read: status() may be behind what was acknowledged."""
        return int(self.admin.vms.ListVms(vm_pb2.ListVmsRequest(page_size=1)).revision)

    def status(self) -> cluster_pb2.GetStatusResponse:
        answer: cluster_pb2.GetStatusResponse = self.admin.clusters.GetStatus(
            cluster_pb2.GetStatusRequest(), timeout=DEADLINE_S
        )
        return answer

    def template(self, name: str, owner: Stubs | None = None) -> template_pb2.Template:
        made: template_pb2.Template = (owner or self.admin).templates.CreateTemplate(
            template_pb2.CreateTemplateRequest(
                template=template_pb2.Template(name=name, vcpu=1, memory_mib=64)
            )
        )
        return made

    def cluster(self, name: str = "edge") -> cluster_pb2.Cluster:
        network = cluster_pb2.Network(
            bridge="br0",
            cidr="172.20.0.0/24",
            gateway="172.20.0.1",
            first_ip="172.20.0.10",
            last_ip="172.20.0.250",
        )
        made: cluster_pb2.Cluster = self.admin.clusters.CreateCluster(
            cluster_pb2.CreateClusterRequest(
                cluster=cluster_pb2.Cluster(name=name, network=network)
            )
        )
        return made
