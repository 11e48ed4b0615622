"""
One replica of the front-end: ``skyraft-replica --config replica.toml``.

Wiring only. Exit status: 0 after SIGTERM or SIGINT, 1 when this machine or directory is not fit
to run it, 2 for a wrong command line or configuration, 70 for a bug, with a trace.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import lmdb
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from frontend.api.agent import AgentService
from frontend.api.call import Calls
from frontend.api.cluster import ClusterService, best_successor
from frontend.api.consoles import Consoles
from frontend.api.door import Door
from frontend.api.event import EventService
from frontend.api.host import HostService
from frontend.api.image import ImageService
from frontend.api.image_files import ImageFiles
from frontend.api.imports import Imports
from frontend.api.leader_calls import LeaderCalls
from frontend.api.metrics import ApiStats, Exposition
from frontend.api.mutation import Mutations
from frontend.api.pipeline import PipelineService, verbs
from frontend.api.refusals import Refusals
from frontend.api.server import ApiServer, PortInUse, Ports
from frontend.api.sessions import Sessions
from frontend.api.template import TemplateService
from frontend.api.token import TokenService
from frontend.api.vm import VmService
from frontend.auth.certificates import CertificateError
from frontend.config import ConfigError, ReplicaConfig, load
from frontend.errors import Unavailable
from frontend.leader.disk import DiskWatch
from frontend.leader.dispatcher import Dispatcher
from frontend.leader.expiry import Expiry
from frontend.leader.leadership import Component, Leadership
from frontend.leader.liveness import Liveness
from frontend.leader.placement import PlacementLoop
from frontend.leader.proposals import Proposals
from frontend.machine import Machine
from frontend.replica import Replica
from frontend.state.store import Store
from protos.channel import Credentials, split_address
from raft.admission import TlsFiles
from raft.engine import Engine, Role
from raft.interfaces import Poller
from raft.journal import Journal, JournalRefused
from raft.settings import JournalSettings, RaftSettings
from raft.transport import TlsTransport
from storage.datastore import ImageStore
from storage.errors import StorageError

log = logging.getLogger("frontend")

EXIT_UNFIT, EXIT_USAGE, EXIT_BUG = 1, 2, 70
_TRANSFER_WAIT_S = 3.0
_DAMAGED = (
    lmdb.InvalidError,
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.VersionMismatchError,
)


class Unfit(Exception):
    """This machine or its directories cannot run the replica; the text says what to change."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", required=True, type=click.Path(path_type=Path), help="replica.toml")
@click.option("--verbose", is_flag=True, help="Log details too.")
def main(config: Path, verbose: bool) -> None:
    """Run one replica of the Skyraft front-end until SIGTERM."""
    set_up_logging(logging.DEBUG if verbose else logging.INFO)
    try:
        asyncio.run(run(load(config)))
    except (ConfigError, CertificateError) as error:
        log.critical("%s", error)
        sys.exit(EXIT_USAGE)
    except (Unfit, JournalRefused, PortInUse, StorageError) as error:
        log.critical("%s", error)
        sys.exit(EXIT_UNFIT)
    except BaseExceptionGroup as error:
        log.critical("this is a bug of Skyraft, please report it", exc_info=error)
        sys.exit(EXIT_BUG)


