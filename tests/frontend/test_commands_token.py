"""Tokens: who may have which, until when; only hashes are stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frontend.state import tokens
from protos.v1.command_pb2 import IssueToken
from protos.v1.token_pb2 import (
    TOKEN_KIND_JOIN,
    TOKEN_KIND_USER,
    USER_ROLE_ADMIN,
    USER_ROLE_USER,
    CreateTokenRequest,
    RevokeTokenRequest,
    Token,
)
from tests.frontend.cloud import START_MS, Cloud, sha


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path)


def issue(secret: str = "s", **fields: Any) -> dict[str, Any]:
    request = CreateTokenRequest(**{"kind": TOKEN_KIND_USER, "user": "ann", **fields})
    return {"issue_token": IssueToken(request=request, secret_sha256=sha(secret))}


def test_user_token_is_found_by_its_hash_and_lasts_thirty_days(cloud: Cloud) -> None:
    made = Token.FromString(cloud.run("user/root", **issue()))
    assert (made.user, made.role) == ("ann", USER_ROLE_USER)
    assert made.expire_time_ms == START_MS + 30 * 24 * 3600 * 1000
    with cloud.read() as txn:
        assert tokens.find(txn, sha("s")) == made
        assert tokens.find(txn, sha("other")) is None


def test_join_token_lasts_an_hour_unless_asked_otherwise(cloud: Cloud) -> None:
    cloud.cluster()
    assert cloud.join_token().expire_time_ms == START_MS + 3600 * 1000
    request = {"kind": TOKEN_KIND_JOIN, "user": "", "ttl_seconds": 60}
    made = Token.FromString(cloud.run("user/root", **issue("t", **request)))
    assert made.expire_time_ms == START_MS + 60_000


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"kind": 0}, "invalid_argument", "kind"),
        ({"user": ""}, "invalid_argument", "user"),
        ({"user": "../root"}, "invalid_argument", "user"),
        ({"role": 7}, "invalid_argument", "role"),
        ({"ttl_seconds": -1}, "invalid_argument", "ttl_seconds"),
        ({"ttl_seconds": 366 * 24 * 3600}, "invalid_argument", "ttl_seconds"),
        ({"description": "\x1b"}, "invalid_argument", "description"),
        ({"kind": TOKEN_KIND_JOIN}, "invalid_argument", "user"),
        ({"kind": TOKEN_KIND_JOIN, "user": "", "cluster_id": 4}, "not_found", "cluster_id"),
    ],
)
def test_odd_token_is_refused(cloud: Cloud, fields: dict[str, Any], code: str, field: str) -> None:
    refusal = cloud.refused("user/root", **issue(**fields))
    assert (refusal.code, refusal.field) == (code, field)


def test_users_get_user_tokens_for_themselves_alone(cloud: Cloud) -> None:
    cloud.cluster()
    cloud.run("user/ann", **issue())
    for fields in (
        {"user": "bob"},
        {"role": USER_ROLE_ADMIN},
        {"kind": TOKEN_KIND_JOIN, "user": ""},
    ):
        assert cloud.refused("user/ann", **issue("x", **fields)).code == "permission_denied"
    assert cloud.refused("host/0", **issue("x")).code == "permission_denied"


def test_secret_is_used_once(cloud: Cloud) -> None:
    cloud.run("user/root", **issue("same"))
    assert cloud.refused("user/root", **issue("same")).code == "already_exists"


def test_revoking_is_for_admins_and_the_user_itself_and_may_be_repeated(cloud: Cloud) -> None:
    cloud.run("user/root", **issue())
    revoke = {"revoke_token": RevokeTokenRequest(id=0)}
    assert cloud.refused("user/bob", **revoke).code == "not_found"
    assert Token.FromString(cloud.run("user/ann", **revoke)).revoked
    before = cloud.state()
    cloud.run("user/root", **revoke)
    assert cloud.state() == before
    unknown = RevokeTokenRequest(id=3)
    assert cloud.refused("user/root", revoke_token=unknown).code == "not_found"
