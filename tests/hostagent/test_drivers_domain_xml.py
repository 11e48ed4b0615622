"""The domain that libvirt is given."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from hostagent.drivers.base import DiskSpec, GuestSpec, NicSpec
from hostagent.drivers.domain_xml import (
    Mark,
    Placement,
    build,
    domain_name,
    domain_uuid,
    read_mark,
    vm_id_of,
)

SPEC = GuestSpec(
    vm_id=3,
    epoch=2,
    name="web",
    vcpu=2,
    memory_mib=512,
    disks=tuple(DiskSpec(path=f"/d/{n}", format="qcow2") for n in range(28)),
    cdroms=("/d/context.iso", "/d/cidata.iso"),
    nics=(NicSpec(mac="02:00:0a:00:00:07", bridge="br0"),),
)
PLACEMENT = Placement(
    cluster_id="c" * 32, kvm=False, console_log="/c/3.log", direct_io=frozenset({"/d/0"})
)


def built(**changes: object) -> ET.Element:
    values = {name: getattr(SPEC, name) for name in SPEC.__dataclass_fields__}
    return ET.fromstring(build(GuestSpec(**(values | changes)), PLACEMENT))


def test_domain_says_what_the_guest_is() -> None:
    domain = built()
    assert domain.get("type") == "qemu"
    assert domain.findtext("name") == "skyraft-3"
    assert domain.findtext("memory") == "512"
    assert domain.findtext("vcpu") == "2"
    assert domain.find("os/type").get("machine") == "q35"  # type: ignore[union-attr]
    assert [d.get("file") for d in domain.iterfind("devices/serial/log")] == ["/c/3.log"]
    assert domain.find("devices/interface/mac").get("address") == SPEC.nics[0].mac  # type: ignore[union-attr]


def test_kvm_guest_can_move_to_a_host_that_is_alike() -> None:
    placement = Placement(cluster_id="c" * 32, kvm=True, console_log="/c/3.log")
    domain = ET.fromstring(build(SPEC, placement))
    assert domain.get("type") == "kvm"
    assert domain.find("cpu").get("mode") == "host-model"  # type: ignore[union-attr]


def test_disks_keep_their_order_and_cache_by_filesystem() -> None:
    disks = [d for d in built().iterfind("devices/disk") if d.get("device") == "disk"]
    targets = [d.find("target").get("dev") for d in disks]  # type: ignore[union-attr]
    assert targets[:2] + targets[-2:] == ["vda", "vdb", "vdaa", "vdab"]
    caches = [d.find("driver").get("cache") for d in disks]  # type: ignore[union-attr]
    assert caches[:2] == ["none", "writeback"]


def test_contextualization_is_on_a_bus_that_cloud_kernels_know() -> None:
    domain = built()
    cdroms = [d for d in domain.iterfind("devices/disk") if d.get("device") == "cdrom"]
    assert [d.find("source").get("file") for d in cdroms] == list(SPEC.cdroms)  # type: ignore[union-attr]
    assert {d.find("target").get("bus") for d in cdroms} == {"scsi"}  # type: ignore[union-attr]
    assert all(d.find("readonly") is not None for d in cdroms)
    models = [c.get("model") for c in domain.iterfind("devices/controller")]
    assert models == ["virtio-scsi"]


@pytest.mark.parametrize("name", ["a & <b>", "'\"]]>", "x\x00\x1b\ny", "ü-日本"])
def test_no_name_breaks_the_document(name: str) -> None:
    title = built(name=name).findtext("title") or ""
    assert title == "".join(char for char in name if char.isprintable())


def test_mark_is_read_as_written_and_strangers_have_none() -> None:
    (written,) = built().findall("metadata/*")
    mark = read_mark(ET.tostring(written, encoding="unicode"))
    assert mark == Mark(vm_id=3, epoch=2, cluster_id=PLACEMENT.cluster_id)
    assert read_mark("<guest vm_id='3'/>") is None
    assert read_mark("<guest vm_id='x' epoch='1' cluster_id='c'/>") is None
    assert read_mark("not xml") is None


def test_names_and_uuids_are_stable_and_told_from_others() -> None:
    assert vm_id_of(domain_name(12)) == 12
    assert [vm_id_of(n) for n in ("web", "skyraft-", "skyraft-x", "12")] == [None] * 4
    assert domain_uuid("a", 1) == domain_uuid("a", 1)
    assert domain_uuid("a", 1) != domain_uuid("b", 1)
