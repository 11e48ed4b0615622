"""Who a certificate stands for: the SAN URI in it, and the actor string in commands and events."""

from __future__ import annotations

import re
from dataclasses import dataclass

REPLICA = "replica"
HOST = "host"
USER = "user"
KINDS = (REPLICA, HOST, USER)

SYSTEM_ACTOR = "system"
"""Actor of what the leader does by itself (placement, expiry)."""

REPLICA_SERVER_NAME = "replica.skyraft"
"""DNS name in every replica's certificate. Clients verify this instead of the address they
dialled, so that replicas may move."""

_SCHEME = "skyraft://"
_CLUSTER = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")


@dataclass(frozen=True, slots=True)
class Identity:
    """One replica, host or user of one front-end. Raises ValueError when it cannot be written
    as a URI, so whatever exists has been checked."""

    cluster_id: str
    """uuid4 as 32 hexadecimal digits, made once by ``skyraft cluster init``."""

    kind: str
    """REPLICA, HOST or USER."""

    name: str
    """Replica id, host id or user name."""

    def __post_init__(self) -> None:
        if not _CLUSTER.fullmatch(self.cluster_id):
            raise ValueError(f"cluster id {self.cluster_id!r} is not 32 hexadecimal digits")
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is none of {', '.join(KINDS)}")
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.kind} name {self.name!r}: use 1 to 63 letters, digits and . _ @ -, "
                "starting with a letter or digit"
            )

    @property
    def actor(self) -> str:
        """As in commands and events: user/ann, host/3, replica/1."""
        return f"{self.kind}/{self.name}"

    @property
    def uri(self) -> str:
        return f"{_SCHEME}{self.cluster_id}/{self.kind}/{self.name}"


def parse_uri(uri: str) -> Identity:
    """The identity that *uri* (a certificate's SAN entry) names. Raises ValueError."""
    parts = uri.removeprefix(_SCHEME).split("/")
    if not uri.startswith(_SCHEME) or len(parts) != 3:
        raise ValueError(f"{uri!r} is not {_SCHEME}<cluster id>/<kind>/<name>")
    return Identity(*parts)


def identity_in(uris: list[str]) -> Identity:
    """The one identity among a certificate's SAN URIs; URIs of other schemes are ignored.

    Raises ValueError when there is none, or more than one to choose from."""
    ours = [uri for uri in uris if uri.startswith(_SCHEME)]
    if len(ours) != 1:
        raise ValueError(f"the certificate names {len(ours)} Skyraft identities, not one")
    return parse_uri(ours[0])
