"""What is fixed before the log."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from frontend.auth.callers import Caller
from frontend.errors import Rejected
from protos.identity import USER
from protos.v1.template_pb2 import CreateTemplateRequest, Template, UpdateTemplateRequest
from protos.v1.vm_pb2 import CreateVmRequest
from tests.frontend.leading import Scene, played

ANN = Caller(kind=USER, name="ann", actor="user/ann", expire_ms=2**62)
HUGE = Template(name="huge", vcpu=1, memory_mib=64, description="x" * 500_000)


NOW_MS = 1_800_000_000_000
MINUTE_MS = 60_000


def times(scene: Scene, monkeypatch: pytest.MonkeyPatch, *clock_ms: int) -> list[int]:
    """What is given as the time while the wall clock shows *clock_ms*."""
    found = []
    for now_ms in clock_ms:
        monkeypatch.setattr(time, "time_ns", lambda now_ms=now_ms: now_ms * 1_000_000)
        found.append(scene.mutations.now_ms() - NOW_MS)
    return found


def test_time_never_goes_back_when_the_clock_is_set_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(scene: Scene) -> list[int]:
        return times(scene, monkeypatch, NOW_MS, NOW_MS - MINUTE_MS, NOW_MS + 1)

    assert played(tmp_path, scenario) == [0, 0, 1]


def test_clock_that_jumped_ahead_and_back_leaves_no_trace_in_what_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(scene: Scene) -> list[int]:
        return times(scene, monkeypatch, NOW_MS, NOW_MS + 10**12, NOW_MS + 2, NOW_MS + 3)

    assert played(tmp_path, scenario) == [0, 10**12, 2, 3]
    assert "clock" in caplog.text


@pytest.mark.parametrize(("ahead_ms", "begins_ms"), [(MINUTE_MS, MINUTE_MS), (10**12, 0)])
def test_time_goes_on_from_the_newest_event_over_a_restart_unless_that_is_absurd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_ms: int, begins_ms: int
) -> None:
    async def before(scene: Scene) -> None:
        scene.cloud.now_ms = NOW_MS + ahead_ms
        scene.cloud.cluster()
        scene.cloud.env.close()

    async def after(scene: Scene) -> list[int]:
        return times(scene, monkeypatch, NOW_MS)

    played(tmp_path, before)
    assert played(tmp_path, after) == [begins_ms]


@pytest.mark.parametrize(
    ("op", "field"),
    [
        ({"create_template": CreateTemplateRequest(template=HUGE)}, "description"),
        ({"update_template": UpdateTemplateRequest(template=HUGE)}, "description"),
        ({"create_vm": CreateVmRequest(context={"A": "x" * 70_000})}, "context"),
        ({"create_vm": CreateVmRequest(ssh_public_keys=["x" * 9000])}, "ssh_public_keys[0]"),
        ({"create_vm": CreateVmRequest(labels={"a": "x" * 9000})}, "labels"),
        ({"create_vm": CreateVmRequest(name="x" * 9000)}, "name"),
    ],
)
def test_text_beyond_its_limit_does_not_come_into_the_log(
    tmp_path: Path, op: dict[str, object], field: str
) -> None:
    async def scenario(scene: Scene) -> None:
        with pytest.raises(Rejected) as caught:
            await scene.mutations.submit(ANN, "once", **op)
        assert (caught.value.code, caught.value.field) == ("invalid_argument", field)
        assert scene.cloud.index == 0

    played(tmp_path, scenario)
