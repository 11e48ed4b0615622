"""Tasks reach their hosts, whoever connects when."""

from __future__ import annotations

from pathlib import Path

from frontend.leader.dispatcher import Dispatcher
from protos.v1.agent_pb2 import TASK_KIND_PREPARE, TASK_KIND_START, Task
from tests.frontend.leading import Scene, beside, played, until

TERM = 5


def sent(scene: Scene) -> list[tuple[int, int]]:
    """(host, kind) of all that was sent."""
    return [(task.host_id, task.kind) for task in scene.hosts.sent]


def test_new_task_is_pushed_to_its_connected_host(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> list[Task]:
        scene.cloud.furnish()
        scene.hosts.connect(0)

        async def place() -> None:
            await until(lambda: not scene.hosts._arrivals.qsize())
            scene.cloud.place(scene.cloud.vm().id)
            scene.log.committed()
            await until(lambda: scene.hosts.sent)

        await beside(Dispatcher(scene.replica, scene.hosts).run(TERM), place())
        return scene.hosts.sent

    [task] = played(tmp_path, scenario)
    assert (task.kind, task.term, task.epoch, task.vm.id) == (TASK_KIND_PREPARE, TERM, 1, 0)


def test_host_that_connects_gets_what_waits_for_it_alone(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> list[tuple[int, int]]:
        scene.cloud.furnish(2)
        for host_id in (0, 0, 1):
            scene.cloud.place(scene.cloud.vm().id, host_id)
        scene.hosts.connect(0)
        await beside(
            Dispatcher(scene.replica, scene.hosts).run(TERM),
            until(lambda: len(scene.hosts.sent) == 2),
        )
        return sent(scene)

    assert played(tmp_path, scenario) == [(0, TASK_KIND_PREPARE)] * 2


def test_reported_task_is_not_sent_again_and_its_successor_is(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> list[tuple[int, int]]:
        scene.cloud.furnish()
        vm = scene.cloud.vm()
        scene.cloud.place(vm.id)
        scene.hosts.connect(0)

        async def report_and_return() -> None:
            await until(lambda: len(scene.hosts.sent) == 1)
            scene.cloud.report(vm.id)
            scene.log.committed()
            await until(lambda: len(scene.hosts.sent) == 2)
            scene.hosts.connect(0)
            await until(lambda: len(scene.hosts.sent) == 3)

        await beside(Dispatcher(scene.replica, scene.hosts).run(TERM), report_and_return())
        return sent(scene)

    assert [kind for _, kind in played(tmp_path, scenario)] == [
        TASK_KIND_PREPARE,
        TASK_KIND_START,
        TASK_KIND_START,
    ]


def test_next_leader_sends_what_the_last_one_did_not(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> list[int]:
        scene.cloud.furnish()
        scene.cloud.place(scene.cloud.vm().id)
        for term in (TERM, TERM + 1):
            scene.hosts.connect(0)
            count = len(scene.hosts.sent)
            await beside(
                Dispatcher(scene.replica, scene.hosts).run(term),
                until(lambda count=count: len(scene.hosts.sent) > count),
            )
        return [task.term for task in scene.hosts.sent]

    assert played(tmp_path, scenario) == [TERM, TERM + 1]
