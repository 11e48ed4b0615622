"""Promises of raft/transport.py, with real sockets and certificates on loopback. Time is what the
test says it is; only waiting for the kernel takes any."""

from __future__ import annotations

import datetime as dt
import os
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pysyncobj.poller import createPoller

from frontend.auth.certificates import Authority, Issued, create_authority
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


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    made = Net(tmp_path)
    yield made
    for replica in made.replicas:
        replica.transport.destroy()
    for sock in made.raws:
        sock.close()


# Frames


def test_frames_pass_both_ways_under_the_name_in_the_certificate(net: Net) -> None:
    one, two = net.pair()
    assert one.transport.send("2", vote(7))
    assert two.transport.send("1", vote(8))
    net.until(lambda: one.frames and two.frames)
    assert one.frames == [("2", vote(8))]
    assert two.frames == [("1", vote(7))]
    assert one.changes == ["up 2"]
    assert two.changes == ["up 1"]


def test_many_frames_of_all_sizes_keep_their_order(net: Net) -> None:
    one, two = net.pair()
    sizes = [0, 1, 16_300, 16_384, 65_536, 5_000_000, 3] * 4 + [10] * 3000
    for size in sizes:
        assert one.transport.send("2", entries(size))
    net.until(lambda: len(two.frames) == len(sizes))
    assert [len(frame.append_entries.entries[0].data) for _, frame in two.frames] == sizes


def test_frame_of_nearly_the_limit_passes(net: Net) -> None:
    one, two = net.pair()
    assert one.transport.send("2", entries((64 << 20) - 100))
    net.until(lambda: two.frames)
    assert not one.transport.send("3", vote(1))
    with pytest.raises(ValueError, match="too long"):
        one.transport.send("2", entries(64 << 20))


