"""Tables of tokens: id -> Token, hash of the whole token -> id. Secrets are not kept."""

from __future__ import annotations

from frontend.state.rows import Names, Rows
from frontend.state.store import ReadTxn
from protos.v1.token_pb2 import Token

_ROWS = Rows("tokens", Token.FromString)
hashes = Names("tokens_by_sha256")

get = _ROWS.get
put = _ROWS.put
list_page = _ROWS.list_page


def find(txn: ReadTxn, secret_sha256: str) -> Token | None:
    """The token with this hash (hexadecimal), whether or not it may still be used."""
    token_id = hashes.find(txn, secret_sha256)
    return None if token_id is None else get(txn, token_id)
