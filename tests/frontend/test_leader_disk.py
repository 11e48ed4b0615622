"""A leader without room for its log gives leadership to one that may have it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from frontend.leader.disk import FLOOR_BYTES, PAUSE_S, DiskWatch
from raft.interfaces import PeerStatus, Role, Status
from tests.frontend.leading import Scene, played


def asked(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, connected: dict[str, bool], took: bool
) -> list[str]:
    """Whom the engine, which has these peers, is asked to hand over to."""
    targets: list[str] = []
    peers = {
        name: PeerStatus(match=5, last_contact_s=0.1, connected=up)
        for name, up in connected.items()
    }

    def transfer(target: str, done: Callable[[bool, str], None]) -> None:
        targets.append(target)
        done(took, "" if took else "it is busy")

    monkeypatch.setattr(scene.log, "transfer", transfer)
    monkeypatch.setattr(scene.log, "status", lambda: Status(Role.LEADER, 1, "1", 5, 5, 5, peers))
    return targets


def rounds(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    free: int,
    times: list[float],
    connected: dict[str, bool],
    took: bool = True,
) -> list[str]:
    async def scenario(scene: Scene) -> list[str]:
        targets = asked(scene, monkeypatch, connected, took)
        now = [0.0]
        watch = DiskWatch(scene.replica, lambda: free, clock=lambda: now[-1])
        for moment in times:
            now.append(moment)
            await watch.look()
        return targets

    targets: list[str] = played(path, scenario)
    return targets


BOTH = {"2": True, "3": True}


def test_leader_with_room_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rounds(tmp_path, monkeypatch, FLOOR_BYTES, [0, 100], BOTH) == []


def test_leader_without_room_asks_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rounds(tmp_path, monkeypatch, FLOOR_BYTES - 1, [0, 1, 2], BOTH) == ["2"]


def test_each_of_the_others_has_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = [0, PAUSE_S, 2 * PAUSE_S]
    assert rounds(tmp_path, monkeypatch, 0, times, BOTH, took=False) == ["2", "3", "2"]


def test_replica_that_is_away_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert rounds(tmp_path, monkeypatch, 0, [0], {"2": False, "3": True}) == ["3"]
    assert rounds(tmp_path / "b", monkeypatch, 0, [0], {"2": False}) == []
