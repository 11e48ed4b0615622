"""Who may call which method. One row for each RPC; what a user may do to which object is decided
by its owner, in the commands."""

from __future__ import annotations

from enum import Enum
from typing import Final

from frontend.auth.callers import Caller
from frontend.errors import Rejected
from protos.identity import HOST, REPLICA, USER


class Who(Enum):
    """Groups of callers; the value completes "it is for ..."."""

    ANYBODY = "anybody"
    """Also callers that have proved nothing: the request itself holds the proof."""

    AUTHENTICATED = "every authenticated caller"
    USERS = "users"
    ADMINS = "admins"
    HOSTS = "host agents"
    READERS_OF_IMAGES = "host agents, replicas and admins"


_METHODS: Final[dict[str, dict[str, Who]]] = {
    "AgentService": {"Enroll": Who.ANYBODY, "Session": Who.HOSTS},
    "ClusterService": {
        "GetStatus": Who.AUTHENTICATED,
        "TransferLeadership": Who.ADMINS,
        "CreateCluster": Who.ADMINS,
        "GetCluster": Who.USERS,
        "ListClusters": Who.USERS,
        "UpdateCluster": Who.ADMINS,
        "DeleteCluster": Who.ADMINS,
    },
    # Users get the events of what is theirs.
    "EventService": {"ListEvents": Who.USERS, "WatchEvents": Who.USERS},
    "HostService": {
        "GetHost": Who.USERS,
        "ListHosts": Who.USERS,
        "UpdateHost": Who.ADMINS,
        "DeleteHost": Who.ADMINS,
    },
    "ImageService": {
        "UploadImage": Who.USERS,
        "ImportImage": Who.USERS,
        "GetImage": Who.USERS,
        "ListImages": Who.USERS,
        "UpdateImage": Who.USERS,
        "DeleteImage": Who.USERS,
        "ReadImage": Who.READERS_OF_IMAGES,
    },
    # Each operation in it is checked by its own row.
    "PipelineService": {"Pipeline": Who.USERS},
    "TemplateService": {
        "CreateTemplate": Who.USERS,
        "GetTemplate": Who.USERS,
        "ListTemplates": Who.USERS,
        "UpdateTemplate": Who.USERS,
        "DeleteTemplate": Who.USERS,
    },
    "TokenService": {
        # A stolen token must not be able to make itself a successor.
        "CreateToken": Who.ADMINS,
        "ListTokens": Who.ADMINS,
        # A user may revoke what stands for itself.
        "RevokeToken": Who.USERS,
    },
    "VmService": {
        "CreateVm": Who.USERS,
        "GetVm": Who.USERS,
        "ListVms": Who.USERS,
        "UpdateVm": Who.USERS,
        "DeleteVm": Who.USERS,
        "PoweroffVm": Who.USERS,
        "ResumeVm": Who.USERS,
        "SuspendVm": Who.USERS,
        "RebootVm": Who.USERS,
        "TerminateVm": Who.USERS,
        "RecoverVm": Who.USERS,
        "WatchVms": Who.USERS,
        "ReadVmConsole": Who.USERS,
    },
}

PERMISSIONS: Final[dict[str, Who]] = {
    f"/skyraft.v1.{service}/{method}": who
    for service, methods in _METHODS.items()
    for method, who in methods.items()
}
"""By the full path of the method, as gRPC has it."""

_GROUPS: Final[dict[tuple[str, bool], frozenset[Who]]] = {
    (USER, False): frozenset({Who.ANYBODY, Who.AUTHENTICATED, Who.USERS}),
    (USER, True): frozenset(
        {Who.ANYBODY, Who.AUTHENTICATED, Who.USERS, Who.ADMINS, Who.READERS_OF_IMAGES}
    ),
    (HOST, False): frozenset({Who.ANYBODY, Who.AUTHENTICATED, Who.HOSTS, Who.READERS_OF_IMAGES}),
    (REPLICA, False): frozenset({Who.ANYBODY, Who.AUTHENTICATED, Who.READERS_OF_IMAGES}),
}
"""What a caller belongs to, by kind and admin."""


def is_open(path: str) -> bool:
    """Callers need no identity for it."""
    return PERMISSIONS.get(path) is Who.ANYBODY


def require(path: str, caller: Caller) -> None:
    """Raises Rejected("permission_denied") unless *caller* may call *path*."""
    who = PERMISSIONS.get(path)
    if who not in _GROUPS.get((caller.kind, caller.admin), ()):
        method = path.rpartition("/")[2]
        allowed = who.value if who is not None else "nobody"
        raise Rejected(
            "permission_denied",
            f"{caller.actor} may not call {method}: it is for {allowed}",
        )
