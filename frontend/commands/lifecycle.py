"""The VM's state machine: its tables, and the few functions that move a VM.

States, steps and their names are OpenNebula's. A step is a task for the VM's host; `vm.task_id`
names it while it lasts, and no other may begin meanwhile. Every function here changes *vm* in
place; the handler stores it once, at its end.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import NamedTuple

from frontend.commands import capacity, cluster, image
from frontend.state import clusters, counters, events, hosts, images, leases, tasks, vms
from frontend.state.store import Txn
from protos.v1 import vm_pb2 as v
from protos.v1.agent_pb2 import (
    TASK_KIND_CLEANUP,
    TASK_KIND_PREPARE,
    TASK_KIND_REBOOT,
    TASK_KIND_RESTORE,
    TASK_KIND_SAVE,
    TASK_KIND_START,
    TASK_KIND_STOP,
    TASK_STATE_CANCELLED,
    TASK_STATE_WAITING,
    Task,
    TaskKind,
)
from protos.v1.command_pb2 import Command
from protos.v1.vm_pb2 import Vm


class Place(NamedTuple):
    """Where a VM stands: its state and, while that is ACTIVE, its step."""

    state: v.VmState
    lcm: v.LcmState = v.LCM_STATE_UNSPECIFIED

    def __str__(self) -> str:
        return _NAMES[self]


def _name(state: int, lcm: int) -> str:
    name = v.VmState.Name(state).removeprefix("VM_STATE_")
    if state != v.VM_STATE_ACTIVE:
        return name
    return f"{name}/{v.LcmState.Name(lcm).removeprefix('LCM_STATE_')}"


_NAMES: dict[tuple[int, int], str] = {
    (state, lcm): _name(state, lcm) for state in v.VmState.values() for lcm in v.LcmState.values()
}


def _active(lcm: v.LcmState) -> Place:
    return Place(v.VM_STATE_ACTIVE, lcm)


PENDING = Place(v.VM_STATE_PENDING)
POWEROFF = Place(v.VM_STATE_POWEROFF)
SUSPENDED = Place(v.VM_STATE_SUSPENDED)
DONE = Place(v.VM_STATE_DONE)
PROLOG = _active(v.LCM_STATE_PROLOG)
BOOT = _active(v.LCM_STATE_BOOT)
RUNNING = _active(v.LCM_STATE_RUNNING)
UNKNOWN = _active(v.LCM_STATE_UNKNOWN)
SAVE_SUSPEND = _active(v.LCM_STATE_SAVE_SUSPEND)
SHUTDOWN = _active(v.LCM_STATE_SHUTDOWN)
SHUTDOWN_POWEROFF = _active(v.LCM_STATE_SHUTDOWN_POWEROFF)
EPILOG = _active(v.LCM_STATE_EPILOG)
CLEANUP_DELETE = _active(v.LCM_STATE_CLEANUP_DELETE)
BOOT_POWEROFF = _active(v.LCM_STATE_BOOT_POWEROFF)
BOOT_SUSPENDED = _active(v.LCM_STATE_BOOT_SUSPENDED)
BOOT_UNKNOWN = _active(v.LCM_STATE_BOOT_UNKNOWN)
PROLOG_FAILURE = _active(v.LCM_STATE_PROLOG_FAILURE)
BOOT_FAILURE = _active(v.LCM_STATE_BOOT_FAILURE)
EPILOG_FAILURE = _active(v.LCM_STATE_EPILOG_FAILURE)

# The task of each step. RUNNING and UNKNOWN have one while a reboot is under way.
TASK_OF: dict[Place, TaskKind] = {
    PROLOG: TASK_KIND_PREPARE,
    BOOT: TASK_KIND_START,
    SHUTDOWN_POWEROFF: TASK_KIND_STOP,
    SHUTDOWN: TASK_KIND_STOP,
    SAVE_SUSPEND: TASK_KIND_SAVE,
    BOOT_POWEROFF: TASK_KIND_START,
    BOOT_SUSPENDED: TASK_KIND_RESTORE,
    BOOT_UNKNOWN: TASK_KIND_START,
    EPILOG: TASK_KIND_CLEANUP,
    CLEANUP_DELETE: TASK_KIND_CLEANUP,
    RUNNING: TASK_KIND_REBOOT,
    UNKNOWN: TASK_KIND_REBOOT,
}

# Where a VM goes when its host reports that the step's task is done. A place with a task of its
# own, other than RUNNING, begins that task.
AFTER_SUCCESS: dict[Place, Place] = {
    PROLOG: BOOT,
    BOOT: RUNNING,
    SHUTDOWN_POWEROFF: POWEROFF,
    SHUTDOWN: EPILOG,
    SAVE_SUSPEND: SUSPENDED,
    BOOT_POWEROFF: RUNNING,
    BOOT_SUSPENDED: RUNNING,
    BOOT_UNKNOWN: RUNNING,
    EPILOG: DONE,
    CLEANUP_DELETE: DONE,
    RUNNING: RUNNING,
    UNKNOWN: RUNNING,
}

AFTER_FAILURE: dict[Place, Place] = {
    PROLOG: PROLOG_FAILURE,
    BOOT: BOOT_FAILURE,
    SHUTDOWN_POWEROFF: RUNNING,
    SHUTDOWN: RUNNING,
    SAVE_SUSPEND: RUNNING,
    BOOT_POWEROFF: POWEROFF,
    BOOT_SUSPENDED: SUSPENDED,
    BOOT_UNKNOWN: UNKNOWN,
    EPILOG: EPILOG_FAILURE,
    CLEANUP_DELETE: EPILOG_FAILURE,
    RUNNING: RUNNING,
    UNKNOWN: UNKNOWN,
}

GRACE_S = 90
"""How long a guest may take to shut down by itself before force is used."""

TIMEOUT_S: dict[TaskKind, int] = {
    # A base image may have to cross a slow link first.
    TASK_KIND_PREPARE: 3600,
    TASK_KIND_START: 300,
    TASK_KIND_STOP: GRACE_S + 60,
    TASK_KIND_REBOOT: GRACE_S + 60,
    TASK_KIND_SAVE: 900,
    TASK_KIND_RESTORE: 900,
    TASK_KIND_CLEANUP: 300,
}


def place_of(vm: Vm) -> Place:
    return Place(vm.state, vm.lcm_state)


def name_of(vm: Vm) -> str:
    """For people, for instance ACTIVE/PROLOG."""
    return _NAMES[vm.state, vm.lcm_state]


def move(txn: Txn, cmd: Command, index: int, vm: Vm, place: Place, why: str = "") -> None:
    old = _NAMES[vm.state, vm.lcm_state]
    vm.state, vm.lcm_state = place
    vm.revision = index
    detail = f"{old} -> {_NAMES[place]}"
    events.append(txn, cmd, index, "vm.state", "vm", vm.id, f"{detail}: {why}" if why else detail)


def note_error(txn: Txn, cmd: Command, index: int, vm: Vm, kind: str, error: str) -> None:
    """The state stays, but people should know: *kind* is the event's."""
    vm.error, vm.revision = error, index
    events.append(txn, cmd, index, kind, "vm", vm.id, error)


