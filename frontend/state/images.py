"""Tables of images: id -> Image, name -> id, content -> ids.

Several images may have the same content: a file may go only when the last of them is gone.
"""

from __future__ import annotations

from frontend.state.keys import pack_text, pack_text_id, unpack_id
from frontend.state.rows import Names, Rows
from frontend.state.store import ReadTxn, Txn
from protos.v1.image_pb2 import Image

_ROWS = Rows("images", Image.FromString)
names = Names("images_by_name")

get = _ROWS.get
put = _ROWS.put
delete = _ROWS.delete
list_page = _ROWS.list_page


def add_content(txn: Txn, sha256: str, image_id: int) -> None:
    txn.put("images_by_sha256", pack_text_id(sha256, image_id), b"")


def delete_content(txn: Txn, sha256: str, image_id: int) -> None:
    txn.delete("images_by_sha256", pack_text_id(sha256, image_id))


def ids_with_content(txn: ReadTxn, sha256: str) -> list[int]:
    """Ids of the images whose file has this hash, by id."""
    rows = txn.scan("images_by_sha256", prefix=pack_text(sha256) + b"\0")
    return [unpack_id(key[-8:]) for key, _ in rows]
