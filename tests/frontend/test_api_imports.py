"""Imports: what goes wrong with one stays with it, and users reach no inner network."""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from frontend.api import fetching
from frontend.api.image_files import ImageFiles
from frontend.api.imports import Imports
from frontend.auth.callers import Caller
from frontend.auth.certificates import create_authority
from frontend.errors import Rejected
from frontend.state import images
from protos.channel import Credentials
from protos.identity import USER
from protos.v1 import image_pb2 as wire
from protos.v1.command_pb2 import RegisterImage
from storage.datastore import ImageStore
from tests.frontend.front_end import DEADLINE_S
from tests.frontend.leading import Scene, played
from tests.storage.disk_images import raw_image

ADMIN = Caller(kind=USER, name="root", actor="user/root", admin=True, expire_ms=2**62)
ANN = Caller(kind=USER, name="ann", actor="user/ann", expire_ms=2**62)
DISK = raw_image()
GARBAGE_RECORD = b"\x17\x03\x03\x00\x40" + b"\x55" * 64
"""A TLS record that no key of the connection made."""


class Importing:
    """One replica's imports, running."""

    def __init__(self, scene: Scene, path: Path, trust: ssl.SSLContext | None = None) -> None:
        self.scene, self.notes = scene, path / "notes"
        files = ImageFiles(
            scene.replica,
            scene.mutations,
            ImageStore(path / "datastore"),
            Credentials(ca_pem=b""),
            {"1": "a:1"},
        )
        self.imports = Imports(scene.replica, scene.mutations, files, self.notes, trust=trust)

    def register(self, name: str) -> wire.Image:
        register = RegisterImage(name=name, copies_wanted=1)
        payload = self.scene.cloud.run("user/root", register_image=register)
        self.scene.log.committed()
        return wire.Image.FromString(payload)

    def get(self, image_id: int) -> wire.Image:
        found: wire.Image = self.scene.cloud.get(images, image_id)
        return found

    async def ended(self, image: wire.Image) -> wire.Image:
        """The image once it is not LOCKED and no note speaks of it."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = self.get(image.id)
                noted = (self.notes / str(image.id)).exists()
                if found.state != wire.IMAGE_STATE_LOCKED and not noted:
                    return found
                await asyncio.sleep(0.01)


def importing(
    path: Path,
    scenario: Callable[[Importing], Awaitable[None]],
    *,
    trust: ssl.SSLContext | None = None,
    before: Callable[[Importing], None] = lambda _: None,
) -> None:
    """Plays *scenario* while the imports run; fails when they end by themselves."""

    async def whole(scene: Scene) -> None:
        world = Importing(scene, path, trust)
        before(world)
        running = asyncio.ensure_future(world.imports.run())
        await asyncio.sleep(0)
        acting = asyncio.ensure_future(scenario(world))
        await asyncio.wait([running, acting], return_when=asyncio.FIRST_COMPLETED)
        assert not running.done(), running.exception()
        await acting
        running.cancel()

    played(path / "cloud", whole)


class Tls:
    """A server for one connection over TLS, which ends it with a record that is garbage."""

    def __init__(self, path: Path, answer: bytes) -> None:
        authority, ca = create_authority("0" * 32)
        issued = authority.issue_replica("1", ["localhost"])
        for name, content in (("c", issued.certificate_pem), ("k", issued.key_pem)):
            (path / name).write_bytes(content)
        self.trust = ssl.create_default_context(cadata=ca.certificate_pem.decode())
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(path / "c", path / "k")
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self.url = f"https://localhost:{self._listener.getsockname()[1]}/disk"

    def __enter__(self) -> Tls:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        plain, _ = self._listener.accept()
        with (
            socket.socket(fileno=socket.dup(plain.fileno())) as beneath,
            self._context.wrap_socket(plain, server_side=True) as secure,
        ):
            secure.recv(4096)
            if self._answer:
                secure.sendall(self._answer)
            beneath.sendall(GARBAGE_RECORD)
            beneath.settimeout(DEADLINE_S)
            # Until the client has seen it and gone.
            while beneath.recv(4096):
                pass


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\nx"])
def test_server_that_breaks_tls_fails_its_import_alone(tmp_path: Path, answer: bytes) -> None:
    async def scenario(world: Importing) -> None:
        image = world.register("broken")
        world.imports.begin(ADMIN, image, wire.ImportImageRequest(url=broken.url))
        ended = await world.ended(image)
        assert ended.state == wire.IMAGE_STATE_ERROR
        assert broken.url in ended.error

    with Tls(tmp_path, answer) as broken:
        importing(tmp_path, scenario, trust=broken.trust)


def test_stray_file_among_the_notes_ends_nothing(tmp_path: Path) -> None:
    def before(world: Importing) -> None:
        (world.notes / "lost+found").touch()
        image = world.register("cut-off")
        (world.notes / str(image.id)).touch()

    async def scenario(world: Importing) -> None:
        ended = await world.ended(world.get(0))
        assert "restarted" in ended.error

    importing(tmp_path, scenario, before=before)


def test_import_that_cannot_be_written_down_fails(tmp_path: Path) -> None:
    async def scenario(world: Importing) -> None:
        image = world.register("no-room")
        # As on a full disk: the note cannot be made.
        world.notes.rmdir()
        world.imports.begin(ADMIN, image, wire.ImportImageRequest(url="http://127.0.0.1:1/"))
        ended = await world.ended(image)
        assert "written down" in ended.error

    importing(tmp_path, scenario)


class Disks(http.server.BaseHTTPRequestHandler):
    """Every path is the disk; the server counts."""

    def do_GET(self) -> None:
        self.server.asked.append(self.headers["host"])  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-length", str(len(DISK)))
        self.end_headers()
        self.wfile.write(DISK)

    def log_message(self, *_: object) -> None:
        pass


class DiskServer(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Disks)
        self.asked: list[str] = []
        """The Host header of each request."""


@pytest.fixture
def server() -> Iterator[DiskServer]:
    with DiskServer() as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def test_repeated_import_fetches_once(tmp_path: Path, server: DiskServer) -> None:
    request = wire.ImportImageRequest(url=f"http://localhost:{server.server_port}/disk")

    async def scenario(world: Importing) -> None:
        first = world.register("once")
        world.imports.begin(ADMIN, first, request)
        done = await world.ended(first)
        assert done.sha256 == hashlib.sha256(DISK).hexdigest()
        # A repeated request has the first one's answer, in which the image is new.
        world.imports.begin(ADMIN, first, request)
        async with asyncio.timeout(DEADLINE_S):
            while (world.notes / str(first.id)).exists():
                await asyncio.sleep(0.01)
        other = world.register("other")
        world.imports.begin(ADMIN, other, request)
        await world.ended(other)

    importing(tmp_path, scenario)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[2002:7f00:1::]",
        "[64:ff9b::a9fe:a9fe]",
        "10.0.0.1",
        "[fd00::1]",
        "100.64.0.1",
        "224.0.0.1",
        "0.0.0.0",
    ],
)
def test_users_reach_public_addresses_alone(tmp_path: Path, host: str) -> None:
    async def scenario(world: Importing) -> None:
        with pytest.raises(Rejected) as caught:
            await world.imports.require_fetchable(ANN, f"http://{host}/latest")
        assert (caught.value.code, caught.value.field) == ("permission_denied", "url")
        await world.imports.require_fetchable(ADMIN, f"http://{host}/latest")
        await world.imports.require_fetchable(ANN, "http://1.1.1.1/disk")

    importing(tmp_path, scenario)


def test_what_was_checked_is_what_is_connected_to(
    tmp_path: Path, server: DiskServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look-up could lead elsewhere: the name's owner decides what each one says."""
    asked: list[str] = []

    async def resolve(_: object, host: object, *__: object, **___: object) -> list[object]:
        asked.append(str(host))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    async def scenario(world: Importing) -> None:
        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)
        # The server of this test stands for one with a public address.
        monkeypatch.setattr(fetching, "public", lambda _: True)
        image = world.register("by-name")
        url = f"http://disks.example:{server.server_port}/disk"
        world.imports.begin(ANN, image, wire.ImportImageRequest(url=url))
        ended = await world.ended(image)
        assert ended.state == wire.IMAGE_STATE_READY, ended.error

    importing(tmp_path, scenario)
    assert server.asked == [f"disks.example:{server.server_port}"]
    assert asked == ["disks.example"]
