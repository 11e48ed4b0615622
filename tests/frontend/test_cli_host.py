"""The list of hosts: what it says of one that can run nothing."""

from __future__ import annotations

from frontend.cli.host import LIST_COLUMNS
from frontend.cli.records import to_record
from protos.v1.host_pb2 import Host, HostCapacity


def error_cell(host: Host) -> str:
    (column,) = (column for column in LIST_COLUMNS if column.field == "error")
    return column.text(to_record(host))


def test_host_without_its_hypervisor_says_why() -> None:
    away = HostCapacity(hypervisor_detail="libvirtd is gone")
    assert error_cell(Host(capacity=away)) == "libvirtd is gone"
    assert error_cell(Host(capacity=away, error="heartbeat missed")) == "heartbeat missed"


def test_detail_of_a_host_that_runs_guests_is_no_error() -> None:
    assert error_cell(Host(capacity=HostCapacity(vcpu=4, hypervisor_detail="no /dev/kvm"))) == "-"
