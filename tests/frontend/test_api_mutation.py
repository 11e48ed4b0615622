"""What is fixed before the log."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.frontend.leading import Scene, played


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
