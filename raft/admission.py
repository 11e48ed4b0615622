"""Who may speak on the raft port: TLS settings, the identity in a certificate, and a report of
everybody who was turned away."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protos.identity import REPLICA, identity_in

log = logging.getLogger(__name__)

_REFUSALS_MAX = 256


class Refused(Exception):
    """The other side may not be there; the text completes "it was refused: ..."."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files that this replica proves itself with and checks others against."""

    ca: Path
    certificate: Path
    key: Path


def context(protocol: ssl._SSLMethod, tls: TlsFiles) -> ssl.SSLContext:
    """For one direction. Raises OSError and ssl.SSLError."""
    made = ssl.SSLContext(protocol)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    # Who the peer is stands in its SAN URI; its address may change.
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(tls.ca)
    made.load_cert_chain(tls.certificate, tls.key)
    if protocol is ssl.PROTOCOL_TLS_SERVER:
        # Every connection checks the certificate anew: nothing is resumed.
        made.num_tickets = 0
    return made


def replica_in(certificate: dict[str, Any], cluster_id: str) -> str:
    """The id of the replica that a certificate (as ``getpeercert`` has it, its CA already
    checked) is of. Raises Refused for any other kind of certificate."""
    names = certificate.get("subjectAltName", ())
    try:
        identity = identity_in([value for kind, value in names if kind == "URI"])
    except ValueError as error:
        raise Refused(str(error)) from None
    if identity.cluster_id != cluster_id:
        raise Refused(f"its certificate is of another front-end, {identity.cluster_id}")
    if identity.kind != REPLICA:
        raise Refused(f"its certificate is of {identity.actor}, not of a replica")
    return identity.name


def is_refusal(error: OSError | None) -> bool:
    """Somebody's certificate was turned down, by us or by the other side. Anything else is
    noise: port scans, connections that end early."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return True
    reason = (isinstance(error, ssl.SSLError) and error.reason) or ""
    return reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE" or "_ALERT_" in reason


@dataclass(slots=True)
class Refusals:
    """Reports each once per interval, so that a peer that tries again and again fills no log."""

    report: Callable[[str], None]
    interval_s: float
    _told: dict[str, float] = field(default_factory=dict)

    def add(self, detail: str, now: float) -> None:
        """Logs and reports."""
        if self._is_new(detail, now):
            log.warning("refused on the raft port: %s", detail)
            self.report(detail)

    def warn(self, detail: str, now: float) -> None:
        """Logs only: nobody was refused by us."""
        if self._is_new(detail, now):
            log.warning("%s", detail)

    def _is_new(self, detail: str, now: float) -> bool:
        for old in [d for d, at in self._told.items() if now - at >= self.interval_s]:
            del self._told[old]
        if detail in self._told or len(self._told) >= _REFUSALS_MAX:
            return False
        self._told[detail] = now
        return True