async def run(config: ReplicaConfig) -> None:
    """Serves until SIGTERM or SIGINT. Raises as serving()."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(config):
        await stop.wait()
        log.info("stopping")
    log.info("stopped")


@asynccontextmanager
async def serving(config: ReplicaConfig) -> AsyncIterator[Replica]:
    """One replica, from the moment it listens; leaving the block stops it in good order.

    Raises JournalRefused, PortInUse, Unfit, StorageError; a group of whatever a bug raises."""
    async with AsyncExitStack() as resources:
        refused: list[Callable[[str], None]] = []
        engine, store = _make_engine(config, resources, refused)
        replica = Replica(
            engine,
            store,
            replica_id=config.replica_id,
            api_addresses={each.id: each.api for each in config.replicas},
        )
        parts = _Parts(config, replica)
        resources.push_async_callback(parts.leader_calls.close)
        refused.append(lambda text: replica.mailbox.post(parts.refusals.note, text))
        _expose_metrics(config, parts.stats, engine, resources)
        engine.start()
        await parts.server.start()
        log.info("replica %s serves %s and %s", config.replica_id, config.me.api, config.me.token)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in parts.background()]
            yield replica
            await _hand_over(replica)
            await parts.server.stop()
            replica.role_changed.clear()
            for task in tasks:
                task.cancel()


def _make_engine(
    config: ReplicaConfig, resources: AsyncExitStack, refused: list[Callable[[str], None]]
) -> tuple[Engine, Store]:
    """Not started yet, so that nothing that it tells is missed. *refused* are called, on its
    thread, with each stranger that the raft port turned away."""
    journal, store = _open(config, resources)
    timing = config.timing
    settings = RaftSettings(
        cluster_id=config.cluster_id,
        replica_id=config.replica_id,
        peers=tuple(config.peers),
        election_timeout_min_s=timing.election_timeout_min_s,
        election_timeout_max_s=timing.election_timeout_max_s,
        heartbeat_s=timing.heartbeat_s,
    )

    def tell(detail: str) -> None:
        for listener in refused:
            listener(f"raft port: {detail}")

    def transport(poller: Poller) -> TlsTransport:
        return TlsTransport(
            config.replica_id,
            config.me.raft,
            config.peers,
            TlsFiles(config.ca, config.certificate, config.key),
            config.cluster_id,
            poller,
            tell,
            incarnation=journal.incarnation,
        )

    try:
        engine = Engine(
            settings=settings, journal=journal, machine=Machine(store), transport=transport
        )
    except ssl.SSLError as error:
        raise Unfit(
            f"{config.certificate}, {config.key} and {config.ca} do not go together: {error}; "
            "take all three from what `skyraft cluster init` wrote"
        ) from error
    except OSError as error:
        # The error names the address already.
        raise Unfit(f"raft port: {error.strerror or error}") from error
    resources.push_async_callback(asyncio.to_thread, engine.stop)
    return engine, store


def _open(config: ReplicaConfig, resources: AsyncExitStack) -> tuple[Journal, Store]:
    try:
        journal = Journal(
            config.data,
            cluster_id=config.cluster_id,
            replica_id=config.replica_id,
            settings=JournalSettings(map_size_bytes=config.limits.map_size_gib << 30),
            may_create=config.first_start.exists(),
        )
        resources.callback(journal.close)
        config.first_start.unlink(missing_ok=True)
        return journal, Store(journal.env)
    except _DAMAGED as error:
        raise Unfit(
            f"{config.data / 'data.mdb'} is damaged ({error}): restore this replica's own data "
            "directory from a copy; while the other replicas are a majority, nothing is lost"
        ) from error
    except (OSError, lmdb.Error) as error:
        raise Unfit(f"cannot open {config.data}: {error}; is the disk full?") from error


class _Parts:
    """Everything above the log, made and connected."""

    def __init__(self, config: ReplicaConfig, replica: Replica) -> None:
        self._replica = replica
        self._halted = asyncio.Event()
        self.stats = ApiStats()
        credentials = Credentials.load(ca=config.ca, certificate=config.certificate, key=config.key)
        mutations = Mutations(replica)
        self.refusals = Refusals(mutations, f"replica/{config.replica_id}")
        self.leader_calls = LeaderCalls(replica, credentials)
        self._sessions = Sessions(replica)
        self._files = ImageFiles(
            replica,
            mutations,
            ImageStore(config.datastore),
            credentials,
            {each.id: each.api for each in config.replicas},
        )
        self._imports = Imports(replica, mutations, self._files, config.data / "imports")
        self._leadership = Leadership(
            replica,
            self._sessions,
            _leader_components(config, replica, mutations, self._sessions),
        )
        door = Door(config.cluster_id, replica.store, self.refusals.note)
        ports = Ports(
            api=config.me.api,
            token=config.me.token,
            ca_pem=credentials.ca_pem,
            certificate_pem=credentials.certificate_pem,
            key_pem=credentials.key_pem,
        )
        nouns = self._nouns(config, mutations)
        self.server = ApiServer(ports, Calls(door, self.stats), nouns)
        replica.role_changed.append(self._role_changed)

    def _nouns(self, config: ReplicaConfig, mutations: Mutations) -> dict[str, object]:
        replica = self._replica
        vm = VmService(replica, mutations, Consoles(self._sessions, self.leader_calls))
        template = TemplateService(replica, mutations)
        return {
            "agent": AgentService(replica, mutations, self._sessions, config, self.refusals.note),
            "cluster": ClusterService(replica, mutations, config, self.leader_calls),
            "event": EventService(replica),
            "host": HostService(replica, mutations),
            "image": ImageService(replica, mutations, self._files, self._imports),
            "pipeline": PipelineService(verbs(vm=vm, template=template)),
            "template": template,
            "token": TokenService(replica, mutations, config.cluster_id),
            "vm": vm,
        }

    def background(self) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the calls, until cancelled. An exception is a bug and ends all."""
        return [
            self._leadership.run(),
            self._files.run(),
            self._imports.run(),
            self.refusals.run(),
            self._report_halt(),
        ]

    def _role_changed(self, role: Role, term: int) -> None:
        log.info("%s at term %d", role.value, term)
        if role is Role.HALTED:
            self._halted.set()

    async def _report_halt(self) -> None:
        """A halted replica answers GetStatus, and health checks send everybody else away."""
        await self._halted.wait()
        log.critical("halted: %s", self._replica.status().halted)
        await self.server.set_serving(False)


