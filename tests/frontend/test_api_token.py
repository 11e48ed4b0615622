"""Tokens: given once, kept as a hash, refused when over."""

from __future__ import annotations

import queue

import pytest

from frontend.api.door import Door
from frontend.auth.callers import Caller
from frontend.errors import Rejected
from protos.identity import USER
from protos.v1 import event_pb2, pipeline_pb2, vm_pb2
from protos.v1 import token_pb2 as wire
from tests.frontend.front_end import DEADLINE_S, FrontEnd, refusal


def make(front_end: FrontEnd, **fields: object) -> wire.CreateTokenResponse:
    request = wire.CreateTokenRequest(kind=wire.TOKEN_KIND_USER, user="ann", **fields)  # type: ignore[arg-type]
    made: wire.CreateTokenResponse = front_end.admin.tokens.CreateToken(request)
    return made


def test_secret_opens_the_token_port(front_end: FrontEnd) -> None:
    front_end.bearer(make(front_end).secret).vms.ListVms(vm_pb2.ListVmsRequest())


def test_secret_is_told_once(front_end: FrontEnd) -> None:
    first = make(front_end, request_id="one-token")
    again = make(front_end, request_id="one-token")
    assert first.secret
    assert (again.token, again.secret) == (first.token, "")


def test_secret_is_nowhere_on_disk(front_end: FrontEnd) -> None:
    secret = make(front_end).secret.encode()
    for file in front_end.config.data.rglob("*"):
        if file.is_file():
            assert secret not in file.read_bytes()


def test_admin_token_is_an_admin_and_user_token_is_not(front_end: FrontEnd) -> None:
    listing = wire.ListTokensRequest()
    admin = front_end.bearer(make(front_end, role=wire.USER_ROLE_ADMIN).secret)
    user = front_end.bearer(make(front_end, role=wire.USER_ROLE_USER).secret)
    assert admin.tokens.ListTokens(listing).tokens
    assert refusal(lambda: user.tokens.ListTokens(listing)).reason == "permission_denied"


def test_revoked_token_is_refused_on_an_open_connection(front_end: FrontEnd) -> None:
    made = make(front_end)
    bearer = front_end.bearer(made.secret)
    bearer.vms.ListVms(vm_pb2.ListVmsRequest())
    front_end.admin.tokens.RevokeToken(wire.RevokeTokenRequest(id=made.token.id))
    # A linearizable read: the replica has applied the revocation when it answers.
    front_end.admin.tokens.ListTokens(wire.ListTokensRequest())
    failure = refusal(lambda: bearer.vms.ListVms(vm_pb2.ListVmsRequest()))
    assert failure.reason == "token_revoked"


def revoke(front_end: FrontEnd, token_id: int) -> None:
    front_end.admin.tokens.RevokeToken(wire.RevokeTokenRequest(id=token_id))
    # A linearizable read: the replica has applied the revocation when it answers.
    front_end.admin.tokens.ListTokens(wire.ListTokensRequest())


def test_revoked_token_is_told_nothing_more_by_an_open_watch(front_end: FrontEnd) -> None:
    made = make(front_end)
    request = event_pb2.WatchEventsRequest(after_revision=front_end.revision(), noun="template")
    changes = front_end.bearer(made.secret).events.WatchEvents(request, timeout=DEADLINE_S)
    front_end.template("before the revocation")
    assert next(changes).event.detail == "before the revocation"
    revoke(front_end, made.token.id)
    front_end.template("after the revocation")
    assert refusal(lambda: next(changes)).reason == "token_revoked"


def test_revoked_token_changes_nothing_more_over_an_open_pipeline(front_end: FrontEnd) -> None:
    made = make(front_end)
    said: queue.SimpleQueue[pipeline_pb2.PipelineRequest | None] = queue.SimpleQueue()
    one = pipeline_pb2.Operation(id=1, list_vms=vm_pb2.ListVmsRequest())
    stream = front_end.bearer(made.secret).pipelines.Pipeline(
        iter(said.get, None), timeout=DEADLINE_S
    )
    for _ in range(2):
        said.put(pipeline_pb2.PipelineRequest(operations=[one]))
        next(stream)
    revoke(front_end, made.token.id)
    said.put(pipeline_pb2.PipelineRequest(operations=[one]))
    assert refusal(lambda: next(stream)).reason == "token_revoked"
    said.put(None)


def test_expired_proof_keeps_no_stream_open(front_end: FrontEnd) -> None:
    door = Door(front_end.cluster_id, front_end.replica.store, lambda detail: None)
    ann = Caller(kind=USER, name="ann", actor="user/ann", expire_ms=1)
    with pytest.raises(Rejected) as caught:
        door.still(ann)
    assert caught.value.code == "unauthenticated"


def test_listed_tokens_hold_no_secret(front_end: FrontEnd) -> None:
    made = make(front_end)
    listed = front_end.admin.tokens.ListTokens(wire.ListTokensRequest(page_size=1000))
    assert made.token in listed.tokens
    assert made.secret.rpartition(".")[2] not in str(listed)
