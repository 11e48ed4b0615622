"""What every call goes through: malformed, oversized and unknown input, and who may come in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grpc
import pytest

from frontend.api.call import refusal_of, snake_case
from frontend.api.server import MESSAGE_BYTES_MAX, services
from frontend.auth import permissions
from frontend.auth.certificates import create_authority
from frontend.errors import Rejected, Unavailable
from protos.v1 import cluster_pb2, event_pb2, template_pb2, token_pb2
from storage.errors import StorageError
from tests.frontend.front_end import FrontEnd, refusal, wait_for

CREATE = "/skyraft.v1.TemplateService/CreateTemplate"


def raw_call(front_end: FrontEnd, path: str, request: bytes) -> bytes:
    """Sends *request* as it is."""
    answer: bytes = front_end.admin.channel.unary_unary(path)(request)
    return answer


def security_events(front_end: FrontEnd) -> list[str]:
    listed = front_end.admin.events.ListEvents(event_pb2.ListEventsRequest(noun="security"))
    return [event.detail for event in listed.events]


def test_malformed_message_is_an_invalid_argument(front_end: FrontEnd) -> None:
    failure = refusal(lambda: raw_call(front_end, CREATE, b"\xff\xff\xff"))
    assert failure.reason == "invalid_argument"


def test_oversized_message_is_refused_and_the_connection_lives(front_end: FrontEnd) -> None:
    failure = refusal(lambda: raw_call(front_end, CREATE, b"\0" * (MESSAGE_BYTES_MAX + 1)))
    assert failure.reason == "resource_exhausted"
    assert front_end.status().leader_id == "1"


def test_unknown_field_in_a_change_is_refused(front_end: FrontEnd) -> None:
    template = template_pb2.Template(name="newer", vcpu=1, memory_mib=64)
    # Field 999 of the nested template, a varint.
    nested = template.SerializeToString() + b"\xb8\x3e\x01"
    request = b"\x12" + bytes([len(nested)]) + nested
    failure = refusal(lambda: raw_call(front_end, CREATE, request))
    assert failure.reason == "invalid_argument"
    assert "does not know" in failure.message


def test_unknown_field_in_a_read_is_ignored(front_end: FrontEnd) -> None:
    raw_call(front_end, "/skyraft.v1.ClusterService/GetStatus", b"\xb8\x3e\x01")


def test_every_method_has_a_permission() -> None:
    paths = {
        f"/{service.full_name}/{method.name}"
        for service in services().values()
        for method in service.methods
    }
    assert paths == set(permissions.PERMISSIONS)


def test_user_may_not_do_what_is_for_admins(front_end: FrontEnd) -> None:
    ann = front_end.user("ann")
    failure = refusal(lambda: ann.tokens.ListTokens(token_pb2.ListTokensRequest()))
    assert failure.reason == "permission_denied"


def test_host_certificate_is_no_user(front_end: FrontEnd) -> None:
    host = front_end.certified(front_end.authority.issue_host(7))
    failure = refusal(lambda: host.templates.ListTemplates(template_pb2.ListTemplatesRequest()))
    assert failure.reason == "permission_denied"


def test_certificate_of_another_front_end_is_refused_before_anything_is_said(
    front_end: FrontEnd,
) -> None:
    other, _ = create_authority("f" * 32)
    stranger = front_end.certified(other.issue_user("root"))
    with pytest.raises(grpc.RpcError) as caught:
        stranger.clusters.GetStatus(cluster_pb2.GetStatusRequest(), timeout=2)
    assert caught.value.code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )


def test_api_port_admits_nobody_without_a_certificate(front_end: FrontEnd) -> None:
    from protos.channel import Credentials

    nobody = front_end.open(front_end.config.me.api, Credentials(ca_pem=front_end.ca_pem))
    with pytest.raises(grpc.RpcError):
        nobody.clusters.GetStatus(cluster_pb2.GetStatusRequest(), timeout=2)


def test_token_port_without_a_token_is_unauthenticated(front_end: FrontEnd) -> None:
    from protos.channel import Credentials

    nobody = front_end.open(front_end.config.me.token, Credentials(ca_pem=front_end.ca_pem))
    failure = refusal(lambda: nobody.clusters.GetStatus(cluster_pb2.GetStatusRequest()))
    assert failure.reason == "unauthenticated"


def test_wrong_token_is_refused_and_becomes_one_event(front_end: FrontEnd) -> None:
    secret = f"skyraft.{front_end.cluster_id[:8]}.{'A' * 43}"
    guesser = front_end.bearer(secret)
    for _ in range(20):
        failure = refusal(lambda: guesser.clusters.GetStatus(cluster_pb2.GetStatusRequest()))
        assert failure.reason == "token_unknown"
    details = wait_for("an event", lambda: security_events(front_end))
    assert len(details) < 5
    assert secret not in "".join(details)


def test_token_of_another_front_end_is_told_apart(front_end: FrontEnd) -> None:
    stranger = front_end.bearer(f"skyraft.00000000.{'A' * 43}")
    failure = refusal(lambda: stranger.clusters.GetStatus(cluster_pb2.GetStatusRequest()))
    assert failure.reason == "token_unknown"
    assert "00000000" in failure.message


def test_expired_certificate_is_refused_on_an_open_connection(front_end: FrontEnd) -> None:
    from frontend.auth.callers import Callers

    issued = front_end.authority.issue_user("short")
    callers = Callers(front_end.cluster_id)
    later = datetime.now(UTC) + timedelta(days=365 * 50)
    with pytest.raises(Rejected) as refused:
        callers.of_certificate(issued.certificate_pem, int(later.timestamp() * 1000))
    assert refused.value.code == "unauthenticated"


def test_only_a_replica_may_speak_for_a_user(front_end: FrontEnd) -> None:
    ann = front_end.user("ann")
    metadata = (("skyraft-on-behalf", "user/root"), ("skyraft-on-behalf-admin", "1"))
    failure = refusal(
        lambda: ann.tokens.ListTokens(token_pb2.ListTokensRequest(), metadata=metadata)
    )
    assert failure.reason == "permission_denied"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Rejected("in_use", "vm 3 uses it", "id"), "in_use"),
        (Unavailable("no leader"), "unavailable"),
        (StorageError("disk_full", "no room"), "resource_exhausted"),
        (ExceptionGroup("", [Rejected("not_found", "gone")]), "not_found"),
        (ZeroDivisionError("secret internals"), "internal"),
    ],
)
def test_errors_become_stable_reasons(error: Exception, reason: str) -> None:
    assert refusal_of("/method", error)[0] == reason


def test_bugs_are_not_told_to_callers() -> None:
    assert "secret" not in refusal_of("/method", ZeroDivisionError("secret internals"))[1]


def test_method_names_become_handler_names() -> None:
    assert snake_case("ReadVmConsole") == "read_vm_console"
