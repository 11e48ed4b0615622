"""RecordEvent: for what changed no object; strangers' texts are cleaned."""

from __future__ import annotations

from pathlib import Path

import pytest

from protos.v1.command_pb2 import RecordEvent
from tests.frontend.cloud import Cloud


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path)


def test_recorded_event_is_cleaned_and_cut(cloud: Cloud) -> None:
    op = RecordEvent(kind="security.refused", noun="security", detail="\x1b[2J" + "x" * 5000)
    cloud.run("replica/1", record_event=op)
    [event] = cloud.event_records()
    assert (event.kind, event.actor) == ("security.refused", "replica/1")
    assert event.detail == "?[2J" + "x" * 1020


def test_users_record_no_events(cloud: Cloud) -> None:
    op = RecordEvent(kind="vm.created", noun="vm")
    assert cloud.refused("user/ann", record_event=op).code == "permission_denied"


@pytest.mark.parametrize(("kind", "noun"), [("refused", "security"), ("", "x"), ("a.b", "")])
def test_event_without_kind_or_noun_is_refused(cloud: Cloud, kind: str, noun: str) -> None:
    op = RecordEvent(kind=kind, noun=noun)
    assert cloud.refused("system", record_event=op).code == "invalid_argument"
