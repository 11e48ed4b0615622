"""How ids and names become table keys.

Integers are eight bytes, big-endian, so that key order is numeric order. They are packed as
signed so that a negative id from a request is merely not found.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct

_ONE = Struct(">q")
_TWO = Struct(">qq")
_EVENT = Struct(">qI")
_LEASE = Struct(">qI")

pack_id = _ONE.pack
pack_pair = _TWO.pack
pack_event = _EVENT.pack
pack_lease = _LEASE.pack

LAST_ID = 2**63 - 1

# LMDB's limit is 511 bytes; indexes add an id to a name.
_TEXT_BYTES_MAX = 255


def unpack_id(key: bytes) -> int:
    return int(_ONE.unpack(key)[0])


def unpack_event(key: bytes) -> tuple[int, int]:
    index, sequence = _EVENT.unpack(key)
    return index, sequence


def unpack_lease(key: bytes) -> tuple[int, int]:
    cluster_id, address = _LEASE.unpack(key)
    return cluster_id, address


def pack_text(text: str) -> bytes:
    """A key for exact look-ups of *text*, whatever its length. 0xff starts no UTF-8 text."""
    key = text.encode()
    if len(key) > _TEXT_BYTES_MAX:
        return b"\xff" + sha256(key).digest()
    return key or b"\xff"


def pack_text_id(text: str, object_id: int) -> bytes:
    return pack_text(text) + b"\0" + pack_id(object_id)


def after_prefix(prefix: bytes) -> bytes:
    """The lowest key above all keys that start with *prefix*; empty when there is none."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else b""
