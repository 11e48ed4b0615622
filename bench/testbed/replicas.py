"""Three real replicas in processes of their own, on loopback or any address of this machine."""

from __future__ import annotations

import errno
import random
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc

from bench.testbed.process import Process, ProcessId
from frontend.config import ReplicaAddresses, init_cluster
from protos.channel import Credentials, open_channel
from protos.v1.cluster_pb2 import GetStatusRequest, GetStatusResponse, ReplicaRole
from protos.v1.cluster_pb2_grpc import ClusterServiceStub

READY_DEADLINE_S = 60.0
"""Three Python processes on a busy machine; an election itself takes well under a second."""

_POLL_S = 0.02
_PORTS = range(20_000, 32_000)


class ReplicaFailed(Exception):
    """A replica ended or never got ready; the text ends with the last lines of its log."""


class Replicas:
    """
    A front-end in *directory*/front-end. Used as a context manager it starts all replicas and
    waits for a leader; leaving it kills what still runs. Members are counted from 0.
    """

    def __init__(
        self,
        directory: Path,
        *,
        count: int = 3,
        host: str = "127.0.0.1",
        note: Callable[[ProcessId], None] | None = None,
    ) -> None:
        self.directory = directory.absolute() / "front-end"
        ports = iter(free_ports(3 * count, host))
        self.members = [
            ReplicaAddresses(
                id=str(number),
                raft=f"{host}:{next(ports)}",
                api=f"{host}:{next(ports)}",
                token=f"{host}:{next(ports)}",
            )
            for number in range(1, count + 1)
        ]
        self.cluster_id = init_cluster(self.directory, self.members)
        self.processes = [
            Process(
                f"replica {member.id}",
                [sys.executable, "-m", "frontend.main", "--config", str(folder / "replica.toml")],
                folder / "log",
                note=note,
            )
            for member, folder in ((m, self.directory / f"replica-{m.id}") for m in self.members)
        ]

    @property
    def addresses(self) -> list[str]:
        """The api ports, for certificates."""
        return [member.api for member in self.members]

    @property
    def token_addresses(self) -> list[str]:
        """For join tokens and bearer tokens."""
        return [member.token for member in self.members]

    @property
    def ca(self) -> Path:
        return self.directory / "ca" / "ca.crt"

    @property
    def contexts(self) -> Path:
        """The CLI's configuration, for SKYRAFT_CONFIG."""
        return self.directory / "admin" / "config.toml"

    @property
    def credentials(self) -> Credentials:
        """The first admin's."""
        admin = self.directory / "admin"
        return Credentials.load(
            ca=self.ca, certificate=admin / "admin.crt", key=admin / "admin.key"
        )

    def certificate(self, member: int) -> Path:
        return self._folder(member) / "replica.crt"

    def key(self, member: int) -> Path:
        return self._folder(member) / "replica.key"

    def _folder(self, member: int) -> Path:
        return self.directory / f"replica-{self.members[member].id}"

    def start(self, member: int) -> None:
        """Returns at once; wait_until_ready() or status() tell when it serves."""
        self.processes[member].start()

    def start_all(self) -> None:
        for member in range(len(self.members)):
            self.start(member)

    def kill(self, member: int) -> None:
        """kill -9. Its directory stays, start() goes on from there."""
        self.processes[member].kill()

    def stop(self, member: int) -> bool:
        """SIGTERM; True if it ended by itself in time."""
        return self.processes[member].stop()

    def status(self, member: int, timeout_s: float = 1.0) -> GetStatusResponse | None:
        """How that replica sees the front-end; None when it does not answer."""
        with open_channel([self.members[member].api], self.credentials) as channel:
            try:
                answer: GetStatusResponse = ClusterServiceStub(channel).GetStatus(
                    GetStatusRequest(), timeout=timeout_s
                )
            except grpc.RpcError:
                return None
            return answer

    def wait_until_ready(self, deadline_s: float = READY_DEADLINE_S) -> int:
        """
        The leader's member number, once all running replicas name the same one.

        Raises ReplicaFailed when one that was started has ended, or when time is up.
        """
        end = time.monotonic() + deadline_s
        while True:
            running = [n for n, process in enumerate(self.processes) if process.running]
            for process in self.processes:
                if not process.running and process.log.exists() and len(running) < 2:
                    raise ReplicaFailed(f"{process.name} has ended:\n{process.log_tail()}")
            leader = _agreed_leader([self.status(member) for member in running])
            if leader is not None:
                return next(n for n, member in enumerate(self.members) if member.id == leader)
            if time.monotonic() > end:
                tails = "\n".join(process.log_tail(3) for process in self.processes)
                raise ReplicaFailed(f"no leader within {deadline_s:.0f} s:\n{tails}")
            time.sleep(_POLL_S)

    def __enter__(self) -> Replicas:
        try:
            self.start_all()
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kills what still runs; the directory stays."""
        for process in self.processes:
            process.kill()


def _agreed_leader(seen: Sequence[GetStatusResponse | None]) -> str | None:
    """Its id, if all name the same one and it says so itself: followers may be behind."""
    known = [status for status in seen if status is not None]
    leading = {s.replica_id for s in known if s.role == ReplicaRole.REPLICA_ROLE_LEADER}
    agreed = {status.leader_id for status in known} == leading
    return leading.pop() if agreed and len(leading) == 1 and len(known) == len(seen) else None


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """
    Ports that nobody listens on. All are held until the last is found, so no two are the same.

    They are below the range from which the kernel takes ports for outgoing connections: such a
    connection could otherwise take a replica's port while the replica is down.
    """
    sockets: list[socket.socket] = []
    candidates = random.sample(_PORTS, len(_PORTS))
    while len(sockets) < count:
        try:
            sockets.append(socket.create_server((host, candidates.pop())))
        except OSError as err:
            if err.errno != errno.EADDRINUSE:
                raise
    ports = [int(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
