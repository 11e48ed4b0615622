"""Imports that nobody will end are ended."""

from __future__ import annotations

from pathlib import Path

from frontend.leader.expiry import Expiry
from frontend.state import images
from protos.v1.image_pb2 import IMAGE_STATE_ERROR, IMAGE_STATE_LOCKED
from tests.frontend.leading import Scene, played

UNDER_WAY = {"sha256": "", "replica_id": "", "format": 0, "virtual_size_bytes": 0}


def test_import_without_an_end_fails_after_its_time(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> list[int]:
        times = iter((0.0, 99.0, 101.0, 300.0))
        expiry = Expiry(scene.replica, scene.proposals, import_max_s=100, clock=lambda: next(times))
        scene.cloud.image("lost", **UNDER_WAY)
        states = []
        for _ in range(4):
            await expiry.look()
            states.append(scene.cloud.get(images, 0).state)
        return states

    assert played(tmp_path, scenario) == [IMAGE_STATE_LOCKED] * 2 + [IMAGE_STATE_ERROR] * 2


def test_image_that_waits_for_its_second_copy_is_left_alone(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> int:
        times = iter((0.0, 500.0))
        expiry = Expiry(scene.replica, scene.proposals, import_max_s=100, clock=lambda: next(times))
        scene.cloud.image("half", copies_wanted=2)
        for _ in range(2):
            await expiry.look()
        return scene.cloud.get(images, 0).state

    assert played(tmp_path, scenario) == IMAGE_STATE_LOCKED
