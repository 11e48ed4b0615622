"""`skyraft cluster`: the front-end itself, and the clusters of hosts that it manages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from frontend.cli.nouns import CLUSTER
from frontend.cli.options import (
    PAIR,
    Decorated,
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
from frontend.cli.output import Column
from frontend.cli.records import Record

LIST_COLUMNS = (
    Column("id"),
    Column("name"),
    Column("bridge", cell=lambda record: record["network"]["bridge"]),
    Column("cidr", cell=lambda record: record["network"]["cidr"]),
    Column(
        "addresses",
        cell=lambda record: f"{record['network']['first_ip']} to {record['network']['last_ip']}",
    ),
    Column("description"),
)


@click.group(cls=NounGroup)
def cluster() -> None:
    """The front-end's replicas, and the clusters of hosts.

    init and certificate work on files alone, status asks every replica, the others manage
    clusters: groups of hosts in one place that share a network.
    """


@cluster.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--replica",
    "replicas",
    multiple=True,
    required=True,
    metavar="ID=HOST:RAFT:API:TOKEN",
    help="A replica, the host it runs on and its three ports (repeat for each; three or five).",
)
def init(directory: Path, replicas: tuple[str, ...]) -> None:
    """Make the files of a new front-end in DIRECTORY.

    A certificate authority, a directory for every replica, and the first admin's credentials with
    a contexts file. For instance three replicas on one machine:

    \b
      skyraft cluster init demo \\
        --replica 1=127.0.0.1:7001:7002:7003 \\
        --replica 2=127.0.0.1:7011:7012:7013 \\
        --replica 3=127.0.0.1:7021:7022:7023
    """
    from frontend.cli import offline

    record = offline.init(directory, replicas)
    printer = output()
    printer.record(record)
    if printer.form == "table":
        printer.text(offline.after_init(record))


@cluster.command()
@click.argument("directory", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--user", required=True, metavar="NAME", help="Whom the certificate stands for.")
@click.option("--admin", is_flag=True, help="May do everything; else only what it owns.")
@click.option(
    "--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="Valid for."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="New directory for the files  [default: DIRECTORY/NAME]",
)
def certificate(directory: Path, user: str, admin: bool, days: int, out: Path | None) -> None:
    """Issue a user's certificate with the CA in DIRECTORY.

    DIRECTORY is what `cluster init` made. The new directory holds the certificate, its key, the
    CA's certificate and a contexts file: all that the user needs.
    """
    from frontend.cli import offline

    output().record(offline.certificate(directory, user, admin, days, out))


@cluster.command()
@watch_option
def status(watch: bool) -> None:
    """Ask every replica how it is: who leads, how far each one is, what may still fail.

    Exits with 3 when no replica leads.
    """
    from frontend.cli import status as view

    view.show(watch=watch)


@cluster.command()
@click.option("--to", "target", default="", metavar="REPLICA", help="Id of the next leader.")
def transfer(target: str) -> None:
    """Hand leadership to another replica, before planned work on the present leader.

    Without --to the most up-to-date one takes over.
    """
    from frontend.cli.records import to_record

    output().record(to_record(connect().call(CLUSTER, "TransferLeadership", target_id=target)))


@cluster.command(name="list")
@list_options
def list_(page_size: int, stale: bool, watch: bool) -> None:
    """List the clusters of hosts."""
    from frontend.cli.resources import show_list

    show_list(CLUSTER, LIST_COLUMNS, page_size=page_size, stale=stale, watch=watch)


@cluster.command()
@object_argument(CLUSTER)
@stale_option
@watch_option
def show(target: str, stale: bool, watch: bool) -> None:
    """Show one cluster of hosts."""
    from frontend.cli.resources import show_one

    show_one(CLUSTER, target, stale=stale, watch=watch)


def network_options(*, required: bool) -> Callable[[Decorated], Decorated]:
    """The fields of a cluster's network."""

    def decorate(function: Decorated) -> Decorated:
        for option in (
            click.option("--last-ip", help="Last address to lease  [default: the last usable]"),
            click.option("--first-ip", help="First address to lease  [default: the first usable]"),
            click.option("--dns", multiple=True, metavar="IP", help="DNS server (repeatable)."),
            click.option("--gateway", metavar="IP", help="The guests' way out."),
            click.option("--cidr", required=required, help="IPv4 network, e.g. 172.20.0.0/24."),
            click.option("--bridge", required=required, help="Linux bridge on every host."),
        ):
            function = option(function)
        return function

    return decorate


@cluster.command()
@click.argument("name")
@network_options(required=True)
@click.option("--description")
@click.option("--label", "labels", multiple=True, type=PAIR, help="KEY=VALUE (repeatable).")
@request_id_option
def create(
    name: str,
    description: str | None,
    labels: tuple[tuple[str, str], ...],
    request_id: str,
    **network: Any,
) -> None:
    """Create a cluster of hosts with its network.

    \b
      skyraft cluster create edge1 --bridge br0 \\
        --cidr 172.20.0.0/24 --gateway 172.20.0.1
    """
    from frontend.cli.records import to_record

    message = CLUSTER.module.Cluster(
        name=name, description=description, labels=dict(labels), network=_given(network)
    )
    answer = connect().call(CLUSTER, "Create", request_id=request_id, cluster=message)
    output().record(to_record(answer))


@cluster.command()
@object_argument(CLUSTER)
@click.option("--name", help="New name.")
@click.option("--description")
@network_options(required=False)
@label_options
@revision_option
@request_id_option
def update(
    target: str,
    name: str | None,
    description: str | None,
    labels: tuple[tuple[str, str], ...],
    remove_labels: tuple[str, ...],
    expected_revision: int,
    request_id: str,
    **network: Any,
) -> None:
    """Change a cluster's name, description, network or labels.

    What of the network is not given keeps its value.
    """
    from frontend.cli import lookup
    from frontend.cli.resources import update as change

    changes = {"name": name, "description": description, "network": None}
    given = _given(network)
    if given:
        connection = connect()
        found = lookup.find(connection, CLUSTER, target)
        present = connection.call(CLUSTER, "Get", id=found)
        whole = {field.name: value for field, value in present.network.ListFields()}
        changes["network"] = CLUSTER.module.Network(**(whole | given))
        # Read and written back as one: refuse if somebody else changed it in between.
        expected_revision = expected_revision or present.revision
    change(
        CLUSTER,
        target,
        changes,
        request_id=request_id,
        expected_revision=expected_revision,
        labels=labels,
        remove_labels=remove_labels,
    )


@cluster.command()
@objects_argument(CLUSTER)
@revision_option
@request_id_option
def delete(targets: tuple[str, ...], expected_revision: int, request_id: str) -> None:
    """Delete clusters. Refused while hosts or VMs remain in them."""
    from frontend.cli.resources import delete as remove

    remove(CLUSTER, targets, request_id=request_id, expected_revision=expected_revision)


def _given(network: Record) -> Record:
    return {name: value for name, value in network.items() if value}
