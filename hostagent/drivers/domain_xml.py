"""Libvirt's domain XML of a guest, and what we read back from it. No I/O."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from hostagent.drivers.base import DiskSpec, GuestSpec, NicSpec

NAME_PREFIX = "skyraft-"
METADATA_URI = "urn:skyraft:guest:1"
METADATA_KEY = "skyraft"

_UUID_SPACE = uuid.UUID("5f3c2b1e-7a64-4d0a-9c1b-0a6f1c9e2d77")

ET.register_namespace(METADATA_KEY, METADATA_URI)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The metadata that makes a domain ours."""

    vm_id: int
    epoch: int
    cluster_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What the host adds to a guest's spec."""

    cluster_id: str
    kvm: bool
    console_log: str
    direct_io: frozenset[str] = frozenset()
    """Disk files on filesystems that take O_DIRECT."""


def domain_name(vm_id: int) -> str:
    return f"{NAME_PREFIX}{vm_id}"


def vm_id_of(name: str) -> int | None:
    """The VM that a domain of that name would belong to; its mark decides."""
    digits = name.removeprefix(NAME_PREFIX)
    return int(digits) if digits != name and digits.isascii() and digits.isdigit() else None


def domain_uuid(cluster_id: str, vm_id: int) -> str:
    """The same at every definition, so that libvirt takes a repeat for a change."""
    return str(uuid.uuid5(_UUID_SPACE, f"{cluster_id}/{vm_id}"))


def build(spec: GuestSpec, placement: Placement) -> str:
    """The whole domain, as XML text."""
    domain = ET.Element("domain", type="kvm" if placement.kvm else "qemu")
    _text(domain, "name", domain_name(spec.vm_id))
    _text(domain, "uuid", domain_uuid(placement.cluster_id, spec.vm_id))
    _text(domain, "title", _printable(spec.name) or domain_name(spec.vm_id))
    metadata = ET.SubElement(domain, "metadata")
    mark = Mark(vm_id=spec.vm_id, epoch=spec.epoch, cluster_id=placement.cluster_id)
    metadata.append(_mark_element(mark))
    _text(domain, "memory", str(spec.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(spec.vcpu))
    os = ET.SubElement(domain, "os")
    _text(os, "type", "hvm", arch="x86_64", machine="q35")
    ET.SubElement(os, "boot", dev="hd")
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    _add_cpu(domain, placement.kvm)
    ET.SubElement(domain, "clock", offset="utc")
    _text(domain, "on_poweroff", "destroy")
    _text(domain, "on_reboot", "restart")
    _text(domain, "on_crash", "destroy")
    _add_devices(domain, spec, placement)
    return ET.tostring(domain, encoding="unicode")


def read_mark(metadata: str) -> Mark | None:
    """The mark in a domain's metadata element; None when it is not one of ours."""
    try:
        element = ET.fromstring(metadata)
        return Mark(
            vm_id=int(element.attrib["vm_id"]),
            epoch=int(element.attrib["epoch"]),
            cluster_id=element.attrib["cluster_id"],
        )
    except (ET.ParseError, KeyError, ValueError):
        return None


def _mark_element(mark: Mark) -> ET.Element:
    return ET.Element(
        f"{{{METADATA_URI}}}guest",
        vm_id=str(mark.vm_id),
        epoch=str(mark.epoch),
        cluster_id=mark.cluster_id,
    )


def _add_cpu(domain: ET.Element, kvm: bool) -> None:
    if kvm:
        # Not host-passthrough: a guest must be able to move to a machine that is not the same.
        ET.SubElement(domain, "cpu", mode="host-model")
        return
    # The least that today's distributions are built for (x86-64-v2), which QEMU's default is not.
    cpu = ET.SubElement(domain, "cpu", mode="custom", match="exact", check="none")
    _text(cpu, "model", "Nehalem", fallback="allow")


def _add_devices(domain: ET.Element, spec: GuestSpec, placement: Placement) -> None:
    devices = ET.SubElement(domain, "devices")
    for index, disk in enumerate(spec.disks):
        _add_disk(devices, disk, f"vd{_letters(index)}", disk.path in placement.direct_io)
    if spec.cdroms:
        ET.SubElement(devices, "controller", type="scsi", index="0", model="virtio-scsi")
    for index, path in enumerate(spec.cdroms):
        _add_cdrom(devices, path, f"sd{_letters(index)}")
    for nic in spec.nics:
        _add_nic(devices, nic)
    serial = ET.SubElement(devices, "serial", type="pty")
    ET.SubElement(serial, "log", file=placement.console_log, append="on")
    ET.SubElement(serial, "target", type="isa-serial", port="0")
    console = ET.SubElement(devices, "console", type="pty")
    ET.SubElement(console, "target", type="serial", port="0")
    channel = ET.SubElement(devices, "channel", type="unix")
    ET.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    rng = ET.SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", "/dev/urandom", model="random")
    ET.SubElement(devices, "memballoon", model="virtio")
    ET.SubElement(devices, "panic", model="isa")


def _add_disk(devices: ET.Element, disk: DiskSpec, target: str, direct_io: bool) -> None:
    element = ET.SubElement(devices, "disk", type="file", device="disk")
    cache = "none" if direct_io else "writeback"
    ET.SubElement(element, "driver", name="qemu", type=disk.format, cache=cache, discard="unmap")
    ET.SubElement(element, "source", file=disk.path)
    ET.SubElement(element, "target", dev=target, bus="virtio")


def _add_cdrom(devices: ET.Element, path: str, target: str) -> None:
    element = ET.SubElement(devices, "disk", type="file", device="cdrom")
    ET.SubElement(element, "driver", name="qemu", type="raw")
    ET.SubElement(element, "source", file=path)
    # Not SATA, q35's own bus: the kernels of cloud images (Debian's among them) have no AHCI.
    ET.SubElement(element, "target", dev=target, bus="scsi")
    ET.SubElement(element, "readonly")


def _add_nic(devices: ET.Element, nic: NicSpec) -> None:
    element = ET.SubElement(devices, "interface", type="bridge")
    ET.SubElement(element, "mac", address=nic.mac)
    ET.SubElement(element, "source", bridge=nic.bridge)
    ET.SubElement(element, "model", type="virtio")


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text
    return element


def _letters(index: int) -> str:
    """0 is a, 25 is z, 26 is aa: how Linux names disks."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return letters


def _printable(name: str) -> str:
    """XML has no way to write a control character, and a title is one line."""
    return "".join(char for char in name if char.isprintable())
