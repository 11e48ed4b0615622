"""Which waiting VM goes to which host: a pure function of a snapshot of the state.

The least loaded host with room takes the next VM, so a cluster fills evenly. Each decision counts
at once for the following ones; apply checks them again against the state of that moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from frontend.commands.capacity import memory_free_mib, state_name, vcpu_free
from protos.v1.command_pb2 import Placement
from protos.v1.host_pb2 import HOST_STATE_MONITORED, Host
from protos.v1.vm_pb2 import Vm

_IN_WORDS = {
    "INIT": "not seen yet",
    "ERROR": "in error",
    "DISABLED": "disabled",
    "OFFLINE": "offline",
}


def place(pending: Sequence[Vm], hosts: Sequence[Host]) -> list[Placement]:
    """One decision for each VM, in the order of *pending*; earlier VMs choose first.

    A VM that fits nowhere gets no host and a reason for people. The same input gives the same
    output, whatever the order of *hosts*.
    """
    pools: dict[int, _Pool] = {}
    for host in sorted(hosts, key=lambda host: host.id):
        pools.setdefault(host.cluster_id, _Pool()).add(host)
    empty = _Pool()
    return [pools.get(vm.cluster_id, empty).take(vm) for vm in pending]


class _Slot:
    """What is left of one host."""

    __slots__ = ("host_id", "memory_capacity", "memory_free", "vcpu_capacity", "vcpu_free")

    def __init__(self, host: Host) -> None:
        self.host_id = host.id
        self.vcpu_free, self.memory_free = vcpu_free(host), memory_free_mib(host)
        self.vcpu_capacity = max(self.vcpu_free + host.vcpu_used, 1)
        self.memory_capacity = max(host.capacity.memory_mib, 1)

    def load(self) -> float:
        """The scarcer resource counts: 0 is idle, 1 is full."""
        return 1 - min(self.vcpu_free / self.vcpu_capacity, self.memory_free / self.memory_capacity)


class _Pool:
    """The hosts of one cluster."""

    def __init__(self) -> None:
        # (load, host id, slot): the id breaks ties, so that equal hosts are taken in turn.
        self._heap: list[tuple[float, int, _Slot]] = []
        self._ordered = False
        self._closed: Counter[str] = Counter()
        self._host_count = 0
        # (vcpu, memory) that found no room. Room only shrinks here, so as much or more won't fit.
        self._refused: list[tuple[int, int]] = []
        # Reasons by (vcpu, memory): a full cluster with thousands of hosts is looked through once
        # for each size, not for each VM. They hold until a host has less.
        self._reasons: dict[tuple[int, int], str] = {}

    def add(self, host: Host) -> None:
        self._host_count += 1
        if host.state == HOST_STATE_MONITORED:
            slot = _Slot(host)
            self._heap.append((slot.load(), slot.host_id, slot))
        else:
            self._closed[state_name(host)] += 1

    def take(self, vm: Vm) -> Placement:
        vcpu, memory = vm.vcpu, vm.memory_mib
        slot = None if self._hopeless(vcpu, memory) else self._first_with_room(vcpu, memory)
        if slot is None:
            return Placement(vm_id=vm.id, reason=self._reason(vm))
        return Placement(vm_id=vm.id, host_id=slot.host_id)

    def _hopeless(self, vcpu: int, memory: int) -> bool:
        return any(vcpu >= least[0] and memory >= least[1] for least in self._refused)

    def _first_with_room(self, vcpu: int, memory: int) -> _Slot | None:
        if not self._ordered:
            heapify(self._heap)
            self._ordered = True
        passed: list[tuple[float, int, _Slot]] = []
        chosen: _Slot | None = None
        while self._heap:
            entry = heappop(self._heap)
            slot = entry[2]
            if slot.vcpu_free >= vcpu and slot.memory_free >= memory:
                slot.vcpu_free -= vcpu
                slot.memory_free -= memory
                self._reasons.clear()
                passed.append((slot.load(), slot.host_id, slot))
                chosen = slot
                break
            passed.append(entry)
        for entry in passed:
            heappush(self._heap, entry)
        if chosen is None:
            self._refused.append((vcpu, memory))
        return chosen

    def _reason(self, vm: Vm) -> str:
        """For instance: 2 hosts: 1 disabled, 1 short of memory (needs 4096 MiB, has 512)."""
        if not self._host_count:
            return f"cluster {vm.cluster_id} has no hosts"
        size = vm.vcpu, vm.memory_mib
        if size not in self._reasons:
            self._reasons[size] = self._count_reason(*size)
        return self._reasons[size]

    def _count_reason(self, vcpu: int, memory: int) -> str:
        parts = [f"{count} {_IN_WORDS[name]}" for name, count in sorted(self._closed.items())]
        slots = [slot for _, _, slot in self._heap]
        short = [slot.memory_free for slot in slots if slot.memory_free < memory]
        if short:
            needs = f"(needs {memory} MiB, has {max(short)})"
            parts.append(f"{len(short)} short of memory {needs}")
        busy = [slot.vcpu_free for slot in slots if slot.memory_free >= memory]
        if busy:
            parts.append(f"{len(busy)} short of processors (needs {vcpu}, has {max(busy)})")
        hosts = "1 host" if self._host_count == 1 else f"{self._host_count} hosts"
        return f"{hosts}: {', '.join(parts)}"
