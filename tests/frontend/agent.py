"""An agent that does as it is told, played by the test over a real session."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Self

from frontend.auth.certificates import create_request
from protos.channel import Credentials
from protos.v1 import agent_pb2 as wire
from protos.v1 import token_pb2
from protos.v1.host_pb2 import HostCapacity
from tests.frontend.front_end import DEADLINE_S, FrontEnd, Stubs

CAPACITY = HostCapacity(vcpu=8, memory_mib=8192, hypervisor="fake")


def join_token(front_end: FrontEnd, cluster_id: int) -> str:
    made = front_end.admin.tokens.CreateToken(
        token_pb2.CreateTokenRequest(kind=token_pb2.TOKEN_KIND_JOIN, cluster_id=cluster_id)
    )
    return str(made.secret)


def enroll(
    front_end: FrontEnd, token: str, name: str = "", csr: bytes = b""
) -> tuple[wire.EnrollResponse, bytes]:
    """The answer and the key's PEM. On the token port, as an agent without identity must."""
    key = b""
    if not csr:
        csr, key = create_request(name or "host")
    nobody = front_end.open(front_end.config.me.token, Credentials(ca_pem=front_end.ca_pem))
    answer: wire.EnrollResponse = nobody.agents.Enroll(
        wire.EnrollRequest(token=token, csr_pem=csr.decode(), name=name), timeout=DEADLINE_S
    )
    return answer, key


class Agent:
    """One session. A context manager."""

    def __init__(self, stubs: Stubs, host_id: int) -> None:
        self._stubs, self.host_id = stubs, host_id
        self._out: queue.SimpleQueue[wire.SessionRequest | None] = queue.SimpleQueue()
        self._kept: list[wire.SessionResponse] = []

    @classmethod
    def of(cls, front_end: FrontEnd, enrolled: wire.EnrollResponse, key: bytes) -> Agent:
        credentials = Credentials(
            ca_pem=front_end.ca_pem,
            certificate_pem=enrolled.certificate_pem.encode(),
            key_pem=key,
        )
        return cls(front_end.open(front_end.config.me.api, credentials), enrolled.host_id)

    def __enter__(self) -> Self:
        self.say(hello=wire.Hello(agent_version="test", capacity=CAPACITY))
        self._call = self._stubs.agents.Session(iter(self._out.get, None))
        return self

    def __exit__(self, *_: object) -> None:
        self._out.put(None)
        self._call.cancel()

    def say(self, **message: object) -> None:
        self._out.put(wire.SessionRequest(**message))  # type: ignore[arg-type]

    def heard(self) -> Iterator[wire.SessionResponse]:
        yield from self._call

    def next(self, kind: str) -> wire.SessionResponse:
        """The next message of this kind; others are kept for later."""
        for message in self._kept:
            if message.WhichOneof("message") == kind:
                self._kept.remove(message)
                return message
        for message in self._call:
            if message.WhichOneof("message") == kind:
                return message
            self._kept.append(message)
        raise AssertionError(f"the session ended before a {kind}")

    def report_inventory(self, *guests: wire.Guest) -> None:
        self.say(inventory=wire.Inventory(guests=guests, capacity=CAPACITY))

    def do(self, task: wire.Task, *, ok: bool = True, detail: str = "") -> None:
        """Reports *task* done and waits until that is acknowledged."""
        report = wire.TaskReport(
            task_id=task.id, ok=ok, detail=detail, vm_id=task.vm_id, epoch=task.epoch
        )
        self.say(report=report)
        acknowledged = self.next("report_ack").report_ack
        assert acknowledged.task_id == task.id