def test_three_replicas_link_up_pairwise(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1", "3": "127.0.0.1:1"})
    two = net.add("2", {"1": one.address, "3": "127.0.0.1:1"})
    three = net.add("3", {"1": one.address, "2": two.address})
    net.until(lambda: all(len(replica.changes) == 2 for replica in net.replicas))
    assert sorted(three.changes) == ["up 1", "up 2"]
    net.let_pass(3)
    assert [len(replica.changes) for replica in net.replicas] == [2, 2, 2]


# Who is refused


def test_certificate_of_another_ca_is_refused_by_the_listener(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    other, _ = create_authority(CLUSTER)
    client = net.raw(one, other.issue_replica("2", ["127.0.0.1"]))
    assert net.is_cut(client)
    assert len(one.refused) == 1
    assert one.refused[0].startswith("127.0.0.1 on the raft port: its certificate is not valid")
    assert one.changes == []


def test_certificate_of_another_ca_is_refused_by_the_dialler(net: Net, tmp_path: Path) -> None:
    (tmp_path / "stranger").mkdir()
    stranger = Net(tmp_path / "stranger").add("1", {"2": "127.0.0.1:1"})
    net.replicas.append(stranger)
    two = net.add("2", {"1": stranger.address})
    net.until(lambda: two.refused)
    assert "replica 1 at" in two.refused[0]
    assert "its certificate is not valid here" in two.refused[0]
    assert two.changes == stranger.changes == []


def expired(authority: Authority) -> Issued:
    return authority.issue_replica("2", ["127.0.0.1"], lifetime=dt.timedelta(seconds=-1))


def of_other_cluster(authority: Authority) -> Issued:
    authority.cluster_id = OTHER_CLUSTER
    return authority.issue_replica("2", ["127.0.0.1"])


IMPOSTORS: dict[str, tuple[Callable[[Authority], Issued | None], str]] = {
    "expired": (expired, "certificate has expired"),
    "other cluster": (of_other_cluster, f"of another front-end, {OTHER_CLUSTER}"),
    "user": (lambda authority: authority.issue_user("ann"), "is of user/ann, not of a replica"),
    "host": (lambda authority: authority.issue_host(3), "is of host/3, not of a replica"),
    "not a peer": (
        lambda authority: authority.issue_replica("9", ["127.0.0.1"]),
        "is of replica 9, which is not our peer",
    ),
    "none": (lambda _: None, "did not return a certificate"),
}


@pytest.mark.parametrize("impostor", IMPOSTORS)
def test_impostor_is_refused_and_reported(net: Net, impostor: str) -> None:
    issue, why = IMPOSTORS[impostor]
    one = net.add("1", {"2": "127.0.0.1:1"})
    client = net.raw(one, issue(net.authority))
    with suppress(OSError):  # cut while it speaks
        net.say(client, HELLO)
        net.say(client, vote(1))
    assert net.is_cut(client)
    assert [why in detail for detail in one.refused] == [True], one.refused
    assert (one.changes, one.frames) == ([], [])


def test_replica_that_answers_at_anothers_address_is_refused(net: Net) -> None:
    impostor = net.add("1", {"3": "127.0.0.1:1"}, issued=net.issue("2"))
    three = net.add("3", {"1": impostor.address, "2": "127.0.0.1:1"})
    net.until(lambda: three.refused)
    assert three.refused[0].endswith("its certificate is of replica 2")
    assert three.changes == []


def test_replica_that_dials_in_the_wrong_direction_is_refused(net: Net) -> None:
    """Else two links of one pair could replace each other for ever."""
    two = net.add("2", {"1": "127.0.0.1:1"})
    assert net.is_cut(net.raw(two, net.issue("1")))
    assert two.refused[0].endswith("which we dial ourselves")


def test_same_refusal_is_reported_once_a_minute(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    for _ in range(3):
        assert net.is_cut(net.raw(one, net.authority.issue_user("ann")))
    assert len(one.refused) == 1
    net.let_pass(61)
    assert net.is_cut(net.raw(one, net.authority.issue_user("ann")))
    assert len(one.refused) == 2


def test_plain_text_is_cut_and_nothing_is_said_in_the_clear(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    client = socket.create_connection(("127.0.0.1", one.transport.port))
    net.raws.append(client)
    client.setblocking(False)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    assert net.is_cut(client)
    assert (one.refused, one.changes) == ([], [])


def test_old_tls_is_refused(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    tls = net.files(net.issue())
    context.load_cert_chain(tls.certificate, tls.key)
    plain = socket.create_connection(("127.0.0.1", one.transport.port))
    plain.setblocking(False)
    client = context.wrap_socket(plain, do_handshake_on_connect=False)
    net.raws.append(client)
    with pytest.raises(ssl.SSLError):
        net.step(client.do_handshake)


def test_silent_strangers_are_cut_and_keep_nobody_out(net: Net) -> None:
    settings = TransportSettings(strangers_max=4)
    one = net.add("1", {"2": "127.0.0.1:1"}, settings=settings)
    strangers = []
    for _ in range(20):
        stranger = socket.create_connection(("127.0.0.1", one.transport.port))
        stranger.setblocking(False)
        net.raws.append(stranger)
        strangers.append(stranger)
    two = net.add("2", {"1": one.address})
    net.until(lambda: one.changes == ["up 2"] and two.changes == ["up 1"])
    net.let_pass(2.5)
    assert all(net.is_cut(stranger) for stranger in strangers)
    assert one.refused == []


# Bad bytes


def test_oversized_frame_is_cut_off_before_it_is_read(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    client = net.raw(one, net.issue())
    net.say(client, HELLO)
    net.until(lambda: one.changes == ["up 2"])
    net.step(lambda: client.send(((64 << 20) + 1).to_bytes(4, "big")))
    assert net.is_cut(client)
    assert one.changes == ["up 2", "down 2"]


def test_long_frame_before_the_hello_is_cut_off(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    client = net.raw(one, net.issue())
    net.step(lambda: client.send((2000).to_bytes(4, "big")))
    assert net.is_cut(client)
    assert one.changes == []


@pytest.mark.parametrize(
    "first",
    [
        vote(1),
        RaftFrame(cluster_id=OTHER_CLUSTER, keep_alive=KeepAlive()),
        RaftFrame(keep_alive=KeepAlive()),
    ],
)
def test_connection_must_begin_with_our_hello(net: Net, first: RaftFrame) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    client = net.raw(one, net.issue())
    net.say(client, first)
    assert net.is_cut(client)
    assert (one.changes, one.frames) == ([], [])


def test_bytes_that_are_no_frame_end_the_link(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    client = net.raw(one, net.issue())
    net.say(client, HELLO)
    net.step(lambda: client.send(b"\x00\x00\x00\x04\xff\xff\xff\xff"))
    assert net.is_cut(client)
    assert one.changes == ["up 2", "down 2"]


class Wire:
    """Carries bytes between a dialler and replica 1, and flips one bit when told to."""

    def __init__(self, to_port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.to_port = to_port
        self.flip = False

    def turn(self) -> None:
        with suppress(BlockingIOError):
            near, _ = self.listener.accept()
            near.setblocking(False)
            far = socket.create_connection(("127.0.0.1", self.to_port))
            far.setblocking(False)
            self.pairs += [(near, far), (far, near)]
        for pair in list(self.pairs):
            self._carry(*pair)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            data = bytearray(source.recv(65536))
            if not data:
                raise ConnectionResetError
            if self.flip:
                data[-1] ^= 1
                self.flip = False
            sink.send(data)
        except BlockingIOError:
            return
        except OSError:
            self.pairs = [pair for pair in self.pairs if source not in pair]
            source.close()
            sink.close()

    def close(self) -> None:
        self.listener.close()
        for source, _ in self.pairs:
            source.close()


def test_flipped_bit_ends_the_link_and_is_never_delivered(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    wire = Wire(one.transport.port)
    two = net.add("2", {"1": wire.address})

    def until(condition: Callable[[], object]) -> None:
        net.until(lambda: wire.turn() or condition())

    try:
        until(lambda: two.transport.connected("1"))
        wire.flip = True
        two.transport.send("1", vote(66))
        until(lambda: "down 2" in one.changes and "down 1" in two.changes)
        net.let_pass(1)
        until(lambda: two.transport.connected("1"))
        two.transport.send("1", vote(67))
        until(lambda: one.frames)
        assert one.indexes == [67]
    finally:
        wire.close()


# Loss, silence and return


def test_killed_peer_is_down_at_once_and_up_when_it_returns(net: Net) -> None:
    one, two = net.pair()
    port = one.transport.port
    one.transport.destroy()
    net.until(lambda: two.changes[-1] == "down 1", two)  # without time passing
    assert not two.transport.send("1", vote(1))
    again = net.add("1", {"2": "127.0.0.1:1"}, listen=f"127.0.0.1:{port}")
    net.let_pass(1.1)
    net.until(lambda: again.changes == ["up 2"] and two.changes[-1] == "up 1")


def test_dialler_that_returns_is_up_at_once(net: Net) -> None:
    one, two = net.pair()
    two.transport.destroy()
    net.until(lambda: one.changes[-1] == "down 2")
    net.add("2", {"1": one.address})
    net.until(lambda: one.changes[-1] == "up 2")


def test_idle_link_stays_up(net: Net) -> None:
    one, two = net.pair()
    net.let_pass(10)
    assert one.changes == ["up 2"]
    assert two.changes == ["up 1"]
    assert one.frames == two.frames == []  # keep-alives are the transport's own


def test_peer_that_falls_silent_is_down(net: Net) -> None:
    """Its machine is gone, or its process stands still: no FIN ever comes."""
    one, _ = net.pair()
    net.let_pass(1.5, one)
    assert one.transport.connected("2")
    net.let_pass(1, one)
    assert one.changes == ["up 2", "down 2"]


def test_own_pause_is_not_taken_for_the_peers_silence(net: Net) -> None:
    one, two = net.pair()
    two.transport.send("1", vote(5))
    net.now += 60
    one.turn()
    net.let_pass(1)
    assert one.indexes == [5]
    assert one.changes == ["up 2"]


def test_peer_that_connects_but_does_not_answer_is_tried_again(net: Net) -> None:
    """A stopped process: its kernel accepts, nobody shakes hands."""
    listener = socket.create_server(("127.0.0.1", 0))
    net.raws.append(listener)
    listener.setblocking(False)
    two = net.add("2", {"1": f"127.0.0.1:{listener.getsockname()[1]}"})
    accepted = []
    while len(accepted) < 3:
        with suppress(BlockingIOError):
            accepted.append(listener.accept()[0])
        net.let_pass(0.05)
    net.raws += accepted
    assert two.changes == []


def test_unanswered_connect_is_given_up_within_its_timeout(net: Net) -> None:
    """SYNs that are dropped: the kernel alone would try for two minutes."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    fillers = [socket.socket() for _ in range(3)]
    net.raws += fillers
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
    two = net.add("2", {"1": f"127.0.0.1:{port}"})
    net.let_pass(0.5)
    listener.close()
    for filler in fillers:
        filler.close()
    one = net.add("1", {"2": "127.0.0.1:1"}, listen=f"127.0.0.1:{port}")
    net.let_pass(2)
    net.until(lambda: one.changes == ["up 2"] and two.changes == ["up 1"])


def test_newer_connection_replaces_the_older_one(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    old = net.raw(one, net.issue())
    net.say(old, HELLO)
    net.until(lambda: one.changes == ["up 2"])
    new = net.raw(one, net.issue())
    net.say(new, HELLO)
    net.until(lambda: one.changes == ["up 2", "down 2", "up 2"])
    with suppress(OSError):
        net.say(old, vote(1))
    net.say(new, vote(2))
    net.until(lambda: one.frames)
    assert one.indexes == [2]
    assert net.is_cut(old)


def test_unproven_connection_does_not_replace_a_link(net: Net) -> None:
    one, two = net.pair()
    net.raw(one, net.issue())  # handshake, no hello
    assert net.is_cut(net.raw(one, net.authority.issue_user("ann")))
    two.transport.send("1", vote(3))
    net.until(lambda: one.frames)
    assert one.changes == ["up 2"]


def test_frames_of_an_older_start_of_the_peer_are_dropped(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    client = net.raw(one, net.issue())
    net.say(client, RaftFrame(cluster_id=CLUSTER, incarnation=4, keep_alive=KeepAlive()))
    for index, incarnation in ((1, 4), (2, 3), (3, 0), (4, 5), (5, 4), (6, 5)):
        net.say(client, vote(index, incarnation))
    net.until(lambda: one.frames and one.indexes[-1] == 6)
    assert one.indexes == [1, 3, 4, 6]


def test_older_start_of_the_peer_cannot_come_back(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    now = net.raw(one, net.issue())
    net.say(now, RaftFrame(cluster_id=CLUSTER, incarnation=4, keep_alive=KeepAlive()))
    net.until(lambda: one.changes == ["up 2"])
    ghost = net.raw(one, net.issue())
    net.say(ghost, RaftFrame(cluster_id=CLUSTER, incarnation=3, keep_alive=KeepAlive()))
    assert net.is_cut(ghost)
    assert "start 3 of replica 2, but start 4 was seen" in one.refused[0]
    assert one.changes == ["up 2"]


# Slow peers


def test_slow_reader_fills_its_window_and_loses_no_accepted_frame(net: Net) -> None:
    settings = TransportSettings(window_bytes=1 << 20, frame_bytes_max=1 << 20)
    one, two = net.pair(settings)
    sent = 0
    while one.transport.send("2", entries(20_000 + sent)):
        sent += 1
        assert sent < 100_000, "the window never filled"
    assert not one.transport.connected("2")
    assert one.changes == ["up 2"]
    net.until(lambda: one.transport.connected("2"))
    assert one.transport.send("2", vote(1))
    net.until(lambda: two.frames and two.indexes[-1] == 1)
    sizes = [len(frame.append_entries.entries[0].data) for _, frame in two.frames[:-1]]
    assert sizes == [20_000 + number for number in range(sent)]


def test_large_frame_does_not_hold_up_the_thread_that_sends_it(net: Net) -> None:
    """A megabyte goes at once; the rest in turns, however fast the other side reads."""
    one, two = net.pair()
    one.transport.send("2", entries(60 << 20))
    turns = 0

    def arrived() -> bool:
        nonlocal turns
        turns += 1
        return bool(two.frames)

    net.until(arrived)
    assert turns > 30


def test_send_to_a_dead_peer_never_calls_back(net: Net) -> None:
    one, two = net.pair()
    two.transport.destroy()
    for _ in range(2000):
        one.transport.send("2", entries(10_000))
    assert one.changes == ["up 2"]  # the caller is not interrupted; the next poll tells
    net.until(lambda: one.changes == ["up 2", "down 2"], one)
    assert one.frames == []


# The process around it


def test_descriptors_running_out_stops_neither_links_nor_the_listener(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = net.pair()
    client = socket.socket()
    net.raws.append(client)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fillers: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        with suppress(OSError):
            while True:
                fillers.append(os.open("/dev/null", os.O_RDONLY))
        client.connect(("127.0.0.1", one.transport.port))
        for _ in range(50):
            one.turn()
        two.transport.send("1", vote(9))
        net.until(lambda: one.frames)
    finally:
        for filler in fillers:
            os.close(filler)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sum("cannot accept" in record.message for record in caplog.records) == 1
    net.let_pass(1.5)
    client.setblocking(False)
    client.send(b"not TLS")
    assert net.is_cut(client)  # it was accepted after all


def test_destroy_leaves_nothing_open_and_calls_nobody(net: Net) -> None:
    before = set(os.listdir("/proc/self/fd"))
    one, two = net.pair()
    stranger = net.raw(one, net.issue())
    one.transport.destroy()
    one.transport.destroy()
    two.transport.destroy()
    stranger.close()
    assert one.changes == ["up 2"]
    one.turn()
    assert not one.transport.connected("2")
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("event", ["frame", "up", "down"])
def test_transport_may_be_destroyed_within_its_callbacks(net: Net, event: str) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    ended: list[str] = []

    def end(*_: object) -> None:
        ended.append(event)
        one.transport.destroy()

    def ignore(*_: object) -> None: ...

    one.transport.set_handler(
        end if event == "frame" else ignore,
        end if event == "up" else ignore,
        end if event == "down" else ignore,
    )
    two = net.add("2", {"1": one.address})
    net.until(lambda: two.transport.connected("1") or ended)
    for index in range(3):
        two.transport.send("1", vote(index))
    if event == "down":
        two.transport.destroy()
    net.until(lambda: ended)
    one.turn()
    assert ended == [event]


def test_port_in_use_is_told_with_its_address(net: Net) -> None:
    one = net.add("1", {})
    with pytest.raises(OSError, match=f"cannot listen on {one.address}"):
        net.add("1", {}, listen=one.address)


def test_name_that_does_not_resolve_is_told_at_the_start(net: Net) -> None:
    with pytest.raises(OSError, match=r"cannot resolve no\.such\.host\.invalid:7001"):
        net.add("2", {"1": "no.such.host.invalid:7001"})
