"""Replicas' transports on loopback for tests: real sockets and certificates, and a clock that the
test moves. Only waiting for the kernel takes real time."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pysyncobj.poller import createPoller

from frontend.auth.certificates import Issued, create_authority
from protos.v1.raft_pb2 import AppendEntries, KeepAlive, LogEntry, RaftFrame, RequestVote
from raft.admission import TlsFiles
from raft.transport import TlsTransport, TransportSettings

CLUSTER = "0123456789abcdef0123456789abcdef"
OTHER_CLUSTER = "f" * 32
HELLO = RaftFrame(cluster_id=CLUSTER, keep_alive=KeepAlive())


def vote(index: int, incarnation: int = 0) -> RaftFrame:
    return RaftFrame(incarnation=incarnation, request_vote=RequestVote(last_index=index))


def entries(size: int) -> RaftFrame:
    return RaftFrame(append_entries=AppendEntries(entries=[LogEntry(data=b"x" * size)]))


class Replica:
    """A transport with a poller of its own, and notes of what it reported."""

    def __init__(
        self,
        net: Net,
        me: str,
        peers: dict[str, str],
        issued: Issued,
        settings: TransportSettings,
        incarnation: int,
        listen: str,
    ) -> None:
        self.net = net
        self.frames: list[tuple[str, RaftFrame]] = []
        self.changes: list[str] = []
        self.refused: list[str] = []
        self.poller = createPoller("poll")
        self.transport = TlsTransport(
            me,
            listen,
            peers,
            net.files(issued),
            CLUSTER,
            self.poller,
            self.refused.append,
            settings=settings,
            incarnation=incarnation,
        )
        self.address = f"127.0.0.1:{self.transport.port}"
        self.transport.set_handler(
            lambda peer, frame: self.frames.append((peer, frame)),
            lambda peer: self.changes.append(f"up {peer}"),
            lambda peer: self.changes.append(f"down {peer}"),
        )
        self.transport.tick(net.now)

    @property
    def indexes(self) -> list[int]:
        return [frame.request_vote.last_index for _, frame in self.frames]

    def turn(self) -> None:
        self.transport.tick(self.net.now)
        self.poller.poll(0.001)


class Net:
    """The replicas of a test, on one clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, _ = create_authority(CLUSTER)
        self.replicas: list[Replica] = []
        self.raws: list[socket.socket] = []
        self.now = 1000.0

    def issue(self, replica_id: str = "2") -> Issued:
        return self.authority.issue_replica(replica_id, ["127.0.0.1"])

    def files(self, issued: Issued) -> TlsFiles:
        made = self.folder / f"tls-{len(list(self.folder.iterdir()))}"
        made.mkdir()
        tls = TlsFiles(made / "ca.crt", made / "replica.crt", made / "replica.key")
        tls.ca.write_bytes(self.authority.certificate_pem)
        tls.certificate.write_bytes(issued.certificate_pem)
        tls.key.write_bytes(issued.key_pem)
        return tls

    def add(
        self,
        me: str,
        peers: dict[str, str],
        *,
        issued: Issued | None = None,
        settings: TransportSettings | None = None,
        incarnation: int = 0,
        listen: str = "127.0.0.1:0",
    ) -> Replica:
        replica = Replica(
            self,
            me,
            peers,
            issued or self.issue(me),
            settings or TransportSettings(),
            incarnation,
            listen,
        )
        self.replicas.append(replica)
        return replica

    def pair(self, settings: TransportSettings | None = None) -> tuple[Replica, Replica]:
        """Replicas 1 (listens) and 2 (dials), connected."""
        one = self.add("1", {"2": "127.0.0.1:1"}, settings=settings)
        two = self.add("2", {"1": one.address}, settings=settings)
        self.until(lambda: one.transport.connected("2") and two.transport.connected("1"))
        return one, two

    def until(self, condition: Callable[[], object], *only: Replica) -> None:
        """Turns *only* these replicas (all, if none is named) until it holds."""
        give_up = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < give_up, "what was waited for did not come"
            for replica in only or self.replicas:
                replica.turn()

    def let_pass(self, seconds: float, *only: Replica) -> None:
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            for replica in only or self.replicas:
                replica.turn()

    def raw(self, replica: Replica, issued: Issued | None) -> ssl.SSLSocket:
        """A TLS client of *replica*, as far as the handshake comes."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if issued is not None:
            tls = self.files(issued)
            context.load_cert_chain(tls.certificate, tls.key)
        plain = socket.create_connection(("127.0.0.1", replica.transport.port), timeout=20)
        plain.setblocking(False)
        client = context.wrap_socket(plain, do_handshake_on_connect=False)
        self.raws.append(client)
        self.step(client.do_handshake)
        return client

    def step(self, act: Callable[[], object]) -> object:
        """Repeats a non-blocking call on a raw socket until it gets somewhere."""
        give_up = time.monotonic() + 20
        while True:
            try:
                return act()
            except (ssl.SSLWantReadError, BlockingIOError):
                assert time.monotonic() < give_up, "no answer"
                for replica in self.replicas:
                    replica.turn()

    def say(self, client: ssl.SSLSocket, frame: RaftFrame) -> None:
        data = frame.SerializeToString()
        self.step(lambda: client.send(len(data).to_bytes(4, "big") + data))

    def is_cut(self, client: socket.socket) -> bool:
        """Reads until the other side ends the connection."""
        with suppress(ConnectionError, ssl.SSLError):
            while self.step(lambda: client.recv(65536)):
                pass
        return True

    def close(self) -> None:
        for replica in self.replicas:
            replica.transport.destroy()
        for sock in self.raws:
            sock.close()
