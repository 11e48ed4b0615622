"""Promises of frontend/auth/certificates.py."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from frontend.auth.callers import Callers
from frontend.auth.certificates import (
    Authority,
    CertificateError,
    create_authority,
    create_request,
    key_sha256,
    load_certificate,
    request_key,
)

CLUSTER = "0123456789abcdef0123456789abcdef"
NOW_MS = int(dt.datetime.now(dt.UTC).timestamp() * 1000)
DAY_MS = 24 * 3600 * 1000


@pytest.fixture(scope="module")
def authority() -> Authority:
    return create_authority(CLUSTER)[0]


def request(key: object, name: str = "anybody") -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    algorithm = (
        None
        if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
        else (hashes.SHA256())
    )
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)  # type: ignore[arg-type]


# What is issued


def test_every_leaf_verifies_against_the_ca_for_its_use(authority: Authority) -> None:
    store = Store([load_certificate(authority.certificate_pem)])
    replica = load_certificate(authority.issue_replica("1", ["10.0.0.1"]).certificate_pem)
    server = PolicyBuilder().store(store).build_server_verifier(x509.DNSName("replica.skyraft"))
    assert len(server.verify(replica, [])) == 2
    client = PolicyBuilder().store(store).build_client_verifier()
    for issued in (authority.issue_user("ann"), authority.issue_host(0)):
        assert len(client.verify(load_certificate(issued.certificate_pem), []).chain) == 2
        with pytest.raises(x509.verification.VerificationError):
            server.verify(load_certificate(issued.certificate_pem), [])


def test_replica_certificate_names_its_addresses(authority: Authority) -> None:
    hosts = ["10.0.0.1", "cloud1.example.org", "10.0.0.1", "fd00::1"]
    certificate = load_certificate(authority.issue_replica("1", hosts).certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "fd00::1"]
    assert names.get_values_for_type(x509.DNSName) == ["cloud1.example.org", "replica.skyraft"]


def test_leaf_is_valid_for_hosts_whose_clock_is_a_little_behind(authority: Authority) -> None:
    certificate = load_certificate(authority.issue_host(1).certificate_pem)
    ahead = dt.datetime.now(dt.UTC) - certificate.not_valid_before_utc
    assert dt.timedelta(minutes=4) < ahead < dt.timedelta(minutes=6)


def test_no_leaf_outlives_the_ca(authority: Authority) -> None:
    issued = authority.issue_user("ann", lifetime=dt.timedelta(days=36500))
    end = load_certificate(authority.certificate_pem).not_valid_after_utc
    assert load_certificate(issued.certificate_pem).not_valid_after_utc == end


def test_issued_key_and_certificate_belong_together(authority: Authority) -> None:
    issued = authority.issue_user("ann")
    key = serialization.load_pem_private_key(issued.key_pem, None)
    assert key.public_key() == load_certificate(issued.certificate_pem).public_key()


@pytest.mark.parametrize("name", ["", "ann/admin", "ann\n", "../x", "a" * 64])
def test_user_name_that_breaks_the_identity_is_refused(authority: Authority, name: str) -> None:
    with pytest.raises(ValueError, match="user name"):
        authority.issue_user(name)


# Certificate requests


def test_identity_is_ours_and_not_the_requests(authority: Authority) -> None:
    csr, key = create_request("user/root")
    pem = authority.sign_host(csr, 7)
    caller = Callers(CLUSTER).of_certificate(pem, NOW_MS)
    assert (caller.actor, caller.admin) == ("host/7", False)
    public = serialization.load_pem_private_key(key, None).public_key()
    assert load_certificate(pem).public_key() == public


KEYS: dict[str, Callable[[], object]] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
}
WEAK_KEYS: dict[str, Callable[[], object]] = {
    "P-224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed448": ed448.Ed448PrivateKey.generate,
    "RSA 1024": lambda: rsa.generate_private_key(65537, 1024),
}


@pytest.mark.parametrize("kind", KEYS)
def test_strong_keys_are_signed(authority: Authority, kind: str) -> None:
    pem = authority.sign_host(request(KEYS[kind]()), 1)
    assert Callers(CLUSTER).of_certificate(pem, NOW_MS).actor == "host/1"


@pytest.mark.parametrize("kind", WEAK_KEYS)
def test_other_keys_are_refused(authority: Authority, kind: str) -> None:
    with pytest.raises(CertificateError, match="kind that is not accepted"):
        authority.sign_host(request(WEAK_KEYS[kind]()), 1)


def test_request_signed_by_another_key_is_refused(authority: Authority) -> None:
    """Else somebody could get a certificate for a key that he only saw."""
    csr = x509.load_pem_x509_csr(create_request("host")[0]).public_bytes(serialization.Encoding.DER)
    forged = x509.load_der_x509_csr(csr[:-1] + bytes([csr[-1] ^ 1]))
    with pytest.raises(CertificateError, match="not signed by its own key"):
        authority.sign_host(forged.public_bytes(serialization.Encoding.PEM), 1)


@pytest.mark.parametrize("csr", [b"", b"nonsense", b"-----BEGIN CERTIFICATE REQUEST-----\n"])
def test_malformed_request_is_refused(authority: Authority, csr: bytes) -> None:
    with pytest.raises(CertificateError, match="not valid PKCS #10"):
        authority.sign_host(csr, 1)


def test_oversized_request_is_not_parsed() -> None:
    with pytest.raises(CertificateError, match="longer than"):
        request_key(b"x" * (1 << 20))


def test_same_key_is_recognised_in_another_request() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    assert key_sha256(request(key, "a")) == key_sha256(request(key, "b"))
    assert key_sha256(request(key)) != key_sha256(create_request("a")[0])


# The authority itself


def test_authority_with_a_foreign_key_is_refused(authority: Authority) -> None:
    _, other = create_authority(CLUSTER)
    with pytest.raises(CertificateError, match="does not belong"):
        Authority(CLUSTER, authority.certificate_pem, other.key_pem)
    with pytest.raises(CertificateError, match="private key"):
        Authority(CLUSTER, authority.certificate_pem, b"junk")
    with pytest.raises(CertificateError, match="not a PEM certificate"):
        Authority(CLUSTER, b"junk", other.key_pem)


def test_ca_may_sign_leaves_only(authority: Authority) -> None:
    certificate = load_certificate(authority.certificate_pem)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert constraints.critical
    # OpenSSL, which every connection relies on, reads it too.
    ssl.create_default_context(cadata=authority.certificate_pem.decode())
