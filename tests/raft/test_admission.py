"""Promises of raft/admission.py: who may speak on the raft port, and who is told about the rest."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from frontend.auth.certificates import Authority, Issued, create_authority
from raft.transport import TransportSettings
from tests.raft.links import CLUSTER, HELLO, OTHER_CLUSTER, Net, vote


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    made = Net(tmp_path)
    yield made
    made.close()


def test_certificate_of_another_ca_is_refused_by_the_listener(net: Net) -> None:
    one = net.add("1", {"2": "127.0.0.1:1"})
    other, _ = create_authority(CLUSTER)
    client = net.raw(one, other.issue_replica("2", ["127.0.0.1"]))
    assert net.is_cut(client)
    assert len(one.refused) == 1
    assert one.refused[0].startswith("127.0.0.1: its certificate is not valid here: ")
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
    assert all(net.is_cut(stranger) for stranger in strangers[:-4])  # more than may wait at once
    net.let_pass(2.5)
    assert all(net.is_cut(stranger) for stranger in strangers)
    assert one.refused == []
