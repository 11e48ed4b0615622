"""Promises of raft/transport.py: frames pass, links come back, nothing is left behind."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from protos.v1.raft_pb2 import KeepAlive, RaftFrame
from tests.raft.links import CLUSTER, HELLO, Net, entries, vote


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    made = Net(tmp_path)
    yield made
    made.close()


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
    net.let_pass(0.5, one)  # what had arrived is heard
    two.transport.send("1", vote(5))
    net.now += 60
    one.turn()
    net.let_pass(1)
    assert one.indexes == [5]
    assert one.changes == ["up 2"]


def test_own_pause_is_not_taken_for_a_strangers_silence(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    client = net.raw(one, net.issue())
    net.now += 60
    one.turn()
    net.say(client, HELLO)
    net.until(lambda: one.changes == ["up 2"])


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


def test_transport_may_be_destroyed_while_a_link_is_replaced(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    old = net.raw(one, net.issue())
    net.say(old, HELLO)
    net.until(lambda: one.changes == ["up 2"])
    one.transport.set_handler(
        lambda peer, frame: None, lambda peer: None, lambda peer: one.transport.destroy()
    )
    new = net.raw(one, net.issue())
    net.say(new, HELLO)
    assert net.is_cut(new)
    assert not one.transport.connected("2")


def test_port_in_use_is_told_with_its_address(net: Net) -> None:
    one = net.add("1", {})
    with pytest.raises(OSError, match=f"cannot listen on {one.address}"):
        net.add("1", {}, listen=one.address)


def test_name_that_does_not_resolve_is_told_at_the_start(net: Net) -> None:
    with pytest.raises(OSError, match=r"cannot resolve no\.such\.host\.invalid:7001"):
        net.add("2", {"1": "no.such.host.invalid:7001"})
