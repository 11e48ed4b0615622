"""Messages as plain fields."""

from __future__ import annotations

from frontend.cli.records import enum_name, to_record
from protos.v1.host_pb2 import Host
from protos.v1.image_pb2 import Image
from protos.v1.vm_pb2 import LCM_STATE_RUNNING, VM_STATE_ACTIVE, VM_STATE_PENDING, Vm


def test_every_field_is_there_in_the_order_of_the_proto_file() -> None:
    assert list(to_record(Vm())) == [field.name for field in Vm.DESCRIPTOR.fields]


def test_absent_and_zero_differ_where_the_api_tells_them_apart() -> None:
    assert to_record(Vm())["host_id"] is None
    assert to_record(Vm(host_id=0))["host_id"] == 0


def test_enums_lose_their_prefix() -> None:
    record = to_record(Vm(state=VM_STATE_ACTIVE, lcm_state=LCM_STATE_RUNNING))
    assert (record["state"], record["lcm_state"]) == ("ACTIVE", "RUNNING")


def test_zero_has_a_name_where_it_is_a_state() -> None:
    assert to_record(Host())["state"] == "INIT"
    assert to_record(Vm(state=VM_STATE_PENDING))["lcm_state"] == "LCM_INIT"
    assert to_record(Image())["format"] is None


def test_value_of_a_newer_replica_is_shown_as_its_number() -> None:
    assert enum_name(Vm.DESCRIPTOR.fields_by_name["state"].enum_type, 77) == "77"


def test_nested_messages_lists_and_maps_become_plain() -> None:
    vm = Vm(labels={"b": "2", "a": "1"}, ssh_public_keys=["k"])
    vm.nics.add(ip="10.0.0.2")
    record = to_record(vm)
    assert list(record["labels"]) == ["a", "b"]
    assert record["ssh_public_keys"] == ["k"]
    assert record["nics"][0]["ip"] == "10.0.0.2"
    assert to_record(Host())["capacity"] is None


def test_large_integers_stay_exact() -> None:
    assert to_record(Image(size_bytes=2**63 + 1))["size_bytes"] == 2**63 + 1
