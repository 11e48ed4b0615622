"""`skyraft host`: the machines that run guests."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from frontend.cli.nouns import CLUSTER, HOST, TOKEN
from frontend.cli.options import (
    DURATION,
    NounGroup,
    ObjectParam,
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
from frontend.cli.output import TABLE, Column
from frontend.cli.records import Record, to_record

if TYPE_CHECKING:
    from frontend.cli.connection import Connection


def _share(record: Record) -> str:
    return f"{record['vcpu_used']}/{record['capacity']['vcpu']}"


def _memory(record: Record) -> str:
    return f"{record['memory_used_mib']}/{record['capacity']['memory_mib']} MiB"


def _error(record: Record) -> str:
    """A host without capacity is of no use: its agent says why."""
    capacity = record["capacity"]
    why = "" if capacity["vcpu"] else capacity["hypervisor_detail"]
    return record["error"] or why or ""


LIST_COLUMNS = (
    Column("id"),
    Column("name"),
    Column("cluster_id", "cluster"),
    Column("state"),
    Column("hypervisor", cell=lambda record: record["capacity"]["hypervisor"]),
    Column("vcpu_used", "vcpu", cell=_share),
    Column("memory_used_mib", "memory", cell=_memory),
    Column("agent_version", "agent"),
    Column("error", cell=_error),
)


@click.group(cls=NounGroup)
def host() -> None:
    """The machines that run guests.

    A host joins by running the command that `skyraft host token` prints.
    """


@host.command()
@click.option(
    "--cluster",
    "cluster_target",
    type=ObjectParam(CLUSTER),
    default="0",
    show_default=True,
    help="Cluster that the host joins, by name or id.",
)
@click.option("--ttl", type=DURATION, default=0, help="Valid for: 90s, 15m, 2h, 7d  [default: 1h]")
@click.option("--description", help="Note for the list of tokens.")
@click.option("--name", help="Name for the new host  [default: its hostname]")
@request_id_option
def token(
    cluster_target: str, ttl: int, description: str | None, name: str | None, request_id: str
) -> None:
    """Create a join token; print the command to run on the new host, and the token.

    The token lets one host enrol, once. The command reads it from standard input, so that it is
    not seen in the list of processes there.
    """
    from frontend.cli import lookup
    from frontend.cli.token import require_secret

    connection = connect()
    answer = connection.call(
        TOKEN,
        "Create",
        request_id=request_id,
        kind=TOKEN.module.TOKEN_KIND_JOIN,
        cluster_id=lookup.find(connection, CLUSTER, cluster_target),
        description=description,
        ttl_seconds=ttl,
    )
    require_secret(answer)
    command = _join_command(connection, name)
    printer = output()
    if printer.form == TABLE:
        click.echo(
            f"Copy {connection.context.ca} to the new host as ca.crt, run this there as root, and "
            "give it the token, which is the second line:",
            err=True,
        )
        printer.text(f"{command}\n{answer.secret}\n")
    else:
        printer.record(to_record(answer) | {"command": command})


def _join_command(connection: Connection, name: str | None) -> str:
    words = ["skyraft-agent", "join", "--dir", "/var/lib/skyraft-agent", "--ca", "ca.crt"]
    words += ["--server", ",".join(_token_addresses(connection)), "--token", "-"]
    return shlex.join(words + (["--name", name] if name else []))


def _token_addresses(connection: Connection) -> list[str]:
    """Where hosts enrol. A token's own context names these ports itself."""
    if connection.context.token:
        return list(connection.addresses)
    replicas = connection.call(CLUSTER, "GetStatus").replicas
    return [replica.token_address or _unknown_port(replica.api_address) for replica in replicas]


def _unknown_port(api_address: str) -> str:
    """A replica of an older version does not tell: the person must."""
    return f"{api_address.rpartition(':')[0]}:TOKENPORT"


@host.command(name="list")
@list_options
def list_(page_size: int, stale: bool, watch: bool) -> None:
    """List the hosts."""
    from frontend.cli.resources import show_list

    show_list(HOST, LIST_COLUMNS, page_size=page_size, stale=stale, watch=watch)


@host.command()
@object_argument(HOST)
@stale_option
@watch_option
def show(target: str, stale: bool, watch: bool) -> None:
    """Show one host."""
    from frontend.cli.resources import show_one

    show_one(HOST, target, stale=stale, watch=watch)


@host.command()
@object_argument(HOST)
@click.option("--name", help="New name.")
@label_options
@revision_option
@request_id_option
def update(target: str, name: str | None, **options: Any) -> None:
    """Change a host's name or labels."""
    from frontend.cli.resources import update as change

    change(HOST, target, {"name": name}, **options)


def _set_state(verb: str, state: str, text: str) -> Callable[..., None]:
    @host.command(name=verb, help=text)
    @objects_argument(HOST)
    @revision_option
    @request_id_option
    def command(targets: tuple[str, ...], expected_revision: int, request_id: str) -> None:
        from google.protobuf.field_mask_pb2 import FieldMask

        from frontend.cli import lookup
        from frontend.cli.resources import print_each, request_ids

        connection = connect()
        ids = lookup.find_all(connection, HOST, targets)
        wanted = HOST.module.HostState.Value(f"HOST_STATE_{state}")
        mask = FieldMask(paths=["state"])
        print_each(
            (
                to_record(
                    connection.call(
                        HOST,
                        "Update",
                        request_id=one_request,
                        host=HOST.module.Host(id=host_id, state=wanted),
                        update_mask=mask,
                        expected_revision=expected_revision,
                    )
                )
                for host_id, one_request in zip(ids, request_ids(request_id, len(ids)), strict=True)
            ),
            LIST_COLUMNS,
        )

    return command


_set_state("enable", "MONITORED", "Let hosts take new VMs again.")
_set_state("disable", "DISABLED", "Give hosts no new VMs; those that run there go on.")


@host.command()
@objects_argument(HOST)
@revision_option
@request_id_option
def delete(targets: tuple[str, ...], expected_revision: int, request_id: str) -> None:
    """Delete hosts. Refused while VMs are on them; their certificates are refused from then on."""
    from frontend.cli.resources import delete as remove

    remove(HOST, targets, request_id=request_id, expected_revision=expected_revision)
