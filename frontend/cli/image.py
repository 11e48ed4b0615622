"""`skyraft image`: the read-only contents of disks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from frontend.cli.nouns import IMAGE
from frontend.cli.options import (
    PAIR,
    NounGroup,
    connect,
    label_options,
    list_options,
    object_argument,
    objects_argument,
    output,
    request_id_option,
    revision_option,
    stale_option,
    wait_options,
    watch_option,
)
from frontend.cli.output import Column
from frontend.cli.records import Record, to_record


def _copies(record: Record) -> str:
    return f"{len(record['replica_ids'])}/{record['copies_wanted']}"


LIST_COLUMNS = (
    Column("id"),
    Column("name"),
    Column("state"),
    Column("format"),
    Column("size_bytes", "size"),
    Column("virtual_size_bytes", "disk"),
    Column("replica_ids", "copies", cell=_copies),
    Column("vm_count", "vms"),
    Column("owner"),
    Column("error"),
)


def description_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What may be said of a new image."""
    label = click.option(
        "--label", "labels", multiple=True, type=PAIR, help="KEY=VALUE (repeatable)."
    )
    return click.option("--description", default="")(label(function))


@click.group(cls=NounGroup)
def image() -> None:
    """The read-only contents of disks, raw or qcow2.

    An image is LOCKED until enough replicas hold a verified copy, then READY.
    """


@image.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Name of the image  [default: the file's, without its ending]")
@description_options
@wait_options
@request_id_option
def upload(
    file: Path,
    name: str | None,
    description: str,
    labels: tuple[tuple[str, str], ...],
    wait: bool,
    timeout_s: float,
    request_id: str,
) -> None:
    """Upload an image from FILE.

    The file's SHA-256 is sent along and checked by the replica that stores it.
    """
    from frontend.cli import transfer, waiting

    connection = connect()
    answer = transfer.upload(
        connection,
        file,
        request_id=request_id,
        name=file.stem if name is None else name,
        description=description,
        labels=dict(labels),
    )
    if wait:
        answer = waiting.image_settles(connection, answer, timeout_s)
    output().record(to_record(answer))


@image.command(name="import")
@click.argument("url")
@click.option("--name", required=True, help="Name of the image.")
@click.option("--sha256", default="", help="Expected checksum, hexadecimal.")
@description_options
@wait_options
@request_id_option
def import_(
    url: str,
    name: str,
    sha256: str,
    description: str,
    labels: tuple[tuple[str, str], ...],
    wait: bool,
    timeout_s: float,
    request_id: str,
) -> None:
    """Have the front-end fetch an image from an http(s) URL."""
    from frontend.cli import waiting

    connection = connect()
    answer = connection.call(
        IMAGE,
        "Import",
        request_id=request_id,
        name=name,
        url=url,
        sha256=sha256,
        description=description,
        labels=dict(labels),
    )
    if wait:
        answer = waiting.image_settles(connection, answer, timeout_s)
    output().record(to_record(answer))


@image.command(name="list")
@list_options
def list_(page_size: int, stale: bool, watch: bool) -> None:
    """List the images."""
    from frontend.cli.resources import show_list

    show_list(IMAGE, LIST_COLUMNS, page_size=page_size, stale=stale, watch=watch)


@image.command()
@object_argument(IMAGE)
@stale_option
@watch_option
def show(target: str, stale: bool, watch: bool) -> None:
    """Show one image."""
    from frontend.cli.resources import show_one

    show_one(IMAGE, target, stale=stale, watch=watch)


@image.command()
@object_argument(IMAGE)
@click.option("--name", help="New name.")
@click.option("--description")
@label_options
@revision_option
@request_id_option
def update(target: str, name: str | None, description: str | None, **options: Any) -> None:
    """Change an image's name, description or labels."""
    from frontend.cli.resources import update as change

    change(IMAGE, target, {"name": name, "description": description}, **options)


@image.command()
@objects_argument(IMAGE)
@revision_option
@request_id_option
def delete(targets: tuple[str, ...], expected_revision: int, request_id: str) -> None:
    """Delete images. Refused while VMs use them."""
    from frontend.cli.resources import delete as remove

    remove(IMAGE, targets, request_id=request_id, expected_revision=expected_revision)
