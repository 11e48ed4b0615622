"""Replicas that apply the same entries hold the same bytes; usage never drifts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontend.commands import lifecycle
from frontend.state import hosts, images, leases, tasks, vms
from protos.v1 import agent_pb2, command_pb2, host_pb2, image_pb2, template_pb2, vm_pb2
from protos.v1.command_pb2 import Command
from protos.v1.vm_pb2 import VM_STATE_DONE
from tests.frontend.cloud import Cloud, sha

VERBS = ("poweroff", "resume", "suspend", "reboot", "terminate", "recover", "delete")

KINDS = (*VERBS, *("create", "place", "report") * 3, "fail", "late", "guest", "inventory", "mark",
         "disable", "template", "copy")  # fmt: skip


@dataclass(frozen=True)
class Step:
    """What to try next; the numbers pick among what there is at that moment."""

    kind: str
    number: int
    other: int
    flag: bool
    actor: str


STEPS = st.builds(
    Step,
    kind=st.sampled_from(KINDS),
    number=st.integers(0, 3),
    other=st.integers(0, 4),
    flag=st.booleans(),
    actor=st.sampled_from(["user/ann", "user/ann", "user/bob", "user/root"]),
)


def command_for(cloud: Cloud, step: Step) -> Command:
    if step.kind in VERBS:
        request = getattr(vm_pb2, f"{step.kind.capitalize()}VmRequest")
        return cloud.command(step.actor, **{f"{step.kind}_vm": request(id=step.number)})
    if step.kind in ("report", "fail", "late"):
        return task_report(cloud, step)
    if step.kind in ("guest", "inventory"):
        return host_view(cloud, step)
    if step.kind in ("place", "mark", "copy"):
        return internal(cloud, step)
    return request_of_user(cloud, step)


def task_report(cloud: Cloud, step: Step) -> Command:
    """On a waiting task if there is one, or late on one that may be long over."""
    waiting = cloud.waiting()
    if step.kind == "late" or not waiting:
        task = agent_pb2.Task(id=step.number, host_id=step.other % 2, epoch=1)
    else:
        task = waiting[step.other % len(waiting)]
    report = agent_pb2.TaskReport(task_id=task.id, ok=step.kind == "report", epoch=task.epoch)
    op = command_pb2.ReportTask(host_id=task.host_id, report=report)
    return cloud.command(f"host/{task.host_id}", report_task=op)


def host_view(cloud: Cloud, step: Step) -> Command:
    host_id, power = step.number % 2, agent_pb2.GuestPower.values()[1 + step.other]
    if step.kind == "guest":
        event = agent_pb2.GuestEvent(vm_id=step.other, epoch=1, power=power)
        op = command_pb2.ReportGuest(host_id=host_id, event=event)
        return cloud.command(f"host/{host_id}", report_guest=op)
    guests = [agent_pb2.Guest(vm_id=number, epoch=1, power=power) for number in range(step.other)]
    capacity = host_pb2.HostCapacity(vcpu=1, memory_mib=1024)
    report = command_pb2.ReportHost(
        host_id=host_id, agent_version="1", capacity=capacity, guests=guests
    )
    return cloud.command(f"host/{host_id}", report_host=report)


def internal(cloud: Cloud, step: Step) -> Command:
    if step.kind == "place":
        with cloud.read() as txn:
            ids = [vm.id for vm in vms.pending(txn)] or [step.number]
        placement = command_pb2.Placement(vm_id=ids[0], host_id=step.other % 3)
        placements = command_pb2.PlaceVms(placements=[placement])
        return cloud.command("system", place_vms=placements)
    if step.kind == "mark":
        state = host_pb2.HOST_STATE_ERROR if step.flag else host_pb2.HOST_STATE_MONITORED
        mark = command_pb2.MarkHost(host_id=step.number % 2, state=state)
        return cloud.command("system", mark_host=mark)
    copy = command_pb2.AddImageCopy(
        image_id=0,
        replica_id=str(step.other),
        sha256=sha("debian"),
        format=image_pb2.IMAGE_FORMAT_QCOW2,
        virtual_size_bytes=1,
    )
    return cloud.command("system", add_image_copy=copy)


def request_of_user(cloud: Cloud, step: Step) -> Command:
    if step.kind == "create":
        request = vm_pb2.CreateVmRequest(labels={"b": "1", "a": "2"})
        return cloud.command(step.actor, create_vm=request)
    if step.kind == "disable":
        state = host_pb2.HOST_STATE_DISABLED if step.flag else host_pb2.HOST_STATE_MONITORED
        op = cloud.update_op("host", ["state"], id=step.number % 2, state=state)
        return cloud.command("user/root", **op)
    op = cloud.update_op(
        "template", ["vcpu", "memory_mib"], id=0, vcpu=1 + step.other, memory_mib=256
    )
    return cloud.command(step.actor, **op)


def check_usage(cloud: Cloud) -> None:
    """What is derived agrees with what it is derived from."""
    with cloud.read() as txn:
        alive = vms.list_page(txn, limit=1000)
        everyone = vms.list_page(txn, limit=1000, include_done=True)
        assert [vm.id for vm in everyone if vm.state != VM_STATE_DONE] == [vm.id for vm in alive]
        for host in hosts.list_page(txn):
            guests = [vm for vm in alive if vm.HasField("host_id") and vm.host_id == host.id]
            assert host.vcpu_used == sum(vm.vcpu for vm in guests)
            assert host.memory_used_mib == sum(vm.memory_mib for vm in guests)
            assert host.memory_used_mib <= max(host.capacity.memory_mib, 8192)
            assert [vm.id for vm in vms.on_host(txn, host.id)] == [vm.id for vm in guests]
        uses = Counter(disk.image_id for vm in alive for disk in vm.disks)
        for image in images.list_page(txn):
            assert image.vm_count == uses[image.id]
        assert sorted(vm_id for _, vm_id in leases.held(txn, 0)) == [vm.id for vm in alive]
        in_flight = {vm.task_id: vm.id for vm in alive if vm.HasField("task_id")}
        queued = {task.id: task.vm_id for task in tasks.waiting(txn) if task.vm_id in
                  {vm.id for vm in alive}}  # fmt: skip
        assert in_flight == queued
        for vm in alive:
            busy = lifecycle.place_of(vm) in lifecycle.TASK_OF
            resting = lifecycle.place_of(vm) in (lifecycle.RUNNING, lifecycle.UNKNOWN)
            assert vm.HasField("task_id") == busy or resting


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, min_size=20, max_size=80))
def test_same_entries_give_identical_tables_and_consistent_usage(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    one, two = (Cloud(tmp_path_factory.mktemp(name)).furnish(2) for name in ("one", "two"))
    for step in steps:
        entry = command_for(one, step).SerializeToString()
        assert one.apply_entry(entry) == two.apply_entry(entry)
    assert one.store.dump() == two.store.dump()
    check_usage(one)
    one.env.close()
    two.env.close()


def test_batches_of_any_size_give_identical_tables(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """One LMDB transaction for many entries, as the engine does under load."""
    one, two = (Cloud(tmp_path_factory.mktemp(name)) for name in ("one", "two"))
    entries = replay_entries()
    with one.env.begin(write=True) as raw:
        for index, entry in enumerate(entries, 1):
            one.machine.apply(raw, index, entry)
    for entry in entries:
        two.apply_entry(entry)
    assert one.store.dump() == two.store.dump()


def replay_entries() -> list[bytes]:
    def entry(number: int, **op: Any) -> bytes:
        return Command(request_id=f"req-{number}", actor="user/ann", **op).SerializeToString()

    made = []
    for number in range(40):
        template = template_pb2.Template(
            name=f"t{number % 30}", vcpu=1, memory_mib=64, labels={"z": "1", "a": "2", "m": "3"}
        )
        made.append(
            entry(number, create_template=template_pb2.CreateTemplateRequest(template=template))
        )
    for number in range(40, 60):
        request = template_pb2.DeleteTemplateRequest(id=number - 40)
        made.append(entry(number, delete_template=request))
    return made
