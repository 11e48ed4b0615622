"""Joining, against a small front-end with real TLS and a real CA."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from frontend.auth.certificates import create_authority
from hostagent import config
from hostagent.enrolment import JoinError, JoinRequest, join
from protos.errors import abort_arguments
from protos.v1 import agent_pb2_grpc
from protos.v1.agent_pb2 import EnrollRequest, EnrollResponse
from tests.hostagent.replicas import CLUSTER_ID, Certificates

TOKEN = f"skyraft.{CLUSTER_ID[:8]}.{'t' * 43}"


class FrontEnd(agent_pb2_grpc.AgentServiceServicer):
    """The token port: issues certificates, or refuses as it is told."""

    def __init__(self, certificates: Certificates) -> None:
        self.certificates = certificates
        self.requests: list[EnrollRequest] = []
        self.refusals: list[tuple[str, str]] = []
        self.server = grpc.server(ThreadPoolExecutor(2))
        agent_pb2_grpc.add_AgentServiceServicer_to_server(self, self.server)
        issued = certificates.replica
        credentials = grpc.ssl_server_credentials([(issued.key_pem, issued.certificate_pem)])
        self.address = f"127.0.0.1:{self.server.add_secure_port('127.0.0.1:0', credentials)}"
        self.server.start()

    def Enroll(self, request: EnrollRequest, context: Any) -> EnrollResponse:
        self.requests.append(request)
        if self.refusals:
            code, text, metadata = abort_arguments(*self.refusals.pop(0))
            context.set_trailing_metadata(metadata)
            context.abort(code, text)
        authority = self.certificates.authority
        return EnrollResponse(
            host_id=7,
            cluster_id=CLUSTER_ID,
            certificate_pem=authority.sign_host(request.csr_pem.encode(), 7).decode(),
            ca_pem=authority.certificate_pem.decode(),
            addresses=["127.0.0.1:7002", "127.0.0.1:7012"],
        )


@pytest.fixture
def front_end() -> Iterator[FrontEnd]:
    front_end = FrontEnd(Certificates())
    yield front_end
    front_end.server.stop(None)


def request(tmp_path: Path, front_end: FrontEnd, **changes: Any) -> JoinRequest:
    ca = tmp_path / "given-ca.crt"
    ca.write_bytes(front_end.certificates.authority.certificate_pem)
    values: dict[str, Any] = {
        "directory": tmp_path / "agent",
        "ca": ca,
        "servers": (front_end.address,),
        "token": TOKEN,
        "name": "h1",
    }
    return JoinRequest(**(values | changes))


def test_join_leaves_a_directory_that_the_agent_can_run_from(
    tmp_path: Path, front_end: FrontEnd
) -> None:
    joined = join(request(tmp_path, front_end))
    assert joined == config.load(tmp_path / "agent")
    assert (joined.host_id, joined.name) == (7, "h1")
    assert joined.addresses == ("127.0.0.1:7002", "127.0.0.1:7012")
    assert joined.credentials().certificate_pem
    assert joined.key.stat().st_mode & 0o777 == 0o600


def test_join_of_unknown_outcome_is_repeated_with_the_same_id_and_key(
    tmp_path: Path, front_end: FrontEnd
) -> None:
    # gRPC itself tries five times.
    front_end.refusals = [("unavailable", "no leader now")] * 5
    with pytest.raises(JoinError, match=r"no leader now.*join again"):
        join(request(tmp_path, front_end))
    join(request(tmp_path, front_end))
    assert len({one.request_id for one in front_end.requests}) == 1
    keys = {_public_key(one.csr_pem) for one in front_end.requests}
    assert len(keys) == 1


def test_join_with_another_token_is_another_request(tmp_path: Path, front_end: FrontEnd) -> None:
    front_end.refusals = [("token_expired", "token 3 has expired")]
    with pytest.raises(JoinError, match="has expired; ask the administrator for a new one"):
        join(request(tmp_path, front_end))
    join(request(tmp_path, front_end, token=TOKEN[:-1] + "u"))
    first, second = front_end.requests
    assert first.request_id != second.request_id


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("token_used", "a token is for one host, once"),
        ("token_revoked", "ask the administrator"),
        ("token_unknown", "copied whole"),
        ("invalid_argument", "refused: said so"),
    ],
)
def test_refusal_says_what_to_do(
    tmp_path: Path, front_end: FrontEnd, reason: str, remedy: str
) -> None:
    front_end.refusals = [(reason, "said so")]
    with pytest.raises(JoinError, match=f"said so.*{remedy}|{remedy}"):
        join(request(tmp_path, front_end))
    assert not (tmp_path / "agent" / config.FILE_NAME).exists()


def test_token_of_another_front_end_is_not_even_sent(tmp_path: Path, front_end: FrontEnd) -> None:
    foreign = f"skyraft.{'d' * 8}.{'t' * 43}"
    with pytest.raises(
        JoinError, match="the token is of front-end dddddddd, the CA is of cccccccc"
    ):
        join(request(tmp_path, front_end, token=foreign))
    with pytest.raises(JoinError, match="no join token"):
        join(request(tmp_path, front_end, token="hunter2"))
    assert front_end.requests == []


def test_server_of_another_front_end_gets_no_token(tmp_path: Path, front_end: FrontEnd) -> None:
    other = create_authority(CLUSTER_ID)[0]
    ca = tmp_path / "other.crt"
    ca.write_bytes(other.certificate_pem)
    with pytest.raises(JoinError, match="is not of the front-end whose CA was given"):
        join(request(tmp_path, front_end, ca=ca))
    assert front_end.requests == []


def test_directory_that_has_joined_is_left_alone(tmp_path: Path, front_end: FrontEnd) -> None:
    join(request(tmp_path, front_end))
    with pytest.raises(JoinError, match="has joined already"):
        join(request(tmp_path, front_end))
    assert len(front_end.requests) == 1


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"ca": Path("/nowhere/ca.crt")}, "/nowhere/ca.crt"),
        ({"ca": Path("/etc/hostname")}, "not a PEM certificate"),
        ({"servers": ("here",)}, "not host:port"),
    ],
)
def test_mistake_on_the_command_line_is_named(
    tmp_path: Path, front_end: FrontEnd, changes: dict[str, Any], fault: str
) -> None:
    with pytest.raises(JoinError, match=fault):
        join(request(tmp_path, front_end, **changes))


def _public_key(csr_pem: str) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_pem_x509_csr(csr_pem.encode()).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
