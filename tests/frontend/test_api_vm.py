"""VMs over the API: whose they are, and lists of them."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from protos.v1 import vm_pb2 as wire
from tests.frontend.front_end import FrontEnd, Stubs, refusal


@pytest.fixture(scope="module")
def template_id(front_end: FrontEnd) -> int:
    front_end.cluster()
    return front_end.template("small").id


def create(stubs: Stubs, template_id: int, name: str = "") -> wire.Vm:
    made: wire.Vm = stubs.vms.CreateVm(wire.CreateVmRequest(template_id=template_id, name=name))
    return made


def test_new_vm_waits_with_its_address(front_end: FrontEnd, template_id: int) -> None:
    made = create(front_end.admin, template_id)
    assert made.state == wire.VM_STATE_PENDING
    assert made.nics[0].mac.startswith("02:00:")
    assert made.nics[0].ip.startswith("172.20.0.")


def test_vms_of_others_do_not_exist_for_a_user(front_end: FrontEnd, template_id: int) -> None:
    ann, eve = front_end.user("ann"), front_end.user("eve")
    made = create(ann, template_id, "anns")
    calls = [
        lambda: eve.vms.GetVm(wire.GetVmRequest(id=made.id)),
        lambda: eve.vms.DeleteVm(wire.DeleteVmRequest(id=made.id)),
        lambda: eve.vms.TerminateVm(wire.TerminateVmRequest(id=made.id)),
        lambda: eve.vms.UpdateVm(
            wire.UpdateVmRequest(
                vm=wire.Vm(id=made.id, name="mine"), update_mask=FieldMask(paths=["name"])
            )
        ),
    ]
    assert {refusal(call).reason for call in calls} == {"not_found"}
    assert made.id not in [vm.id for vm in eve.vms.ListVms(wire.ListVmsRequest()).vms]
    assert made.id in [vm.id for vm in front_end.admin.vms.ListVms(wire.ListVmsRequest()).vms]


def test_user_pages_through_own_vms_only(front_end: FrontEnd, template_id: int) -> None:
    bob = front_end.user("bob")
    wanted = []
    for _ in range(5):
        create(front_end.admin, template_id)
        wanted.append(create(bob, template_id).id)
    seen, page_token = [], ""
    while True:
        page = bob.vms.ListVms(wire.ListVmsRequest(page_size=2, page_token=page_token))
        seen += [vm.id for vm in page.vms]
        page_token = page.next_page_token
        if not page_token:
            break
    assert seen == wanted


def test_done_vms_are_listed_on_request(front_end: FrontEnd, template_id: int) -> None:
    made = create(front_end.admin, template_id)
    front_end.admin.vms.DeleteVm(wire.DeleteVmRequest(id=made.id))

    def listed(include_done: bool) -> list[int]:
        request = wire.ListVmsRequest(page_size=1000, include_done=include_done)
        return [vm.id for vm in front_end.admin.vms.ListVms(request).vms]

    assert made.id not in listed(False)
    assert made.id in listed(True)


def test_name_with_control_characters_is_refused(front_end: FrontEnd, template_id: int) -> None:
    failure = refusal(lambda: create(front_end.admin, template_id, "bell\x07"))
    assert (failure.reason, failure.field) == ("invalid_argument", "name")


def test_console_of_a_vm_without_a_host_says_so(front_end: FrontEnd, template_id: int) -> None:
    made = create(front_end.admin, template_id)
    request = wire.ReadVmConsoleRequest(id=made.id)
    failure = refusal(lambda: front_end.admin.vms.ReadVmConsole(request))
    assert failure.reason == "wrong_state"


def test_more_console_than_allowed_is_refused(front_end: FrontEnd, template_id: int) -> None:
    made = create(front_end.admin, template_id)
    request = wire.ReadVmConsoleRequest(id=made.id, tail_bytes=1 << 30)
    failure = refusal(lambda: front_end.admin.vms.ReadVmConsole(request))
    assert (failure.reason, failure.field) == ("invalid_argument", "tail_bytes")
