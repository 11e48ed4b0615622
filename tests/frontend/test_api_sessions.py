"""A host's session at moments that a real agent cannot bring about at will."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontend.api.agent import AgentService
from frontend.api.sessions import Sessions
from frontend.auth.callers import Caller
from frontend.config import init_cluster, load
from frontend.errors import Unavailable
from protos.identity import HOST
from protos.v1 import agent_pb2 as wire
from protos.v1.command_pb2 import RecordEvent
from raft.interfaces import Role
from tests.frontend.cloud import sha
from tests.frontend.front_end import addresses
from tests.frontend.leading import Scene, played, until

RUNNING, UNKNOWN = "ACTIVE/RUNNING", "ACTIVE/UNKNOWN"
HELLO = wire.SessionRequest(hello=wire.Hello(agent_version="1"))


class Stage:
    """One enrolled host, and the service that its agent calls."""

    def __init__(self, scene: Scene, path: Path) -> None:
        self.scene = scene
        scene.cloud.furnish()
        init_cluster(path / "cloud", addresses(["1"]))
        config = load(path / "cloud" / "replica-1" / "replica.toml")
        self.sessions = Sessions(scene.replica)
        self.refused: list[str] = []
        self.service = AgentService(
            scene.replica, scene.mutations, self.sessions, config, self.refused.append
        )
        self.caller = Caller(
            kind=HOST,
            name="0",
            actor="host/0",
            expire_ms=1 << 62,
            certificate_sha256=sha("certificate h0"),
        )
        self.sent: list[wire.SessionResponse] = []
        self.said: asyncio.Queue[wire.SessionRequest | None] = asyncio.Queue()

    async def session(self) -> None:
        await self.service.session(self.caller, self._requests(), self._send)

    async def _requests(self) -> AsyncIterator[wire.SessionRequest]:
        while (request := await self.said.get()) is not None:
            yield request

    async def _send(self, message: wire.SessionResponse) -> None:
        self.sent.append(message)

    def say(self, **message: object) -> None:
        self.said.put_nowait(wire.SessionRequest(**message))  # type: ignore[arg-type]

    def kinds(self) -> list[str]:
        return [str(message.WhichOneof("message")) for message in self.sent]


def test_host_that_says_hello_to_a_leader_that_was_just_deposed_is_sent_away(
    tmp_path: Path,
) -> None:
    async def scenario(scene: Scene) -> None:
        stage = Stage(scene, tmp_path)
        stage.sessions.open(1)
        running = asyncio.ensure_future(stage.session())
        # The stream waits for hello at term 1.
        await asyncio.sleep(0)
        scene.log.turn(Role.FOLLOWER, 2)
        stage.sessions.close()
        stage.said.put_nowait(HELLO)
        async with asyncio.timeout(5):
            await running
        assert stage.kinds() == ["not_leader"]
        assert stage.sessions.connected() == []

    played(tmp_path / "state", scenario)


def test_inventory_is_decided_though_it_is_equal_to_the_last_one(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        stage = Stage(scene, tmp_path)
        vm = scene.cloud.running_vm()
        stage.sessions.open(1)
        running = asyncio.ensure_future(stage.session())
        stage.said.put_nowait(HELLO)
        stage.say(inventory=wire.Inventory())
        await until(lambda: scene.cloud.where(vm.id) == UNKNOWN)
        scene.cloud.report_guest(vm.id, "ON", session=1 << 32 | 1)
        assert scene.cloud.where(vm.id) == RUNNING
        stage.say(inventory=wire.Inventory())
        await until(lambda: scene.cloud.where(vm.id) == UNKNOWN)
        stage.said.put_nowait(None)
        await running

    played(tmp_path / "state", scenario)


def test_report_is_not_overtaken_by_what_the_agent_said_before_it(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        stage = Stage(scene, tmp_path)
        vm = scene.cloud.vm()
        scene.cloud.place(vm.id)
        scene.cloud.report(vm.id)
        [start] = scene.cloud.waiting()
        stage.sessions.open(1)
        running = asyncio.ensure_future(stage.session())
        stage.said.put_nowait(HELLO)
        await until(lambda: stage.kinds() == ["welcome"])
        # The inventory, from before the start, is not accepted at its first try.
        scene.log.down = True
        stage.say(inventory=wire.Inventory())
        await until(lambda: scene.log.refused)
        scene.log.down = False
        stage.say(report=wire.TaskReport(task_id=start.id, ok=True, vm_id=vm.id, epoch=1))
        await until(lambda: stage.kinds() == ["welcome", "report_ack"])
        await until(lambda: [event for event in scene.cloud.events() if "host.reported" in event])
        assert scene.cloud.where(vm.id) == RUNNING
        stage.said.put_nowait(None)
        await running

    played(tmp_path / "state", scenario)


def test_what_an_ended_session_said_is_not_proposed_any_more(tmp_path: Path) -> None:
    async def scenario(scene: Scene) -> None:
        stage = Stage(scene, tmp_path)
        stage.sessions.open(1)
        running = asyncio.ensure_future(stage.session())
        stage.said.put_nowait(HELLO)
        await until(lambda: stage.kinds() == ["welcome"])
        scene.log.down = True
        stage.say(inventory=wire.Inventory())
        await until(lambda: scene.log.refused)
        stage.said.put_nowait(None)
        await running
        scene.log.refused.clear()
        # Tried for as long as the session's could still have been.
        event = RecordEvent(kind="security.refused", noun="security")
        with pytest.raises(Unavailable):
            await scene.mutations.internal("system", record_event=event)
        assert len(set(scene.log.refused)) == 1

    played(tmp_path / "state", scenario)
