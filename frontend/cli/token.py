"""`skyraft token`: what users without a certificate, and hosts that join, prove themselves with."""

from __future__ import annotations

import time
from typing import Any

import click

from frontend.cli.errors import rejected
from frontend.cli.nouns import CLUSTER, TOKEN
from frontend.cli.options import (
    DURATION,
    NounGroup,
    ObjectParam,
    connect,
    list_options,
    output,
    request_id_option,
)
from frontend.cli.output import TABLE, Column
from frontend.cli.records import Record, to_record


def _for(record: Record) -> str:
    return f"user {record['user']}" if record["user"] else f"cluster {record['cluster_id']}"


def _condition(record: Record) -> str:
    if record["revoked"]:
        return "revoked"
    used_by = record["used_by_host_id"]
    if used_by is not None:
        return f"used by host {used_by}"
    return "valid" if time.time() * 1000 < record["expire_time_ms"] else "expired"


LIST_COLUMNS = (
    Column("id"),
    Column("kind"),
    Column("for", cell=_for),
    Column("role"),
    Column("condition", cell=_condition),
    Column("expire_time_ms", "expires"),
    Column("description"),
)


@click.group(cls=NounGroup)
def token() -> None:
    """Tokens: a user's, to call the API, and a host's, to join once."""


@token.command()
@click.option("--user", metavar="NAME", help="A bearer token that stands for this user.")
@click.option("--admin", is_flag=True, help="With --user: may do everything.")
@click.option(
    "--join",
    "cluster_target",
    type=ObjectParam(CLUSTER),
    help="A token that lets one host join this cluster, by name or id.",
)
@click.option(
    "--ttl",
    type=DURATION,
    default=0,
    help="Valid for: 15m, 2h, 7d  [default: 30d for a user, 1h to join]",
)
@click.option("--description", help="Note for the list of tokens.")
@request_id_option
def create(
    user: str | None,
    admin: bool,
    cluster_target: str | None,
    ttl: int,
    description: str | None,
    request_id: str,
) -> None:
    """Create a token. Its secret is shown now and never again.

    \b
      skyraft token create --user ann
      skyraft token create --join default
    """
    from frontend.cli import lookup

    if (user is None) == (cluster_target is None):
        raise click.UsageError("give either --user or --join")
    wire = TOKEN.module
    connection = connect()
    fields: Record
    if user is not None:
        role = wire.USER_ROLE_ADMIN if admin else wire.USER_ROLE_USER
        fields = {"kind": wire.TOKEN_KIND_USER, "user": user, "role": role}
    else:
        cluster_id = lookup.find(connection, CLUSTER, str(cluster_target))
        fields = {"kind": wire.TOKEN_KIND_JOIN, "cluster_id": cluster_id}
    answer = connection.call(
        TOKEN, "Create", request_id=request_id, ttl_seconds=ttl, description=description, **fields
    )
    require_secret(answer)
    printer = output()
    if printer.form == TABLE:
        click.echo(f"token {answer.token.id}, shown only now:", err=True)
        printer.text(f"{answer.secret}\n")
    else:
        printer.record(to_record(answer))


@token.command(name="list")
@list_options
def list_(page_size: int, stale: bool, watch: bool) -> None:
    """List the tokens, without their secrets."""
    from frontend.cli.resources import show_list

    show_list(TOKEN, LIST_COLUMNS, page_size=page_size, stale=stale, watch=watch)


@token.command()
@click.argument("token_id", type=click.IntRange(min=0), metavar="ID")
@request_id_option
def revoke(token_id: int, request_id: str) -> None:
    """Revoke a token; it is refused from then on."""
    answer = connect().call(TOKEN, "Revoke", id=token_id, request_id=request_id)
    output().answers([to_record(answer)], LIST_COLUMNS)


def require_secret(answer: Any) -> None:
    """Only a token's hash is kept: a repeated request gets it without its secret."""
    if not answer.secret:
        raise rejected(
            "secret_lost",
            f"token {answer.token.id} was created by an earlier request; its secret was shown then",
            f"`skyraft token revoke {answer.token.id}`, then create one without --request-id",
        )
