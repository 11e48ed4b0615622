"""What only the leader can answer, asked of it by a follower with its replica certificate."""

from __future__ import annotations

import grpc
import grpc.aio

from frontend.api.door import PassedOn, on_behalf_of
from frontend.auth.callers import Caller
from frontend.errors import Rejected, Unavailable
from frontend.replica import Replica
from protos.channel import Credentials, open_aio_channel
from protos.errors import failure_of
from protos.v1 import cluster_pb2, vm_pb2
from protos.v1.cluster_pb2_grpc import ClusterServiceStub
from protos.v1.vm_pb2_grpc import VmServiceStub
from raft.interfaces import Role

_TIMEOUT_S = 10.0


class LeaderCalls:
    """Keeps one channel, to the present leader."""

    def __init__(self, replica: Replica, credentials: Credentials) -> None:
        self._replica, self._credentials = replica, credentials
        self._address = ""
        self._channel: grpc.aio.Channel | None = None

    async def transfer_leadership(
        self, caller: Caller, request: cluster_pb2.TransferLeadershipRequest
    ) -> cluster_pb2.TransferLeadershipResponse:
        stub = ClusterServiceStub(await self._to_leader(caller))
        try:
            answer: cluster_pb2.TransferLeadershipResponse = await stub.TransferLeadership(
                request, metadata=on_behalf_of(caller), timeout=_TIMEOUT_S
            )
        except grpc.RpcError as error:
            raise translated(error) from None
        return answer

    async def read_vm_console(
        self, caller: Caller, request: vm_pb2.ReadVmConsoleRequest
    ) -> vm_pb2.ReadVmConsoleResponse:
        stub = VmServiceStub(await self._to_leader(caller))
        try:
            answer: vm_pb2.ReadVmConsoleResponse = await stub.ReadVmConsole(
                request, metadata=on_behalf_of(caller), timeout=_TIMEOUT_S
            )
        except grpc.RpcError as error:
            raise translated(error) from None
        return answer

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def _to_leader(self, caller: Caller) -> grpc.aio.Channel:
        address = self._replica.leader_address()
        here = self._replica.status().role is Role.LEADER
        if not address or here or isinstance(caller, PassedOn):
            raise Unavailable("no leader is known")
        if address != self._address or self._channel is None:
            await self.close()
            self._channel = open_aio_channel([address], self._credentials)
            self._address = address
        return self._channel


def translated(error: grpc.RpcError) -> Rejected | Unavailable:
    """The leader's refusal as our own."""
    failure = failure_of(error)
    if failure.retryable:
        return Unavailable(failure.message)
    return Rejected(failure.reason, failure.message, failure.field)
