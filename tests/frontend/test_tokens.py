"""Promises of frontend/auth/tokens.py, and of callers made from tokens."""

from __future__ import annotations

import re

import pytest

from frontend.auth.callers import of_token
from frontend.auth.tokens import bearer, check, mint, read, sha256
from frontend.errors import Rejected
from protos.v1.token_pb2 import (
    TOKEN_KIND_JOIN,
    TOKEN_KIND_USER,
    USER_ROLE_ADMIN,
    USER_ROLE_USER,
    Token,
)

CLUSTER = "0123456789abcdef0123456789abcdef"
NOW_MS = 1_800_000_000_000


def refusal(act: object, *args: object) -> tuple[str, str]:
    with pytest.raises(Rejected) as caught:
        act(*args)  # type: ignore[operator]
    return caught.value.code, caught.value.detail


def user_token(**fields: object) -> Token:
    values = {"id": 4, "kind": TOKEN_KIND_USER, "user": "bob", "expire_time_ms": NOW_MS + 1}
    return Token(**(values | fields))  # type: ignore[arg-type]


def test_secret_has_256_random_bits_and_names_its_front_end() -> None:
    one, two = mint(CLUSTER), mint(CLUSTER)
    assert re.fullmatch(r"skyraft\.01234567\.[A-Za-z0-9_-]{43}", one)
    assert one != two
    assert read(one, CLUSTER) == sha256(one)
    assert len(sha256(one)) == 64


def test_secret_of_another_front_end_is_told_apart() -> None:
    code, detail = refusal(read, mint("f" * 32), CLUSTER)
    assert code == "token_unknown"
    assert "of front-end ffffffff, this one is 01234567" in detail


@pytest.mark.parametrize(
    "damage",
    [
        lambda secret: "",
        lambda secret: secret[:-1],
        lambda secret: secret + "x",
        lambda secret: secret + "\n",
        lambda secret: secret.replace("skyraft", "other"),
        lambda secret: secret[:-1] + "é",
        lambda secret: " " + secret,
    ],
)
def test_damaged_secret_is_told_as_such_and_never_repeated(damage: object) -> None:
    secret = damage(mint(CLUSTER))  # type: ignore[operator]
    code, detail = refusal(read, secret, CLUSTER)
    assert (code, "copied whole" in detail) == ("unauthenticated", True)
    assert secret[20:40] not in detail or not secret


def test_no_refusal_repeats_the_secret() -> None:
    secret = mint("f" * 32)
    for act in (lambda: read(secret, CLUSTER), lambda: bearer(f"Basic {secret}")):
        assert secret.rpartition(".")[2] not in "".join(refusal(act))


@pytest.mark.parametrize("value", ["Bearer abc", "bearer abc", b"BEARER  abc "])
def test_bearer_scheme_is_read_in_any_case(value: str | bytes) -> None:
    assert bearer(value) == "abc"


@pytest.mark.parametrize("value", [None, "", "abc", "Bearer", "Bearer ", "Basic abc", "Bearer a b"])
def test_other_authorization_is_refused(value: str | None) -> None:
    assert refusal(bearer, value)[0] == "unauthenticated"


def test_valid_token_passes_until_the_moment_it_expires() -> None:
    token = user_token()
    assert check(token, TOKEN_KIND_USER, NOW_MS) is token
    assert refusal(check, token, TOKEN_KIND_USER, NOW_MS + 1)[0] == "token_expired"


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "token_unknown"),
        (user_token(kind=TOKEN_KIND_JOIN), "token_unknown"),
        (user_token(revoked=True), "token_revoked"),
        (user_token(expire_time_ms=0), "token_expired"),
        (user_token(revoked=True, expire_time_ms=0), "token_revoked"),
    ],
)
def test_token_that_may_not_be_used_says_why(token: Token | None, code: str) -> None:
    assert refusal(check, token, TOKEN_KIND_USER, NOW_MS)[0] == code


def test_join_token_is_for_one_host_even_if_its_id_is_zero() -> None:
    fresh = user_token(kind=TOKEN_KIND_JOIN)
    assert check(fresh, TOKEN_KIND_JOIN, NOW_MS) is fresh
    used = user_token(kind=TOKEN_KIND_JOIN, used_by_host_id=0)
    assert refusal(check, used, TOKEN_KIND_JOIN, NOW_MS)[0] == "token_used"
    assert refusal(check, user_token(), TOKEN_KIND_JOIN, NOW_MS)[0] == "token_unknown"


def test_token_stands_for_its_user_with_its_role() -> None:
    bob = of_token(user_token(role=USER_ROLE_USER), CLUSTER)
    assert (bob.actor, bob.admin, bob.token_id, bob.expire_ms) == ("user/bob", False, 4, NOW_MS + 1)
    assert of_token(user_token(role=USER_ROLE_ADMIN), CLUSTER).admin
    assert not of_token(user_token(), CLUSTER).admin


def test_token_of_a_user_that_cannot_be_is_refused() -> None:
    assert refusal(of_token, user_token(user="a/b"), CLUSTER)[0] == "unauthenticated"
