"""Promises of protos/channel.py, with real TLS servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from frontend.auth.certificates import Authority, Issued, Role, create_authority
from protos.channel import Credentials, open_aio_channel, open_channel, server_options, target
from protos.v1.template_pb2 import GetTemplateRequest, Template
from protos.v1.template_pb2_grpc import (
    TemplateServiceServicer,
    TemplateServiceStub,
    add_TemplateServiceServicer_to_server,
)

CLUSTER = "0123456789abcdef0123456789abcdef"


class Named(TemplateServiceServicer):
    """Answers with its own name and notes the authorization it was sent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.authorization = ""

    def GetTemplate(self, request: GetTemplateRequest, context: grpc.ServicerContext) -> Template:
        metadata = dict(context.invocation_metadata())
        self.authorization = str(metadata.get("authorization", ""))
        return Template(id=request.id, name=self.name)


@dataclass
class Site:
    """A CA and servers with its certificates."""

    authority: Authority = field(default_factory=lambda: create_authority(CLUSTER)[0])
    servers: list[grpc.Server] = field(default_factory=list)

    def serve(
        self,
        servicer: Named,
        *,
        mutual: bool = True,
        issued: Issued | None = None,
        address: str = "127.0.0.1:0",
    ) -> str:
        issued = issued or self.authority.issue_replica("1", ["127.0.0.1"])
        credentials = grpc.ssl_server_credentials(
            [(issued.key_pem, issued.certificate_pem)],
            root_certificates=self.authority.certificate_pem if mutual else None,
            require_client_auth=mutual,
        )
        server = grpc.server(ThreadPoolExecutor(2), options=server_options())
        add_TemplateServiceServicer_to_server(servicer, server)
        port = server.add_secure_port(address, credentials)
        server.start()
        self.servers.append(server)
        return f"127.0.0.1:{port}"

    def user(self, authority: Authority | None = None) -> Credentials:
        issued = (authority or self.authority).issue_user("ann", Role.USER)
        return Credentials(
            ca_pem=self.authority.certificate_pem,
            certificate_pem=issued.certificate_pem,
            key_pem=issued.key_pem,
        )


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    for server in made.servers:
        server.stop(0).wait()


@pytest.fixture
def free_port() -> Callable[[], int]:
    def find() -> int:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return int(sock.getsockname()[1])

    return find


def ask(channel: grpc.Channel, **options: object) -> str:
    answer: Template = TemplateServiceStub(channel).GetTemplate(
        GetTemplateRequest(id=1), timeout=20, **options
    )
    return answer.name


@pytest.mark.parametrize("spread", [True, False])
def test_calls_go_on_when_a_replica_is_lost(site: Site, spread: bool) -> None:
    addresses = [site.serve(Named(name)) for name in ("a", "b", "c")]
    with open_channel(addresses, site.user(), spread=spread) as channel:
        for lost, left in ((0, {"b", "c"}), (1, {"c"})):
            ask(channel)
            site.servers[lost].stop(0).wait()
            # Each may be sent to the lost one first; none may fail.
            assert {ask(channel) for _ in range(6)} <= left


def test_replica_that_comes_back_is_used_again(site: Site) -> None:
    addresses = [site.serve(Named("a")), site.serve(Named("b"))]
    with open_channel(addresses, site.user()) as channel:
        ask(channel)
        site.servers[0].stop(0).wait()
        assert ask(channel) == "b"
        site.serve(Named("a again"), address=addresses[0])
        while ask(channel) != "a again":  # the test's time limit is the deadline
            pass


def test_unreachable_addresses_do_not_matter_while_one_answers(
    site: Site, free_port: Callable[[], int]
) -> None:
    addresses = [f"127.0.0.1:{free_port()}", site.serve(Named("a")), f"127.0.0.1:{free_port()}"]
    for spread in (True, False):
        with open_channel(addresses, site.user(), spread=spread) as channel:
            assert [ask(channel) for _ in range(5)] == ["a"] * 5


