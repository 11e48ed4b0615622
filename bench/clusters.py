"""The two systems as things whose leader can be killed, for bench/failover.py."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections import Counter

import grpc.aio
from google.protobuf.field_mask_pb2 import FieldMask

from bench import etcd
from bench.demo_writes import events_by_request
from bench.testbed.replicas import Replicas
from protos.channel import Credentials, open_aio_channel
from protos.v1 import (
    cluster_pb2,
    cluster_pb2_grpc,
    template_pb2,
    template_pb2_grpc,
)

OBJECTS = 16
"""Templates that the writes are spread over."""

READY_DEADLINE_S = 60.0
LAG_ENTRIES_MAX = 100
"""A restarted replica that is this close to the leader under load has caught up."""


class EtcdFailover:
    """Records are keys; each member is asked for its own view."""

    name = "etcd"

    def __init__(self, cluster: etcd.Etcd, credentials: Credentials) -> None:
        self._cluster = cluster
        self._members = [open_aio_channel([address], credentials) for address in cluster.addresses]
        self._client = etcd.Client(open_aio_channel(cluster.addresses, credentials))

    async def ready(self) -> int:
        return await self._cluster.leader(self._members)

    def kill(self, member: int) -> None:
        self._cluster.members[member].end(signal.SIGKILL)

    def restart(self, member: int) -> None:
        self._cluster.members[member].start()

    async def write(self, number: int, timeout_s: float) -> None:
        request = etcd.rpc.PutRequest(key=b"record/%08d" % number, value=b"x" * 256)
        await self._client.put(request, timeout=timeout_s)

    async def stored(self) -> Counter[int]:
        found: Counter[int] = Counter()
        first = b"record/"
        while True:
            request = etcd.rpc.RangeRequest(
                key=first, range_end=b"record0", limit=5_000, keys_only=True
            )
            page = await self._client.range(request, timeout=30)
            for pair in page.kvs:
                # How many puts the key has seen.
                found[int(pair.key.removeprefix(b"record/"))] = pair.version
            if not page.more:
                return found
            first = page.kvs[-1].key + b"\0"


class SkyraftFailover:
    """
    Records are updates of a few templates, each with one request id however often it is sent.

    Updates, because nothing stands in the way of doing one twice, as a unique name would; each
    leaves an event whenever it is applied.
    """

    name = "skyraft"

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self._channel = open_aio_channel(replicas.addresses, replicas.credentials)
        self._templates = template_pb2_grpc.TemplateServiceStub(self._channel)
        self._ids: list[int] = []
        self._making = asyncio.Lock()
        self._status = [
            cluster_pb2_grpc.ClusterServiceStub(open_aio_channel([address], replicas.credentials))
            for address in replicas.addresses
        ]
        self._run = uuid.uuid4().hex[:8]

    async def ready(self) -> int:
        async with asyncio.timeout(READY_DEADLINE_S):
            while True:
                seen = await asyncio.gather(*(self._ask(member) for member in range(3)))
                known = [status for status in seen if status is not None]
                leaders = {status.leader_id for status in known}
                behind = max((s.last_index for s in known), default=0) - min(
                    (s.applied_index for s in known), default=0
                )
                if len(known) == 3 and len(leaders) == 1 and behind < LAG_ENTRIES_MAX:
                    for member, status in enumerate(known):
                        if status.replica_id == status.leader_id:
                            return member
                await asyncio.sleep(0.05)

    async def _ask(self, member: int) -> cluster_pb2.GetStatusResponse | None:
        try:
            answer: cluster_pb2.GetStatusResponse = await self._status[member].GetStatus(
                cluster_pb2.GetStatusRequest(), timeout=1
            )
        except grpc.aio.AioRpcError:
            return None
        return answer

    def kill(self, member: int) -> None:
        self._replicas.kill(member)

    def restart(self, member: int) -> None:
        self._replicas.start(member)

    async def write(self, number: int, timeout_s: float) -> None:
        async with self._making:
            while len(self._ids) < OBJECTS:
                self._ids.append(await self._create(len(self._ids), timeout_s))
        request = template_pb2.UpdateTemplateRequest(
            request_id=f"{self._run}-{number}",
            template=template_pb2.Template(
                id=self._ids[number % OBJECTS], description=f"{number:0256d}"
            ),
            update_mask=FieldMask(paths=["description"]),
        )
        await self._templates.UpdateTemplate(request, timeout=timeout_s)

    async def _create(self, nth: int, timeout_s: float) -> int:
        template = template_pb2.Template(name=f"failover-{nth}", vcpu=1, memory_mib=128)
        request = template_pb2.CreateTemplateRequest(
            request_id=f"{self._run}-object-{nth}", template=template
        )
        return int((await self._templates.CreateTemplate(request, timeout=timeout_s)).id)

    async def stored(self) -> Counter[int]:
        seen = await events_by_request(self._channel, "template.updated")
        return Counter({int(name.rpartition("-")[2]): times for name, times in seen.items()})
