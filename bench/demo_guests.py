"""The demo's guests: made through the public API, judged by what their consoles say."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from dataclasses import dataclass, field

import grpc
import grpc.aio

from bench.demo_writes import AGAIN
from protos.v1.vm_pb2 import (
    CreateVmRequest,
    GetVmRequest,
    LcmState,
    ListVmsRequest,
    ReadVmConsoleRequest,
    Vm,
    VmState,
)
from protos.v1.vm_pb2_grpc import VmServiceStub

BOOT_DEADLINE_S = 180.0
"""Several guests at once under TCG on a busy machine with two cores."""

_POLL_S = 0.1
_CONSOLE_BYTES = 1 << 20
_FAILED = {LcmState.LCM_STATE_PROLOG_FAILURE, LcmState.LCM_STATE_BOOT_FAILURE}
_LINE = re.compile(r"(?:^|\s)(boot|hostname|ip|ssh_key|uptime)=(.*)")


class GuestFailed(Exception):
    """A VM did not come up; the text says what the front-end and its console say of it."""


@dataclass(frozen=True, slots=True)
class ConsoleFacts:
    """What a guest's serial console shows."""

    boots: tuple[str, ...] = ()
    """One entry for every boot that the log holds."""
    hostname: str = ""
    ip: str = ""
    ssh_keys: frozenset[str] = field(default_factory=frozenset)
    uptime_s: int = -1
    """The last one printed; -1 before the first."""
    uptime_fell: bool = False
    """An uptime below an earlier one: the guest began anew."""


def read_console(text: str) -> ConsoleFacts:
    """Facts from the lines `name=value`; other lines are the kernel's."""
    boots: list[str] = []
    keys: set[str] = set()
    last = {"hostname": "", "ip": ""}
    uptime_s, fell = -1, False
    for line in text.splitlines():
        found = _LINE.search(line)
        if found is None:
            continue
        name, value = found[1], found[2].strip()
        if name == "boot":
            boots.append(value)
        elif name == "ssh_key":
            keys.add(value)
        elif name == "ip":
            last["ip"] = value.partition("/")[0]
        elif name == "hostname":
            last["hostname"] = value
        elif value.isdecimal():
            fell = fell or int(value) < uptime_s
            uptime_s = int(value)
    return ConsoleFacts(
        boots=tuple(boots),
        hostname=last["hostname"],
        ip=last["ip"],
        ssh_keys=frozenset(keys),
        uptime_s=uptime_s,
        uptime_fell=fell,
    )


class Guests:
    """VMs of one template, over a channel to all replicas."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._vms = VmServiceStub(channel)

    async def create(self, template_id: int, name: str, ssh_key: str, request_id: str = "") -> Vm:
        request = CreateVmRequest(
            request_id=request_id or uuid.uuid4().hex,
            name=name,
            template_id=template_id,
            context={"SET_HOSTNAME": name},
            ssh_public_keys=[ssh_key],
        )
        while True:
            try:
                made: Vm = await self._vms.CreateVm(request, timeout=5)
            except grpc.aio.AioRpcError as err:
                if err.code() not in AGAIN:
                    raise
            else:
                return made

    async def get(self, vm_id: int) -> Vm:
        found: Vm = await self._vms.GetVm(GetVmRequest(id=vm_id), timeout=10)
        return found

    async def all(self) -> list[Vm]:
        page = await self._vms.ListVms(ListVmsRequest(page_size=1000), timeout=10)
        return list(page.vms)

    async def console(self, vm_id: int) -> ConsoleFacts:
        """Asked again while the front-end or the host is not there; nothing read is no error."""
        request = ReadVmConsoleRequest(id=vm_id, tail_bytes=_CONSOLE_BYTES)
        try:
            answer = await self._vms.ReadVmConsole(request, timeout=10)
        except grpc.aio.AioRpcError as err:
            if err.code() not in AGAIN | {grpc.StatusCode.FAILED_PRECONDITION}:
                raise
            return ConsoleFacts()
        return read_console(answer.data.decode(errors="replace"))

    async def until_placed(self, vm_id: int) -> Vm:
        """Returns as soon as a host is at work on it."""
        async with asyncio.timeout(BOOT_DEADLINE_S):
            while True:
                vm = await self.get(vm_id)
                if vm.state == VmState.VM_STATE_ACTIVE:
                    return vm
                await asyncio.sleep(0.01)

    async def until_talking(self, vm_id: int) -> tuple[ConsoleFacts, float]:
        """What its console shows once it counts seconds, and when that was (monotonic, s)."""
        end = time.monotonic() + BOOT_DEADLINE_S
        while True:
            try:
                vm = await self.get(vm_id)
            except grpc.aio.AioRpcError as err:
                if err.code() not in AGAIN:
                    raise
                vm = Vm(id=vm_id)
            facts = ConsoleFacts()
            if vm.lcm_state == LcmState.LCM_STATE_RUNNING:
                facts = await self.console(vm_id)
                if facts.uptime_s >= 0:
                    return facts, time.monotonic()
            if vm.lcm_state in _FAILED or time.monotonic() > end:
                state = f"{VmState.Name(vm.state)}/{LcmState.Name(vm.lcm_state)}"
                raise GuestFailed(f"VM {vm_id} is {state}: {vm.error or 'says nothing'}; {facts}")
            await asyncio.sleep(_POLL_S)

    async def until_counted_beyond(self, vm_id: int, uptime_s: int) -> ConsoleFacts:
        """Its console once the uptime has passed *uptime_s*."""
        async with asyncio.timeout(BOOT_DEADLINE_S):
            while True:
                facts = await self.console(vm_id)
                if facts.uptime_s > uptime_s:
                    return facts
                await asyncio.sleep(_POLL_S)
