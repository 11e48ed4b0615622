"""`skyraft template`: what VMs are made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from frontend.cli.nouns import IMAGE, TEMPLATE
from frontend.cli.options import (
    PAIR,
    SIZE,
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
    watch_option,
)
from frontend.cli.output import Column, size
from frontend.cli.records import Record, to_record

if TYPE_CHECKING:
    from frontend.cli.connection import Connection


def _disks(record: Record) -> str:
    parts = (
        f"image {disk['image_id']}"
        + (f" ({size(disk['size_bytes'])})" if disk["size_bytes"] else "")
        for disk in record["disks"]
    )
    return ", ".join(parts)


LIST_COLUMNS = (
    Column("id"),
    Column("name"),
    Column("vcpu"),
    Column("memory_mib", "memory"),
    Column("disks", cell=_disks),
    Column("owner"),
    Column("description"),
)


@click.group(cls=NounGroup)
def template() -> None:
    """What VMs are made from: processors, memory, disks, contextualization."""


def shape_options(function: Any) -> Any:
    """The fields of a template as flags."""
    for option in (
        click.option("--ssh-key", "ssh_keys", multiple=True, help="Public key (repeatable)."),
        click.option(
            "--ssh-key-file",
            "ssh_key_files",
            multiple=True,
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="File with public keys (repeatable).",
        ),
        click.option(
            "--set",
            "entries",
            multiple=True,
            type=PAIR,
            metavar="KEY=VALUE",
            help="Contextualization entry for every VM (repeatable).",
        ),
        click.option(
            "--disk",
            "disks",
            multiple=True,
            metavar="IMAGE[:SIZE]",
            help="Disk on an image, by name or id; 10G makes it larger (repeatable).",
        ),
        click.option("--memory", type=SIZE, metavar="SIZE", help="For instance 512M or 2G."),
        click.option("--vcpu", type=click.IntRange(min=1), help="Virtual processors."),
        click.option("--description"),
    ):
        function = option(function)
    return function


@template.command()
@click.argument("name", required=False)
@click.option(
    "-f",
    "--file",
    "source",
    type=click.File("r", encoding="utf-8"),
    help="YAML or JSON file with the template's fields; - reads standard input.",
)
@shape_options
@click.option("--label", "labels", multiple=True, type=PAIR, help="KEY=VALUE (repeatable).")
@request_id_option
def create(
    name: str | None,
    source: Any,
    labels: tuple[tuple[str, str], ...],
    request_id: str,
    **shape: Any,
) -> None:
    """Create a template from options, from a file, or from a file that options change.

    \b
      skyraft template create web --vcpu 2 --memory 1G --disk debian-12:10G \\
        --ssh-key-file ~/.ssh/id_ed25519.pub
      skyraft template create -f web.yaml
    """
    from frontend.cli import documents
    from frontend.cli.errors import usage

    connection = connect()
    message = TEMPLATE.module.Template()
    if source is not None:
        documents.fill(message, source, connection)
    _apply(message, connection, shape)
    message.name = name or message.name
    message.labels.update(dict(labels))
    if not message.name:
        raise usage("the template has no name", "give NAME, or `name:` in the file")
    answer = connection.call(TEMPLATE, "Create", request_id=request_id, template=message)
    output().record(to_record(answer))


@template.command(name="list")
@list_options
def list_(page_size: int, stale: bool, watch: bool) -> None:
    """List the templates."""
    from frontend.cli.resources import show_list

    show_list(TEMPLATE, LIST_COLUMNS, page_size=page_size, stale=stale, watch=watch)


@template.command()
@object_argument(TEMPLATE)
@stale_option
@watch_option
def show(target: str, stale: bool, watch: bool) -> None:
    """Show one template."""
    from frontend.cli.resources import show_one

    show_one(TEMPLATE, target, stale=stale, watch=watch)


@template.command()
@object_argument(TEMPLATE)
@click.option("--name", help="New name.")
@shape_options
@label_options
@revision_option
@request_id_option
def update(
    target: str,
    name: str | None,
    labels: tuple[tuple[str, str], ...],
    remove_labels: tuple[str, ...],
    expected_revision: int,
    request_id: str,
    **shape: Any,
) -> None:
    """Change a template. VMs made from it before stay as they are.

    Disks, keys and entries that are given replace all of the template's.
    """
    from frontend.cli.resources import update as change

    message = TEMPLATE.module.Template()
    _apply(message, connect(), shape)
    changes = {"name": name, "description": shape["description"]}
    changes |= {field.name: value for field, value in message.ListFields()}
    change(
        TEMPLATE,
        target,
        changes,
        request_id=request_id,
        expected_revision=expected_revision,
        labels=labels,
        remove_labels=remove_labels,
    )


@template.command()
@objects_argument(TEMPLATE)
@revision_option
@request_id_option
def delete(targets: tuple[str, ...], expected_revision: int, request_id: str) -> None:
    """Delete templates. VMs made from them stay."""
    from frontend.cli.resources import delete as remove

    remove(TEMPLATE, targets, request_id=request_id, expected_revision=expected_revision)


def _apply(message: Any, connection: Connection, shape: dict[str, Any]) -> None:
    """Writes the options that were given into *message*."""
    from frontend.cli import documents

    if shape["vcpu"] is not None:
        message.vcpu = shape["vcpu"]
    if shape["memory"] is not None:
        message.memory_mib = documents.mebibytes(shape["memory"])
    if shape["description"] is not None:
        message.description = shape["description"]
    if shape["disks"]:
        del message.disks[:]
        message.disks.extend(_disk(text, connection) for text in shape["disks"])
    if shape["entries"]:
        message.context.clear()
        message.context.update(dict(shape["entries"]))
    keys = documents.ssh_keys(shape["ssh_keys"], shape["ssh_key_files"])
    if keys:
        message.ssh_public_keys[:] = keys


def _disk(text: str, connection: Connection) -> Any:
    from frontend.cli import lookup

    name, colon, wanted = text.rpartition(":")
    if not colon:
        name, wanted = text, "0"
    image_id = lookup.find(connection, IMAGE, name)
    return TEMPLATE.module.TemplateDisk(
        image_id=image_id, size_bytes=SIZE.convert(wanted, None, None)
    )
