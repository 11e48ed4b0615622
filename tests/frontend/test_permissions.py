"""Promises of frontend/auth/permissions.py."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import protos.v1
from frontend.auth.callers import Caller
from frontend.auth.permissions import PERMISSIONS, Who, is_open, require
from frontend.errors import Rejected

PREFIX = "/skyraft.v1."


def caller(kind: str, *, admin: bool = False) -> Caller:
    return Caller(kind=kind, name="x", actor=f"{kind}/x", admin=admin, expire_ms=0)


CALLERS = {
    "user": caller("user"),
    "admin": caller("user", admin=True),
    "host": caller("host"),
    "replica": caller("replica"),
}


def rpcs() -> set[str]:
    found = set()
    for module in pkgutil.iter_modules(protos.v1.__path__):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(f"protos.v1.{module.name}").DESCRIPTOR
            for service in file.services_by_name.values():
                found |= {f"/{service.full_name}/{method.name}" for method in service.methods}
    return found


def may(who: str, path: str) -> bool:
    try:
        require(PREFIX + path, CALLERS[who])
    except Rejected:
        return False
    return True


def test_every_rpc_has_a_row_and_every_row_an_rpc() -> None:
    assert rpcs() == set(PERMISSIONS)


def test_enrolment_alone_needs_no_identity() -> None:
    assert [path for path in PERMISSIONS if is_open(path)] == [PREFIX + "AgentService/Enroll"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("AgentService/Enroll", {"user", "admin", "host", "replica"}),
        ("AgentService/Session", {"host"}),
        ("ClusterService/GetStatus", {"user", "admin", "host", "replica"}),
        ("ClusterService/TransferLeadership", {"admin"}),
        ("ClusterService/CreateCluster", {"admin"}),
        ("HostService/ListHosts", {"user", "admin"}),
        ("HostService/DeleteHost", {"admin"}),
        ("ImageService/ReadImage", {"admin", "host", "replica"}),
        ("ImageService/UploadImage", {"user", "admin"}),
        ("TokenService/CreateToken", {"admin"}),
        ("TokenService/ListTokens", {"admin"}),
        ("TokenService/RevokeToken", {"user", "admin"}),
        ("VmService/CreateVm", {"user", "admin"}),
        ("VmService/WatchVms", {"user", "admin"}),
        ("PipelineService/Pipeline", {"user", "admin"}),
        ("NoSuchService/Method", set()),
    ],
)
def test_method_is_open_to_exactly_these(path: str, allowed: set[str]) -> None:
    assert {who for who in CALLERS if may(who, path)} == allowed


def test_agents_can_change_nothing_but_through_their_session() -> None:
    changing = ("Create", "Update", "Delete", "Revoke", "Transfer", "Upload", "Import", "Term")
    for path in PERMISSIONS:
        method = path.rpartition("/")[2]
        if method.startswith(changing):
            assert not may("host", path.removeprefix(PREFIX)), path
            assert not may("replica", path.removeprefix(PREFIX)), path


def test_caller_of_an_unknown_kind_may_do_nothing() -> None:
    for path, who in PERMISSIONS.items():
        if who is not Who.ANYBODY:
            with pytest.raises(Rejected):
                require(path, caller("guest"))


def test_refusal_names_caller_method_and_who_may() -> None:
    text = r"permission_denied: user/x may not call CreateToken: it is for admins"
    with pytest.raises(Rejected, match=text):
        require(PREFIX + "TokenService/CreateToken", CALLERS["user"])
