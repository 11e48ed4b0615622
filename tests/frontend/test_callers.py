"""Promises of frontend/auth/callers.py; callers made from tokens are in test_tokens.py."""

from __future__ import annotations

import datetime as dt

import pytest

from frontend.auth.callers import Callers
from frontend.auth.certificates import Authority, Role, certificate_sha256, create_authority
from frontend.errors import Rejected

CLUSTER = "0123456789abcdef0123456789abcdef"
NOW_MS = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
DAY_MS = 24 * 3600 * 1000


@pytest.fixture(scope="module")
def authority() -> Authority:
    return create_authority(CLUSTER)[0]


def caller_of(pem: bytes, now_ms: int = NOW_MS, cluster_id: str = CLUSTER) -> object:
    return Callers(cluster_id).of_certificate(pem, now_ms)


def test_admin_is_who_has_the_role_in_a_user_certificate(authority: Authority) -> None:
    ann = Callers(CLUSTER).of_certificate(
        authority.issue_user("ann", Role.ADMIN).certificate_pem, NOW_MS
    )
    bob = Callers(CLUSTER).of_certificate(authority.issue_user("bob").certificate_pem, NOW_MS)
    assert (ann.actor, ann.kind, ann.name, ann.admin) == ("user/ann", "user", "ann", True)
    assert (bob.actor, bob.admin, bob.token_id) == ("user/bob", False, None)


def test_hosts_and_replicas_are_never_admins(authority: Authority) -> None:
    for issued in (authority.issue_host(3), authority.issue_replica("1", ["127.0.0.1"])):
        caller = Callers(CLUSTER).of_certificate(issued.certificate_pem, NOW_MS)
        assert not caller.admin
    assert caller.actor == "replica/1"


def test_certificate_is_refused_once_it_has_expired(authority: Authority) -> None:
    callers = Callers(CLUSTER)
    pem = authority.issue_user("ann", lifetime=dt.timedelta(days=1)).certificate_pem
    assert callers.of_certificate(pem, NOW_MS).name == "ann"
    with pytest.raises(Rejected, match="user/ann has expired") as caught:
        callers.of_certificate(pem, NOW_MS + 2 * DAY_MS)
    assert caught.value.code == "unauthenticated"


def test_certificate_of_another_front_end_is_refused() -> None:
    other, _ = create_authority("f" * 32)
    with pytest.raises(Rejected, match="another front-end") as caught:
        caller_of(other.issue_user("ann", Role.ADMIN).certificate_pem)
    assert caught.value.code == "unauthenticated"


@pytest.mark.parametrize("pem", [b"", b"junk"])
def test_unreadable_certificate_is_refused(pem: bytes) -> None:
    with pytest.raises(Rejected, match="cannot be used"):
        caller_of(pem)


def test_certificate_without_an_identity_is_refused(authority: Authority) -> None:
    with pytest.raises(Rejected, match="0 Skyraft identities"):
        caller_of(authority.certificate_pem)


def test_caller_knows_its_certificate(authority: Authority) -> None:
    pem = authority.issue_host(3).certificate_pem
    caller = Callers(CLUSTER).of_certificate(pem, NOW_MS)
    assert caller.certificate_sha256 == certificate_sha256(pem)


def test_many_different_certificates_do_not_pile_up(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("frontend.auth.callers._CACHED_MAX", 2)
    callers = Callers(CLUSTER)
    for number in range(5):
        pem = authority.issue_host(number).certificate_pem
        assert callers.of_certificate(pem, NOW_MS).name == str(number)
    assert len(callers._known) <= 2