def begin(
    txn: Txn,
    cmd: Command,
    index: int,
    vm: Vm,
    place: Place,
    *,
    hard: bool = False,
    why: str = "",
) -> None:
    """Move to a step and put its task into the queue of the VM's host."""
    move(txn, cmd, index, vm, place, why)
    vm.task_id = add_task(txn, cmd, index, vm, TASK_OF[place], hard=hard)


def add_task(
    txn: Txn, cmd: Command, index: int, vm: Vm, kind: TaskKind, *, hard: bool = False
) -> int:
    task = Task(
        id=counters.take(txn, "task"),
        vm_id=vm.id,
        host_id=vm.host_id,
        kind=kind,
        state=TASK_STATE_WAITING,
        epoch=vm.epoch,
        hard=hard,
        grace_s=0 if hard else GRACE_S,
        timeout_s=TIMEOUT_S[kind],
        create_time_ms=cmd.at_ms,
        revision=index,
    )
    tasks.insert(txn, task)
    return task.id


def cancel_task(txn: Txn, index: int, vm: Vm) -> None:
    """Take back the VM's task, if it has one. A report on it that still comes is ignored."""
    if not vm.HasField("task_id"):
        return
    task = tasks.get(txn, vm.task_id)
    assert task is not None, f"VM {vm.id} names task {vm.task_id}, which does not exist"
    task.state, task.revision = TASK_STATE_CANCELLED, index
    tasks.finish(txn, task)
    vm.ClearField("task_id")


def finish(txn: Txn, cmd: Command, index: int, vm: Vm, why: str = "") -> None:
    """The VM is DONE: give back its addresses, its share of the host, its images."""
    move(txn, cmd, index, vm, DONE, why)
    vm.error = ""
    _free_addresses(txn, vm)
    if vm.HasField("host_id"):
        host = hosts.get(txn, vm.host_id)
        assert host is not None, f"VM {vm.id} is on host {vm.host_id}, which does not exist"
        capacity.release(txn, host, vm)
    for image_id in dict.fromkeys(disk.image_id for disk in vm.disks):
        used = images.get(txn, image_id)
        assert used is not None, f"VM {vm.id} uses image {image_id}, which does not exist"
        image.count_use(txn, cmd, index, used, -1)
    vms.index_done(txn, vm)


def _free_addresses(txn: Txn, vm: Vm) -> None:
    home = clusters.get(txn, vm.cluster_id)
    assert home is not None, f"VM {vm.id} is in cluster {vm.cluster_id}, which does not exist"
    for nic in vm.nics:
        address = int(IPv4Address(nic.ip))
        reusable = cluster.may_lease(home.network, address)
        leases.free(txn, vm.cluster_id, address, reusable=reusable)
