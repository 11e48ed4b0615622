"""Odd texts, found by search: what is accepted can be shown, stored and indexed."""

from __future__ import annotations

import unicodedata
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontend.commands import validation
from frontend.errors import Rejected
from frontend.state.keys import pack_text
from protos.v1.cluster_pb2 import Network


def accepted(character: str) -> bool:
    """As part of a name."""
    try:
        validation.name(f"a{character}b")
    except Rejected:
        return False
    return True


@given(st.text(max_size=140))
def test_accepted_name_shows_as_it_is_and_fits_a_key(name: str) -> None:
    try:
        validation.name(name)
    except Rejected:
        return
    # Unassigned characters, which a later Unicode may assign, are accepted.
    assert {unicodedata.category(char) for char in name} & {"Cc", "Cs", "Co", "Zl", "Zp"} == set()
    assert name.strip(" ") == name
    assert 0 < len(pack_text(name)) < 400


def test_verdict_on_a_character_does_not_follow_the_interpreters_unicode_tables() -> None:
    """Replicas may run different Pythons: Unicode 15 assigned U+1FADA, Unicode 16 U+1FAE9."""
    assert accepted("\U0001fada")
    assert accepted("\U0001fae9")
    assert accepted("\U000323b0")
    assert validation.cleaned("\U0001fae9") == "\U0001fae9"
    validation.labels({"mood": "\U0001fae9"})


@pytest.mark.parametrize(
    "code",
    [
        *(0, 9, 10, 0x1F, 0x7F, 0x85, 0x9F, 0xA0, 0xAD, 0x61C, 0x180E, 0x200B, 0x200E, 0x200F),
        *(0x2028, 0x2029, 0x202A, 0x202E, 0x2060, 0x2066, 0x206F, 0xD800, 0xDFFF, 0xE000, 0xF8FF),
        *(0xFDD0, 0xFDEF, 0xFEFF, 0xFFF9, 0xFFFB, 0xFFFE, 0xFFFF, 0x1FFFE, 0xE0001, 0xE007F),
        *(0xF0000, 0xFFFFD, 0x10FFFD, 0x10FFFF),
    ],
)
def test_character_that_hides_or_turns_text_is_refused(code: int) -> None:
    assert not accepted(chr(code))
    assert validation.cleaned(f"a{chr(code)}b") == "a?b"
    with pytest.raises(Rejected):
        validation.labels({"a": chr(code)})


@pytest.mark.parametrize(
    ("text", "why"), [("", "is empty"), ("42", "taken for an id"), ("a/b", "a slash")]
)
def test_name_by_which_no_object_could_be_found_is_refused(text: str, why: str) -> None:
    with pytest.raises(Rejected, match=why) as refused:
        validation.object_name(text)
    assert refused.value.field == "name"


@pytest.mark.parametrize("text", ["v2", "2024-01", "٤٢", "a b"])
def test_name_that_is_no_id_is_accepted(text: str) -> None:
    validation.object_name(text)


@pytest.mark.parametrize("text", ["Zürich 1", "日本語", "Москва", "émoji 🙂", "نص"])
def test_names_of_all_scripts_are_accepted(text: str) -> None:
    validation.name(text)


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
