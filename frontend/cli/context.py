"""`skyraft context`: which front-end to talk to, and as whom."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from frontend.cli.contexts import Context, Contexts
from frontend.cli.errors import rejected, usage
from frontend.cli.options import NounGroup, contexts, output
from frontend.cli.output import Column
from frontend.cli.records import Record

LIST_COLUMNS = (
    Column("current", "", cell=lambda record: "*" if record["current"] else " "),
    Column("name"),
    Column("identity"),
    Column("addresses"),
)


@click.group(cls=NounGroup)
def context() -> None:
    """Front-ends that this user knows: addresses, trusted CA, and who to be there.

    They are in a file that only its owner can read; `skyraft cluster init` makes the first one.
    """


@context.command(name="list")
def list_() -> None:
    """List the contexts; the current one has a star."""
    found = contexts()
    output().records([[_record(found, entry) for entry in found.entries.values()]], LIST_COLUMNS)


@context.command()
@click.argument("name", required=False)
def show(name: str | None) -> None:
    """Show a context, the current one without NAME. A token's secret is left out."""
    found = contexts()
    chosen = click.get_current_context().obj.context
    output().record(_record(found, found.pick(name or chosen)))


@context.command()
@click.argument("name")
def use(name: str) -> None:
    """Make a context the current one."""
    found = contexts()
    entry = found.pick(name)
    changed = Contexts(path=found.path, current=name, entries=found.entries)
    changed.save()
    output().record(_record(changed, entry))


def _file(function: Any, option: str, text: str) -> Any:
    path = click.Path(exists=True, dir_okay=False, path_type=Path)
    return click.option(option, type=path, help=text)(function)


def _identity_options(function: Any) -> Any:
    token_file = click.option(
        "--token-file",
        type=click.File("r"),
        help="File with a bearer token; - reads standard input.",
    )
    function = token_file(function)
    function = _file(function, "--key", "Key of the certificate, PEM.")
    return _file(function, "--certificate", "The user's certificate, PEM.")


@context.command()
@click.argument("name")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    required=True,
    metavar="HOST:PORT",
    help="A replica: its API port, or with a token its token port (repeat for each).",
)
@click.option(
    "--ca",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The front-end's CA certificate, PEM.",
)
@_identity_options
@click.option("--replace", is_flag=True, help="Take the place of a context with that name.")
def add(
    name: str,
    addresses: tuple[str, ...],
    ca: Path,
    certificate: Path | None,
    key: Path | None,
    token_file: Any,
    replace: bool,
) -> None:
    """Add a context, with a certificate and its key or with a token.

    \b
      skyraft context add work --address 10.0.0.1:7002 --address 10.0.0.2:7002 \\
        --ca ca.crt --certificate ann.crt --key ann.key
      skyraft context add home --address 10.0.0.1:7003 --ca ca.crt --token-file -
    """
    from protos.channel import split_address

    found = contexts()
    if name in found.entries and not replace:
        raise rejected(
            "already_exists", f"a context is called {name!r}", "choose another name, or --replace"
        )
    if (token_file is None) == (certificate is None) or (certificate is None) != (key is None):
        raise click.UsageError("give --certificate with --key, or --token-file")
    for address in addresses:
        try:
            split_address(address)
        except ValueError as error:
            raise usage(str(error), "write --address HOST:PORT") from error
    secret = _secret(token_file) if token_file is not None else ""
    entry = Context(
        name=name,
        addresses=addresses,
        ca=ca.absolute(),
        certificate=certificate and certificate.absolute(),
        key=key and key.absolute(),
        token=secret,
    )
    changed = found.with_entry(entry)
    changed.save()
    output().record(_record(changed, entry))


@context.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a context. Files that it names stay."""
    found = contexts()
    found.pick(name)
    found.without(name).save()
    output().record({"name": name, "deleted": True})


def _secret(source: Any) -> str:
    if source is sys.stdin and sys.stdin.isatty():
        text = click.prompt("Token", hide_input=True, err=True)
    else:
        text = source.read()
    secret = str(text).strip()
    if not secret or any(char.isspace() for char in secret):
        raise usage("the token file does not hold one token", "it is a single line, skyraft....")
    return secret


def _record(found: Contexts, entry: Context) -> Record:
    return {
        "name": entry.name,
        "current": entry.name == found.current,
        "identity": entry.identity(),
        "addresses": list(entry.addresses),
        "ca": str(entry.ca),
        "certificate": str(entry.certificate or ""),
        "key": str(entry.key or ""),
        "file": str(found.path),
    }
