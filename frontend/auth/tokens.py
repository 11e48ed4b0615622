"""Secrets of bearer and join tokens: what they look like, and when one may be used. Only the
SHA-256 of a secret is ever stored; no text made here contains one."""

from __future__ import annotations

import hashlib
import re
import secrets

from frontend.errors import Rejected
from protos.v1.token_pb2 import TOKEN_KIND_JOIN, Token

_SECRET = re.compile(r"skyraft\.([0-9a-f]{8})\.[A-Za-z0-9_-]{43}")
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)


def mint(cluster_id: str) -> str:
    """A new secret: ``skyraft.<first 8 of the cluster id>.<43 random characters>``."""
    return f"skyraft.{cluster_id[:8]}.{secrets.token_urlsafe(32)}"


def sha256(secret: str) -> str:
    """What is stored instead of the secret, hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read(secret: str, cluster_id: str) -> str:
    """The hash to look *secret* up by. Raises Rejected when it cannot be one of this front-end,
    so that a mix-up is told from a wrong or removed token."""
    match = _SECRET.fullmatch(secret)
    if match is None:
        raise Rejected(
            "unauthenticated",
            "this is not a Skyraft token: it reads skyraft.<8 characters>.<43 characters>; "
            "was it copied whole?",
        )
    if match[1] != cluster_id[:8]:
        raise Rejected(
            "token_unknown",
            f"the token is of front-end {match[1]}, this one is {cluster_id[:8]}: "
            "check the addresses, or ask an admin of this front-end for a token",
        )
    return sha256(secret)


def bearer(authorization: str | bytes | None) -> str:
    """The secret in an ``authorization`` metadata value. Raises Rejected("unauthenticated")."""
    if authorization is None:
        raise Rejected(
            "unauthenticated",
            "no token given: send metadata 'authorization: Bearer <token>', "
            "or use a certificate on the api port",
        )
    text = authorization.decode("latin-1") if isinstance(authorization, bytes) else authorization
    match = _BEARER.fullmatch(text)
    if match is None:
        raise Rejected("unauthenticated", "metadata 'authorization' is not 'Bearer <token>'")
    return match[1]


def check(token: Token | None, kind: int, now_ms: int) -> Token:
    """*token*, if it is there and may be used as *kind* (TOKEN_KIND_USER or _JOIN) now; raises
    Rejected with token_unknown, token_revoked, token_expired or token_used."""
    if token is None:
        raise Rejected("token_unknown", "there is no such token: ask an admin for a new one")
    if token.kind != kind:
        use = (
            "join tokens let a host enrol" if token.kind == TOKEN_KIND_JOIN else "this is a user's"
        )
        raise Rejected("token_unknown", f"token {token.id} is of another kind: {use}")
    if token.revoked:
        raise Rejected("token_revoked", f"token {token.id} was revoked: ask an admin for a new one")
    if now_ms >= token.expire_time_ms:
        raise Rejected("token_expired", f"token {token.id} has expired: ask an admin for a new one")
    if token.HasField("used_by_host_id"):
        raise Rejected(
            "token_used",
            f"token {token.id} was used by host {token.used_by_host_id}: "
            "each join token is for one host, ask an admin for another",
        )
    return token
