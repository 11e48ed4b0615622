"""The front-end's own state and the clusters of hosts, over gRPC."""

from __future__ import annotations

import asyncio
from typing import Protocol

from frontend.api import health, pages
from frontend.api.mutation import Mutations
from frontend.auth.callers import Caller
from frontend.config import ReplicaConfig
from frontend.errors import Rejected, Unavailable
from frontend.replica import Replica
from frontend.state import clusters, events
from protos.v1 import cluster_pb2 as wire
from raft.interfaces import Role, Status


class Leader(Protocol):
    """The leader, asked over gRPC."""

    async def transfer_leadership(
        self, caller: Caller, request: wire.TransferLeadershipRequest
    ) -> wire.TransferLeadershipResponse: ...


class ClusterService:
    def __init__(
        self, replica: Replica, mutations: Mutations, config: ReplicaConfig, leader: Leader
    ) -> None:
        self._replica, self._submit = replica, mutations.submit
        self._config, self._leader = config, leader

    async def get_status(
        self, caller: Caller, request: wire.GetStatusRequest
    ) -> wire.GetStatusResponse:
        return health.describe(self._config, self._replica.status())

    async def transfer_leadership(
        self, caller: Caller, request: wire.TransferLeadershipRequest
    ) -> wire.TransferLeadershipResponse:
        known = {each.id for each in self._config.replicas}
        if request.target_id and request.target_id not in known:
            raise Rejected("not_found", f"there is no replica {request.target_id!r}", "target_id")
        status = self._replica.status()
        if status.role is not Role.LEADER:
            return await self._leader.transfer_leadership(caller, request)
        target = request.target_id or best_successor(status)
        if target != self._config.replica_id:
            went, why = await self._replica.transfer(target)
            if not went:
                raise Rejected("wrong_state", f"replica {target} did not take over: {why}")
            status = self._replica.status()
        return wire.TransferLeadershipResponse(leader_id=target, term=status.term)

    def create_cluster(
        self, caller: Caller, request: wire.CreateClusterRequest
    ) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, create_cluster=request)

    def update_cluster(
        self, caller: Caller, request: wire.UpdateClusterRequest
    ) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, update_cluster=request)

    def delete_cluster(
        self, caller: Caller, request: wire.DeleteClusterRequest
    ) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, delete_cluster=request)

    async def get_cluster(self, caller: Caller, request: wire.GetClusterRequest) -> wire.Cluster:
        await self._replica.read(request.stale)
        with self._replica.store.read() as txn:
            found = clusters.get(txn, request.id)
        if found is None:
            raise Rejected("not_found", f"there is no cluster {request.id}", "id")
        return found

    async def list_clusters(
        self, caller: Caller, request: wire.ListClustersRequest
    ) -> wire.ListClustersResponse:
        limit, after = pages.size(request.page_size), pages.start(request.page_token)
        await self._replica.read(request.stale)
        with self._replica.store.read() as txn:
            rows = clusters.list_page(txn, after, limit + 1)
            revision = events.last_revision(txn)
        page, more = pages.cut(rows, limit)
        return wire.ListClustersResponse(clusters=page, next_page_token=more, revision=revision)


def best_successor(status: Status) -> str:
    """The connected peer whose log reaches furthest. Raises Unavailable when none is connected."""
    connected = {name: peer.match for name, peer in status.peers.items() if peer.connected}
    if not connected:
        raise Unavailable("no other replica is connected")
    return max(connected, key=lambda name: (connected[name], name))
