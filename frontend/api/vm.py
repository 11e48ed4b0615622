"""Virtual machines over gRPC. A VM is there for its owner and for admins, for nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Protocol

from frontend.api import pages
from frontend.api.follow import follow_vms
from frontend.api.mutation import Mutations
from frontend.auth.callers import Caller
from frontend.errors import Rejected
from frontend.replica import Replica
from frontend.state import events, vms
from frontend.state.store import ReadTxn
from protos.v1 import vm_pb2 as wire

CONSOLE_BYTES_DEFAULT = 16 << 10
CONSOLE_BYTES_MAX = 1 << 20


class Consoles(Protocol):
    """Where console logs can be asked for: at the leader, which the hosts are connected to."""

    def read_vm_console(
        self, caller: Caller, vm: wire.Vm, tail_bytes: int
    ) -> Awaitable[wire.ReadVmConsoleResponse]: ...


class VmService:
    def __init__(self, replica: Replica, mutations: Mutations, consoles: Consoles) -> None:
        self._replica, self._submit, self._consoles = replica, mutations.submit, consoles

    def create_vm(self, caller: Caller, request: wire.CreateVmRequest) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, create_vm=request)

    def update_vm(self, caller: Caller, request: wire.UpdateVmRequest) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, update_vm=request)

    def delete_vm(self, caller: Caller, request: wire.DeleteVmRequest) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, delete_vm=request)

    def poweroff_vm(self, caller: Caller, request: wire.PoweroffVmRequest) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, poweroff_vm=request)

    def resume_vm(self, caller: Caller, request: wire.ResumeVmRequest) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, resume_vm=request)

    def suspend_vm(self, caller: Caller, request: wire.SuspendVmRequest) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, suspend_vm=request)

    def reboot_vm(self, caller: Caller, request: wire.RebootVmRequest) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, reboot_vm=request)

    def terminate_vm(
        self, caller: Caller, request: wire.TerminateVmRequest
    ) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, terminate_vm=request)

    def recover_vm(self, caller: Caller, request: wire.RecoverVmRequest) -> asyncio.Future[bytes]:
        return self._submit(caller, request.request_id, recover_vm=request)

    async def get_vm(self, caller: Caller, request: wire.GetVmRequest) -> wire.Vm:
        await self._replica.read(request.stale)
        with self._replica.store.read() as txn:
            return visible(txn, caller, request.id)

    async def list_vms(self, caller: Caller, request: wire.ListVmsRequest) -> wire.ListVmsResponse:
        limit, after = pages.size(request.page_size), pages.start(request.page_token)
        await self._replica.read(request.stale)
        owner = "" if caller.admin else caller.actor
        with self._replica.store.read() as txn:
            rows = vms.list_page(
                txn, after, limit + 1, owner=owner, include_done=request.include_done
            )
            revision = events.last_revision(txn)
        page, more = pages.cut(rows, limit)
        return wire.ListVmsResponse(vms=page, next_page_token=more, revision=revision)

    async def watch_vms(
        self, caller: Caller, request: wire.WatchVmsRequest
    ) -> AsyncIterator[wire.WatchVmsResponse]:
        if not request.after_revision or request.HasField("id"):
            await self._replica.read()
        if request.HasField("id"):
            with self._replica.store.read() as txn:
                visible(txn, caller, request.id)
        async for change in follow_vms(self._replica, caller, request):
            yield change

    async def read_vm_console(
        self, caller: Caller, request: wire.ReadVmConsoleRequest
    ) -> wire.ReadVmConsoleResponse:
        if request.tail_bytes > CONSOLE_BYTES_MAX:
            raise Rejected(
                "invalid_argument", f"tail_bytes is above {CONSOLE_BYTES_MAX}", "tail_bytes"
            )
        await self._replica.read()
        with self._replica.store.read() as txn:
            vm = visible(txn, caller, request.id)
        if not vm.HasField("host_id"):
            raise Rejected("wrong_state", f"VM {vm.id} is on no host yet, so it has no console")
        return await self._consoles.read_vm_console(
            caller, vm, request.tail_bytes or CONSOLE_BYTES_DEFAULT
        )


def visible(txn: ReadTxn, caller: Caller, vm_id: int) -> wire.Vm:
    """Rejected not_found also for the VMs of others: who may not see it learns nothing of it."""
    vm = vms.get(txn, vm_id)
    if vm is None or not (caller.admin or vm.owner == caller.actor):
        raise Rejected("not_found", f"there is no vm {vm_id}", "id")
    return vm
