"""What fits on a host. The scheduler plans with it and PlaceVms checks it again at apply.

Processors may be promised several times over, because guests seldom use all of theirs; memory is
promised once.
"""

from __future__ import annotations

from frontend.state import hosts
from frontend.state.store import Txn
from protos.v1.host_pb2 import HOST_STATE_MONITORED, Host, HostState
from protos.v1.vm_pb2 import Vm

VCPU_OVERCOMMIT = 8
"""Guest processors per host processor."""


def state_name(host: Host) -> str:
    """OpenNebula's name of the host's state."""
    return HostState.Name(host.state).removeprefix("HOST_STATE_").replace("UNSPECIFIED", "INIT")


def vcpu_free(host: Host) -> int:
    return int(host.capacity.vcpu) * VCPU_OVERCOMMIT - int(host.vcpu_used)


def memory_free_mib(host: Host) -> int:
    return int(host.capacity.memory_mib) - int(host.memory_used_mib)


def refusal(host: Host, vm: Vm) -> str:
    """Why *vm* may not be placed on *host* now; empty when it may."""
    if host.cluster_id != vm.cluster_id:
        return f"host {host.id} is in cluster {host.cluster_id}, not {vm.cluster_id}"
    if host.state != HOST_STATE_MONITORED:
        return f"host {host.id} is {state_name(host)}"
    if memory_free_mib(host) < vm.memory_mib:
        return (
            f"host {host.id} is short of memory"
            f" (needs {vm.memory_mib} MiB, has {memory_free_mib(host)})"
        )
    if vcpu_free(host) < vm.vcpu:
        return f"host {host.id} is short of processors (needs {vm.vcpu}, has {vcpu_free(host)})"
    return ""


def reserve(txn: Txn, host: Host, vm: Vm) -> None:
    """Usage is derived: it does not change the host's revision."""
    host.vcpu_used += vm.vcpu
    host.memory_used_mib += vm.memory_mib
    hosts.put(txn, host)


def release(txn: Txn, host: Host, vm: Vm) -> None:
    host.vcpu_used -= vm.vcpu
    host.memory_used_mib -= vm.memory_mib
    hosts.put(txn, host)
