"""`skyraft vm`: virtual machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from frontend.cli.nouns import CLUSTER, TEMPLATE, VM
from frontend.cli.options import (
    PAIR,
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
    wait_options,
    watch_option,
)
from frontend.cli.output import Column, age, clock
from frontend.cli.records import Record, to_record


def _state(record: Record) -> str:
    state = record.get("lcm_state") if record.get("state") == "ACTIVE" else record.get("state")
    return str(state)


def _address(record: Record) -> str:
    return ", ".join(nic["ip"] for nic in record["nics"])


LIST_COLUMNS = (
    Column("id"),
    Column("name"),
    Column("state", cell=_state),
    Column("host_id", "host"),
    Column("vcpu"),
    Column("memory_mib", "memory"),
    Column("ip", cell=_address),
    Column("age", cell=lambda record: age(record["create_time_ms"])),
    Column("error"),
)

CHANGE_COLUMNS = (
    Column("time", cell=lambda record: clock(record["time_ms"])),
    Column("id"),
    Column("name"),
    Column("state", cell=_state),
    Column("host_id", "host"),
    Column("error"),
)


@click.group(cls=NounGroup)
def vm() -> None:
    """Virtual machines: create, look at, stop, start, remove."""


@vm.command()
@click.argument("name", required=False)
@click.option(
    "--template",
    "template_target",
    required=True,
    type=ObjectParam(TEMPLATE),
    help="What to make it from, by name or id.",
)
@click.option(
    "--cluster",
    "cluster_target",
    type=ObjectParam(CLUSTER),
    help="Where to run it, by name or id  [default: the cluster with the lowest id]",
)
@click.option(
    "--count",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="How many; more than one are called NAME-0, NAME-1, ...",
)
@click.option(
    "--set",
    "entries",
    multiple=True,
    type=PAIR,
    metavar="KEY=VALUE",
    help="Contextualization entry, beside the template's (repeatable).",
)
@click.option("--ssh-key", "ssh_keys", multiple=True, help="Public key (repeatable).")
@click.option(
    "--ssh-key-file",
    "ssh_key_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with public keys (repeatable).",
)
@click.option("--label", "labels", multiple=True, type=PAIR, help="KEY=VALUE (repeatable).")
@click.option("--description", default="")
@wait_options
@request_id_option
def create(
    name: str | None,
    template_target: str,
    cluster_target: str | None,
    count: int,
    entries: tuple[tuple[str, str], ...],
    ssh_keys: tuple[str, ...],
    ssh_key_files: tuple[Path, ...],
    labels: tuple[tuple[str, str], ...],
    description: str,
    wait: bool,
    timeout_s: float,
    request_id: str,
) -> None:
    """Create VMs from a template.

    Returns at once, or with --wait when they run.

    \b
      skyraft vm create web --template debian --wait
      skyraft vm create worker --template debian --count 20
    """
    from frontend.cli import creation, documents, lookup, waiting

    connection = connect()
    cluster_id = lookup.find(connection, CLUSTER, cluster_target) if cluster_target else None
    vms = creation.create(
        connection,
        creation.names(name, count),
        request_id,
        template_id=lookup.find(connection, TEMPLATE, template_target),
        cluster_id=cluster_id,
        context=dict(entries),
        ssh_public_keys=documents.ssh_keys(ssh_keys, ssh_key_files),
        labels=dict(labels),
        description=description,
    )
    if wait:
        vms = waiting.vms_settle(connection, vms, waiting.RUNNING, timeout_s)
    output().answers([to_record(each) for each in vms], LIST_COLUMNS)


@vm.command(name="list")
@click.option("-a", "--all", "include_done", is_flag=True, help="Also those that are DONE.")
@list_options
def list_(include_done: bool, page_size: int, stale: bool, watch: bool) -> None:
    """List the VMs."""
    from frontend.cli.resources import show_list

    show_list(
        VM,
        LIST_COLUMNS,
        page_size=page_size,
        stale=stale,
        watch=watch,
        include_done=include_done,
    )


@vm.command()
@object_argument(VM)
@stale_option
@watch_option
def show(target: str, stale: bool, watch: bool) -> None:
    """Show one VM."""
    from frontend.cli.resources import show_one

    show_one(VM, target, stale=stale, watch=watch)


@vm.command()
@click.argument("target", required=False, type=ObjectParam(VM), metavar="[VM]")
@click.option("--after", type=click.IntRange(min=1), metavar="REVISION", help="Begin there.")
def watch(target: str | None, after: int | None) -> None:
    """Print a line whenever a VM changes, until Ctrl-C.

    Goes on with another replica when the one that answers is lost. Without --after, begins with
    what changes from now on.
    """
    from frontend.cli import following

    output().stream(following.vm_changes(connect(), target, after), CHANGE_COLUMNS)


@vm.command()
@object_argument(VM)
@click.option("--name", help="New name.")
@click.option("--description")
@label_options
@revision_option
@request_id_option
def update(target: str, name: str | None, description: str | None, **options: Any) -> None:
    """Change a VM's name, description or labels."""
    from frontend.cli.resources import update as change

    change(VM, target, {"name": name, "description": description}, **options)


