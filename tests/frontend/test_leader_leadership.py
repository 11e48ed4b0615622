"""What runs on the leader runs there only, and never half."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from frontend.leader.leadership import Leadership
from raft.interfaces import Role
from tests.frontend.leading import Scene, beside, played, until


class Recorder:
    """A component that writes down its terms."""

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.running = 0

    async def run(self, term: int) -> None:
        self.ran.append(term)
        self.running += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.running -= 1


class Broken:
    async def run(self, term: int) -> None:
        raise ZeroDivisionError


def test_components_follow_the_role(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> tuple[list[int], list[int], int]:
        one, other = Recorder(), Recorder()
        leadership = Leadership(scene.replica, scene.hosts, [one, other])

        async def turns() -> None:
            scene.log.turn(Role.LEADER, 3)
            await until(lambda: one.running and other.running)
            scene.log.turn(Role.FOLLOWER, 4)
            await until(lambda: not one.running and not other.running)
            scene.log.turn(Role.LEADER, 6)
            await until(lambda: one.running)

        await beside(leadership.run(), turns())
        await until(lambda: not one.running)
        return one.ran, scene.hosts.terms, other.running

    ran, terms, left = played(tmp_path, scenario)
    assert ran == [3, 6]
    assert terms == [3, 0, 6, 0]
    assert left == 0


def test_leads_again_when_the_term_changes_between_two_looks(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> list[int]:
        recorder = Recorder()
        leadership = Leadership(scene.replica, scene.hosts, [recorder])

        async def turns() -> None:
            scene.log.turn(Role.LEADER, 3)
            await until(lambda: recorder.running)
            scene.log.turn(Role.FOLLOWER, 4)
            scene.log.turn(Role.LEADER, 5)
            await until(lambda: recorder.ran == [3, 5])

        await beside(leadership.run(), turns())
        return recorder.ran

    assert played(tmp_path, scenario) == [3, 5]


def test_does_not_lead_before_it_has_what_earlier_leaders_committed(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> list[int]:
        recorder = Recorder()
        leadership = Leadership(scene.replica, scene.hosts, [recorder])
        scene.log.down = True

        async def turns() -> None:
            scene.log.turn(Role.LEADER, 3)
            await until(lambda: scene.replica._flying)
            assert recorder.ran == []
            scene.log.down = False
            await until(lambda: recorder.running)

        await beside(leadership.run(), turns())
        return recorder.ran

    assert played(tmp_path, scenario) == [3]


def test_failing_component_is_never_silent(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        leadership = Leadership(scene.replica, scene.hosts, [Recorder(), Broken()])

        async def lead() -> None:
            scene.log.turn(Role.LEADER, 3)
            await asyncio.Event().wait()

        await beside(leadership.run(), lead())

    with pytest.raises(ExceptionGroup) as failed:
        played(tmp_path, scenario)
    assert failed.group_contains(ZeroDivisionError)
