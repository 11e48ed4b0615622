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


def test_time_never_goes_back_when_the_clock_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(scene: Scene) -> list[int]:
        times = []
        for now_ms in (5_000_000_000_000, 4_000_000_000_000, 5_000_000_000_001):
            monkeypatch.setattr(time, "time_ns", lambda now_ms=now_ms: now_ms * 1_000_000)
            times.append(scene.mutations.now_ms())
        return times

    assert played(tmp_path, scenario) == [5_000_000_000_000, 5_000_000_000_000, 5_000_000_000_001]


def test_time_never_goes_back_over_a_restart(tmp_path: Path) -> None:
    future_ms = 9_000_000_000_000

    async def before(scene: Scene) -> None:
        scene.cloud.now_ms = future_ms
        scene.cloud.cluster()
        scene.cloud.env.close()

    async def after(scene: Scene) -> int:
        return scene.mutations.now_ms()

    played(tmp_path, before)
    assert played(tmp_path, after) == future_ms


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
