"""Is a host's certificate the newest one of a host that is still there?

TLS cannot tell: a certificate of the CA stays valid after its host was deleted or enrolled again.
"""

from __future__ import annotations

from frontend.auth.callers import Caller
from frontend.errors import Rejected
from frontend.replica import Replica
from frontend.state import hosts
from frontend.state.store import ReadTxn
from protos.v1.host_pb2 import Host


def host_of(txn: ReadTxn, caller: Caller) -> Host:
    """The record of the host that *caller*'s certificate was made for, as far as *txn* knows.

    Raises Rejected("permission_denied")."""
    host = hosts.get(txn, int(caller.name))
    if host is None:
        raise Rejected(
            "permission_denied",
            f"{caller.actor} is no longer part of this front-end: enrol it again",
        )
    if host.certificate_sha256 != caller.certificate_sha256:
        raise Rejected(
            "permission_denied",
            f"{caller.actor} has a newer certificate than this one: use that, or enrol again",
        )
    return host


async def require_enrolled(replica: Replica, caller: Caller) -> None:
    """Rejected unless *caller*'s host has this certificate. Asks the leader only when it seems
    not to: an enrolment of a moment ago must be seen."""
    for last_look in (False, True):
        try:
            with replica.store.read() as txn:
                host_of(txn, caller)
            return
        except Rejected:
            if last_look:
                raise
        await replica.read()