def _action(verb: str, wanted: str, text: str, hard: str = "") -> None:
    """Adds the verb: the same for each, but for where the VMs end up."""

    @objects_argument(VM)
    @wait_options
    @request_id_option
    def command(
        targets: tuple[str, ...],
        wait: bool,
        timeout_s: float,
        request_id: str,
        **fields: Any,
    ) -> None:
        _act(verb, wanted, targets, wait, timeout_s, request_id, fields)

    function: Callable[..., Any] = command
    if hard:
        function = click.option("--hard", is_flag=True, help=hard)(function)
    vm.command(name=verb, help=text)(function)


def _act(
    verb: str,
    wanted: str,
    targets: Sequence[str],
    wait: bool,
    timeout_s: float,
    request_id: str,
    fields: Record,
) -> None:
    from frontend.cli import lookup, waiting
    from frontend.cli.resources import print_each, request_ids

    connection = connect()
    ids = lookup.find_all(connection, VM, targets)
    begun = (
        connection.call(VM, verb.capitalize(), id=vm_id, request_id=one_request, **fields)
        for vm_id, one_request in zip(ids, request_ids(request_id, len(ids)), strict=True)
    )
    if not wait:
        print_each(map(to_record, begun), LIST_COLUMNS)
        return
    if verb == "recover":
        vms = [waiting.recovered(connection, each, timeout_s) for each in begun]
    else:
        vms = waiting.vms_settle(connection, list(begun), wanted, timeout_s)
    output().answers([to_record(each) for each in vms], LIST_COLUMNS)


_action(
    "poweroff",
    "POWEROFF",
    "Shut VMs down and keep them. The guest has 90 seconds before force is used.",
    "Pull the plug.",
)
_action("resume", "RUNNING", "Start VMs that are off, suspended or lost.")
_action("suspend", "SUSPENDED", "Save VMs' memory to disk and stop them.")
_action("reboot", "RUNNING", "Restart the guests.", "Press the reset button.")
_action(
    "terminate",
    "DONE",
    "Shut VMs down in good order and remove them with their disks.",
    "Do not let the guest shut down.",
)
_action("delete", "DONE", "Remove VMs by force, whatever they are doing.")
_action("recover", "RUNNING", "Do again the step that failed.")


@vm.command()
@object_argument(VM)
@click.option("-f", "--follow", is_flag=True, help="Go on with what the guest writes.")
@click.option(
    "--tail",
    "tail_bytes",
    type=click.IntRange(1, 1 << 20),
    default=16 << 10,
    show_default=True,
    metavar="BYTES",
    help="How much of the end.",
)
def console(target: str, follow: bool, tail_bytes: int) -> None:
    """Print the end of a VM's serial console."""
    from frontend.cli import following, lookup

    connection = connect()
    vm_id = lookup.find(connection, VM, target)
    printer = output()
    if follow:
        following.console(connection, vm_id, tail_bytes, printer)
        return
    data = connection.call(VM, "ReadVmConsole", id=vm_id, tail_bytes=tail_bytes).data
    if printer.form == "table":
        printer.raw(data)
    else:
        printer.record({"id": vm_id, "data": data.decode("utf-8", errors="replace")})
