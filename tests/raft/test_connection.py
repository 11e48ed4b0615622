"""Promises of raft/connection.py: bytes that are not what they should be, and peers that read
slowly."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from protos.v1.raft_pb2 import KeepAlive, RaftFrame, RequestVote
from raft.transport import TransportSettings
from tests.raft.links import CLUSTER, HELLO, OTHER_CLUSTER, Net, entries, vote


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    made = Net(tmp_path)
    yield made
    made.close()


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
        RaftFrame(cluster_id=CLUSTER, request_vote=RequestVote(last_index=1)),
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


def test_all_frames_that_have_arrived_are_taken_in_one_round(net: Net) -> None:
    """A round ends in a sync: one frame a round would make queues of whatever comes faster."""
    one = net.add("1", {"2": "127.0.0.1:1"})
    client = net.raw(one, net.issue())
    net.say(client, HELLO)
    net.until(lambda: one.changes == ["up 2"])
    for index in range(20):
        net.say(client, vote(index))
    one.poller.poll(1)
    assert [frame.request_vote.last_index for _, frame in one.frames] == list(range(20))


def test_send_to_a_dead_peer_never_calls_back(net: Net) -> None:
    one, two = net.pair()
    two.transport.destroy()
    for _ in range(2000):
        one.transport.send("2", entries(10_000))
    assert one.changes == ["up 2"]  # the caller is not interrupted; the next poll tells
    net.until(lambda: one.changes == ["up 2", "down 2"], one)
    assert one.frames == []
