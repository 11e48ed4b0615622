"""A host's session at moments that a real agent cannot bring about at will."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from frontend.api.agent import AgentService
from frontend.api.sessions import Sessions
from frontend.auth.callers import Caller
from frontend.config import init_cluster, load
from protos.identity import HOST
from protos.v1 import agent_pb2 as wire
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
        scene.cloud.report_guest(vm.id, "ON")
        assert scene.cloud.where(vm.id) == RUNNING
        stage.say(inventory=wire.Inventory())
        await until(lambda: scene.cloud.where(vm.id) == UNKNOWN)
        stage.said.put_nowait(None)
        await running

    played(tmp_path / "state", scenario)
