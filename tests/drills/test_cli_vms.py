"""The life of VMs through the command line, on fake hosts."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drills.cli_cloud import Cloud, wait_for
from tests.frontend.cli_runner import done
from tests.frontend.test_cli_main import completed

pytestmark = pytest.mark.drill


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud")) as made:
        yield made


def test_vm_lives_through_every_verb(cloud: Cloud) -> None:
    vm = cloud("vm", "create", "web", "--template", "small", "--wait")
    assert (vm["state"], vm["lcm_state"], vm["host_id"]) == ("ACTIVE", "RUNNING", 0)
    assert cloud("vm", "reboot", "web", "--hard", "--wait")["lcm_state"] == "RUNNING"
    assert cloud("vm", "poweroff", "web", "--wait")["state"] == "POWEROFF"
    assert cloud("vm", "resume", "web", "--wait")["lcm_state"] == "RUNNING"
    assert cloud("vm", "suspend", "web", "--wait")["state"] == "SUSPENDED"
    assert cloud("vm", "resume", "web", "--wait")["lcm_state"] == "RUNNING"
    assert "hostname=web" in cloud("vm", "console", "web")["data"]
    assert cloud("vm", "terminate", "web", "--wait")["state"] == "DONE"


def test_many_vms_are_created_and_waited_for_together(cloud: Cloud) -> None:
    vms = cloud("vm", "create", "many", "--template", "small", "--count", 8, "--wait")
    assert {vm["lcm_state"] for vm in vms} == {"RUNNING"}
    names = [vm["name"] for vm in vms]
    assert {vm["state"] for vm in cloud("vm", "delete", *names, "--wait")} == {"DONE"}


def test_progress_is_told_on_standard_error_alone(cloud: Cloud) -> None:
    result = cloud.run("vm", "create", "told", "--template", "small", "--wait", "-o", "json")
    assert result.json["name"] == "told"
    assert "told: RUNNING" in result.err
    cloud("vm", "delete", "told", "--wait")


def test_disabled_host_takes_no_vms_and_the_reason_is_shown(cloud: Cloud) -> None:
    assert cloud("host", "disable", "node-0")["state"] == "DISABLED"
    late = cloud.run("vm", "create", "late", "--template", "small", "--wait", "--timeout", 1)
    assert late.code == 3
    assert "disabled" in late.err
    assert cloud("host", "enable", "node-0")["state"] == "MONITORED"
    wait_for("late", lambda: cloud("vm", "show", "late")["lcm_state"] == "RUNNING")
    cloud("vm", "delete", "late", "--wait")


def test_used_image_and_host_are_not_deleted(cloud: Cloud) -> None:
    cloud("vm", "create", "user", "--template", "small", "--wait")
    for words in (("image", "delete", "tiny"), ("host", "delete", "node-0")):
        result = cloud.run(*words)
        assert result.code == 1
        assert "in_use" in result.err
    cloud("vm", "delete", "user", "--wait")


def test_console_is_followed_until_interrupted(cloud: Cloud) -> None:
    cloud("vm", "create", "chatty", "--template", "small", "--wait")
    with cloud.start("vm", "console", "chatty", "--follow") as child:
        assert child.stdout is not None
        seen = [child.stdout.readline() for _ in range(4)]
        child.send_signal(signal.SIGINT)
        assert child.wait() == 130
    assert "hostname=chatty\n" in seen
    cloud("vm", "delete", "chatty", "--wait")


@pytest.mark.parametrize(
    "words",
    [("vm", "list", "--watch"), ("vm", "watch"), ("event", "watch", "--noun", "vm")],
    ids=" ".join,
)
def test_watch_goes_on_when_the_leader_is_killed(cloud: Cloud, words: tuple[str, ...]) -> None:
    name = "-".join(words).replace("--", "")
    first = cloud("vm", "create", f"{name}-a", "--template", "small")
    # A list shows first what is there; the others begin with what follows a revision.
    after = () if words[1] == "list" else ("--after", first["revision"])
    with cloud.start(*words, *after, "-o", "json") as child:
        assert child.stdout is not None
        marker = cloud("vm", "update", first["id"], "--description", "seen")
        ids = {"vm": "id", "event": "object_id"}[words[0]]
        while json.loads(child.stdout.readline())["revision"] < marker["revision"]:
            pass  # what went before
        leader = cloud.replicas.wait_until_ready()
        cloud.replicas.kill(leader)
        second = cloud("vm", "create", f"{name}-b", "--template", "small")
        while json.loads(child.stdout.readline())[ids] != second["id"]:
            pass  # the first VM's way to RUNNING
        child.send_signal(signal.SIGINT)
        assert child.wait() == 130
        assert child.stderr is not None
        assert "Traceback" not in child.stderr.read()
    cloud.replicas.start(leader)
    cloud.replicas.wait_until_ready()
    cloud("vm", "delete", first["id"], second["id"], "--wait")


def test_list_of_hosts_is_kept_up_to_date_from_events(cloud: Cloud) -> None:
    with cloud.start("host", "list", "--watch", "-o", "json") as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline())["state"] == "MONITORED"
        cloud("host", "update", "node-0", "--label", "rack=7")
        assert json.loads(child.stdout.readline())["labels"] == {"rack": "7"}
        child.send_signal(signal.SIGINT)
        assert child.wait() == 130


def test_template_that_is_watched_until_it_is_deleted_ends_the_watch(cloud: Cloud) -> None:
    made = cloud("template", "create", "brief", "--vcpu", 1, "--memory", "64M")
    with cloud.start("template", "show", "brief", "--watch", "-o", "json") as child:
        assert child.stdout is not None
        assert json.loads(child.stdout.readline()) == made
        cloud("template", "delete", "brief")
        assert json.loads(child.stdout.readline()) == {"id": made["id"], "deleted": True}
        assert child.wait() == 0


def test_interrupted_wait_leaves_the_operation_going_on(cloud: Cloud) -> None:
    cloud("host", "disable", "node-0")
    with cloud.start("vm", "create", "left", "--template", "small", "--wait") as child:
        assert child.stderr is not None
        assert "left: PENDING" in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait() == 130
        assert child.stdout is not None
        assert child.stdout.read() == ""
    cloud("host", "enable", "node-0")
    wait_for("left", lambda: cloud("vm", "show", "left")["lcm_state"] == "RUNNING")
    cloud("vm", "delete", "left", "--wait")


def test_certificate_of_a_user_sees_its_own_vms_only(cloud: Cloud, tmp_path: Path) -> None:
    cloud("cluster", "certificate", cloud.replicas.directory, "--user", "ann", "--out",
          tmp_path / "ann")  # fmt: skip
    config = tmp_path / "ann" / "config.toml"
    cloud("vm", "create", "admins", "--template", "small")
    mine = done("vm", "create", "anns", "--template", "small", "-o", "json", config=config).json
    assert mine["owner"] == "user/ann"
    seen = done("vm", "list", "-o", "json", config=config).json
    assert [vm["name"] for vm in seen] == ["anns"]
    cloud("vm", "delete", "admins", "anns", "--wait")


def test_shell_completes_the_names_of_vms_and_templates(cloud: Cloud) -> None:
    cloud("vm", "create", "finished-a", "--template", "small")
    assert completed(cloud.config, "vm", "show", "fin") == ["finished-a"]
    assert completed(cloud.config, "vm", "create", "--template", "s") == ["small"]
    cloud("vm", "delete", "finished-a", "--wait")