def test_aio_channel_does_the_same(site: Site) -> None:
    addresses = [site.serve(Named(name)) for name in ("a", "b")]

    async def run() -> list[str]:
        async with open_aio_channel(addresses, site.user()) as channel:
            stub = TemplateServiceStub(channel)
            await stub.GetTemplate(GetTemplateRequest(), timeout=20)
            site.servers[0].stop(0).wait()
            return [
                (await stub.GetTemplate(GetTemplateRequest(), timeout=20)).name for _ in range(5)
            ]

    assert asyncio.run(run()) == ["b"] * 5


def test_token_is_sent_with_every_call(site: Site) -> None:
    servicer = Named("a")
    address = site.serve(servicer, mutual=False)
    credentials = Credentials(ca_pem=site.authority.certificate_pem, token="secret")
    with open_channel([address], credentials) as channel:
        ask(channel)
    assert servicer.authorization == "Bearer secret"


def test_replica_of_another_ca_is_not_talked_to(site: Site) -> None:
    stranger = Site()
    address = stranger.serve(Named("a"))
    site.servers += stranger.servers
    with open_channel([address], site.user()) as channel, pytest.raises(grpc.RpcError) as caught:
        ask(channel)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_user_cannot_pose_as_a_replica(site: Site) -> None:
    """A user's certificate is of the right CA, but lacks the replicas' server name."""
    address = site.serve(Named("a"), issued=site.authority.issue_user("ann"))
    with open_channel([address], site.user()) as channel, pytest.raises(grpc.RpcError) as caught:
        ask(channel)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_client_of_another_ca_is_refused(site: Site) -> None:
    address = site.serve(Named("a"))
    other, _ = create_authority(CLUSTER)
    with (
        open_channel([address], site.user(other)) as channel,
        pytest.raises(grpc.RpcError) as caught,
    ):
        ask(channel)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_credentials_are_read_from_files(site: Site, tmp_path: Path) -> None:
    credentials = site.user()
    for name in ("ca_pem", "certificate_pem", "key_pem"):
        (tmp_path / name).write_bytes(getattr(credentials, name))
    ca, certificate, key = (tmp_path / n for n in ("ca_pem", "certificate_pem", "key_pem"))
    assert Credentials.load(ca=ca, certificate=certificate, key=key) == credentials
    assert Credentials.load(ca=ca, token="t").token == "t"
    with pytest.raises(OSError, match="absent"):
        Credentials.load(ca=tmp_path / "absent")


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["127.0.0.1:1"], "ipv4:127.0.0.1:1"),
        (["127.0.0.1:1", "127.0.0.2:2"], "ipv4:127.0.0.1:1,127.0.0.2:2"),
        (["[::1]:1", "[::2]:2"], "ipv6:[::1]:1,[::2]:2"),
        (["[::1]:1", "127.0.0.1:1", "127.0.0.1:2"], "ipv4:127.0.0.1:1,127.0.0.1:2"),
        (["cloud.example.org:7002"], "dns:///cloud.example.org:7002"),
        (["127.0.0.1:1", "no.such.host.invalid:2"], "ipv4:127.0.0.1:1"),
    ],
)
def test_addresses_become_one_target(addresses: list[str], expected: str) -> None:
    assert target(addresses) == expected


def test_names_are_resolved_when_there_are_several() -> None:
    assert target(["localhost:1", "127.0.0.1:2"]) == "ipv4:127.0.0.1:1,127.0.0.1:2"


@pytest.mark.parametrize(
    "address", ["", "a", "a:", ":1", "a:-1", "a:65536", "a:x", "::1:1", "[a]:1", "a b:1", "a:1\n"]
)
def test_malformed_address_is_named(address: str) -> None:
    with pytest.raises(ValueError, match="is not host:port"):
        target([address])


def test_no_address_or_none_that_resolves_is_an_error() -> None:
    with pytest.raises(ValueError, match="no address"):
        target([])
    with pytest.raises(OSError, match=r"no\.such\.host\.invalid"):
        target(["no.such.host.invalid:1", "no.such.host2.invalid:1"])
