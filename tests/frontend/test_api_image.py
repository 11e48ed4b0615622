"""Images: uploaded, imported, copied, read, removed; and what is no image is refused."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from frontend.auth.certificates import create_request
from protos.errors import failure_of
from protos.v1 import image_pb2 as wire
from protos.v1.agent_pb2 import EnrollResponse
from protos.v1.host_pb2 import DeleteHostRequest
from storage.datastore import CHUNK_BYTES
from tests.frontend.agent import enroll, join_token
from tests.frontend.front_end import DEADLINE_S, FrontEnd, Stubs, refusal, wait_for
from tests.storage.disk_images import SECTOR, qcow2, raw_image


def raw_disk(mark: bytes) -> bytes:
    """A small disk that *mark* makes different from others."""
    return raw_image() + mark.ljust(SECTOR, b"\0")


DISK = raw_disk(b"the usual one")
SHA256 = hashlib.sha256(DISK).hexdigest()


def upload(stubs: Stubs, name: str, content: bytes = DISK, **header: object) -> wire.Image:
    def parts() -> Iterator[wire.UploadImageRequest]:
        yield wire.UploadImageRequest(
            header=wire.UploadImageHeader(name=name, **header)  # type: ignore[arg-type]
        )
        for start in range(0, len(content), CHUNK_BYTES):
            yield wire.UploadImageRequest(chunk=content[start : start + CHUNK_BYTES])

    made: wire.Image = stubs.images.UploadImage(parts(), timeout=DEADLINE_S)
    return made


def read(stubs: Stubs, sha256: str, offset: int = 0) -> bytes:
    request = wire.ReadImageRequest(sha256=sha256, offset=offset)
    return b"".join(part.chunk for part in stubs.images.ReadImage(request, timeout=DEADLINE_S))


def get(front_end: FrontEnd, image_id: int) -> wire.Image:
    found: wire.Image = front_end.admin.images.GetImage(wire.GetImageRequest(id=image_id))
    return found


def test_uploaded_image_is_ready_and_read_back(front_end: FrontEnd) -> None:
    made = upload(front_end.admin, "whole", sha256=SHA256, size_bytes=len(DISK))
    assert (made.sha256, made.format) == (SHA256, wire.IMAGE_FORMAT_RAW)
    assert (made.state, list(made.replica_ids)) == (wire.IMAGE_STATE_READY, ["1"])
    assert read(front_end.admin, SHA256) == DISK
    assert read(front_end.admin, SHA256, 1000) == DISK[1000:]


def test_image_is_read_by_hosts_with_their_newest_certificate(front_end: FrontEnd) -> None:
    content = raw_disk(b"for hosts")
    made = upload(front_end.admin, "for-hosts", content)
    token = join_token(front_end, front_end.cluster("readers").id)
    csr, key = create_request("host")
    older, _ = enroll(front_end, token, csr=csr)
    newer, _ = enroll(front_end, token, csr=csr)

    def stubs(enrolled: EnrollResponse) -> Stubs:
        return front_end.identified(enrolled.certificate_pem.encode(), key)

    assert read(stubs(newer), made.sha256) == content
    assert refusal(lambda: read(stubs(older), made.sha256)).reason == "permission_denied"
    front_end.admin.hosts.DeleteHost(DeleteHostRequest(id=newer.host_id))

    def refused() -> bool:
        try:
            read(stubs(newer), made.sha256)
        except grpc.RpcError as error:
            return failure_of(error).reason == "permission_denied"
        return False

    wait_for("a refusal", refused)


def test_wrong_checksum_is_refused_and_nothing_stays(front_end: FrontEnd) -> None:
    content = raw_disk(b"wrong sum")
    failure = refusal(lambda: upload(front_end.admin, "bad-sum", content, sha256="0" * 64))
    assert failure.reason == "invalid_argument"
    host = front_end.admin
    found = hashlib.sha256(content).hexdigest()
    assert refusal(lambda: read(host, found)).reason == "not_found"


def test_image_whose_backing_file_is_the_hosts_is_refused(
    front_end: FrontEnd, tmp_path: Path
) -> None:
    content = qcow2(tmp_path / "thief", "-u", "-F", "raw", "-b", "/etc/passwd").read_bytes()
    failure = refusal(lambda: upload(front_end.admin, "thief", content))
    assert failure.reason == "invalid_argument"
    assert "backing" in failure.message


@pytest.mark.parametrize("content", [b"", b"just some text" * 100])
def test_what_is_no_image_is_refused(front_end: FrontEnd, content: bytes) -> None:
    assert refusal(lambda: upload(front_end.admin, "text", content)).reason == "invalid_argument"


def test_image_without_room_is_refused_at_once(front_end: FrontEnd) -> None:
    failure = refusal(lambda: upload(front_end.admin, "huge", b"", size_bytes=1 << 60))
    assert failure.reason == "resource_exhausted"


@pytest.mark.parametrize("sha256", ["abc", "Z" * 64, "A" * 64])
def test_malformed_checksum_is_refused_before_the_bytes(front_end: FrontEnd, sha256: str) -> None:
    request = wire.ImportImageRequest(name="sum", url="http://127.0.0.1:1/", sha256=sha256)
    failures = (
        refusal(lambda: upload(front_end.admin, "sum", b"", sha256=sha256)),
        refusal(lambda: front_end.admin.images.ImportImage(request)),
    )
    for failure in failures:
        assert (failure.reason, failure.field) == ("invalid_argument", "sha256")


def test_taken_name_is_refused_before_the_bytes(front_end: FrontEnd) -> None:
    upload(front_end.admin, "taken", raw_disk(b"taken"))
    # Without a byte of content: the name alone decides.
    failure = refusal(lambda: upload(front_end.admin, "taken", b""))
    assert failure.reason == "already_exists"


def test_upload_without_header_is_refused(front_end: FrontEnd) -> None:
    parts = iter([wire.UploadImageRequest(chunk=b"x")])
    failure = refusal(lambda: front_end.admin.images.UploadImage(parts))
    assert (failure.reason, failure.field) == ("invalid_argument", "header")


def test_repeated_upload_gives_the_same_image(front_end: FrontEnd) -> None:
    content = raw_disk(b"repeated")
    first = upload(front_end.admin, "repeated", content, request_id="upload-once")
    files = Path(front_end.config.datastore)
    assert (files / first.sha256).exists()
    failure = refusal(lambda: upload(front_end.admin, "repeated", content))
    assert failure.reason == "already_exists"
    assert upload(front_end.admin, "repeated", content, request_id="upload-once") == first


def test_file_of_a_deleted_image_goes(front_end: FrontEnd) -> None:
    made = upload(front_end.admin, "short-lived", raw_disk(b"short-lived"))
    file = Path(front_end.config.datastore) / made.sha256
    assert file.exists()
    front_end.admin.images.DeleteImage(wire.DeleteImageRequest(id=made.id))
    wait_for("the file to go", lambda: not file.exists())


def test_file_stays_while_another_image_has_the_same_content(front_end: FrontEnd) -> None:
    content = raw_disk(b"twins")
    one, other = (upload(front_end.admin, name, content) for name in ("castor", "pollux"))
    front_end.admin.images.DeleteImage(wire.DeleteImageRequest(id=one.id))
    doomed = upload(front_end.admin, "marker", raw_disk(b"marker"))
    front_end.admin.images.DeleteImage(wire.DeleteImageRequest(id=doomed.id))
    files = Path(front_end.config.datastore)
    wait_for("the marker to go", lambda: not (files / doomed.sha256).exists())
    assert (files / other.sha256).exists()


def test_users_may_not_read_images_bytes(front_end: FrontEnd) -> None:
    ann = front_end.user("ann")
    assert refusal(lambda: read(ann, SHA256)).reason == "permission_denied"


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "G" * 64])
def test_name_that_is_no_hash_opens_no_file(front_end: FrontEnd, name: str) -> None:
    host = front_end.admin
    assert refusal(lambda: read(host, name)).reason == "not_found"


# Imports.


class Pages(http.server.BaseHTTPRequestHandler):
    """/disk has an image; /away leads to it; /loop to itself; /text is none."""

    def do_GET(self) -> None:
        content = {"/disk": raw_disk(b"imported"), "/text": b"<html>"}.get(self.path)
        if content is not None:
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        elif self.path in ("/away", "/loop", "/file"):
            target = {"/away": "/disk", "/loop": "/loop", "/file": "file:///etc/passwd"}
            self.send_response(302)
            self.send_header("location", target[self.path])
            self.end_headers()
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def imported(front_end: FrontEnd, url: str, name: str, **more: str) -> wire.Image:
    """As it is when it is no longer LOCKED."""
    made = front_end.admin.images.ImportImage(wire.ImportImageRequest(name=name, url=url, **more))
    assert made.state == wire.IMAGE_STATE_LOCKED

    def ended() -> wire.Image | None:
        image = get(front_end, made.id)
        return image if image.state != wire.IMAGE_STATE_LOCKED else None

    return wait_for("the import to end", ended)


def test_import_follows_redirects_and_becomes_ready(front_end: FrontEnd, url: str) -> None:
    image = imported(front_end, f"{url}/away", "imported")
    assert image.state == wire.IMAGE_STATE_READY
    assert image.sha256 == hashlib.sha256(raw_disk(b"imported")).hexdigest()


@pytest.mark.parametrize(
    ("path", "why"),
    [("/none", "404"), ("/loop", "redirect"), ("/text", "image"), ("/file", "http")],
)
def test_failed_import_says_why(front_end: FrontEnd, url: str, path: str, why: str) -> None:
    image = imported(front_end, url + path, f"failed{path.replace('/', '-')}")
    assert image.state == wire.IMAGE_STATE_ERROR
    assert why in image.error


def test_import_with_another_checksum_fails(front_end: FrontEnd, url: str) -> None:
    image = imported(front_end, f"{url}/disk", "other-sum", sha256="0" * 64)
    assert image.state == wire.IMAGE_STATE_ERROR


@pytest.mark.parametrize("url_", ["file:///etc/passwd", "ftp://x/y", "nonsense", "http://"])
def test_import_of_no_web_address_is_refused(front_end: FrontEnd, url_: str) -> None:
    failure = refusal(
        lambda: front_end.admin.images.ImportImage(wire.ImportImageRequest(name="no-web", url=url_))
    )
    assert (failure.reason, failure.field) == ("invalid_argument", "url")


def test_users_cannot_reach_the_front_ends_own_machine(front_end: FrontEnd, url: str) -> None:
    ann = front_end.user("ann")
    failure = refusal(
        lambda: ann.images.ImportImage(wire.ImportImageRequest(name="inside", url=f"{url}/disk"))
    )
    assert failure.reason == "permission_denied"
