"""The VM's state machine, walked through every verb, with success, failure and refusals.

Covers commands/lifecycle.py, vm_actions.py and report.py together: what one writes the next reads.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from frontend.commands import lifecycle, report, vm_actions
from frontend.state import hosts, tasks, vms
from protos.v1.agent_pb2 import (
    TASK_KIND_CLEANUP,
    TASK_KIND_PREPARE,
    TASK_KIND_REBOOT,
    TASK_KIND_RESTORE,
    TASK_KIND_SAVE,
    TASK_KIND_START,
    TASK_KIND_STOP,
    TASK_STATE_CANCELLED,
    TASK_STATE_FAILED,
    TaskReport,
)
from protos.v1.command_pb2 import ReportTask
from protos.v1.vm_pb2 import LcmState, VmState
from tests.frontend.cloud import Cloud

RUNNING, UNKNOWN = "ACTIVE/RUNNING", "ACTIVE/UNKNOWN"
VERBS = ("poweroff", "resume", "suspend", "reboot", "terminate", "recover", "delete")


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path).furnish(host_count=2)


def bring(cloud: Cloud, place: str) -> None:
    """VM 0, at rest in *place*."""
    cloud.vm()
    if place == "PENDING":
        return
    cloud.place(0)
    if place == "ACTIVE/PROLOG_FAILURE":
        return cloud.report(0, ok=False, detail="no space left")
    cloud.report(0)
    if place == "ACTIVE/BOOT_FAILURE":
        return cloud.report(0, ok=False, detail="no such machine type")
    cloud.report(0)
    if place == "POWEROFF":
        cloud.report_guest(0, "OFF")
    elif place == UNKNOWN:
        cloud.report_guest(0, "CRASHED")
    elif place == "SUSPENDED":
        cloud.act("suspend", 0)
        cloud.report(0)
    elif place == "ACTIVE/EPILOG_FAILURE":
        cloud.act("terminate", 0)
        cloud.report(0)
        cloud.report(0, ok=False, detail="disk is busy")
    elif place == "DONE":
        cloud.act("delete", 0)
        cloud.report(0)
    assert cloud.where(0) == place


RESTING = (
    "PENDING",
    "ACTIVE/PROLOG_FAILURE",
    "ACTIVE/BOOT_FAILURE",
    RUNNING,
    "POWEROFF",
    UNKNOWN,
    "SUSPENDED",
    "ACTIVE/EPILOG_FAILURE",
    "DONE",
)

# (where it rests, verb) -> (step, its task, where success leads, where failure leads)
WALKS = {
    (RUNNING, "poweroff"): ("SHUTDOWN_POWEROFF", TASK_KIND_STOP, "POWEROFF", RUNNING),
    (UNKNOWN, "poweroff"): ("SHUTDOWN_POWEROFF", TASK_KIND_STOP, "POWEROFF", RUNNING),
    (RUNNING, "suspend"): ("SAVE_SUSPEND", TASK_KIND_SAVE, "SUSPENDED", RUNNING),
    (RUNNING, "reboot"): ("RUNNING", TASK_KIND_REBOOT, RUNNING, RUNNING),
    ("POWEROFF", "resume"): ("BOOT_POWEROFF", TASK_KIND_START, RUNNING, "POWEROFF"),
    ("SUSPENDED", "resume"): ("BOOT_SUSPENDED", TASK_KIND_RESTORE, RUNNING, "SUSPENDED"),
    (UNKNOWN, "resume"): ("BOOT_UNKNOWN", TASK_KIND_START, RUNNING, UNKNOWN),
    (RUNNING, "terminate"): ("SHUTDOWN", TASK_KIND_STOP, "ACTIVE/EPILOG", RUNNING),
    (UNKNOWN, "terminate"): ("SHUTDOWN", TASK_KIND_STOP, "ACTIVE/EPILOG", RUNNING),
    **{
        (place, "terminate"): ("EPILOG", TASK_KIND_CLEANUP, "DONE", "ACTIVE/EPILOG_FAILURE")
        for place in (
            "POWEROFF",
            "SUSPENDED",
            "ACTIVE/PROLOG_FAILURE",
            "ACTIVE/BOOT_FAILURE",
            "ACTIVE/EPILOG_FAILURE",
        )
    },
    ("ACTIVE/PROLOG_FAILURE", "recover"): (
        "PROLOG",
        TASK_KIND_PREPARE,
        "ACTIVE/BOOT",
        "ACTIVE/PROLOG_FAILURE",
    ),
    ("ACTIVE/BOOT_FAILURE", "recover"): ("BOOT", TASK_KIND_START, RUNNING, "ACTIVE/BOOT_FAILURE"),
    ("ACTIVE/EPILOG_FAILURE", "recover"): (
        "EPILOG",
        TASK_KIND_CLEANUP,
        "DONE",
        "ACTIVE/EPILOG_FAILURE",
    ),
    **{
        (place, "delete"): (
            "CLEANUP_DELETE",
            TASK_KIND_CLEANUP,
            "DONE",
            "ACTIVE/EPILOG_FAILURE",
        )
        for place in RESTING
        if place not in ("PENDING", "DONE")
    },
}


@pytest.mark.parametrize("ok", [True, False], ids=["success", "failure"])
@pytest.mark.parametrize(("start", "verb"), WALKS, ids="-".join)
def test_verb_leads_through_its_step(cloud: Cloud, start: str, verb: str, ok: bool) -> None:
    step, kind, success, failure = WALKS[start, verb]
    bring(cloud, start)
    answer = cloud.act(verb, 0)
    assert lifecycle.name_of(answer) == cloud.where(0) == f"ACTIVE/{step}"
    [task] = cloud.waiting()
    assert (task.kind, task.id, task.epoch) == (kind, answer.task_id, answer.epoch)

    cloud.report(0, ok=ok, detail="the disk is on fire")
    assert cloud.where(0) == (success if ok else failure)
    vm = cloud.get(vms, 0)
    assert vm.revision == cloud.index
    if ok:
        assert vm.error == ""
    else:
        assert vm.error.endswith("failed on host 0: the disk is on fire")
        assert not vm.HasField("task_id")


def test_vm_goes_all_the_way_from_creation_to_done(cloud: Cloud) -> None:
    bring(cloud, RUNNING)
    cloud.act("terminate", 0)
    cloud.report(0)
    cloud.report(0)
    assert [event for event in cloud.events() if event.startswith("vm.")] == [
        "vm.created vm-0",
        "vm.state PENDING -> ACTIVE/PROLOG: host 0",
        "vm.state ACTIVE/PROLOG -> ACTIVE/BOOT",
        "vm.state ACTIVE/BOOT -> ACTIVE/RUNNING",
        "vm.state ACTIVE/RUNNING -> ACTIVE/SHUTDOWN",
        "vm.state ACTIVE/SHUTDOWN -> ACTIVE/EPILOG",
        "vm.state ACTIVE/EPILOG -> DONE",
    ]
    host = cloud.get(hosts, 0)
    assert (host.vcpu_used, host.memory_used_mib) == (0, 0)


@pytest.mark.parametrize("verb", ["terminate", "delete"])
def test_vm_that_waits_is_done_at_once(cloud: Cloud, verb: str) -> None:
    bring(cloud, "PENDING")
    cloud.act(verb, 0)
    assert (cloud.where(0), cloud.waiting()) == ("DONE", [])


REFUSED = sorted(
    {(start, verb) for start in RESTING for verb in VERBS}
    - set(WALKS)
    - {("PENDING", "terminate"), ("PENDING", "delete")}
)


@pytest.mark.parametrize(("start", "verb"), REFUSED, ids="-".join)
def test_verb_from_any_other_place_is_refused(cloud: Cloud, start: str, verb: str) -> None:
    bring(cloud, start)
    refusal = cloud.refuse_act(verb, 0)
    assert refusal.code == "wrong_state"
    assert f"VM 0 is {start}" in refusal.detail


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "delete"])
def test_second_verb_waits_for_the_first(cloud: Cloud, verb: str) -> None:
    bring(cloud, RUNNING)
    cloud.act("poweroff", 0)
    refusal = cloud.refuse_act(verb, 0)
    assert (refusal.code, "ACTIVE/SHUTDOWN_POWEROFF" in refusal.detail) == ("wrong_state", True)
    assert "task 2" in refusal.detail


def test_reboot_under_way_refuses_others_too(cloud: Cloud) -> None:
    bring(cloud, RUNNING)
    cloud.act("reboot", 0)
    assert cloud.refuse_act("poweroff", 0).code == "wrong_state"
    cloud.report(0)
    assert cloud.events()[-1] == "vm.rebooted"
    cloud.act("poweroff", 0)


@pytest.mark.parametrize("verb", VERBS)
def test_vm_of_others_does_not_exist(cloud: Cloud, verb: str) -> None:
    bring(cloud, RUNNING)
    for actor in ("user/bob", "host/0"):
        refusal = cloud.refuse_act(verb, 0, actor)
        assert (refusal.code, refusal.detail) == ("not_found", "there is no VM 0")
    assert cloud.refuse_act(verb, 9).code == "not_found"
    assert cloud.refuse_act(verb, -1).code == "not_found"


@pytest.mark.parametrize("verb", ["poweroff", "reboot", "terminate"])
def test_hard_task_has_no_grace(cloud: Cloud, verb: str) -> None:
    bring(cloud, RUNNING)
    cloud.act(verb, 0, hard=True)
    [task] = cloud.waiting()
    assert (task.hard, task.grace_s) == (True, 0)


def test_graceful_task_leaves_the_host_time_beyond_the_grace(cloud: Cloud) -> None:
    bring(cloud, RUNNING)
    cloud.act("poweroff", 0)
    [task] = cloud.waiting()
    assert (task.hard, task.grace_s) == (False, 90)
    assert task.timeout_s > task.grace_s


# Deletion.


def test_delete_takes_back_the_task_under_way(cloud: Cloud) -> None:
    cloud.vm()
    cloud.place(0)
    [prepare] = cloud.waiting()
    cloud.act("delete", 0)
    assert cloud.get(tasks, prepare.id).state == TASK_STATE_CANCELLED
    [cleanup] = cloud.waiting()
    cloud.report_task(prepare)
    assert cloud.where(0) == "ACTIVE/CLEANUP_DELETE"
    cloud.report_task(cleanup)
    assert cloud.where(0) == "DONE"


def test_delete_with_a_stale_revision_is_refused(cloud: Cloud) -> None:
    vm = cloud.running_vm()
    refusal = cloud.refuse_act("delete", 0, expected_revision=vm.revision)
    assert refusal.code == "revision_mismatch"


def test_only_an_admin_gives_up_a_vm_and_only_on_a_silent_host(cloud: Cloud) -> None:
    bring(cloud, RUNNING)
    cloud.act("delete", 0)
    assert cloud.refuse_act("delete", 0, "user/root").code == "wrong_state"
    cloud.mark_host(0, "ERROR", "silent")
    assert cloud.refuse_act("delete", 0).code == "wrong_state"
    cloud.act("delete", 0, "user/root")
    assert (cloud.where(0), cloud.waiting()) == ("DONE", [])
    assert cloud.events()[-2].endswith("DONE: host 0 did not confirm the clean-up")
    assert cloud.get(hosts, 0).memory_used_mib == 0


# Reports.


def test_second_report_on_a_task_changes_nothing(cloud: Cloud) -> None:
    cloud.vm()
    cloud.place(0)
    [task] = cloud.waiting()
    cloud.report_task(task)
    before = cloud.state()
    cloud.report_task(task, ok=False)
    cloud.report_task(task)
    assert cloud.state() == before
    assert cloud.where(0) == "ACTIVE/BOOT"


def test_report_of_another_epoch_or_an_unknown_task_changes_nothing(cloud: Cloud) -> None:
    cloud.vm()
    cloud.place(0)
    before = cloud.state()
    for task_id, epoch in ((0, 0), (0, 2), (77, 1), (-1, 1)):
        task_report = TaskReport(task_id=task_id, ok=True, epoch=epoch)
        cloud.run("host/0", report_task=ReportTask(host_id=0, report=task_report))
    assert cloud.state() == before


def test_host_does_not_report_on_another_hosts_task(cloud: Cloud) -> None:
    cloud.vm()
    cloud.place(0)
    task_report = TaskReport(task_id=0, ok=True, epoch=1)
    for actor, host_id in (("host/1", 0), ("host/1", 1), ("user/root", 0)):
        op = ReportTask(host_id=host_id, report=task_report)
        assert cloud.refused(actor, report_task=op).code == "permission_denied"


def test_failed_task_keeps_its_reason(cloud: Cloud) -> None:
    bring(cloud, "ACTIVE/PROLOG_FAILURE")
    task = cloud.get(tasks, 0)
    assert (task.state, task.detail) == (TASK_STATE_FAILED, "no space left")
    assert cloud.get(vms, 0).error == "PREPARE failed on host 0: no space left"


def test_reason_of_a_failure_is_cut_and_cleaned(cloud: Cloud) -> None:
    cloud.vm()
    cloud.place(0)
    cloud.report(0, ok=False, detail="\x1b]0;title\a" + "x" * 100_000)
    error = cloud.get(vms, 0).error
    assert error.isprintable()
    assert len(error) < 1100


@pytest.mark.parametrize(
    ("start", "power", "end"),
    [
        (RUNNING, "OFF", "POWEROFF"),
        (RUNNING, "CRASHED", UNKNOWN),
        (RUNNING, "PAUSED", UNKNOWN),
        (RUNNING, "SAVED", "SUSPENDED"),
        (RUNNING, "ON", RUNNING),
        (UNKNOWN, "ON", RUNNING),
        (UNKNOWN, "OFF", "POWEROFF"),
        (UNKNOWN, "SAVED", "SUSPENDED"),
        (UNKNOWN, "CRASHED", UNKNOWN),
        ("POWEROFF", "ON", RUNNING),
        ("POWEROFF", "OFF", "POWEROFF"),
        ("SUSPENDED", "ON", RUNNING),
        ("SUSPENDED", "OFF", "SUSPENDED"),
        ("ACTIVE/BOOT_FAILURE", "ON", "ACTIVE/BOOT_FAILURE"),
        ("DONE", "ON", "DONE"),
        ("PENDING", "ON", "PENDING"),
    ],
)
def test_guest_that_changes_by_itself_is_believed(
    cloud: Cloud, start: str, power: str, end: str
) -> None:
    bring(cloud, start)
    before = cloud.state()
    cloud.report_guest(0, power)
    assert cloud.where(0) == end
    if start == end:
        assert cloud.state() == before
    assert bool(cloud.get(vms, 0).error) == (end in (UNKNOWN, "ACTIVE/BOOT_FAILURE"))


def test_guest_event_is_ignored_from_other_hosts_older_epochs_and_during_tasks(
    cloud: Cloud,
) -> None:
    bring(cloud, RUNNING)
    before = cloud.state()
    cloud.report_guest(0, "OFF", epoch=0)
    cloud.report_guest(0, "OFF", host_id=1)
    cloud.report_guest(9, "OFF")
    assert cloud.state() == before
    cloud.act("reboot", 0)
    cloud.report_guest(0, "OFF")
    assert cloud.where(0) == RUNNING


def test_reboot_goes_on_when_its_host_was_silent_meanwhile(cloud: Cloud) -> None:
    bring(cloud, RUNNING)
    cloud.act("reboot", 0)
    cloud.mark_host(0, "ERROR", "silent")
    assert cloud.where(0) == UNKNOWN
    cloud.report(0)
    assert (cloud.where(0), cloud.get(vms, 0).error) == (RUNNING, "")


# The tables themselves.


def test_every_step_has_a_task_and_both_ends() -> None:
    assert set(lifecycle.TASK_OF) == set(lifecycle.AFTER_SUCCESS) == set(lifecycle.AFTER_FAILURE)
    assert set(lifecycle.TASK_OF.values()) == set(lifecycle.TIMEOUT_S)


def test_every_place_is_reached_and_left_by_some_table() -> None:
    """No state of the wire is without use, and none is a trap but DONE."""
    verbs = [getattr(vm_actions, f"_{verb.upper()}") for verb in VERBS if verb not in ("delete",)]
    seen = [moves for moves in report.SEEN.values()]
    moves = [*verbs, *seen, lifecycle.AFTER_SUCCESS, lifecycle.AFTER_FAILURE]
    left = {str(place) for table in moves for place in table}
    entered = {str(place) for table in moves for place in table.values()}
    named = {f"ACTIVE/{name.removeprefix('LCM_STATE_')}" for name in LcmState.keys()[1:]}
    used = {"PENDING", "ACTIVE", "SUSPENDED", "DONE", "POWEROFF"}
    assert used <= {name.removeprefix("VM_STATE_") for name in VmState.keys()}  # noqa: SIM118
    assert named <= left
    assert named - {"ACTIVE/CLEANUP_DELETE"} <= entered
    assert "DONE" not in left
