"""Names to ids: a person types either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from frontend.cli.errors import CliError, rejected
from frontend.cli.nouns import Noun

if TYPE_CHECKING:
    from frontend.cli.connection import Connection

_PAGE = 1000


def find(connection: Connection, noun: Noun, target: str) -> int:
    """The id of the one object that *target* names. Digits are an id and asked for as they are."""
    return find_all(connection, noun, [target])[0]


def find_all(connection: Connection, noun: Noun, targets: Sequence[str]) -> list[int]:
    """The same for several, reading the list once at most."""
    names = {target for target in targets if not _is_id(target)}
    ids: dict[str, list[int]] = {name: [] for name in names}
    if names:
        for page in connection.pages(noun, page_size=_PAGE, stale=False):
            for item in getattr(page, noun.plural):
                if item.name in names:
                    ids[item.name].append(item.id)
    return [
        int(target) if _is_id(target) else _one(noun, target, ids[target]) for target in targets
    ]


def _is_id(target: str) -> bool:
    return target.isascii() and target.isdigit()


def _one(noun: Noun, name: str, ids: list[int]) -> int:
    if not ids:
        raise rejected(
            "not_found",
            f"no {noun.name} is called {name!r}",
            f"`skyraft {noun.name} list` shows what exists",
        )
    if len(ids) > 1:
        raise _ambiguous(noun, name, ids)
    return ids[0]


def _ambiguous(noun: Noun, name: str, ids: list[int]) -> CliError:
    shown = ", ".join(map(str, ids[:10])) + (", ..." if len(ids) > 10 else "")
    return rejected(
        "ambiguous", f"{len(ids)} {noun.plural} are called {name!r}: {shown}", "name one by its id"
    )
