"""What the verbs on a VM do to the state: which places they may start from, and where they lead."""

from __future__ import annotations

from frontend.commands import access, lifecycle
from frontend.commands.lifecycle import (
    BOOT,
    BOOT_FAILURE,
    BOOT_POWEROFF,
    BOOT_SUSPENDED,
    BOOT_UNKNOWN,
    CLEANUP_DELETE,
    DONE,
    EPILOG,
    EPILOG_FAILURE,
    PENDING,
    POWEROFF,
    PROLOG,
    PROLOG_FAILURE,
    RUNNING,
    SAVE_SUSPEND,
    SHUTDOWN,
    SHUTDOWN_POWEROFF,
    SUSPENDED,
    UNKNOWN,
    Place,
)
from frontend.errors import Rejected
from frontend.state import events, hosts, vms
from frontend.state.store import ReadTxn, Txn
from protos.v1.agent_pb2 import TASK_KIND_REBOOT
from protos.v1.command_pb2 import Command
from protos.v1.host_pb2 import HOST_STATE_ERROR, HOST_STATE_OFFLINE
from protos.v1.vm_pb2 import Vm

_POWEROFF = {RUNNING: SHUTDOWN_POWEROFF, UNKNOWN: SHUTDOWN_POWEROFF}
_RESUME = {POWEROFF: BOOT_POWEROFF, SUSPENDED: BOOT_SUSPENDED, UNKNOWN: BOOT_UNKNOWN}
_SUSPEND = {RUNNING: SAVE_SUSPEND}
_REBOOT = {RUNNING: RUNNING}
_TERMINATE = {
    RUNNING: SHUTDOWN,
    UNKNOWN: SHUTDOWN,
    POWEROFF: EPILOG,
    SUSPENDED: EPILOG,
    PROLOG_FAILURE: EPILOG,
    BOOT_FAILURE: EPILOG,
    EPILOG_FAILURE: EPILOG,
    PENDING: DONE,
}
_RECOVER = {PROLOG_FAILURE: PROLOG, BOOT_FAILURE: BOOT, EPILOG_FAILURE: EPILOG}


def poweroff(txn: Txn, cmd: Command, index: int) -> bytes:
    request = cmd.poweroff_vm
    vm, place = _ready(txn, cmd, request.id, "poweroff", _POWEROFF)
    lifecycle.begin(txn, cmd, index, vm, place, hard=request.hard)
    return vms.put(txn, vm)


def resume(txn: Txn, cmd: Command, index: int) -> bytes:
    vm, place = _ready(txn, cmd, cmd.resume_vm.id, "resume", _RESUME)
    vm.error = ""
    lifecycle.begin(txn, cmd, index, vm, place)
    return vms.put(txn, vm)


def suspend(txn: Txn, cmd: Command, index: int) -> bytes:
    vm, place = _ready(txn, cmd, cmd.suspend_vm.id, "suspend", _SUSPEND)
    lifecycle.begin(txn, cmd, index, vm, place)
    return vms.put(txn, vm)


def reboot(txn: Txn, cmd: Command, index: int) -> bytes:
    """The state stays RUNNING, as in OpenNebula; `task_id` tells that it is under way."""
    request = cmd.reboot_vm
    vm, _ = _ready(txn, cmd, request.id, "reboot", _REBOOT)
    vm.task_id = lifecycle.add_task(txn, cmd, index, vm, TASK_KIND_REBOOT, hard=request.hard)
    vm.revision = index
    events.append(txn, cmd, index, "vm.reboot", "vm", vm.id, "hard" if request.hard else "")
    return vms.put(txn, vm)


def terminate(txn: Txn, cmd: Command, index: int) -> bytes:
    request = cmd.terminate_vm
    vm, place = _ready(txn, cmd, request.id, "terminate", _TERMINATE)
    if place == DONE:
        lifecycle.finish(txn, cmd, index, vm)
    else:
        vm.error = ""
        lifecycle.begin(txn, cmd, index, vm, place, hard=request.hard)
    return vms.put(txn, vm)


def recover(txn: Txn, cmd: Command, index: int) -> bytes:
    vm, place = _ready(txn, cmd, cmd.recover_vm.id, "recover", _RECOVER)
    vm.error = ""
    lifecycle.begin(txn, cmd, index, vm, place)
    return vms.put(txn, vm)


def delete(txn: Txn, cmd: Command, index: int) -> bytes:
    """By force, from any place and in the middle of any step.

    The host must still confirm that it removed the guest. Where it never will, because it is
    gone, an admin says so by deleting once more.
    """
    request = cmd.delete_vm
    vm = access.owned(cmd, vms.get(txn, request.id), "VM", request.id)
    access.expect_revision(vm, "VM", request.expected_revision)
    place = lifecycle.place_of(vm)
    if place == DONE:
        raise Rejected("wrong_state", f"VM {vm.id} is DONE already")
    if place == CLEANUP_DELETE and not _given_up(txn, cmd, vm):
        raise Rejected(
            "wrong_state",
            f"VM {vm.id} is being deleted: host {vm.host_id} must confirm; if that host is in"
            " ERROR for good, an admin may delete the VM once more",
        )
    lifecycle.cancel_task(txn, index, vm)
    if place == CLEANUP_DELETE:
        lifecycle.finish(txn, cmd, index, vm, f"host {vm.host_id} did not confirm the clean-up")
    elif vm.HasField("host_id"):
        vm.error = ""
        lifecycle.begin(txn, cmd, index, vm, CLEANUP_DELETE, hard=True)
    else:
        lifecycle.finish(txn, cmd, index, vm)
    return vms.put(txn, vm)


def _given_up(txn: ReadTxn, cmd: Command, vm: Vm) -> bool:
    host = hosts.get(txn, vm.host_id)
    assert host is not None, f"VM {vm.id} is on host {vm.host_id}, which does not exist"
    # A disabled host that fell silent keeps its state and has an error.
    silent = host.state in (HOST_STATE_ERROR, HOST_STATE_OFFLINE) or bool(host.error)
    return silent and (cmd.admin or access.is_internal(cmd.actor))


def _ready(
    txn: ReadTxn, cmd: Command, vm_id: int, verb: str, allowed: dict[Place, Place]
) -> tuple[Vm, Place]:
    """The VM, and where the verb leads from where it stands."""
    vm = access.owned(cmd, vms.get(txn, vm_id), "VM", vm_id)
    place = allowed.get(lifecycle.place_of(vm))
    if vm.HasField("task_id"):
        raise Rejected(
            "wrong_state",
            f"VM {vm.id} is {lifecycle.name_of(vm)} and its host works on task {vm.task_id}:"
            " wait until that ends",
        )
    if place is None:
        wanted = ", ".join(str(start) for start in allowed)
        raise Rejected(
            "wrong_state", f"VM {vm.id} is {lifecycle.name_of(vm)}; {verb} needs {wanted}"
        )
    return vm, place
