"""Console logs of guests: asked of the host by the leader, of the leader by everybody else."""

from __future__ import annotations

from frontend.api.leader_calls import LeaderCalls
from frontend.api.sessions import Sessions
from frontend.auth.callers import Caller
from protos.v1.vm_pb2 import ReadVmConsoleRequest, ReadVmConsoleResponse, Vm


class Consoles:
    def __init__(self, sessions: Sessions, leader: LeaderCalls) -> None:
        self._sessions, self._leader = sessions, leader

    async def read_vm_console(
        self, caller: Caller, vm: Vm, tail_bytes: int
    ) -> ReadVmConsoleResponse:
        """*vm* is placed, and the caller's to see. Rejected, Unavailable."""
        if not self._sessions.term:
            request = ReadVmConsoleRequest(id=vm.id, tail_bytes=tail_bytes)
            return await self._leader.read_vm_console(caller, request)
        data = await self._sessions.console(vm.host_id, vm.id, tail_bytes)
        return ReadVmConsoleResponse(data=data)
