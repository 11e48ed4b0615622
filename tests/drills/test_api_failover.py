"""Replicas are killed under load: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import os
import signal

import pytest

from bench.testbed.replicas import Replicas
from protos.v1 import cluster_pb2, event_pb2, template_pb2
from tests.drills.callers import ANSWER_S, Callers, Writers, all_templates, make_template, status
from tests.frontend.front_end import wait_for

pytestmark = pytest.mark.drill


def require_all_there_once(callers: Callers, writers: Writers) -> None:
    """Every replica has each acknowledged template, under the id that was told, once."""
    assert not writers.refused
    for member in range(3):
        found = all_templates(callers.of(member))
        by_name = {template.name: template.id for template in found}
        assert len(by_name) == len(found)
        assert {name: by_name.get(name) for name in writers.acknowledged} == writers.acknowledged


def test_killed_leader_loses_nothing_and_doubles_nothing(
    replicas: Replicas, callers: Callers
) -> None:
    with Writers(callers.admin) as writers:
        writers.wait_for(20)
        for _ in range(2):
            leader = callers.leader()
            replicas.kill(leader)
            writers.wait_for(20)
            replicas.start(leader)
            writers.wait_for(20)
            callers.leader()
    require_all_there_once(callers, writers)
    created = callers.admin.events.ListEvents(
        event_pb2.ListEventsRequest(noun="template", page_size=1000)
    ).events
    names = [event.detail for event in created if event.kind == "template.created"]
    assert len(names) == len(set(names))


def test_restarted_replica_catches_up(replicas: Replicas, callers: Callers) -> None:
    away = (callers.leader() + 1) % 3
    replicas.kill(away)
    made = [make_template(callers.admin, f"while-away-{number}") for number in range(50)]
    replicas.start(away)
    callers.leader()
    returned = callers.of(away)
    assert {t.id for t in all_templates(returned)} >= {template.id for template in made}
    wait_for(
        "a healthy verdict",
        lambda: status(returned).verdict == "healthy, can lose 1 replica",
    )


def test_all_replicas_killed_at_once_come_back_with_everything(
    replicas: Replicas, callers: Callers
) -> None:
    with Writers(callers.admin) as writers:
        writers.wait_for(30)
        for member in range(3):
            replicas.kill(member)
        replicas.start_all()
        writers.wait_for(5)
    callers.leader()
    require_all_there_once(callers, writers)


def test_leader_that_stands_still_is_replaced_and_returns_as_follower(
    replicas: Replicas, callers: Callers
) -> None:
    leader = callers.leader()
    frozen = replicas.processes[leader].pid
    with Writers(callers.admin) as writers:
        writers.wait_for(10)
        os.kill(frozen, signal.SIGSTOP)
        try:
            others = [callers.of(member) for member in range(3) if member != leader]
            old = replicas.members[leader].id
            wait_for("another leader", lambda: status(others[0]).leader_id not in ("", old))
            make_template(others[1], "while-it-stood")
        finally:
            os.kill(frozen, signal.SIGCONT)
        writers.wait_for(10)
    assert callers.leader() != leader
    require_all_there_once(callers, writers)


def test_stopped_leader_hands_over_first(replicas: Replicas, callers: Callers) -> None:
    leader = callers.leader()
    before = status(callers.admin).term
    with Writers(callers.admin) as writers:
        writers.wait_for(10)
        assert replicas.stop(leader)
        writers.wait_for(10)
    log = replicas.processes[leader].log.read_text()
    assert "Traceback" not in log
    replicas.start(leader)
    callers.leader()
    assert status(callers.admin).term == before + 1
    require_all_there_once(callers, writers)


def test_without_a_majority_nothing_is_acknowledged_and_status_says_so(
    replicas: Replicas, callers: Callers
) -> None:
    survivor = callers.leader()
    for member in range(3):
        if member != survivor:
            replicas.kill(member)
    alone = callers.of(survivor)
    wait_for("no quorum", lambda: status(alone).verdict.startswith("no quorum: 1 of 3"))
    stale = template_pb2.ListTemplatesRequest(stale=True)
    assert list(alone.templates.ListTemplates(stale, timeout=ANSWER_S).templates) == []
    for member in range(3):
        if member != survivor:
            replicas.start(member)
    make_template(callers.admin, "after-all-are-back")


def test_leadership_is_handed_to_whom_the_admin_names(replicas: Replicas, callers: Callers) -> None:
    leader = callers.leader()
    target = replicas.members[(leader + 1) % 3].id
    # Asked of the third one: it passes the request on.
    asked = callers.of((leader + 2) % 3)
    answer = asked.clusters.TransferLeadership(
        cluster_pb2.TransferLeadershipRequest(target_id=target), timeout=ANSWER_S
    )
    assert answer.leader_id == target
    assert replicas.members[callers.leader()].id == target