def _leader_components(
    config: ReplicaConfig, replica: Replica, mutations: Mutations, sessions: Sessions
) -> list[Component]:
    proposals = Proposals(mutations.internal)
    return [
        Dispatcher(replica, sessions),
        PlacementLoop(replica, proposals),
        Liveness(replica, sessions, proposals),
        Expiry(replica, proposals),
        DiskWatch(replica, lambda: shutil.disk_usage(config.data).free),
    ]


def _expose_metrics(
    config: ReplicaConfig, stats: ApiStats, engine: Engine, resources: AsyncExitStack
) -> None:
    """Over HTTPS, for scrapers with a certificate of the CA."""
    if not config.metrics:
        return
    host, port = split_address(config.metrics)
    registry = CollectorRegistry()
    registry.register(Exposition(stats, engine.status, engine.stats))
    ProcessCollector(registry=registry)
    try:
        endpoint, thread = start_http_server(
            port,
            host,
            registry,
            certfile=str(config.certificate),
            keyfile=str(config.key),
            client_cafile=str(config.ca),
            client_auth_required=True,
        )
    except OSError as error:
        raise Unfit(f"cannot listen on {config.metrics} (metrics): {error}") from error
    resources.callback(thread.join)
    resources.callback(endpoint.server_close)
    resources.callback(endpoint.shutdown)


async def _hand_over(replica: Replica) -> None:
    """A leader that stops in good order leaves no gap behind."""
    if replica.status().role is not Role.LEADER:
        return
    try:
        async with asyncio.timeout(_TRANSFER_WAIT_S):
            await replica.transfer(best_successor(replica.status()))
    except (Unavailable, TimeoutError) as error:
        log.info("leadership not handed over: %s", error)


class LogLine(logging.Formatter):
    """One line a record, also with a trace: time, level, logger, message, trace."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        # One line whatever it holds, yet quotes as they were: people copy what is between them.
        text = json.dumps(record.getMessage())[1:-1].replace('\\"', '"')
        line = f"{when} {record.levelname} {record.name} {text}"
        if record.exc_info:
            line += f" trace={json.dumps(self.formatException(record.exc_info))}"
        return line


def set_up_logging(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LogLine())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # A line for each request that an import makes is not news.
    logging.getLogger("httpx").setLevel(max(level, logging.WARNING))


if __name__ == "__main__":
    main()
