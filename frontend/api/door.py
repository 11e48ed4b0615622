"""Who stands at the door, and may they come in: certificate or token to caller, caller to method.

A certificate was checked by TLS and is read once. A token is looked up in the local state at each
call, so that a revoked one is refused as soon as this replica has applied its revocation.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from frontend.api.enrolled import host_of
from frontend.auth import permissions, tokens
from frontend.auth.callers import Caller, Callers, of_token
from frontend.errors import Rejected
from frontend.state import tokens as token_table
from frontend.state.store import Store
from protos.identity import HOST, REPLICA, USER
from protos.v1.token_pb2 import TOKEN_KIND_USER

ON_BEHALF, ON_BEHALF_ADMIN = "skyraft-on-behalf", "skyraft-on-behalf-admin"
"""Metadata of a call that a replica passes on to the leader: for which user, and whether that is
an admin. Believed of replicas alone."""

NOBODY = Caller(kind="", name="", actor="nobody", expire_ms=0)
"""Calls a method that is open to anybody; the request holds the proof."""

Context = Any


class PassedOn(Caller):
    """A user whose request another replica passed on. Not passed on a second time: two replicas
    that take each other for the leader would play ball with it."""

    __slots__ = ()


class Door:
    def __init__(self, cluster_id: str, store: Store, refused: Callable[[str], None]) -> None:
        """*refused* is told of callers that could not prove who they are."""
        self._cluster_id, self._store, self._refused = cluster_id, store, refused
        self._callers = Callers(cluster_id)

    def admit(self, path: str, context: Context) -> Caller:
        """Who calls the method *path*. Raises Rejected unless they may."""
        if permissions.is_open(path):
            return NOBODY
        try:
            caller = self._identify(context)
        except Rejected as error:
            peer = context.peer().rpartition(":")[0]
            self._refused(f"{peer}: {error.code}: {error.detail}")
            raise
        permissions.require(path, caller)
        return caller

    def still(self, caller: Caller) -> None:
        """On a stream, whose door was opened long ago: raises Rejected once *caller*'s proof has
        expired or was taken back."""
        now_ms = time.time_ns() // 1_000_000
        if now_ms >= caller.expire_ms:
            raise Rejected(
                "unauthenticated", f"the proof of {caller.actor} has expired: ask an admin"
            )
        if caller.token_id is not None:
            with self._store.read() as txn:
                tokens.check(token_table.get(txn, caller.token_id), TOKEN_KIND_USER, now_ms)
        elif caller.kind == HOST:
            with self._store.read() as txn:
                host_of(txn, caller)

    def _identify(self, context: Context) -> Caller:
        now_ms = time.time_ns() // 1_000_000
        proof = context.auth_context().get("x509_pem_cert")
        if not proof:
            return self._of_token(context, now_ms)
        caller = self._callers.of_certificate(proof[0], now_ms)
        return _on_behalf(caller, context) if caller.kind == REPLICA else caller

    def _of_token(self, context: Context, now_ms: int) -> Caller:
        secret = tokens.bearer(dict(context.invocation_metadata() or ()).get("authorization"))
        digest = tokens.read(secret, self._cluster_id)
        with self._store.read() as txn:
            token = tokens.check(token_table.find(txn, digest), TOKEN_KIND_USER, now_ms)
        return of_token(token, self._cluster_id)


def _on_behalf(replica: Caller, context: Context) -> Caller:
    metadata = dict(context.invocation_metadata() or ())
    actor = metadata.get(ON_BEHALF)
    if actor is None:
        return replica
    return PassedOn(
        kind=USER,
        name=actor.removeprefix("user/"),
        actor=actor,
        admin=metadata.get(ON_BEHALF_ADMIN) == "1",
        expire_ms=replica.expire_ms,
        certificate_sha256=replica.certificate_sha256,
    )


def on_behalf_of(caller: Caller) -> tuple[tuple[str, str], ...]:
    """The metadata with which this replica passes *caller*'s request on."""
    return (ON_BEHALF, caller.actor), (ON_BEHALF_ADMIN, "1" if caller.admin else "0")
