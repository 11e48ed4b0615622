"""VMs that wait get a host as soon as there is one."""

from __future__ import annotations

from pathlib import Path

from frontend.leader.placement import PlacementLoop
from frontend.state import hosts, vms
from tests.frontend.leading import Scene, beside, played, until


def placed(scene: Scene, vm_id: int) -> bool:
    return bool(scene.cloud.get(vms, vm_id).HasField("host_id"))


def test_waiting_vms_are_spread_over_the_hosts(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> list[int]:
        scene.cloud.furnish(2)
        made = [scene.cloud.vm().id for _ in range(4)]
        await beside(
            PlacementLoop(scene.replica, scene.proposals).run(1),
            until(lambda: all(placed(scene, vm_id) for vm_id in made)),
        )
        return [scene.cloud.get(hosts, host_id).vcpu_used for host_id in (0, 1)]

    assert played(tmp_path, scenario) == [2, 2]


def test_vm_that_fits_nowhere_is_told_why_once_and_placed_when_a_host_comes(
    tmp_path: Path,
) -> None:
    async def scenario(scene: Scene) -> tuple[str, int]:
        scene.cloud.furnish(0)
        vm_id = scene.cloud.vm().id

        async def wait_then_add() -> tuple[str, int]:
            await until(lambda: scene.cloud.get(vms, vm_id).error)
            why, index = scene.cloud.get(vms, vm_id).error, scene.cloud.index
            for _ in range(20):
                scene.log.committed()
                await until(lambda: True)
            repeated = scene.cloud.index - index
            scene.cloud.host("late")
            scene.log.committed()
            await until(lambda: placed(scene, vm_id))
            return why, repeated

        return await beside(PlacementLoop(scene.replica, scene.proposals).run(1), wait_then_add())

    why, repeated = played(tmp_path, scenario)
    assert why == "cluster 0 has no hosts"
    assert repeated == 0


def test_placement_goes_on_after_the_log_was_away(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        scene.cloud.furnish()
        vm_id = scene.cloud.vm().id
        scene.log.down = True

        async def come_back() -> None:
            await until(lambda: scene.replica._flying)
            scene.log.down = False
            await until(lambda: placed(scene, vm_id))

        await beside(PlacementLoop(scene.replica, scene.proposals).run(1), come_back())

    played(tmp_path, scenario)
