"""What creating, changing and placing VMs does to the state."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from frontend.commands import access, capacity, edits, image, lifecycle, validation
from frontend.commands.validation import invalid
from frontend.errors import Rejected
from frontend.state import clusters, counters, events, hosts, images, leases, templates, vms
from frontend.state.store import Txn
from protos.v1.cluster_pb2 import Cluster
from protos.v1.command_pb2 import Command
from protos.v1.image_pb2 import Image, ImageFormat
from protos.v1.template_pb2 import Template
from protos.v1.vm_pb2 import VM_STATE_PENDING, CreateVmRequest, Disk, Nic, Vm

_ALLOWED = ("name", "description", "labels")
_FORMATS = {
    value: ImageFormat.Name(value).removeprefix("IMAGE_FORMAT_").lower()
    for value in ImageFormat.values()
}


def create(txn: Txn, cmd: Command, index: int) -> bytes:
    request = cmd.create_vm
    _check_request(request)
    found = templates.get(txn, request.template_id)
    template = access.existing(found, "template", request.template_id, "template_id")
    cluster = _cluster(txn, request)
    bases = _base_images(txn, template)

    vm = Vm(
        id=counters.take(txn, "vm"),
        name=request.name,
        description=request.description,
        owner=cmd.actor,
        state=VM_STATE_PENDING,
        cluster_id=cluster.id,
        template_id=template.id,
        vcpu=template.vcpu,
        memory_mib=template.memory_mib,
        context=template.context,
        labels=request.labels,
        revision=index,
        create_time_ms=cmd.at_ms,
    )
    if not vm.name:
        vm.name = f"vm-{vm.id}"
    vm.context.update(request.context)
    validation.context(vm.context)
    keys = (*template.ssh_public_keys, *request.ssh_public_keys)
    vm.ssh_public_keys.extend(dict.fromkeys(keys))
    _add_disks(vm, template, bases)
    vm.nics.append(_lease(txn, cluster, vm.id))

    events.append(txn, cmd, index, "vm.created", "vm", vm.id, vm.name)
    for base in bases.values():
        image.count_use(txn, cmd, index, base, +1)
    return vms.insert(txn, vm)


def update(txn: Txn, cmd: Command, index: int) -> bytes:
    request = cmd.update_vm
    new = request.vm
    vm = access.owned(cmd, vms.get(txn, new.id), "VM", new.id)
    access.expect_revision(vm, "VM", request.expected_revision)
    paths = edits.checked_mask(request.update_mask, _ALLOWED, Vm)
    edits.take_over(vm, new, paths)
    validation.object_name(vm.name)
    validation.description(vm.description)
    validation.labels(vm.labels)

    vm.revision = index
    events.append(txn, cmd, index, "vm.updated", "vm", vm.id, ", ".join(paths))
    return vms.put(txn, vm)


def place(txn: Txn, cmd: Command, index: int) -> bytes:
    """Place VMs as the leader's scheduler decided, as far as that still holds.

    The scheduler looked at an older state. What does not fit any more waits on, with the reason,
    and the next round decides anew.
    """
    access.require_internal(cmd)
    for placement in cmd.place_vms.placements:
        vm = vms.get(txn, placement.vm_id)
        if vm is None or vm.state != VM_STATE_PENDING:
            continue
        if not placement.HasField("host_id"):
            _wait(txn, cmd, index, vm, placement.reason)
            continue
        host = hosts.get(txn, placement.host_id)
        if host is None:
            _wait(txn, cmd, index, vm, f"host {placement.host_id} is gone")
        elif reason := capacity.refusal(host, vm):
            _wait(txn, cmd, index, vm, reason)
        else:
            capacity.reserve(txn, host, vm)
            vm.host_id, vm.error = host.id, ""
            vm.epoch += 1
            vms.index_placed(txn, vm)
            lifecycle.begin(txn, cmd, index, vm, lifecycle.PROLOG, why=f"host {host.id}")
            vms.put(txn, vm)
    return b""


def _wait(txn: Txn, cmd: Command, index: int, vm: Vm, reason: str) -> None:
    if vm.error == reason:
        return
    lifecycle.note_error(txn, cmd, index, vm, "vm.waiting", reason)
    vms.put(txn, vm)


def _check_request(request: CreateVmRequest) -> None:
    if request.name:
        validation.object_name(request.name)
    validation.description(request.description)
    validation.context(request.context)
    validation.ssh_public_keys(request.ssh_public_keys)
    validation.labels(request.labels)


def _cluster(txn: Txn, request: CreateVmRequest) -> Cluster:
    if request.HasField("cluster_id"):
        found = clusters.get(txn, request.cluster_id)
        return access.existing(found, "cluster", request.cluster_id, "cluster_id")
    cluster = clusters.lowest(txn)
    if cluster is None:
        raise Rejected(
            "wrong_state", "there is no cluster yet: an admin must create one", "cluster_id"
        )
    return cluster


def _base_images(txn: Txn, template: Template) -> dict[int, Image]:
    bases: dict[int, Image] = {}
    for position, disk in enumerate(template.disks):
        base = images.get(txn, disk.image_id)
        if base is None:
            raise Rejected(
                "wrong_state",
                f"template {template.id}, disk {position}: image {disk.image_id} was deleted",
                "template_id",
            )
        if base.state not in image.USABLE:
            detail = f"image {base.id} is {image.state_name(base)}"
            raise Rejected(
                "wrong_state", f"{detail}: {base.error}" if base.error else detail, "template_id"
            )
        bases[base.id] = base
    return bases


def _add_disks(vm: Vm, template: Template, bases: dict[int, Image]) -> None:
    for position, wanted in enumerate(template.disks):
        base = bases[wanted.image_id]
        size = wanted.size_bytes or base.virtual_size_bytes
        # The image's size was not known yet if the template was made during its import.
        if size < base.virtual_size_bytes:
            raise invalid(
                "template_id",
                f"template {template.id}, disk {position}: {size} bytes are fewer than the"
                f" {base.virtual_size_bytes} of image {base.id}",
            )
        vm.disks.append(
            Disk(
                disk_id=position,
                image_id=base.id,
                size_bytes=size,
                image_sha256=base.sha256,
                image_format=_FORMATS[base.format],
                image_size_bytes=base.size_bytes,
            )
        )


def _lease(txn: Txn, cluster: Cluster, vm_id: int) -> Nic:
    network = cluster.network
    address = leases.take_lowest(txn, cluster.id, vm_id)
    if address is None:
        raise Rejected(
            "resource_exhausted",
            f"cluster {cluster.id} ({cluster.name}): no address is free in"
            f" {network.first_ip} to {network.last_ip}",
        )
    return Nic(
        nic_id=0,
        # As OpenNebula makes it, so that guests can tell their address from it.
        mac="02:00:" + address.to_bytes(4, "big").hex(":"),
        ip=str(IPv4Address(address)),
        prefix_length=IPv4Network(network.cidr).prefixlen,
        gateway=network.gateway,
        dns=network.dns,
        bridge=network.bridge,
    )
