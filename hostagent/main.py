"""``skyraft-agent``: joins this host to a front-end, runs the agent, lists its guests."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from hostagent import config, enrolment
from hostagent.config import AgentConfig, ConfigError
from hostagent.drivers.base import Driver, DriverError, GuestState
from hostagent.drivers.fake import FakeDriver
from hostagent.enrolment import JoinError
from hostagent.images import ImageFetcher
from hostagent.ledger import Ledger, LedgerError
from hostagent.network.base import NoBridges
from hostagent.preparation import DiskPreparation, NoPreparation
from hostagent.session import Front, Session
from hostagent.worker import Network, Tools, Worker
from storage.datastore import ImageStore
from storage.disks import Disks
from storage.errors import StorageError

KVM_CACHE = Path("/run/skyraft/kvm.json")
"""/run is emptied at boot, and all agents of a machine may share the verdict."""

_directory = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/lib/skyraft-agent"),
    show_default=True,
    help="The agent's directory.",
)
_driver = click.option(
    "--driver", type=click.Choice(["libvirt", "fake"]), default="libvirt", show_default=True
)
_uri = click.option("--libvirt-uri", default="qemu:///system", show_default=True)
_script = click.option(
    "--fake-script",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="TOML or YAML: what the fake hypervisor does. Read again when it changes.",
)


@click.group()
@click.version_option(package_name="skyraft")
def main() -> None:
    """The agent of one Skyraft host."""


@main.command()
@_directory
@click.option("--ca", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--server", required=True, help="Token ports: HOST:PORT[,HOST:PORT...]")
@click.option("--token", required=True, help="The join token, or - to read it from stdin.")
@click.option("--name", default=socket.gethostname, help="Default: this machine's name.")
def join(directory: Path, ca: Path, server: str, token: str, name: str) -> None:
    """Gets this host a certificate for a one-time token. Safe to repeat."""
    request = enrolment.JoinRequest(
        directory=directory,
        ca=ca,
        servers=tuple(part.strip() for part in server.split(",") if part.strip()),
        token=(sys.stdin.readline() if token == "-" else token).strip(),
        name=name,
    )
    with _told():
        joined = enrolment.join(request)
    click.echo(f"joined front-end {joined.cluster_id[:8]} as host {joined.host_id} ({joined.name})")
    click.echo(f"next: skyraft-agent run --dir {directory}")


@main.command()
@_directory
@_driver
@_uri
@_script
@click.option(
    "--create-bridges/--no-create-bridges",
    default=True,
    help="Whether to make a network's bridge when it is not there.",
)
@click.option("--log-level", default="info", type=click.Choice(["debug", "info", "warning"]))
def run(
    directory: Path,
    driver: str,
    libvirt_uri: str,
    fake_script: Path | None,
    create_bridges: bool,
    log_level: str,
) -> None:
    """Runs the agent until SIGTERM or SIGINT. Guests go on running without it."""
    logging.basicConfig(
        level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    with _told(), _alone(directory):
        agent = config.load(directory)
        # Opened and closed out here: no thread may still use it when it is closed.
        ledger = Ledger(agent.ledger)
        try:
            asyncio.run(_run(agent, ledger, driver, libvirt_uri, fake_script, create_bridges))
        finally:
            ledger.close()


@main.command("list")
@_directory
@_driver
@_uri
def list_guests(directory: Path, driver: str, libvirt_uri: str) -> None:
    """Shows the guests on this host, asking the hypervisor and no front-end."""
    with _told():
        agent = config.load(directory)
        guests, others = asyncio.run(_list(agent, driver, libvirt_uri))
    table = Table("VM", "EPOCH", "POWER", box=None, header_style="", pad_edge=False)
    for guest in guests:
        table.add_row(str(guest.vm_id), str(guest.epoch), guest.power.value)
    for name in others:
        table.add_row("-", "-", f"not Skyraft's: {name}")
    Console(highlight=False).print(table)


async def _run(
    agent: AgentConfig,
    ledger: Ledger,
    driver_name: str,
    libvirt_uri: str,
    fake_script: Path | None,
    create_bridges: bool,
) -> None:
    credentials = agent.credentials()
    driver = _make_driver(agent, driver_name, libvirt_uri, fake_script)
    if driver_name == "fake":
        tools = Tools(driver, NoPreparation(), NoBridges())
    else:
        store = ImageStore(agent.datastore)
        fetcher = ImageFetcher(store, credentials, lambda: agent.addresses)
        disks = Disks(agent.guests, store)
        preparation = DiskPreparation(disks, fetcher.ensure)
        tools = Tools(driver, preparation, _make_bridges(create_bridges))
    worker = Worker(ledger, tools)
    front = Front(addresses=agent.addresses, credentials=credentials, agent_version=_version())
    session = Session(front, ledger=ledger, worker=worker, driver=driver, disk=agent.directory)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(worker.run()), group.create_task(session.run())]
            await stop.wait()
            for part in parts:
                part.cancel()
    finally:
        await driver.close()


async def _list(agent: AgentConfig, driver: str, uri: str) -> tuple[list[GuestState], list[str]]:
    hypervisor = _make_driver(agent, driver, uri, None)
    try:
        return await hypervisor.guests(), await hypervisor.unknown_guests()
    finally:
        await hypervisor.close()


def _make_driver(agent: AgentConfig, name: str, uri: str, script: Path | None) -> Driver:
    if name == "fake":
        try:
            return FakeDriver(agent.directory / "fake", script)
        except ValueError as err:
            raise ConfigError(f"fake script {err}") from err
    with _host_extra():
        from hostagent.drivers.libvirt import LibvirtDriver
    return LibvirtDriver(
        uri=uri, cluster_id=agent.cluster_id, directory=agent.directory, kvm_cache=KVM_CACHE
    )


def _make_bridges(create: bool) -> Network:
    with _host_extra():
        from hostagent.network.bridge import Bridges
    return Bridges(create=create)


@contextmanager
def _host_extra() -> Iterator[None]:
    """Around imports of what fake hosts need not have: libvirt-python and pyroute2."""
    try:
        yield
    except ModuleNotFoundError as err:
        raise ConfigError(f"{err}: install skyraft[host], or run with --driver fake") from err


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """One agent a directory: two would do every task twice."""
    try:
        file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as err:
        raise ConfigError(f"{err}; join this host first, or give --dir") from err
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ConfigError(f"an agent runs in {directory} already; stop that one first") from None
    finally:
        os.close(file)


@contextmanager
def _told() -> Iterator[None]:
    """Errors that the operator can do something about end as one line, not as a trace."""
    try:
        yield
    except (JoinError, ConfigError, DriverError, LedgerError, StorageError) as err:
        raise click.ClickException(str(err)) from err


def _version() -> str:
    try:
        return version("skyraft")
    except PackageNotFoundError:
        return "unknown"


if __name__ == "__main__":
    main()
