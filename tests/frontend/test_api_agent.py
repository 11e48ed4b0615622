"""From a join token to a running VM, with the test in the place of the agent."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from frontend.auth.certificates import create_request
from protos.errors import failure_of
from protos.v1 import agent_pb2 as wire
from protos.v1 import event_pb2, host_pb2, token_pb2, vm_pb2
from tests.frontend.agent import Agent, enroll, join_token
from tests.frontend.front_end import FrontEnd, refusal, wait_for


@pytest.fixture(scope="module")
def cluster_id(front_end: FrontEnd) -> int:
    return front_end.cluster().id


@pytest.fixture
def agent(front_end: FrontEnd, cluster_id: int) -> Iterator[Agent]:
    enrolled, key = enroll(front_end, join_token(front_end, cluster_id))
    with Agent.of(front_end, enrolled, key) as connected:
        connected.next("welcome")
        connected.report_inventory()
        wait_for("a monitored host", lambda: state(front_end, enrolled.host_id) == "MONITORED")
        yield connected
    front_end.admin.hosts.UpdateHost(
        host_pb2.UpdateHostRequest(
            host=host_pb2.Host(id=enrolled.host_id, state=host_pb2.HOST_STATE_DISABLED),
            update_mask={"paths": ["state"]},
        )
    )


def state(front_end: FrontEnd, host_id: int) -> str:
    host = front_end.admin.hosts.GetHost(host_pb2.GetHostRequest(id=host_id))
    return host_pb2.HostState.Name(host.state).removeprefix("HOST_STATE_")


def vm(front_end: FrontEnd, vm_id: int) -> vm_pb2.Vm:
    found: vm_pb2.Vm = front_end.admin.vms.GetVm(vm_pb2.GetVmRequest(id=vm_id))
    return found


@pytest.fixture
def new_vm(front_end: FrontEnd) -> vm_pb2.Vm:
    template = front_end.template(f"boot-{front_end.revision()}")
    made: vm_pb2.Vm = front_end.admin.vms.CreateVm(vm_pb2.CreateVmRequest(template_id=template.id))
    return made


# Enrolment.


def test_enrolled_host_gets_a_certificate_of_its_own(front_end: FrontEnd, cluster_id: int) -> None:
    enrolled, _ = enroll(front_end, join_token(front_end, cluster_id), "edge-1")
    assert enrolled.cluster_id == front_end.cluster_id
    host = front_end.admin.hosts.GetHost(host_pb2.GetHostRequest(id=enrolled.host_id))
    assert (host.name, host.cluster_id) == ("edge-1", cluster_id)


def test_reused_join_token_is_refused_and_becomes_an_event(
    front_end: FrontEnd, cluster_id: int
) -> None:
    token = join_token(front_end, cluster_id)
    enroll(front_end, token)
    failure = refusal(lambda: enroll(front_end, token))
    assert failure.reason == "token_used"
    details = wait_for("an event", lambda: refusals(front_end, "token_used"))
    assert token not in "".join(details)


def refusals(front_end: FrontEnd, reason: str) -> list[str]:
    listed = front_end.admin.events.ListEvents(event_pb2.ListEventsRequest(noun="security"))
    return [event.detail for event in listed.events if reason in event.detail]


def test_agent_that_lost_the_answer_enrols_again_with_its_key(
    front_end: FrontEnd, cluster_id: int
) -> None:
    token = join_token(front_end, cluster_id)
    csr, _ = create_request("host")
    first, _ = enroll(front_end, token, csr=csr)
    again, _ = enroll(front_end, token, csr=csr)
    assert again.host_id == first.host_id


def test_revoked_join_token_is_refused(front_end: FrontEnd, cluster_id: int) -> None:
    made = front_end.admin.tokens.CreateToken(
        token_pb2.CreateTokenRequest(kind=token_pb2.TOKEN_KIND_JOIN, cluster_id=cluster_id)
    )
    front_end.admin.tokens.RevokeToken(token_pb2.RevokeTokenRequest(id=made.token.id))
    assert refusal(lambda: enroll(front_end, made.secret)).reason == "token_revoked"


def test_user_token_lets_no_host_in(front_end: FrontEnd) -> None:
    made = front_end.admin.tokens.CreateToken(
        token_pb2.CreateTokenRequest(kind=token_pb2.TOKEN_KIND_USER, user="ann")
    )
    assert refusal(lambda: enroll(front_end, made.secret)).reason == "token_unknown"


def test_join_token_lets_no_user_in(front_end: FrontEnd, cluster_id: int) -> None:
    caller = front_end.bearer(join_token(front_end, cluster_id))
    failure = refusal(lambda: caller.vms.ListVms(vm_pb2.ListVmsRequest()))
    assert failure.reason == "token_unknown"


def test_request_for_a_certificate_that_is_none_is_refused(
    front_end: FrontEnd, cluster_id: int
) -> None:
    token = join_token(front_end, cluster_id)
    failure = refusal(lambda: enroll(front_end, token, csr=b"not a request"))
    assert (failure.reason, failure.field) == ("invalid_argument", "csr_pem")


def test_request_for_a_certificate_is_looked_at_with_a_good_token_only(
    front_end: FrontEnd,
) -> None:
    unknown = f"skyraft.{front_end.cluster_id[:8]}.{'A' * 43}"
    failure = refusal(lambda: enroll(front_end, unknown, csr=b"not a request"))
    assert failure.reason == "token_unknown"


# Sessions.


def test_vm_is_placed_prepared_started_and_runs(
    front_end: FrontEnd, agent: Agent, new_vm: vm_pb2.Vm
) -> None:
    prepare = agent.next("task").task
    assert (prepare.kind, prepare.vm_id) == (wire.TASK_KIND_PREPARE, new_vm.id)
    assert prepare.vm.nics[0].ip == new_vm.nics[0].ip
    assert prepare.term == front_end.status().term
    agent.do(prepare)
    start = agent.next("task").task
    assert start.kind == wire.TASK_KIND_START
    agent.do(start)
    assert vm(front_end, new_vm.id).lcm_state == vm_pb2.LCM_STATE_RUNNING


def test_task_is_sent_again_to_an_agent_that_reconnects(
    front_end: FrontEnd, cluster_id: int, new_vm: vm_pb2.Vm
) -> None:
    enrolled, key = enroll(front_end, join_token(front_end, cluster_id))
    with Agent.of(front_end, enrolled, key) as first:
        first.next("welcome")
        first.report_inventory()
        task = first.next("task").task
    with Agent.of(front_end, enrolled, key) as second:
        welcome = second.next("welcome").welcome
        assert [guest.vm_id for guest in welcome.expected] == [task.vm_id]
        again = second.next("task").task
        assert (again.id, again.epoch) == (task.id, task.epoch)
        second.do(again, ok=False, detail="no space on the host")
    assert "no space on the host" in vm(front_end, new_vm.id).error


def test_failed_task_is_told_and_may_be_recovered(
    front_end: FrontEnd, agent: Agent, new_vm: vm_pb2.Vm
) -> None:
    agent.do(agent.next("task").task, ok=False, detail="image is gone")
    failed = vm(front_end, new_vm.id)
    assert failed.lcm_state == vm_pb2.LCM_STATE_PROLOG_FAILURE
    assert "image is gone" in failed.error
    front_end.admin.vms.RecoverVm(vm_pb2.RecoverVmRequest(id=new_vm.id))
    assert agent.next("task").task.kind == wire.TASK_KIND_PREPARE


def test_second_session_of_a_host_replaces_the_first(front_end: FrontEnd, cluster_id: int) -> None:
    enrolled, key = enroll(front_end, join_token(front_end, cluster_id))
    with Agent.of(front_end, enrolled, key) as first:
        first.next("welcome")
        with Agent.of(front_end, enrolled, key) as second:
            second.next("welcome")
            assert [message.WhichOneof("message") for message in first.heard()] == []


def test_heartbeats_are_answered(agent: Agent) -> None:
    agent.say(heartbeat=wire.Heartbeat(sequence=7))
    assert agent.next("heartbeat_ack").heartbeat_ack.sequence == 7


def test_guest_that_shut_itself_down_is_powered_off(
    front_end: FrontEnd, agent: Agent, new_vm: vm_pb2.Vm
) -> None:
    agent.do(agent.next("task").task)
    start = agent.next("task").task
    agent.do(start)
    agent.say(
        guest_event=wire.GuestEvent(
            vm_id=new_vm.id, epoch=start.epoch, power=wire.GUEST_POWER_OFF, detail="shutdown"
        )
    )
    wait_for("POWEROFF", lambda: vm(front_end, new_vm.id).state == vm_pb2.VM_STATE_POWEROFF)


def test_newer_agent_halts_no_replica(front_end: FrontEnd, agent: Agent) -> None:
    # Field 999, a varint, of messages that end up in the log.
    unknown = b"\xb8\x3e\x01"
    agent.say(inventory=wire.Inventory(guests=[wire.Guest.FromString(b"\x08\x07" + unknown)]))
    agent.say(report=wire.TaskReport.FromString(b"\x08\x07" + unknown))
    assert agent.next("report_ack").report_ack.task_id == 7
    assert not front_end.status().halted


def test_unknown_guests_are_reported_not_adopted(front_end: FrontEnd, agent: Agent) -> None:
    agent.say(inventory=wire.Inventory(unknown_guests=["by-hand"]))
    host_id = agent.host_id
    wait_for(
        "the unknown guest",
        lambda: (
            list(front_end.admin.hosts.GetHost(host_pb2.GetHostRequest(id=host_id)).unknown_guests)
            == ["by-hand"]
        ),
    )


def test_console_is_read_through_the_session(
    front_end: FrontEnd, agent: Agent, new_vm: vm_pb2.Vm
) -> None:
    agent.do(agent.next("task").task)
    read = front_end.admin.vms.ReadVmConsole.future(
        vm_pb2.ReadVmConsoleRequest(id=new_vm.id, tail_bytes=5)
    )
    query = agent.next("console").console
    assert (query.vm_id, query.tail_bytes) == (new_vm.id, 5)
    agent.say(console=wire.ConsoleReply(query_id=query.query_id, data=b"login"))
    assert read.result().data == b"login"


def test_console_of_somebody_elses_vm_is_not_found(
    front_end: FrontEnd, agent: Agent, new_vm: vm_pb2.Vm
) -> None:
    ann = front_end.user("ann")
    failure = refusal(lambda: ann.vms.ReadVmConsole(vm_pb2.ReadVmConsoleRequest(id=new_vm.id)))
    assert failure.reason == "not_found"


def ended_with(agent: Agent) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        list(agent.heard())
    return failure_of(caught.value).reason


def test_older_certificate_of_a_host_opens_no_session(front_end: FrontEnd, cluster_id: int) -> None:
    token = join_token(front_end, cluster_id)
    csr, key = create_request("host")
    older, _ = enroll(front_end, token, csr=csr)
    enroll(front_end, token, csr=csr)
    with Agent.of(front_end, older, key) as outdated:
        assert ended_with(outdated) == "permission_denied"


def test_deleted_host_opens_no_session(front_end: FrontEnd, cluster_id: int) -> None:
    enrolled, key = enroll(front_end, join_token(front_end, cluster_id))
    front_end.admin.hosts.DeleteHost(host_pb2.DeleteHostRequest(id=enrolled.host_id))
    with Agent.of(front_end, enrolled, key) as gone:
        assert ended_with(gone) == "permission_denied"


def test_session_that_does_not_begin_with_hello_is_refused(
    front_end: FrontEnd, cluster_id: int
) -> None:
    enrolled, key = enroll(front_end, join_token(front_end, cluster_id))
    impolite = Agent.of(front_end, enrolled, key)
    impolite.say(heartbeat=wire.Heartbeat(sequence=1))
    with impolite:
        assert ended_with(impolite) == "invalid_argument"
