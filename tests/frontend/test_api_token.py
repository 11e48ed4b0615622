"""Tokens: given once, kept as a hash, refused when over."""

from __future__ import annotations

from protos.v1 import token_pb2 as wire
from protos.v1 import vm_pb2
from tests.frontend.front_end import FrontEnd, refusal


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


def test_listed_tokens_hold_no_secret(front_end: FrontEnd) -> None:
    made = make(front_end)
    listed = front_end.admin.tokens.ListTokens(wire.ListTokensRequest(page_size=1000))
    assert made.token in listed.tokens
    assert made.secret.rpartition(".")[2] not in str(listed)
