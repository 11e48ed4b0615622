"""Odd texts, found by search: what is accepted can be shown, stored and indexed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontend.commands import validation
from frontend.errors import Rejected
from frontend.state.keys import pack_text
from protos.v1.cluster_pb2 import Network


@given(st.text(max_size=140))
def test_accepted_name_is_printable_and_fits_a_key(name: str) -> None:
    try:
        validation.name(name)
    except Rejected:
        return
    assert name.isprintable()
    assert name.strip(" ") == name
    assert 0 < len(pack_text(name)) < 400


@given(st.text(alphabet=st.characters(max_codepoint=0x7F), max_size=20))
def test_accepted_context_key_is_a_plain_shell_variable(key: str) -> None:
    try:
        validation.context({key: "x"})
    except Rejected:
        return
    assert key.isascii()
    assert key.isidentifier()
    assert key.upper() == key


@given(st.text(max_size=100))
def test_accepted_ssh_key_is_one_line(tail: str) -> None:
    key = "ssh-ed25519 " + "A" * 68 + tail
    try:
        validation.ssh_public_keys([key])
    except Rejected:
        return
    assert "\n" not in key
    assert "\0" not in key


@pytest.mark.parametrize(
    "key",
    [
        "ssh-rsa " + "A" * 300 + "== ann@home",
        "ecdsa-sha2-nistp256 " + "A" * 100 + "=",
        "sk-ssh-ed25519@openssh.com " + "A" * 100,
    ],
)
def test_common_ssh_keys_are_accepted(key: str) -> None:
    validation.ssh_public_keys([key])


@pytest.mark.parametrize(
    "key", ["", "AAAA", "ssh-ed25519", 'command="x" ssh-ed25519 ' + "A" * 68, "ssh-rsa !" * 9]
)
def test_what_is_no_public_key_is_refused(key: str) -> None:
    with pytest.raises(Rejected):
        validation.ssh_public_keys([key])


@given(st.integers(0, 2**32 - 1), st.integers(0, 32), st.text(max_size=18))
def test_accepted_network_leases_host_addresses_only(
    address: int, prefix: int, first_ip: str
) -> None:
    net = IPv4Network((address, prefix), strict=False)
    try:
        whole = validation.network(Network(bridge="br0", cidr=str(net), first_ip=first_ip))
    except Rejected:
        return
    for text in (whole.first_ip, whole.last_ip):
        assert IPv4Address(text) in net
        assert IPv4Address(text) not in (net[0], net[-1])
