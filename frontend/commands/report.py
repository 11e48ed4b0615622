"""What the hosts' reports on tasks and guests do to the state.

A host may say the same thing twice, late, or about a VM that is its no more. Such reports are
accepted, so that it stops repeating them, and change nothing.
"""

from __future__ import annotations

from frontend.commands import access, lifecycle, validation
from frontend.commands.lifecycle import (
    AFTER_FAILURE,
    AFTER_SUCCESS,
    DONE,
    POWEROFF,
    RUNNING,
    SUSPENDED,
    TASK_OF,
    UNKNOWN,
    Place,
)
from frontend.errors import Rejected
from frontend.state import events, hosts, tasks, vms
from frontend.state.store import Txn
from protos.v1.agent_pb2 import (
    GUEST_POWER_CRASHED,
    GUEST_POWER_OFF,
    GUEST_POWER_ON,
    GUEST_POWER_PAUSED,
    GUEST_POWER_SAVED,
    TASK_STATE_DONE,
    TASK_STATE_FAILED,
    TASK_STATE_WAITING,
    GuestPower,
    Task,
    TaskKind,
)
from protos.v1.command_pb2 import Command
from protos.v1.vm_pb2 import Vm

# Where a VM goes that no task works on when its guest is seen in this condition. What is not
# listed stays where it is.
SEEN: dict[GuestPower, dict[Place, Place]] = {
    GUEST_POWER_ON: {UNKNOWN: RUNNING, POWEROFF: RUNNING, SUSPENDED: RUNNING},
    GUEST_POWER_OFF: {RUNNING: POWEROFF, UNKNOWN: POWEROFF},
    GUEST_POWER_SAVED: {RUNNING: SUSPENDED, UNKNOWN: SUSPENDED},
    GUEST_POWER_PAUSED: {RUNNING: UNKNOWN},
    GUEST_POWER_CRASHED: {RUNNING: UNKNOWN},
}
_WHY = {
    GUEST_POWER_ON: "the guest runs",
    GUEST_POWER_OFF: "the guest shut down",
    GUEST_POWER_SAVED: "the guest was saved on its host",
    GUEST_POWER_PAUSED: "the guest was paused on its host",
    GUEST_POWER_CRASHED: "the guest crashed",
}


def task(txn: Txn, cmd: Command, index: int) -> bytes:
    op = cmd.report_task
    access.require_host(cmd, op.host_id)
    report = op.report
    done = tasks.get(txn, report.task_id)
    if done is None or done.state != TASK_STATE_WAITING or done.epoch != report.epoch:
        return b""
    if done.host_id != op.host_id:
        raise Rejected("permission_denied", f"task {done.id} is not of host {op.host_id}")
    done.state = TASK_STATE_DONE if report.ok else TASK_STATE_FAILED
    done.detail, done.revision = validation.cleaned(report.detail), index
    tasks.finish(txn, done)

    vm = vms.get(txn, done.vm_id)
    assert vm is not None, f"task {done.id} is for VM {done.vm_id}, which does not exist"
    if vm.HasField("task_id") and vm.task_id == done.id:
        vm.ClearField("task_id")
        _go_on(txn, cmd, index, vm, done)
        vms.put(txn, vm)
    return b""


def guest(txn: Txn, cmd: Command, index: int) -> bytes:
    op = cmd.report_guest
    access.require_host(cmd, op.host_id)
    host = hosts.get(txn, op.host_id)
    if host is None or op.session < host.session:
        return b""
    if op.session > host.session:
        host.session = op.session
        hosts.put(txn, host)
    event = op.event
    vm = vms.get(txn, event.vm_id)
    if vm is not None and vm.HasField("host_id") and vm.host_id == op.host_id:
        see(txn, cmd, index, vm, event.epoch, event.power, event.detail)
    return b""


def see(
    txn: Txn, cmd: Command, index: int, vm: Vm, epoch: int, power: GuestPower, detail: str = ""
) -> None:
    """The VM's host says how the guest is. A task under way knows better; an old epoch is over."""
    if epoch != vm.epoch or vm.HasField("task_id"):
        return
    place = SEEN.get(power, {}).get(lifecycle.place_of(vm))
    if place is not None:
        _observed(txn, cmd, index, vm, place, validation.cleaned(detail) or _WHY[power])


def lose(txn: Txn, cmd: Command, index: int, vm: Vm, why: str) -> None:
    """Nothing is known of a guest that should run."""
    if lifecycle.place_of(vm) == RUNNING:
        _observed(txn, cmd, index, vm, UNKNOWN, why)


def _observed(txn: Txn, cmd: Command, index: int, vm: Vm, place: Place, why: str) -> None:
    vm.error = why if place == UNKNOWN else ""
    lifecycle.move(txn, cmd, index, vm, place, why)
    vms.put(txn, vm)


def _go_on(txn: Txn, cmd: Command, index: int, vm: Vm, done: Task) -> None:
    """The next place of a VM whose task has ended."""
    old = lifecycle.place_of(vm)
    assert TASK_OF.get(old) == done.kind, f"VM {vm.id} in {old} with {done.kind}"
    vm.revision = index
    if done.state == TASK_STATE_FAILED:
        _fall_back(txn, cmd, index, vm, done)
        return
    vm.error = ""
    new = AFTER_SUCCESS[old]
    if new == DONE:
        lifecycle.finish(txn, cmd, index, vm)
    elif new == RUNNING and old == RUNNING:
        events.append(txn, cmd, index, "vm.rebooted", "vm", vm.id)
    elif new == RUNNING or new not in TASK_OF:
        lifecycle.move(txn, cmd, index, vm, new)
    else:
        lifecycle.begin(txn, cmd, index, vm, new)


def _fall_back(txn: Txn, cmd: Command, index: int, vm: Vm, done: Task) -> None:
    kind = TaskKind.Name(done.kind).removeprefix("TASK_KIND_")
    error = f"{kind} failed on host {done.host_id}: {done.detail or 'no reason given'}"
    old = lifecycle.place_of(vm)
    new = AFTER_FAILURE[old]
    if new == old:
        lifecycle.note_error(txn, cmd, index, vm, "vm.failed", error)
    else:
        vm.error = error
        lifecycle.move(txn, cmd, index, vm, new, error)
