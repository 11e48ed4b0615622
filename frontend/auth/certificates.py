"""The certificate authority: makes the CA, and issues what replicas, hosts and users prove
themselves with. The identity in a certificate is written here and never taken from a request."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protos.identity import HOST, REPLICA, REPLICA_SERVER_NAME, USER, Identity

CA_LIFETIME = dt.timedelta(days=3650)
LEAF_LIFETIME = dt.timedelta(days=365)
CLOCK_SKEW = dt.timedelta(minutes=5)
"""How far behind ours the clock of a host may be that checks a new certificate."""

_RSA_BITS_MIN = 2048
_CSR_BYTES_MAX = 16 << 10

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey


class Role(StrEnum):
    """What a user certificate lets its user do; written as O in the subject."""

    ADMIN = "admin"
    USER = "user"


class CertificateError(ValueError):
    """A certificate, key or request that cannot be used. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with the key that was made for it."""

    certificate_pem: bytes
    key_pem: bytes


class Authority:
    """The CA of one front-end."""

    def __init__(self, cluster_id: str, certificate_pem: bytes, key_pem: bytes) -> None:
        """Raises CertificateError when the two do not belong together."""
        self.cluster_id = cluster_id
        self.certificate_pem = certificate_pem
        self._certificate = load_certificate(certificate_pem)
        self._key = _load_key(key_pem)
        if self._certificate.public_key() != self._key.public_key():
            raise CertificateError("the CA's key does not belong to the CA's certificate")

    @classmethod
    def load(cls, cluster_id: str, certificate: Path, key: Path) -> Authority:
        """Raises CertificateError or OSError; both name the file."""
        try:
            return cls(cluster_id, certificate.read_bytes(), key.read_bytes())
        except CertificateError as error:
            raise CertificateError(f"{certificate} and {key}: {error}") from None

    def issue_replica(
        self, name: str, hosts: Sequence[str], lifetime: dt.timedelta = LEAF_LIFETIME
    ) -> Issued:
        """*hosts*: the host names and IP addresses that the replica listens on."""
        alternatives = [_alternative(host) for host in dict.fromkeys(hosts)]
        alternatives.append(x509.DNSName(REPLICA_SERVER_NAME))
        identity = Identity(self.cluster_id, REPLICA, name)
        return self._issue(identity, alternatives=alternatives, lifetime=lifetime)

    def issue_host(self, host_id: int) -> Issued:
        return self._issue(Identity(self.cluster_id, HOST, str(host_id)))

    def issue_user(
        self, name: str, role: Role = Role.USER, lifetime: dt.timedelta = LEAF_LIFETIME
    ) -> Issued:
        """Raises ValueError for a name that cannot be a user's."""
        return self._issue(Identity(self.cluster_id, USER, name), role=role, lifetime=lifetime)

    def sign_host(self, csr_pem: bytes, host_id: int) -> bytes:
        """A host's certificate for the key in *csr_pem*, whose subject and extensions count for
        nothing. Returns PEM. Raises CertificateError."""
        key = request_key(csr_pem)
        return self._sign(Identity(self.cluster_id, HOST, str(host_id)), key)

    def _issue(
        self,
        identity: Identity,
        *,
        role: Role | None = None,
        alternatives: Sequence[x509.GeneralName] = (),
        lifetime: dt.timedelta = LEAF_LIFETIME,
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = self._sign(
            identity, key.public_key(), role=role, alternatives=alternatives, lifetime=lifetime
        )
        return Issued(pem, key_pem(key))

    def _sign(
        self,
        identity: Identity,
        key: PublicKey,
        *,
        role: Role | None = None,
        alternatives: Sequence[x509.GeneralName] = (),
        lifetime: dt.timedelta = LEAF_LIFETIME,
    ) -> bytes:
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, identity.actor)]
        if role is not None:
            subject.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, role.value))
        uri = x509.UniformResourceIdentifier(identity.uri)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if identity.kind == REPLICA:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        now = dt.datetime.now(dt.UTC)
        # A certificate must not outlive the CA: checks of the chain would fail, not renewals.
        end = min(now + lifetime, self._certificate.not_valid_after_utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name(subject))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, end) - CLOCK_SKEW)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_leaf_key_usage(), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName([uri, *alternatives]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(self._authority_identifier(), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def _authority_identifier(self) -> x509.AuthorityKeyIdentifier:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())


def create_authority(cluster_id: str) -> tuple[Authority, Issued]:
    """A new CA for the front-end *cluster_id*; the second value is what to write to disk."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Skyraft CA {cluster_id[:8]}")])
    now = dt.datetime.now(dt.UTC)
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_ca_key_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    issued = Issued(certificate.public_bytes(serialization.Encoding.PEM), key_pem(key))
    return Authority(cluster_id, issued.certificate_pem, issued.key_pem), issued


def request_key(csr_pem: bytes) -> PublicKey:
    """The public key of a certificate request, once its signature proves that the sender has
    the private one. Raises CertificateError."""
    if len(csr_pem) > _CSR_BYTES_MAX:
        raise CertificateError(f"the certificate request is longer than {_CSR_BYTES_MAX} bytes")
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        key = request.public_key()
        sound = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise CertificateError(f"the certificate request is not valid PKCS #10: {error}") from None
    if not sound:
        raise CertificateError("the certificate request is not signed by its own key")
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= _RSA_BITS_MIN:
        return key
    raise CertificateError(
        f"the key of the certificate request is of a kind that is not accepted: use EC P-256, "
        f"Ed25519 or RSA of at least {_RSA_BITS_MIN} bits"
    )


def create_request(name: str) -> tuple[bytes, bytes]:
    """A new key and a request for a certificate: (CSR, key), both PEM. *name* is for people who
    look at the request; whoever signs it writes another."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    csr = request.sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM), key_pem(key)


def key_sha256(csr_pem: bytes) -> str:
    """SHA-256 of the request's public key, hexadecimal. Raises CertificateError."""
    return _sha256(
        request_key(csr_pem).public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )


def certificate_sha256(pem: bytes) -> str:
    """SHA-256 of the certificate itself, hexadecimal. Raises CertificateError."""
    return load_certificate(pem).fingerprint(hashes.SHA256()).hex()


def load_certificate(pem: bytes) -> x509.Certificate:
    """Raises CertificateError."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise CertificateError(f"not a PEM certificate: {error}") from None


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"not an unencrypted PEM private key: {error}") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError("the CA's key is not an elliptic curve key")
    return key


def _sha256(data: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize().hex()


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _leaf_key_usage() -> x509.KeyUsage:
    return _key_usage(digital_signature=True, key_cert_sign=False)


def _ca_key_usage() -> x509.KeyUsage:
    return _key_usage(digital_signature=False, key_cert_sign=True)


def _key_usage(*, digital_signature: bool, key_cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
