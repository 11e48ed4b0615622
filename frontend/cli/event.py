"""`skyraft event`: what changed, when, by whom, under which request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from frontend.cli.errors import usage
from frontend.cli.nouns import CLUSTER, EVENT, HOST, IMAGE, TEMPLATE, TOKEN, VM, Noun
from frontend.cli.options import NounGroup, connect, output, stale_option
from frontend.cli.output import Column, clock
from frontend.cli.records import Record, to_record

_NOUNS = {noun.name: noun for noun in (CLUSTER, HOST, IMAGE, TEMPLATE, VM, TOKEN)}
_SECURITY = "security"
"""The noun of refused strangers: events of no object."""

LIST_COLUMNS = (
    Column("revision"),
    Column("time", cell=lambda record: clock(record["time_ms"])),
    Column("kind"),
    Column("object", cell=lambda record: f"{record['noun']} {record['object_id']}"),
    Column("actor", optional=True),
    Column("detail"),
)


def filter_options(function: Any) -> Any:
    """Which events."""
    for option in (
        click.option("--object", "target", metavar="NAME|ID", help="Of this object of the noun."),
        click.option(
            "--noun", type=click.Choice(sorted((*_NOUNS, _SECURITY))), help="Of this kind."
        ),
        click.option(
            "--after", type=click.IntRange(min=1), metavar="REVISION", help="Later than this."
        ),
    ):
        function = option(function)
    return function


@click.group(cls=NounGroup)
def event() -> None:
    """The log of what changed: when, by whom, under which request."""


@event.command(name="list")
@filter_options
@click.option(
    "-n",
    "--last",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Only the newest N  [default: 50, all with --after]",
)
@stale_option
def list_(
    after: int | None, noun: str | None, target: str | None, last: int | None, stale: bool
) -> None:
    """List events, the oldest first."""
    connection = connect()
    object_id = _object_id(connection, noun, target)
    fields = {"noun": noun, "object_id": object_id, "stale": stale}
    if after and not last:
        output().records(_pages(connection, after, fields), LIST_COLUMNS)
        return
    page = connection.call(EVENT, "List", page_size=last or 50, descending=True, **fields)
    newest = [to_record(item) for item in page.events if item.revision > (after or 0)]
    output().records([newest[::-1]], LIST_COLUMNS)


@event.command()
@filter_options
def watch(after: int | None, noun: str | None, target: str | None) -> None:
    """Print events as they happen, until Ctrl-C.

    Goes on with another replica when the one that answers is lost, without a gap.
    """
    from frontend.cli import following

    connection = connect()
    object_id = _object_id(connection, noun, target)
    output().stream(following.events(connection, noun or "", object_id, after), LIST_COLUMNS)


def _object_id(connection: Any, noun: str | None, target: str | None) -> int | None:
    from frontend.cli import lookup

    if target is None:
        return None
    if noun is None:
        raise usage("--object needs --noun", "for instance --noun vm --object web")
    if noun == _SECURITY:
        raise usage("events of security have no object", "leave --object out")
    chosen: Noun = _NOUNS[noun]
    return lookup.find(connection, chosen, target)


def _pages(connection: Any, after: int, fields: Record) -> Iterator[Sequence[Record]]:
    while True:
        page = connection.call(EVENT, "List", after_revision=after, page_size=1000, **fields)
        yield [to_record(item) for item in page.events]
        if not page.events or page.next_revision <= after:
            return
        after = page.next_revision
