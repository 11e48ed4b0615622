"""Replicas that apply the same entries hold the same bytes; usage never drifts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frontend.commands import lifecycle
from frontend.state import hosts, images, leases, tasks, vms
from protos.v1 import agent_pb2, command_pb2, host_pb2, image_pb2, template_pb2, vm_pb2
from protos.v1.command_pb2 import Command
from protos.v1.vm_pb2 import VM_STATE_DONE
from tests.frontend.cloud import Cloud

VERBS = ("poweroff", "resume", "suspend", "reboot", "terminate", "recover", "delete")

SMALL_IDS = st.integers(0, 3)
ACTORS = st.sampled_from(["user/ann", "user/bob", "user/root", "system", "host/0", "host/1"])


@st.composite
def operations(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from([*VERBS, *["create", "place", "task"] * 3, "guest", "mark", "host",
                                 "template", "disable", "copy"]))  # fmt: skip
    number, other, flag = draw(SMALL_IDS), draw(SMALL_IDS), draw(st.booleans())
    if kind in VERBS:
        request = getattr(vm_pb2, f"{kind.capitalize()}VmRequest")
        return {f"{kind}_vm": request(id=number)}
    if kind == "create":
        return {"create_vm": vm_pb2.CreateVmRequest(labels={"b": "1", "a": "2"})}
    if kind == "place":
        placement = command_pb2.Placement(vm_id=number, host_id=other % 3)
        return {"place_vms": command_pb2.PlaceVms(placements=[placement])}
    if kind == "task":
        task_id = draw(st.integers(0, 12))
        report = agent_pb2.TaskReport(task_id=task_id, ok=flag or number > 0, epoch=1)
        return {"report_task": command_pb2.ReportTask(host_id=other % 2, report=report)}
    power = draw(st.sampled_from(agent_pb2.GuestPower.values()))
    if kind == "guest":
        event = agent_pb2.GuestEvent(vm_id=number, epoch=1, power=power)
        return {"report_guest": command_pb2.ReportGuest(host_id=other % 2, event=event)}
    if kind == "host":
        guest = agent_pb2.Guest(vm_id=number, epoch=1, power=power)
        capacity = host_pb2.HostCapacity(vcpu=1, memory_mib=1024)
        return {
            "report_host": command_pb2.ReportHost(
                host_id=other % 2, agent_version="1", capacity=capacity, guests=[guest]
            )
        }
    if kind == "mark":
        state = host_pb2.HOST_STATE_ERROR if flag else host_pb2.HOST_STATE_MONITORED
        return {"mark_host": command_pb2.MarkHost(host_id=other % 2, state=state)}
    if kind == "disable":
        state = host_pb2.HOST_STATE_DISABLED if flag else host_pb2.HOST_STATE_MONITORED
        host = host_pb2.Host(id=other % 2, state=state)
        request = host_pb2.UpdateHostRequest(host=host)
        request.update_mask.paths.append("state")
        return {"update_host": request}
    if kind == "template":
        template = template_pb2.Template(id=number % 2, vcpu=1 + other, memory_mib=256)
        update = template_pb2.UpdateTemplateRequest(template=template)
        update.update_mask.paths.extend(["vcpu", "memory_mib"])
        return {"update_template": update}
    return {
        "add_image_copy": command_pb2.AddImageCopy(
            image_id=0,
            replica_id=str(other),
            sha256="64656269616e".ljust(64, "0"),
            format=image_pb2.IMAGE_FORMAT_QCOW2,
            virtual_size_bytes=1,
        )
    }


def actor_for(op: dict[str, Any], actor: str) -> str:
    """Mostly somebody who may, so that the walk gets somewhere."""
    [(name, request)] = op.items()
    if name in ("report_task", "report_guest", "report_host"):
        return f"host/{request.host_id}"
    if name in ("place_vms", "mark_host", "add_image_copy", "update_host"):
        return "system"
    return actor


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
@given(steps=st.lists(st.tuples(operations(), ACTORS), min_size=1, max_size=60))
def test_same_entries_give_identical_tables_and_consistent_usage(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[dict[str, Any], str]]
) -> None:
    one, two = (Cloud(tmp_path_factory.mktemp(name)).furnish(2) for name in ("one", "two"))
    for op, actor in steps:
        entry = one.command(actor_for(op, actor), **op).SerializeToString()
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
