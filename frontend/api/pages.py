"""Pages of a list: how many rows at once, and where the next page goes on."""

from __future__ import annotations

import base64
import binascii
from typing import Protocol, TypeVar

from frontend.errors import Rejected

SIZE_DEFAULT = 100
SIZE_MAX = 1000

BYTES_MAX = 2 << 20
"""Of the rows of one page. gRPC's clients take 4 MiB unless told otherwise."""


def size(asked: int) -> int:
    """Rows to give for the request's page_size; more than SIZE_MAX gives SIZE_MAX."""
    if asked < 0:
        raise Rejected("invalid_argument", f"page_size is {asked}: give 0 to 1000", "page_size")
    return min(asked or SIZE_DEFAULT, SIZE_MAX)


def start(page_token: str) -> int:
    """The id after which the page begins; -1 for the first page."""
    if not page_token:
        return -1
    try:
        last = int(base64.b64decode(page_token.encode("ascii"), altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeEncodeError, ValueError):
        last = -1
    if last < 0:
        raise Rejected(
            "invalid_argument",
            "page_token is not one that a list gave: take next_page_token of the page before",
            "page_token",
        )
    return last


def token(last: int) -> str:
    """What the client sends to go on after id *last*."""
    return base64.urlsafe_b64encode(str(last).encode()).decode()


class Row(Protocol):
    @property
    def id(self) -> int: ...

    def ByteSize(self) -> int: ...


R = TypeVar("R", bound=Row)


def cut(rows: list[R], limit: int) -> tuple[list[R], str]:
    """A page of at most *limit* from *rows*, which were asked for with one more to see whether
    anything follows, and the token of the next page; empty on the last one. Shorter where the
    rows are large, but never empty."""
    room = BYTES_MAX
    for count, row in enumerate(rows[:limit]):
        room -= row.ByteSize()
        if room < 0 and count:
            return rows[:count], token(rows[count - 1].id)
    if len(rows) <= limit:
        return rows, ""
    return rows[:limit], token(rows[limit - 1].id)
