"""Tokens over gRPC. A secret is made here, given to its caller once, and kept as a hash only."""

from __future__ import annotations

from frontend.api import pages
from frontend.api.mutation import Mutations
from frontend.auth import tokens as secrets
from frontend.auth.callers import Caller
from frontend.replica import Replica
from frontend.state import events, tokens
from protos.v1 import token_pb2 as wire
from protos.v1.command_pb2 import IssueToken


class TokenService:
    def __init__(self, replica: Replica, mutations: Mutations, cluster_id: str) -> None:
        self._replica, self._submit, self._cluster_id = replica, mutations.submit, cluster_id

    async def create_token(
        self, caller: Caller, request: wire.CreateTokenRequest
    ) -> wire.CreateTokenResponse:
        secret = secrets.mint(self._cluster_id)
        digest = secrets.sha256(secret)
        issue = IssueToken(request=request, secret_sha256=digest)
        payload = await self._submit(caller, request.request_id, issue_token=issue)
        token = wire.Token.FromString(payload)
        # A repeated request is answered with the token of the first, whose secret is gone.
        await self._replica.read()
        with self._replica.store.read() as txn:
            issued = tokens.hashes.find(txn, digest)
        known = issued == token.id
        return wire.CreateTokenResponse(token=token, secret=secret if known else "")

    async def list_tokens(
        self, caller: Caller, request: wire.ListTokensRequest
    ) -> wire.ListTokensResponse:
        limit, after = pages.size(request.page_size), pages.start(request.page_token)
        await self._replica.read(request.stale)
        with self._replica.store.read() as txn:
            rows = tokens.list_page(txn, after, limit + 1)
            revision = events.last_revision(txn)
        page, more = pages.cut(rows, limit)
        return wire.ListTokensResponse(tokens=page, next_page_token=more, revision=revision)

    async def revoke_token(self, caller: Caller, request: wire.RevokeTokenRequest) -> bytes:
        return await self._submit(caller, request.request_id, revoke_token=request)
