"""Silent hosts are given up after their time, and only then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from frontend.commands.capacity import state_name
from frontend.leader.liveness import SILENCE_MAX_S, Liveness
from frontend.state import hosts, vms
from protos.v1.vm_pb2 import LCM_STATE_UNKNOWN
from tests.frontend.leading import Scene, played


class Time:
    """A monotonic clock that the test moves. Looks are taken every two seconds, as in life."""

    def __init__(self) -> None:
        self.now = 1000.0

    async def pass_(self, liveness: Liveness, seconds: float) -> None:
        for _ in range(int(seconds / 2)):
            self.now += 2
            await liveness.look()


def watched(path: Path, scenario: Callable[[Scene, Liveness, Time], Awaitable[Any]]) -> Any:
    async def run(scene: Scene) -> Any:
        time = Time()
        liveness = Liveness(scene.replica, scene.hosts, scene.proposals, clock=lambda: time.now)
        scene.cloud.furnish()
        return await scenario(scene, liveness, time)

    return played(path, run)


def state(scene: Scene) -> str:
    return state_name(scene.cloud.get(hosts, 0))


def test_silent_host_is_in_error_and_its_vms_are_unknown(tmp_path: Path) -> None:
    async def scenario(scene: Scene, liveness: Liveness, time: Time) -> None:
        vm = scene.cloud.running_vm()
        await time.pass_(liveness, SILENCE_MAX_S + 2)
        assert state(scene) == "ERROR"
        assert scene.cloud.get(vms, vm.id).lcm_state == LCM_STATE_UNKNOWN

    watched(tmp_path, scenario)


def test_host_that_is_heard_stays_monitored(tmp_path: Path) -> None:
    async def scenario(scene: Scene, liveness: Liveness, time: Time) -> None:
        scene.hosts.connect(0)
        for _ in range(30):
            scene.hosts.heard_at[0] = time.now
            await time.pass_(liveness, 4)
        assert state(scene) == "MONITORED"

    watched(tmp_path, scenario)


def test_new_leader_gives_every_host_the_full_time(tmp_path: Path) -> None:
    async def scenario(scene: Scene, liveness: Liveness, time: Time) -> None:
        await time.pass_(liveness, SILENCE_MAX_S - 2)
        next_leader = Liveness(scene.replica, scene.hosts, scene.proposals, clock=lambda: time.now)
        await time.pass_(next_leader, SILENCE_MAX_S - 2)
        assert state(scene) == "MONITORED"

    watched(tmp_path, scenario)


def test_leader_that_stood_still_does_not_blame_the_hosts(tmp_path: Path) -> None:
    async def scenario(scene: Scene, liveness: Liveness, time: Time) -> None:
        await time.pass_(liveness, 4)
        time.now += 3600
        await liveness.look()
        assert state(scene) == "MONITORED"

    watched(tmp_path, scenario)


def test_host_that_is_heard_again_says_what_it_runs(tmp_path: Path) -> None:
    async def scenario(scene: Scene, liveness: Liveness, time: Time) -> None:
        await time.pass_(liveness, SILENCE_MAX_S + 2)
        scene.hosts.connect(0)
        scene.hosts.heard_at[0] = time.now
        await time.pass_(liveness, 2)
        assert scene.hosts.again == [0]

    watched(tmp_path, scenario)


def test_host_that_was_never_seen_is_not_missed(tmp_path: Path) -> None:
    async def scenario(scene: Scene, liveness: Liveness, time: Time) -> None:
        scene.cloud.join_token(0, "token new")
        scene.cloud.run("system", enroll_host=scene.cloud.enrolment("new"))
        await time.pass_(liveness, 2 * SILENCE_MAX_S)
        assert scene.cloud.get(hosts, 1).error == ""

    watched(tmp_path, scenario)


def test_session_of_a_deleted_host_is_ended(tmp_path: Path) -> None:
    async def scenario(scene: Scene, liveness: Liveness, time: Time) -> None:
        scene.hosts.connect(77)
        await time.pass_(liveness, 2)
        assert scene.hosts.dropped == [77]

    watched(tmp_path, scenario)


def test_disabled_host_that_falls_silent_stays_disabled_and_says_so(tmp_path: Path) -> None:
    async def scenario(scene: Scene, liveness: Liveness, time: Time) -> None:
        from protos.v1.host_pb2 import HOST_STATE_DISABLED

        scene.cloud.update("host", ["state"], "user/root", id=0, state=HOST_STATE_DISABLED)
        await time.pass_(liveness, SILENCE_MAX_S + 2)
        index = scene.cloud.index
        await time.pass_(liveness, SILENCE_MAX_S)
        assert state(scene) == "DISABLED"
        assert "nothing heard" in scene.cloud.get(hosts, 0).error
        assert scene.cloud.index == index

    watched(tmp_path, scenario)
