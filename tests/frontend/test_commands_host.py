"""Hosts: enrolled once per token, judged by the leader, compared with what they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontend.errors import Rejected
from frontend.state import hosts, tokens
from protos.v1.agent_pb2 import GUEST_POWER_OFF, GUEST_POWER_ON, TASK_KIND_CLEANUP, Guest
from protos.v1.command_pb2 import MarkHost, ReportHost
from protos.v1.host_pb2 import (
    HOST_STATE_DISABLED,
    HOST_STATE_MONITORED,
    HOST_STATE_OFFLINE,
    DeleteHostRequest,
    Host,
    HostState,
)
from protos.v1.token_pb2 import RevokeTokenRequest
from tests.frontend.cloud import Cloud, sha

RUNNING, UNKNOWN = "ACTIVE/RUNNING", "ACTIVE/UNKNOWN"


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    cloud = Cloud(tmp_path)
    cloud.cluster()
    return cloud


def state(cloud: Cloud, host_id: int = 0) -> str:
    name = HostState.Name(cloud.get(hosts, host_id).state)
    return name.removeprefix("HOST_STATE_")


def enroll(cloud: Cloud, name: str = "h0", secret: str = "join", key: str = "") -> Host:
    return Host.FromString(cloud.run("system", enroll_host=cloud.enrolment(name, secret, key)))


def refuse_enrolment(cloud: Cloud, secret: str = "join", key: str = "", name: str = "h9") -> str:
    return cloud.refused("system", enroll_host=cloud.enrolment(name, secret, key)).code


def disable(cloud: Cloud, state: int, host_id: int = 0) -> None:
    cloud.update("host", ["state"], "user/root", id=host_id, state=state)


# Enrolment.


def test_enrolled_host_is_init_and_uses_up_the_token(cloud: Cloud) -> None:
    cloud.join_token()
    made = enroll(cloud)
    assert (made.id, made.name, made.cluster_id) == (0, "h0", 0)
    assert state(cloud) == "UNSPECIFIED"
    assert cloud.get(tokens, 0).used_by_host_id == 0


def test_reused_join_token_is_refused(cloud: Cloud) -> None:
    cloud.join_token()
    enroll(cloud)
    assert refuse_enrolment(cloud, key="another") == "token_used"


def test_expired_join_token_is_refused(cloud: Cloud) -> None:
    cloud.join_token()
    cloud.now_ms += 3600 * 1000
    assert refuse_enrolment(cloud) == "token_expired"


def test_revoked_join_token_is_refused_even_to_the_host_that_used_it(cloud: Cloud) -> None:
    cloud.join_token()
    enroll(cloud, key="mine")
    cloud.run("user/root", revoke_token=RevokeTokenRequest(id=0))
    assert refuse_enrolment(cloud, key="mine") == "token_revoked"


def test_unknown_token_and_user_token_do_not_enrol(cloud: Cloud) -> None:
    assert refuse_enrolment(cloud, "never made") == "token_unknown"


def test_same_key_again_is_the_same_host_with_its_new_certificate(cloud: Cloud) -> None:
    cloud.join_token()
    first = enroll(cloud, key="mine")
    again = cloud.enrolment("h0", "join", "mine")
    again.certificate_sha256 = sha("renewed")
    second = Host.FromString(cloud.run("system", enroll_host=again))
    assert (second.id, second.certificate_sha256) == (first.id, sha("renewed"))
    assert cloud.get(hosts, 1) is None


def test_same_key_with_a_fresh_token_is_the_same_host(cloud: Cloud) -> None:
    cloud.join_token()
    cloud.join_token(secret="fresh")
    enroll(cloud, key="mine")
    assert enroll(cloud, secret="fresh", key="mine").id == 0
    assert refuse_enrolment(cloud, "fresh", "another") == "token_used"


def test_known_key_does_not_move_to_another_cluster(cloud: Cloud) -> None:
    cloud.cluster("edge")
    cloud.join_token()
    cloud.join_token(1, "other")
    enroll(cloud, key="mine")
    assert refuse_enrolment(cloud, "other", "mine") == "already_exists"


def test_host_names_are_unique_and_made_up_when_not_given(cloud: Cloud) -> None:
    cloud.host("h0")
    cloud.join_token()
    assert refuse_enrolment(cloud, name="h0", key="b") == "already_exists"
    assert enroll(cloud, name="").name == "host-1"


def test_malformed_hash_is_refused(cloud: Cloud) -> None:
    cloud.join_token()
    op = cloud.enrolment("h0", "join")
    op.key_sha256 = "short"
    refusal = cloud.refused("system", enroll_host=op)
    assert (refusal.code, refusal.field) == ("invalid_argument", "key_sha256")


# Reports and verdicts.


def test_first_report_makes_a_host_monitored(cloud: Cloud) -> None:
    host = cloud.host(vcpu=4, memory_mib=8192)
    assert state(cloud) == "MONITORED"
    assert (host.capacity.vcpu, host.agent_version) == (4, "1")


def test_report_without_news_changes_nothing(cloud: Cloud) -> None:
    cloud.host()
    before = cloud.state()
    cloud.report_host(0)
    assert cloud.state() == before


def test_host_speaks_for_itself_alone(cloud: Cloud) -> None:
    cloud.host()
    report = ReportHost(host_id=0)
    for actor in ("host/1", "user/ann", "user/root"):
        assert cloud.refused(actor, report_host=report).code == "permission_denied"
    assert cloud.refused("host/9", report_host=ReportHost(host_id=9)).code == "not_found"


def test_guests_that_nobody_asked_for_are_reported_not_adopted(cloud: Cloud) -> None:
    cloud.host()
    cloud.report_host(0, unknown_guests=["intruder"])
    assert list(cloud.get(hosts, 0).unknown_guests) == ["intruder"]
    assert "host.unknown_guests intruder" in cloud.events()
    cloud.report_host(0)
    assert cloud.events()[-1] == "host.unknown_guests none"


def test_silent_host_takes_its_running_vms_to_unknown_and_back(cloud: Cloud) -> None:
    cloud.image()
    cloud.template()
    cloud.host()
    vm = cloud.running_vm()
    cloud.mark_host(0, "ERROR", "no heartbeat for 10 s")
    assert (state(cloud), cloud.where(vm.id)) == ("ERROR", UNKNOWN)
    assert cloud.get(hosts, 0).error == "no heartbeat for 10 s"
    cloud.mark_host(0, "MONITORED")
    assert (state(cloud), cloud.where(vm.id)) == ("MONITORED", UNKNOWN)
    cloud.report_host(0, Guest(vm_id=vm.id, epoch=1, power=GUEST_POWER_ON))
    assert cloud.where(vm.id) == RUNNING
    assert cloud.get(hosts, 0).error == ""


def test_host_that_comes_back_without_a_guest_has_lost_it(cloud: Cloud) -> None:
    cloud.template()
    cloud.host()
    vm = cloud.running_vm()
    cloud.report_host(0)
    assert cloud.where(vm.id) == UNKNOWN
    cloud.report_host(0, Guest(vm_id=vm.id, epoch=1, power=GUEST_POWER_OFF))
    assert cloud.where(vm.id) == "POWEROFF"


def test_guest_of_an_older_epoch_does_not_count_as_the_vm(cloud: Cloud) -> None:
    cloud.template()
    cloud.host()
    vm = cloud.running_vm()
    cloud.report_host(0, Guest(vm_id=vm.id, epoch=0, power=GUEST_POWER_ON))
    assert cloud.where(vm.id) == UNKNOWN


def test_report_does_not_judge_a_vm_that_a_task_works_on(cloud: Cloud) -> None:
    cloud.template()
    cloud.host()
    cloud.vm()
    cloud.place(0)
    cloud.report_host(0)
    assert cloud.where(0) == "ACTIVE/PROLOG"


def test_verdict_heard_twice_changes_nothing(cloud: Cloud) -> None:
    cloud.host()
    cloud.mark_host(0, "ERROR", "silent")
    before = cloud.state()
    cloud.mark_host(0, "ERROR", "silent")
    assert cloud.state() == before


def test_verdicts_are_the_front_ends_alone(cloud: Cloud) -> None:
    cloud.host()
    op = MarkHost(host_id=0, state=HOST_STATE_OFFLINE)
    for actor in ("user/root", "host/0"):
        assert cloud.refused(actor, mark_host=op).code == "permission_denied"
    disabled = MarkHost(host_id=0, state=HOST_STATE_DISABLED)
    assert cloud.refused("system", mark_host=disabled).code == "invalid_argument"


def test_host_never_seen_is_not_judged(cloud: Cloud) -> None:
    cloud.join_token()
    enroll(cloud)
    op = MarkHost(host_id=0, state=HOST_STATE_OFFLINE)
    assert cloud.refused("system", mark_host=op).code == "wrong_state"


# Changes by admins.


def test_disabled_host_stays_disabled_through_silence_and_reports(cloud: Cloud) -> None:
    cloud.host()
    disable(cloud, HOST_STATE_DISABLED)
    cloud.report_host(0)
    cloud.mark_host(0, "ERROR", "silent")
    assert (state(cloud), cloud.get(hosts, 0).error) == ("DISABLED", "silent")
    disable(cloud, HOST_STATE_MONITORED)
    assert state(cloud) == "ERROR"
    cloud.report_host(0)
    assert state(cloud) == "MONITORED"


def test_admin_does_not_wake_a_silent_host_by_decree(cloud: Cloud) -> None:
    cloud.host()
    cloud.mark_host(0, "ERROR")
    with pytest.raises(Rejected, match="wrong_state"):
        disable(cloud, HOST_STATE_MONITORED)
    with pytest.raises(Rejected, match="invalid_argument"):
        disable(cloud, HOST_STATE_OFFLINE)


def test_host_that_was_disabled_before_it_came_is_init_when_enabled(cloud: Cloud) -> None:
    cloud.join_token()
    enroll(cloud)
    disable(cloud, HOST_STATE_DISABLED)
    disable(cloud, HOST_STATE_MONITORED)
    assert state(cloud) == "UNSPECIFIED"


def test_host_with_vms_is_not_deleted(cloud: Cloud) -> None:
    cloud.template()
    cloud.host()
    vm = cloud.running_vm()
    delete = DeleteHostRequest(id=0)
    assert cloud.refused("user/ann", delete_host=delete).code == "permission_denied"
    assert cloud.refused("user/root", delete_host=delete).code == "in_use"
    cloud.act("delete", vm.id)
    cloud.report(vm.id)
    cloud.run("user/root", delete_host=delete)
    assert cloud.get(hosts, 0) is None
    assert cloud.refused("host/0", report_host=ReportHost(host_id=0)).code == "not_found"


def test_deleted_host_may_enrol_anew_with_a_fresh_token_as_another_host(cloud: Cloud) -> None:
    cloud.host("h0")
    cloud.run("user/root", delete_host=DeleteHostRequest(id=0))
    cloud.join_token()
    assert enroll(cloud, "h0").id == 1


def test_renamed_host_keeps_its_state(cloud: Cloud) -> None:
    cloud.host("h0")
    cloud.update("host", ["name", "labels"], "user/root", id=0, name="rack-1", labels={"a": "b"})
    host = cloud.get(hosts, 0)
    assert (host.name, dict(host.labels), state(cloud)) == ("rack-1", {"a": "b"}, "MONITORED")
    refusal = cloud.refused("user/root", **cloud.update_op("host", ["capacity"], id=0))
    assert refusal.field == "update_mask"


# Guests left over.


def test_guest_of_a_vm_given_up_is_removed_when_its_host_returns(cloud: Cloud) -> None:
    cloud.template()
    cloud.host()
    vm = cloud.running_vm()
    cloud.mark_host(0, "ERROR", "silent")
    cloud.act("delete", vm.id)
    cloud.act("delete", vm.id, "user/root")
    assert cloud.where(vm.id) == "DONE"
    guest = Guest(vm_id=vm.id, epoch=1, power=GUEST_POWER_ON)
    for _ in range(2):
        cloud.report_host(0, guest)
    [task] = cloud.waiting(0)
    assert (task.kind, task.vm_id, task.hard) == (TASK_KIND_CLEANUP, vm.id, True)
    cloud.report_task(task)
    assert (cloud.waiting(), cloud.where(vm.id)) == ([], "DONE")
    assert cloud.get(hosts, 0).vcpu_used == 0


def test_host_may_be_deleted_while_leftovers_wait(cloud: Cloud) -> None:
    cloud.template()
    cloud.host()
    vm = cloud.running_vm()
    cloud.mark_host(0, "ERROR")
    cloud.act("delete", vm.id)
    cloud.act("delete", vm.id, "user/root")
    cloud.report_host(0, Guest(vm_id=vm.id, epoch=1, power=GUEST_POWER_ON))
    cloud.run("user/root", delete_host=DeleteHostRequest(id=0))
    assert cloud.waiting() == []


def test_what_a_host_says_is_cleaned_before_people_see_it(cloud: Cloud) -> None:
    cloud.host()
    cloud.report_host(0, unknown_guests=["\x1b[2Jx" + "y" * 5000] * 2000)
    names = cloud.get(hosts, 0).unknown_guests
    assert len(names) == 1000
    assert (names[0][:5], len(names[0])) == ("?[2Jx", 1024)
    assert all(len(event) < 1100 for event in cloud.events())


# Sessions.


def test_report_of_an_older_session_changes_nothing(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path).furnish()
    vm = cloud.running_vm()
    guest = Guest(vm_id=vm.id, epoch=1, power=GUEST_POWER_ON)
    cloud.report_host(0, guest, session=2 << 32 | 1)
    before = cloud.state()
    cloud.report_host(0, session=1 << 32 | 7)
    cloud.report_guest(vm.id, "OFF", session=1 << 32 | 8)
    assert cloud.state() == before
    cloud.report_guest(vm.id, "OFF", session=3 << 32 | 1)
    assert cloud.where(vm.id) == "POWEROFF"
    cloud.report_host(0, guest, session=2 << 32 | 2)
    assert cloud.where(vm.id) == "POWEROFF"


def test_new_session_alone_is_no_change_of_the_host(cloud: Cloud) -> None:
    cloud.host()
    before, told = cloud.get(hosts, 0), cloud.events()
    cloud.report_host(0, session=5)
    after = cloud.get(hosts, 0)
    assert (after.session, after.revision) == (5, before.revision)
    assert cloud.events() == told
