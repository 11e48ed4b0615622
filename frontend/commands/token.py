"""What the commands on tokens do to the state. Only hashes of secrets ever come here."""

from __future__ import annotations

from frontend.commands import access, validation
from frontend.commands.validation import invalid
from frontend.errors import Rejected
from frontend.state import clusters, counters, events, tokens
from frontend.state.store import Txn
from protos.v1.command_pb2 import Command
from protos.v1.token_pb2 import (
    TOKEN_KIND_JOIN,
    TOKEN_KIND_USER,
    USER_ROLE_ADMIN,
    USER_ROLE_UNSPECIFIED,
    USER_ROLE_USER,
    CreateTokenRequest,
    Token,
)

JOIN_TTL_SECONDS = 3600
USER_TTL_SECONDS = 30 * 24 * 3600


def issue(txn: Txn, cmd: Command, index: int) -> bytes:
    op = cmd.issue_token
    request = op.request
    validation.sha256(op.secret_sha256, "secret_sha256")
    validation.description(request.description)
    validation.ttl_seconds(request.ttl_seconds)
    if request.kind == TOKEN_KIND_JOIN:
        token = _join_token(txn, cmd, request)
    elif request.kind == TOKEN_KIND_USER:
        token = _user_token(cmd, request)
    else:
        raise invalid("kind", "must be USER or JOIN")
    if tokens.find(txn, op.secret_sha256) is not None:
        raise Rejected("already_exists", "this secret is in use: make a new one")

    token.id = counters.take(txn, "token")
    token.kind, token.description = request.kind, request.description
    token.revision, token.create_time_ms = index, cmd.at_ms
    tokens.hashes.put(txn, op.secret_sha256, token.id)
    detail = f"join cluster {token.cluster_id}" if token.kind == TOKEN_KIND_JOIN else token.user
    events.append(txn, cmd, index, "token.created", "token", token.id, detail)
    return tokens.put(txn, token)


def revoke(txn: Txn, cmd: Command, index: int) -> bytes:
    """Revoking twice is no error."""
    request = cmd.revoke_token
    token = tokens.get(txn, request.id)
    if token is None or not (_is_admin(cmd) or _is_own(cmd, token.user)):
        raise access.not_found("token", request.id)
    if not token.revoked:
        token.revoked, token.revision = True, index
        events.append(txn, cmd, index, "token.revoked", "token", token.id, token.user)
    return tokens.put(txn, token)


def _join_token(txn: Txn, cmd: Command, request: CreateTokenRequest) -> Token:
    access.require_admin(cmd)
    if request.user or request.role != USER_ROLE_UNSPECIFIED:
        raise invalid("user", "a join token stands for no user")
    cluster_id = request.cluster_id
    access.existing(clusters.get(txn, cluster_id), "cluster", cluster_id, "cluster_id")
    ttl_ms = (request.ttl_seconds or JOIN_TTL_SECONDS) * 1000
    return Token(cluster_id=cluster_id, expire_time_ms=cmd.at_ms + ttl_ms)


def _user_token(cmd: Command, request: CreateTokenRequest) -> Token:
    validation.user(request.user)
    role = request.role or USER_ROLE_USER
    if role not in (USER_ROLE_USER, USER_ROLE_ADMIN):
        raise invalid("role", "must be USER or ADMIN")
    if not _is_admin(cmd) and not (_is_own(cmd, request.user) and role == USER_ROLE_USER):
        raise Rejected(
            "permission_denied", f"{cmd.actor} may make user tokens for itself alone", "user"
        )
    ttl_ms = (request.ttl_seconds or USER_TTL_SECONDS) * 1000
    return Token(user=request.user, role=role, expire_time_ms=cmd.at_ms + ttl_ms)


def _is_admin(cmd: Command) -> bool:
    return cmd.admin or access.is_internal(cmd.actor)


def _is_own(cmd: Command, user: str) -> bool:
    return bool(user) and cmd.actor == f"user/{user}"
