"""
Joins this host to a front-end: a one-time token for a certificate.

The key and the request's id are on disk before anything is sent. A join whose outcome is unknown
is simply run again: the front-end recognises it and gives the same host.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hostagent import config
from hostagent.config import AgentConfig, write_file
from protos.channel import Credentials, open_channel
from protos.errors import failure_of
from protos.identity import HOST, identity_in
from protos.v1 import agent_pb2_grpc
from protos.v1.agent_pb2 import EnrollRequest, EnrollResponse

TIMEOUT_S = 30.0

_CA_NAME_PREFIX = "Skyraft CA "
_REMEDIES = {
    "token_used": "a token is for one host, once; ask the administrator for a new one",
    "token_expired": "ask the administrator for a new one",
    "token_revoked": "ask the administrator for a new one",
    "token_unknown": "see that it was copied whole, and is of this front-end",
}


class JoinError(Exception):
    """The host did not join. The text names cause and next step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """What the operator gives."""

    directory: Path
    ca: Path
    servers: tuple[str, ...]
    """Token ports of replicas, host:port."""
    token: str
    name: str


def join(request: JoinRequest) -> AgentConfig:
    """
    Makes *directory* an agent's. Blocking. Raises JoinError; running it again is always safe.
    """
    if (request.directory / config.FILE_NAME).exists():
        raise JoinError(
            f"{request.directory} has joined already; run the agent, or join into another directory"
        )
    try:
        ca_pem = request.ca.read_bytes()
        _check_token(request.token, ca_pem)
        request.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = _key(request.directory / "host.key")
        request_id = _request_id(request)
    except OSError as err:
        raise JoinError(f"{err}; see that the path is right and may be used") from err
    message = EnrollRequest(
        request_id=request_id,
        token=request.token,
        csr_pem=_csr(key, request.name),
        name=request.name,
    )
    answer = _enroll(request, ca_pem, message)
    _check_answer(answer, key)
    try:
        return _store(request, answer, ca_pem)
    except OSError as err:
        raise JoinError(f"{err}; free space or fix the directory, then join again") from err


def _check_token(token: str, ca_pem: bytes) -> None:
    """A token names its front-end, and so does the CA: a mix-up is found before it is sent."""
    parts = token.split(".")
    if len(parts) < 3 or parts[0] != "skyraft":
        raise JoinError("this is no join token (skyraft.…); copy it whole from where it was made")
    try:
        subject = x509.load_pem_x509_certificate(ca_pem).subject
    except ValueError as err:
        raise JoinError(f"the CA file is not a PEM certificate: {err}; take ca.crt") from err
    for attribute in subject.get_attributes_for_oid(NameOID.COMMON_NAME):
        name = str(attribute.value)
        if name.startswith(_CA_NAME_PREFIX) and name != _CA_NAME_PREFIX + parts[1]:
            raise JoinError(
                f"the token is of front-end {parts[1]}, the CA is of "
                f"{name.removeprefix(_CA_NAME_PREFIX)}; take both from the same front-end"
            )


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The host's key, made if it is not there yet."""
    if path.exists():
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError) as err:
            raise JoinError(f"{path} is not a key: {err}; remove it and join again") from err
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise JoinError(f"{path} is not an elliptic-curve key; remove it and join again")
        return key
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_file(path, pem)
    return key


def _request_id(request: JoinRequest) -> str:
    """The same for every try with this token and name."""
    path = request.directory / "join.json"
    wanted = {
        "token_sha256": hashlib.sha256(request.token.encode()).hexdigest(),
        "name": request.name,
    }
    if path.exists():
        known = json.loads(path.read_text())
        request_id = str(known.pop("request_id"))
        if known == wanted:
            return request_id
    request_id = uuid.uuid4().hex
    write_file(path, json.dumps(wanted | {"request_id": request_id}).encode())
    return request_id


def _csr(key: ec.EllipticCurvePrivateKey, name: str) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64] or "host")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def _enroll(request: JoinRequest, ca_pem: bytes, message: EnrollRequest) -> EnrollResponse:
    try:
        with open_channel(request.servers, Credentials(ca_pem=ca_pem), spread=False) as channel:
            stub = agent_pb2_grpc.AgentServiceStub(channel)
            answer: EnrollResponse = stub.Enroll(message, timeout=TIMEOUT_S)
            return answer
    except (ValueError, OSError) as err:
        raise JoinError(f"{err}; give --server as HOST:PORT of a replica's token port") from err
    except grpc.RpcError as err:
        raise JoinError(_explained(err, request.servers)) from err


def _explained(err: grpc.RpcError, servers: tuple[str, ...]) -> str:
    failure = failure_of(err)
    if failure.reason in _REMEDIES:
        return f"the token was refused: {failure.message}; {_REMEDIES[failure.reason]}"
    if "CERTIFICATE_VERIFY_FAILED" in failure.message:
        return (
            f"{', '.join(servers)} is not of the front-end whose CA was given; see that the "
            "addresses and the CA file belong together"
        )
    if failure.retryable:
        return (
            f"no answer from {', '.join(servers)}: {failure.message}; see that they are token "
            "ports and can be reached, then join again (the token stays good for this host)"
        )
    return f"refused: {failure.message}"


def _check_answer(answer: EnrollResponse, key: ec.EllipticCurvePrivateKey) -> None:
    """Better to find a wrong certificate now than at the agent's first session."""
    try:
        certificate = x509.load_pem_x509_certificate(answer.certificate_pem.encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        identity = identity_in(names.get_values_for_type(x509.UniformResourceIdentifier))
    except (ValueError, x509.ExtensionNotFound) as err:
        raise JoinError(f"the front-end's answer is no host certificate: {err}") from err
    if (identity.kind, identity.name) != (HOST, str(answer.host_id)):
        raise JoinError(f"the certificate is for {identity.actor}, not host/{answer.host_id}")
    if certificate.public_key() != key.public_key():
        raise JoinError("the certificate is for another key; remove the directory and join again")


def _store(request: JoinRequest, answer: EnrollResponse, ca_pem: bytes) -> AgentConfig:
    joined = AgentConfig(
        directory=request.directory.absolute(),
        cluster_id=answer.cluster_id,
        host_id=answer.host_id,
        name=request.name,
        addresses=tuple(answer.addresses),
    )
    # The CA that the operator vouched for, not the one that the answer brings.
    write_file(joined.ca, ca_pem)
    write_file(joined.certificate, answer.certificate_pem.encode())
    config.save(joined)
    (request.directory / "join.json").unlink(missing_ok=True)
    return joined
