"""A console that grows, and what VMs are called and where they go meanwhile."""

from __future__ import annotations

import pytest

from frontend.cli.creation import names
from frontend.cli.following import added
from frontend.cli.nouns import CLUSTER, VM
from frontend.cli.resources import request_ids
from frontend.cli.waiting import vm_settled, vm_status
from protos.v1 import vm_pb2 as wire


@pytest.mark.parametrize(
    ("seen", "data", "new"),
    [
        (b"", b"boot\n", b"boot\n"),
        (b"boot\n", b"boot\nlogin", b"login"),
        (b"boot\n", b"boot\n", b""),
        (b"boot\n", b"", b""),
        (b"old", b"another guest", b"another guest"),
    ],
)
def test_only_what_the_console_grew_by_is_printed(seen: bytes, data: bytes, new: bytes) -> None:
    assert added(seen, data) == new


def test_several_vms_are_numbered_and_one_is_not() -> None:
    assert names("web", 1) == ["web"]
    assert names("web", 3) == ["web-0", "web-1", "web-2"]
    assert names(None, 2) == ["", ""]


def test_each_request_of_a_command_has_an_id_of_its_own() -> None:
    assert request_ids("r", 1) == ["r"]
    assert request_ids("r", 2) == ["r-0", "r-1"]


def test_a_vm_is_where_its_step_is() -> None:
    vm = wire.Vm(state=wire.VM_STATE_ACTIVE, lcm_state=wire.LCM_STATE_BOOT)
    assert vm_status(vm) == "BOOT"
    assert vm_status(wire.Vm(state=wire.VM_STATE_POWEROFF)) == "POWEROFF"


def test_a_vm_has_settled_when_neither_host_nor_scheduler_has_work_with_it() -> None:
    running = wire.Vm(state=wire.VM_STATE_ACTIVE, lcm_state=wire.LCM_STATE_RUNNING)
    assert vm_settled(running)
    assert not vm_settled(wire.Vm(state=wire.VM_STATE_PENDING))
    running.task_id = 0
    assert not vm_settled(running)


def test_nouns_know_their_methods_and_requests() -> None:
    assert VM.method("List") == "ListVms"
    assert VM.method("Poweroff") == "PoweroffVm"
    assert VM.method("ReadVmConsole") == "ReadVmConsole"
    assert CLUSTER.method("GetStatus") == "GetStatus"
    assert VM.request("Watch", after_revision=3, id=None) == wire.WatchVmsRequest(after_revision=3)
