"""Who is calling: made from the certificate of the connection, or from a token's record."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from frontend.auth.certificates import CertificateError, Role, load_certificate
from frontend.errors import Rejected
from protos.identity import USER, Identity, identity_in
from protos.v1.token_pb2 import USER_ROLE_ADMIN, Token

_CACHED_MAX = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated replica, host or user."""

    kind: str
    """protos.identity.REPLICA, HOST or USER."""

    name: str
    """Replica id, host id or user name."""

    actor: str
    """As commands and events name it: user/ann, host/3, replica/1."""

    admin: bool = False
    """May act on what others own."""

    expire_ms: int
    """Unix time after which this proof counts for nothing, in milliseconds."""

    token_id: int | None = None
    """The token that stood for the user, if one did."""

    certificate_sha256: str = ""
    """Of the certificate, hexadecimal; empty for a token."""


class Callers:
    """Reads each certificate once. Call from one thread."""

    def __init__(self, cluster_id: str) -> None:
        self._cluster_id = cluster_id
        self._known: dict[bytes, Caller] = {}

    def of_certificate(self, pem: bytes, now_ms: int) -> Caller:
        """The caller that *pem*, whose CA the TLS handshake has checked, is a certificate of.

        Raises Rejected("unauthenticated")."""
        caller = self._known.get(pem)
        if caller is None:
            caller = _read(pem, self._cluster_id)
            if len(self._known) >= _CACHED_MAX:
                self._known.clear()
            self._known[pem] = caller
        # A connection may outlive the certificate that opened it.
        if now_ms >= caller.expire_ms:
            raise Rejected(
                "unauthenticated",
                f"the certificate of {caller.actor} has expired: ask an admin for a new one",
            )
        return caller


def of_token(token: Token, cluster_id: str) -> Caller:
    """The user that *token*, a valid one of kind USER, stands for."""
    try:
        identity = Identity(cluster_id, USER, token.user)
    except ValueError as error:
        raise Rejected("unauthenticated", f"token {token.id}: {error}") from None
    return Caller(
        kind=USER,
        name=token.user,
        actor=identity.actor,
        admin=token.role == USER_ROLE_ADMIN,
        expire_ms=token.expire_time_ms,
        token_id=token.id,
    )


def _read(pem: bytes, cluster_id: str) -> Caller:
    try:
        certificate = load_certificate(pem)
        identity = identity_in(_uris(certificate))
    except (CertificateError, ValueError) as error:
        raise Rejected("unauthenticated", f"the certificate cannot be used: {error}") from None
    if identity.cluster_id != cluster_id:
        raise Rejected(
            "unauthenticated",
            f"the certificate is of another front-end, {identity.cluster_id[:8]}: "
            "use a context made for this one",
        )
    return Caller(
        kind=identity.kind,
        name=identity.name,
        actor=identity.actor,
        admin=identity.kind == USER and _role(certificate) == Role.ADMIN,
        expire_ms=int(certificate.not_valid_after_utc.timestamp() * 1000),
        certificate_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def _uris(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)


def _role(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(names[0].value) if len(names) == 1 else ""
