"""Promises of protos/identity.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.identity import HOST, KINDS, REPLICA, USER, Identity, identity_in, parse_uri

CLUSTER = "0123456789abcdef0123456789abcdef"

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}", fullmatch=True)


@given(st.sampled_from(KINDS), names)
def test_every_identity_survives_the_way_through_its_uri(kind: str, name: str) -> None:
    identity = Identity(CLUSTER, kind, name)
    assert parse_uri(identity.uri) == identity


@given(st.text())
def test_any_other_text_is_refused_or_means_exactly_itself(text: str) -> None:
    try:
        identity = parse_uri(text)
    except ValueError:
        return
    assert identity.uri == text


def test_actor_is_kind_and_name() -> None:
    assert Identity(CLUSTER, HOST, "3").actor == "host/3"


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "../1", "ann\n", "ann\x00", "-ann", "ann lee", "änn", "a" * 64, "admin/../ann"],
)
def test_names_that_could_be_mistaken_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="user name"):
        Identity(CLUSTER, USER, name)


@pytest.mark.parametrize("cluster_id", ["", "0123", CLUSTER.upper(), CLUSTER + "0", CLUSTER + "\n"])
def test_cluster_ids_have_one_spelling(cluster_id: str) -> None:
    with pytest.raises(ValueError, match="cluster id"):
        Identity(cluster_id, REPLICA, "1")


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://example.org/user/ann",
        f"skyraft://{CLUSTER}/user",
        f"skyraft://{CLUSTER}/user/ann/",
        f"skyraft://{CLUSTER}/root/ann",
        f"SKYRAFT://{CLUSTER}/user/ann",
    ],
)
def test_uri_of_anything_else_is_refused(uri: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whatever it says, it is not an identity
        parse_uri(uri)


def test_certificate_with_two_identities_is_refused() -> None:
    one, two = Identity(CLUSTER, USER, "ann").uri, Identity(CLUSTER, REPLICA, "1").uri
    with pytest.raises(ValueError, match="2 Skyraft identities"):
        identity_in([one, two])
    with pytest.raises(ValueError, match="0 Skyraft identities"):
        identity_in(["spiffe://elsewhere/x"])
    assert identity_in(["spiffe://elsewhere/x", one]).name == "ann"
