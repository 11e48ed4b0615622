"""What the command line says and does when replicas are lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.drills.cli_cloud import Cloud, wait_for

pytestmark = pytest.mark.drill


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud"), hosts=0) as made:
        yield made


@pytest.fixture(autouse=True)
def whole(cloud: Cloud) -> Iterator[None]:
    """Each test finds and leaves three replicas."""
    yield
    for member, process in enumerate(cloud.replicas.processes):
        if not process.running:
            cloud.replicas.start(member)
    cloud.replicas.wait_until_ready()


def test_status_tells_who_leads_and_what_may_fail(cloud: Cloud) -> None:
    status = cloud("cluster", "status")
    assert [row["id"] for row in status["replicas"]] == ["1", "2", "3"]
    assert sorted(row["role"] for row in status["replicas"]) == ["FOLLOWER", "FOLLOWER", "LEADER"]
    assert "can lose 1 replica" in status["verdict"]


def test_lost_replica_is_shown_and_the_rest_is_asked_itself(cloud: Cloud) -> None:
    cloud.replicas.kill(0)
    result = cloud.run("cluster", "status", "-o", "json")
    assert result.code in (0, 3)  # 3 in the moment without a leader
    first = result.json["replicas"][0]
    assert (first["id"], first["role"], first["reachable"]) == ("1", "UNREACHABLE", False)
    assert "nothing listens at" in first["error"]
    assert all(row["reachable"] for row in result.json["replicas"][1:])


def test_writes_go_on_without_the_leader(cloud: Cloud) -> None:
    for number in range(5):
        cloud("template", "create", f"before-{number}", "--vcpu", 1, "--memory", "64M")
    cloud.replicas.kill(cloud.replicas.wait_until_ready())
    for number in range(5):
        cloud("template", "create", f"after-{number}", "--vcpu", 1, "--memory", "64M")
    names = {row["name"] for row in cloud("template", "list")}
    assert {f"{when}-{n}" for when in ("before", "after") for n in range(5)} <= names


def test_without_a_majority_status_exits_with_3_and_stale_reads_go_on(cloud: Cloud) -> None:
    vms = cloud("vm", "list")
    cloud.replicas.kill(0)
    cloud.replicas.kill(1)
    # The one that is left may still believe that it leads until its next heartbeats fail.
    wait_for("no leader", lambda: cloud.run("cluster", "status").code == 3)
    result = cloud.run("cluster", "status")
    assert "no_leader" in result.err
    assert result.out.count("UNREACHABLE") == 2
    assert cloud("vm", "list", "--stale") == vms


def test_nobody_answers_is_exit_3_with_every_address(cloud: Cloud) -> None:
    for member in range(3):
        cloud.replicas.kill(member)
    for words in (("vm", "list"), ("cluster", "status"), ("vm", "show", "0")):
        result = cloud.run(*words)
        assert result.code == 3
        assert all(
            f"nothing listens at {place}" in result.err for place in cloud.replicas.addresses
        )
        assert "  next: " in result.err


def test_write_without_a_majority_says_how_to_repeat_it(cloud: Cloud) -> None:
    cloud.replicas.kill(0)
    cloud.replicas.kill(1)
    words = ("template", "create", "t", "--vcpu", 1, "--memory", "64M", "--request-id", "my-id")
    result = cloud.run(*words)
    assert result.code == 3
    assert "--request-id my-id" in result.err
    for member in (0, 1):
        cloud.replicas.start(member)
    cloud.replicas.wait_until_ready()
    assert cloud(*words)["name"] == "t"
    assert [row["name"] for row in cloud("template", "list")].count("t") == 1


def test_frozen_majority_is_named_and_the_write_can_be_repeated(cloud: Cloud) -> None:
    frozen = [cloud.replicas.processes[member].pid for member in (0, 1)]
    words = ("template", "create", "f", "--vcpu", 1, "--memory", "64M", "--request-id", "f-id")
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        result = cloud.run(*words)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    assert result.code == 3
    assert "skyraft: unavailable: no majority of the replicas answers: " in result.err
    assert all(f"{place} does not answer" in result.err for place in cloud.replicas.addresses[:2])
    assert "--request-id f-id" in result.err
    cloud.replicas.wait_until_ready()
    assert cloud(*words)["name"] == "f"


def test_transfer_to_a_replica_that_cannot_lead_points_at_the_replicas(cloud: Cloud) -> None:
    leader = cloud.replicas.wait_until_ready()
    away = (leader + 1) % 3
    cloud.replicas.kill(away)
    for target in (cloud.replicas.members[away].id, "7"):
        result = cloud.run("cluster", "transfer", "--to", target)
        assert result.code == 1
        assert "`skyraft cluster status`" in result.err.splitlines()[-1]


def test_leadership_is_handed_over_on_request(cloud: Cloud) -> None:
    leader = cloud("cluster", "status")["leader_id"]
    other = "1" if leader != "1" else "2"
    assert cloud("cluster", "transfer", "--to", other)["leader_id"] == other
    cloud.replicas.wait_until_ready()
    assert cloud("cluster", "status")["leader_id"] == other
