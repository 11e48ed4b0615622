"""What the demo feeds in: a guest image as an upload, a disk image for fake hosts, an ssh key."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protos.v1.image_pb2 import UploadImageHeader, UploadImageRequest

FAKE_IMAGE = bytes(510) + b"\x55\xaa" + bytes((1 << 20) - 512)
"""A boot sector and nothing to boot: fake guests do not look."""

_CHUNK_BYTES = 256 << 10


async def upload(content: bytes) -> AsyncIterator[UploadImageRequest]:
    """The messages of one upload, with its length and hash to be checked."""
    header = UploadImageHeader(
        request_id=uuid.uuid4().hex,
        name="demo-guest",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )
    yield UploadImageRequest(header=header)
    for at in range(0, len(content), _CHUNK_BYTES):
        yield UploadImageRequest(chunk=content[at : at + _CHUNK_BYTES])


def public_key() -> str:
    """A real key; nobody keeps its private half."""
    public = Ed25519PrivateKey.generate().public_key()
    return f"{public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} demo"
