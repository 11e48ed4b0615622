"""Any replica will do: for writes, linearizable reads, watches, images, and refusals."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from bench.testbed.replicas import Replicas
from frontend.auth.certificates import create_authority
from protos.channel import Credentials
from protos.errors import failure_of
from protos.v1 import cluster_pb2, event_pb2, image_pb2, template_pb2, token_pb2, vm_pb2
from tests.drills.callers import ANSWER_S, Callers, make_template
from tests.frontend.front_end import Stubs, refusal, wait_for
from tests.storage.disk_images import raw_image

pytestmark = pytest.mark.drill


def followers(callers: Callers) -> list[int]:
    leader = callers.leader()
    return [member for member in range(3) if member != leader]


def test_every_replica_takes_writes_and_reads_its_own(shared_callers: Callers) -> None:
    for member in range(3):
        stubs = shared_callers.of(member)
        made = make_template(stubs, f"through-{member}")
        assert stubs.templates.GetTemplate(template_pb2.GetTemplateRequest(id=made.id)) == made


def test_what_one_replica_acknowledged_the_next_one_shows(shared_callers: Callers) -> None:
    stubs = [shared_callers.of(member) for member in range(3)]
    made = make_template(stubs[0], "around")
    for number in range(30):
        writer, reader = stubs[number % 3], stubs[(number + 1) % 3]
        written = writer.templates.UpdateTemplate(
            template_pb2.UpdateTemplateRequest(
                template=template_pb2.Template(id=made.id, description=str(number)),
                update_mask=FieldMask(paths=["description"]),
            )
        )
        read = reader.templates.GetTemplate(template_pb2.GetTemplateRequest(id=made.id))
        assert read == written


def test_same_request_at_two_replicas_is_done_once(shared_callers: Callers) -> None:
    one, other = (shared_callers.of(member) for member in followers(shared_callers))
    first = make_template(one, "twice-asked", request_id="asked-at-two")
    assert make_template(other, "twice-asked", request_id="asked-at-two") == first


def test_watch_goes_on_at_another_replica_where_it_was_cut(shared_callers: Callers) -> None:
    stubs = [shared_callers.of(member) for member in range(3)]
    start = make_template(stubs[0], "watched-around").revision
    wanted = [make_template(stubs[n % 3], f"watched-{n}").revision for n in range(12)]
    seen: list[int] = []
    reached = start
    while len(seen) < len(wanted):
        request = event_pb2.WatchEventsRequest(after_revision=reached, noun="template")
        stream = stubs[len(seen) % 3].events.WatchEvents(request, timeout=ANSWER_S)
        change = next(stream)
        stream.cancel()
        seen.append(change.event.revision)
        reached = change.revision
    assert seen == wanted


def upload(stubs: Stubs, name: str, content: bytes) -> image_pb2.Image:
    def parts() -> Iterator[image_pb2.UploadImageRequest]:
        yield image_pb2.UploadImageRequest(header=image_pb2.UploadImageHeader(name=name))
        yield image_pb2.UploadImageRequest(chunk=content)

    made: image_pb2.Image = stubs.images.UploadImage(parts(), timeout=ANSWER_S)
    return made


def test_uploaded_image_is_copied_to_every_replica_and_removed_everywhere(
    shared_replicas: Replicas, shared_callers: Callers
) -> None:
    content = raw_image(2048)
    made = upload(shared_callers.of(0), "everywhere", content)
    admin = shared_callers.admin

    def copied() -> bool:
        image = admin.images.GetImage(image_pb2.GetImageRequest(id=made.id))
        return image.state == image_pb2.IMAGE_STATE_READY and len(image.replica_ids) == 3

    wait_for("three copies", copied)
    files = [
        shared_replicas.directory / f"replica-{member.id}" / "datastore" / made.sha256
        for member in shared_replicas.members
    ]
    assert {hashlib.sha256(file.read_bytes()).hexdigest() for file in files} == {made.sha256}
    for member in range(3):
        parts = shared_callers.of(member).images.ReadImage(
            image_pb2.ReadImageRequest(sha256=made.sha256)
        )
        assert b"".join(part.chunk for part in parts) == content
    admin.images.DeleteImage(image_pb2.DeleteImageRequest(id=made.id))
    wait_for("no copies", lambda: not any(file.exists() for file in files))


def test_image_needs_a_second_copy_before_it_is_used(shared_callers: Callers) -> None:
    made = upload(shared_callers.of(0), "one-copy-is-none", raw_image(4096))
    assert (list(made.replica_ids), made.copies_wanted) == (["1"], 2)
    assert made.state == image_pb2.IMAGE_STATE_LOCKED


# Who is refused.


def user_token(callers: Callers, name: str, ttl_seconds: int = 0) -> token_pb2.CreateTokenResponse:
    made: token_pb2.CreateTokenResponse = callers.admin.tokens.CreateToken(
        token_pb2.CreateTokenRequest(
            kind=token_pb2.TOKEN_KIND_USER, user=name, ttl_seconds=ttl_seconds
        )
    )
    return made


def test_revoked_token_is_refused_by_every_replica(shared_callers: Callers) -> None:
    made = user_token(shared_callers, "ann")
    bearers = [shared_callers.bearer(made.secret, member) for member in range(3)]
    request = vm_pb2.ListVmsRequest()
    for stubs in bearers:
        # A follower may learn of the token a moment after its maker.
        wait_for("the token", lambda stubs=stubs: knows(stubs))
    shared_callers.admin.tokens.RevokeToken(token_pb2.RevokeTokenRequest(id=made.token.id))
    for stubs in bearers:
        wait_for("the revocation", lambda stubs=stubs: not knows(stubs))
        assert refusal(lambda stubs=stubs: stubs.vms.ListVms(request)).reason == "token_revoked"


def knows(stubs: Stubs) -> bool:
    try:
        stubs.vms.ListVms(vm_pb2.ListVmsRequest(), timeout=ANSWER_S)
    except grpc.RpcError:
        return False
    return True


def test_expired_token_is_refused(shared_callers: Callers) -> None:
    made = user_token(shared_callers, "short", ttl_seconds=1)
    bearer = shared_callers.bearer(made.secret)

    def reason() -> str:
        try:
            bearer.vms.ListVms(vm_pb2.ListVmsRequest(), timeout=ANSWER_S)
        except grpc.RpcError as error:
            return failure_of(error).reason
        return ""

    wait_for("the token's end", lambda: reason() == "token_expired")


def test_refused_token_becomes_an_event_without_the_secret(shared_callers: Callers) -> None:
    secret = f"skyraft.{shared_callers.replicas.cluster_id[:8]}.{'B' * 43}"
    guesser = shared_callers.bearer(secret, 1)
    assert refusal(lambda: guesser.vms.ListVms(vm_pb2.ListVmsRequest())).reason == "token_unknown"

    def told() -> list[str]:
        listed = shared_callers.admin.events.ListEvents(
            event_pb2.ListEventsRequest(noun="security")
        )
        return [event.detail for event in listed.events if "token_unknown" in event.detail]

    details = wait_for("the event", told)
    assert secret not in "".join(details)


def test_admin_of_another_front_end_gets_no_connection(shared_callers: Callers) -> None:
    other, _ = create_authority("e" * 32)
    issued = other.issue_user("admin")
    stranger = shared_callers.open(
        shared_callers.replicas.addresses,
        Credentials(
            ca_pem=shared_callers.replicas.ca.read_bytes(),
            certificate_pem=issued.certificate_pem,
            key_pem=issued.key_pem,
        ),
    )
    with pytest.raises(grpc.RpcError):
        stranger.clusters.GetStatus(cluster_pb2.GetStatusRequest(), timeout=2)


def test_malformed_and_oversized_messages_harm_nobody(shared_callers: Callers) -> None:
    path = "/skyraft.v1.VmService/CreateVm"
    for member in range(3):
        raw = shared_callers.of(member).channel.unary_unary(path)
        assert refusal(lambda raw=raw: raw(b"\xff" * 100)).reason == "invalid_argument"
        assert refusal(lambda raw=raw: raw(b"\0" * (5 << 20))).reason == "resource_exhausted"
    make_template(shared_callers.admin, "after-the-noise")


def test_import_that_a_crash_interrupted_fails_when_the_replica_is_back(
    replicas: Replicas, callers: Callers
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/never-sent"
        made = callers.of(0).images.ImportImage(
            image_pb2.ImportImageRequest(name="cut-off", url=url), timeout=ANSWER_S
        )
        asking, _ = silent.accept()
        with asking:
            # The replica has asked, and is killed before an answer.
            replicas.kill(0)
    replicas.start(0)
    callers.leader()

    def failed() -> str:
        image = callers.admin.images.GetImage(image_pb2.GetImageRequest(id=made.id))
        return str(image.error)

    assert "restarted during the import" in wait_for("the failure", failed)
