"""Creating, changing and placing VMs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frontend.commands import lifecycle
from frontend.errors import Rejected
from frontend.state import hosts, vms
from protos.v1.agent_pb2 import TASK_KIND_PREPARE
from protos.v1.command_pb2 import Placement, PlaceVms
from protos.v1.host_pb2 import HOST_STATE_DISABLED
from protos.v1.image_pb2 import DeleteImageRequest
from protos.v1.template_pb2 import TemplateDisk
from protos.v1.vm_pb2 import CreateVmRequest
from tests.frontend.cloud import GIB, Cloud, sha

KEY = "ssh-ed25519 " + "A" * 68


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path)


def test_new_vm_waits_with_address_disks_and_context_fixed(cloud: Cloud) -> None:
    cloud.cluster(gateway="10.0.0.1", dns=["1.1.1.1"])
    cloud.image()
    disks = [TemplateDisk(image_id=0), TemplateDisk(image_id=0, size_bytes=2 * GIB)]
    cloud.template(
        disks=disks, context={"A": "1", "B": "1"}, ssh_public_keys=[KEY], vcpu=2, memory_mib=96
    )
    vm = cloud.vm(context={"B": "2"}, ssh_public_keys=[KEY, KEY + " two"], labels={"x": "y"})

    assert (lifecycle.name_of(vm), vm.name, vm.owner) == ("PENDING", "vm-0", "user/ann")
    assert (vm.vcpu, vm.memory_mib, vm.epoch, vm.HasField("host_id")) == (2, 96, 0, False)
    assert dict(vm.context) == {"A": "1", "B": "2"}
    assert list(vm.ssh_public_keys) == [KEY, KEY + " two"]
    assert [disk.size_bytes for disk in vm.disks] == [GIB, 2 * GIB]
    assert {(disk.image_sha256, disk.image_format) for disk in vm.disks} == {
        (sha("debian"), "qcow2")
    }
    [nic] = vm.nics
    # The gateway, the lowest address, is skipped.
    assert (nic.ip, nic.mac, nic.prefix_length) == ("10.0.0.2", "02:00:0a:00:00:02", 24)
    assert (nic.gateway, list(nic.dns), nic.bridge) == ("10.0.0.1", ["1.1.1.1"], "br0")
    assert cloud.get(vms, 0) == vm


def test_vm_names_may_repeat(cloud: Cloud) -> None:
    cloud.furnish()
    assert [cloud.vm(name="web").name for _ in range(2)] == ["web", "web"]


def test_cluster_with_the_lowest_id_is_taken_when_none_is_named(cloud: Cloud) -> None:
    cloud.template()
    refusal = cloud.refused(create_vm=CreateVmRequest())
    assert (refusal.code, refusal.field) == ("wrong_state", "cluster_id")
    cloud.cluster("a")
    cloud.cluster("b")
    assert cloud.vm().cluster_id == 0
    assert cloud.vm(cluster_id=1).cluster_id == 1
    refusal = cloud.refused(create_vm=CreateVmRequest(cluster_id=2))
    assert (refusal.code, refusal.field) == ("not_found", "cluster_id")


def test_address_is_leased_again_only_after_done(cloud: Cloud) -> None:
    cloud.cluster(first_ip="10.0.0.5", last_ip="10.0.0.6")
    cloud.template()
    cloud.host()
    assert [cloud.vm().nics[0].ip for _ in range(2)] == ["10.0.0.5", "10.0.0.6"]
    refusal = cloud.refused(create_vm=CreateVmRequest())
    assert (refusal.code, "cluster 0 (home)" in refusal.detail) == ("resource_exhausted", True)
    cloud.place(0)
    cloud.act("delete", 0)
    assert cloud.refused(create_vm=CreateVmRequest()).code == "resource_exhausted"
    cloud.report(0)
    assert cloud.where(0) == "DONE"
    assert cloud.vm().nics[0].ip == "10.0.0.5"


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"template_id": 9}, "not_found", "template_id"),
        ({"template_id": -1}, "not_found", "template_id"),
        ({"name": "two\nlines"}, "invalid_argument", "name"),
        ({"description": "\0"}, "invalid_argument", "description"),
        ({"labels": {"": "x"}}, "invalid_argument", "labels"),
        ({"context": {"a": "x"}}, "invalid_argument", "context"),
        ({"ssh_public_keys": ["not a key"]}, "invalid_argument", "ssh_public_keys[0]"),
    ],
)
def test_odd_request_is_refused(
    cloud: Cloud, fields: dict[str, Any], code: str, field: str
) -> None:
    cloud.furnish()
    refusal = cloud.refused(create_vm=CreateVmRequest(**fields))
    assert (refusal.code, refusal.field) == (code, field)


def test_context_of_template_and_vm_together_is_bounded(cloud: Cloud) -> None:
    cloud.cluster()
    cloud.template(context={"A": "x" * 40_000})
    request = CreateVmRequest(context={"B": "x" * 40_000})
    assert cloud.refused(create_vm=request).field == "context"


def test_template_of_a_deleted_image_makes_no_vm(cloud: Cloud) -> None:
    cloud.furnish()
    cloud.run(delete_image=DeleteImageRequest(id=0))
    refusal = cloud.refused(create_vm=CreateVmRequest())
    assert (refusal.code, "image 0 was deleted" in refusal.detail) == ("wrong_state", True)


def test_owner_alone_sees_and_changes_a_vm(cloud: Cloud) -> None:
    cloud.furnish()
    cloud.vm()
    rename = cloud.update_op("vm", ["name", "labels"], id=0, name="web", labels={"a": "b"})
    refusal = cloud.refused("user/bob", **rename)
    assert (refusal.code, refusal.detail) == ("not_found", "there is no VM 0")
    for actor in ("user/ann", "user/root"):
        cloud.run(actor, **rename)
    vm = cloud.get(vms, 0)
    assert (vm.name, dict(vm.labels), vm.owner) == ("web", {"a": "b"}, "user/ann")
    for path in ("vcpu", "state", "nics", "epoch", "colour"):
        refusal = cloud.refused(**cloud.update_op("vm", [path], id=0))
        assert refusal.field == "update_mask"
    refusal = cloud.refused(**cloud.update_op("vm", ["name"], id=0, name=""))
    assert refusal.field == "name"
    stale = cloud.update_op("vm", ["name"], vm.revision - 1, id=0, name="x")
    assert cloud.refused(**stale).code == "revision_mismatch"


# Placement.


def test_placed_vm_takes_room_and_gets_its_first_task(cloud: Cloud) -> None:
    cloud.furnish()
    cloud.vm()
    cloud.place(0, 0)
    vm = cloud.get(vms, 0)
    assert (lifecycle.name_of(vm), vm.host_id, vm.epoch) == ("ACTIVE/PROLOG", 0, 1)
    [task] = cloud.waiting(0)
    assert (task.id, task.kind, task.vm_id, task.epoch) == (
        vm.task_id,
        TASK_KIND_PREPARE,
        0,
        1,
    )
    assert task.timeout_s == lifecycle.TIMEOUT_S[TASK_KIND_PREPARE]
    host = cloud.get(hosts, 0)
    assert (host.vcpu_used, host.memory_used_mib) == (1, 512)
    assert cloud.events()[-1] == "vm.state PENDING -> ACTIVE/PROLOG: host 0"


def waits(cloud: Cloud, vm_id: int = 0) -> str:
    assert cloud.where(vm_id) == "PENDING"
    return str(cloud.get(vms, vm_id).error)


def test_placement_that_does_not_hold_any_more_leaves_the_vm_waiting(cloud: Cloud) -> None:
    cloud.furnish(host_count=1)
    cloud.cluster("edge")
    cloud.host("far", cluster_id=1)
    cloud.vm()
    cloud.place(0, 7)
    assert waits(cloud) == "host 7 is gone"
    cloud.place(0, 1)
    assert waits(cloud) == "host 1 is in cluster 1, not 0"
    cloud.update("host", ["state"], "user/root", id=0, state=HOST_STATE_DISABLED)
    cloud.place(0, 0)
    assert waits(cloud) == "host 0 is DISABLED"
    cloud.mark_host(1, "ERROR")
    cloud.place(0, None, "2 hosts: 1 disabled")
    assert waits(cloud) == "2 hosts: 1 disabled"
    assert cloud.waiting() == []


def test_memory_is_promised_once_and_processors_eight_times(cloud: Cloud) -> None:
    cloud.cluster()
    cloud.host(vcpu=1, memory_mib=1024)
    cloud.template("slim", vcpu=5, memory_mib=100)
    cloud.template("fat", vcpu=1, memory_mib=925)
    for template_id in (0, 0, 1):
        cloud.vm(template_id)
    cloud.place(0)
    cloud.place(1)
    assert waits(cloud, 1) == "host 0 is short of processors (needs 5, has 3)"
    cloud.place(2)
    assert waits(cloud, 2) == "host 0 is short of memory (needs 925 MiB, has 924)"


def test_one_command_does_not_overcommit_a_host(cloud: Cloud) -> None:
    cloud.cluster()
    cloud.host(memory_mib=1024)
    cloud.template(memory_mib=400)
    for _ in range(3):
        cloud.vm()
    placements = [Placement(vm_id=vm_id, host_id=0) for vm_id in (0, 1, 2, 0)]
    cloud.run("system", place_vms=PlaceVms(placements=placements))
    assert [cloud.where(vm_id) for vm_id in range(3)] == [
        "ACTIVE/PROLOG",
        "ACTIVE/PROLOG",
        "PENDING",
    ]
    assert cloud.get(hosts, 0).memory_used_mib == 800


def test_late_placement_of_a_vm_that_is_placed_or_gone_is_ignored(cloud: Cloud) -> None:
    cloud.furnish(host_count=2)
    cloud.vm()
    cloud.place(0, 0)
    cloud.vm()
    cloud.act("terminate", 1)
    before = cloud.state()
    for vm_id in (0, 1, 99):
        cloud.place(vm_id, 1)
        cloud.place(vm_id, None, "no room")
    assert cloud.state() == before


def test_same_reason_again_is_no_news(cloud: Cloud) -> None:
    cloud.furnish()
    cloud.vm()
    cloud.place(0, None, "no room")
    before = cloud.state()
    cloud.place(0, None, "no room")
    assert cloud.state() == before
    cloud.place(0, 0)
    assert cloud.get(vms, 0).error == ""


def test_users_do_not_place_vms(cloud: Cloud) -> None:
    cloud.furnish()
    cloud.vm()
    op = PlaceVms(placements=[Placement(vm_id=0, host_id=0)])
    for actor in ("user/root", "host/0"):
        with pytest.raises(Rejected, match="permission_denied"):
            cloud.run(actor, place_vms=op)
