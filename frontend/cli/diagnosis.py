"""Why no replica answers: what gRPC reports as UNAVAILABLE, told in words that lead on."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from frontend.cli.contexts import Context
from frontend.cli.errors import CliError, unavailable, usage

_PROBE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class _Finding:
    """Why one address is of no use."""

    cause: str
    next_step: str


def explain(context: Context, addresses: tuple[str, ...], repeat: str = "") -> CliError | None:
    """What keeps this client from all of *addresses*, or a majority of the replicas from
    answering; None if the failure is not about connections. *repeat* is the next step when the
    request may have arrived."""
    trouble = _file_trouble(context)
    if trouble is not None:
        return trouble
    tls = _tls(context)
    with ThreadPoolExecutor(max_workers=len(addresses)) as pool:
        findings = list(pool.map(lambda address: _probe(address, tls), addresses))
    bad = [finding for finding in findings if finding is not None]
    causes = "; ".join(dict.fromkeys(finding.cause for finding in bad))
    if len(bad) == len(findings):
        return unavailable(causes, bad[0].next_step)
    if len(findings) - len(bad) < len(findings) // 2 + 1:
        return unavailable(
            f"no majority of the replicas answers: {causes}", repeat or bad[0].next_step
        )
    return None


def _file_trouble(context: Context) -> CliError | None:
    """Files that no replica can accept, whichever it is."""
    try:
        _tls(context)
    except (ssl.SSLError, OSError) as error:
        cause = getattr(error, "reason", None) or error
        where = " or ".join(str(path) for path in _files(context))
        return usage(
            f"{where} cannot be used: {cause}",
            "all are PEM files, and the key is that of the certificate",
        )
    for path in _files(context):
        if path != context.key and (trouble := _expired(path, context)) is not None:
            return trouble
    return None


def _expired(path: Path, context: Context) -> CliError | None:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        return usage(f"{path} is not a certificate: {error}", "it must be a PEM file")
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        when = f"expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    elif certificate.not_valid_before_utc > now:
        when = f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    else:
        return None
    return usage(
        f"the certificate {path} {when}",
        "check this machine's clock; else ask an admin for a new one: "
        "`skyraft cluster certificate DIR --user NAME`",
    )


def _files(context: Context) -> list[Path]:
    return [path for path in (context.ca, context.certificate, context.key) if path is not None]


def _tls(context: Context) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.load_verify_locations(cafile=context.ca)
    if context.certificate is not None:
        tls.load_cert_chain(context.certificate, context.key)
    tls.set_alpn_protocols(["h2"])
    return tls


def _probe(address: str, tls: ssl.SSLContext) -> _Finding | None:
    """None if a TLS session as ours is accepted at *address*."""
    from protos.channel import split_address
    from protos.identity import REPLICA_SERVER_NAME

    running = "are the replicas running, and are the addresses right? See `skyraft context show`"
    try:
        host, port = split_address(address)
        with (
            socket.create_connection((host, port), timeout=_PROBE_TIMEOUT_S) as plain,
            tls.wrap_socket(plain, server_hostname=REPLICA_SERVER_NAME) as session,
        ):
            # A TLS 1.3 server refuses a client's certificate after the handshake: read on.
            if not session.recv(1):
                return _refused(address, "it closed the connection")
    except ssl.SSLCertVerificationError as error:
        return _Finding(
            f"{address} is not a replica of this front-end: {error.verify_message}",
            "the context's `ca` must be the ca.crt of that front-end: see `skyraft context show`",
        )
    except ssl.SSLError as error:
        return _refused(address, str(error.reason))
    except ConnectionResetError:
        return _refused(address, "it closed the connection")
    except ConnectionRefusedError:
        return _Finding(f"nothing listens at {address}", running)
    except TimeoutError:
        return _Finding(f"{address} does not answer", running)
    except socket.gaierror as error:
        return _Finding(f"{address} cannot be resolved: {error.strerror}", running)
    except OSError as error:
        return _Finding(f"{address}: {error.strerror or error}", running)
    return None


def _refused(address: str, how: str) -> _Finding:
    return _Finding(
        f"{address} does not accept this client's certificate or token: {how}",
        "a certificate goes to the API ports and a token to the token ports, "
        "and both must be of this front-end: see `skyraft context show`",
    )
