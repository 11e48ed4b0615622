"""A replica's configuration file, and ``skyraft cluster init``: the directory with the CA, every
replica's configuration and the first admin's credentials."""

from __future__ import annotations

import os
import shutil
import tempfile
import tomllib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from frontend.auth.certificates import Authority, Issued, Role, create_authority
from protos.channel import split_address
from protos.identity import REPLICA, Identity

ADMIN_NAME = "admin"
CONTEXT_NAME = "admin"
FIRST_START = "first-start"
"""Beside the ``replica.toml`` of a replica that has not started yet. One whose disk was wiped has
forgotten its vote, so an empty data directory without this file is refused."""

MAP_SIZES_GIB = range(1, 64 * 1024 + 1)
"""Half of the addresses that a process has on x86-64."""


class ConfigError(Exception):
    """A configuration that cannot be used. The text names the file, the key and what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaAddresses:
    """Where one replica listens; each a ``host:port``."""

    id: str
    """1, 2, 3, ... of the front-end."""

    raft: str
    """Mutual TLS between replicas."""

    api: str
    """gRPC for callers with a certificate."""

    token: str
    """gRPC for callers with a bearer or join token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How fast replicas notice each other's loss, in seconds. All replicas should agree."""

    election_timeout_min_s: float = 0.4
    """A follower that hears nothing this long may stand for election."""

    election_timeout_max_s: float = 0.8
    """Each wait is drawn between the two, so that followers seldom stand at once."""

    heartbeat_s: float = 0.1
    """How often a leader speaks when there is nothing to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one replica may use."""

    map_size_gib: int = 1024
    """Upper bound of the file of log and state, in GiB. Address space, not memory or disk: the
    file grows with what is stored. May be raised at any start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaConfig:
    """All that one replica's process is told; paths are absolute."""

    cluster_id: str
    """Of the front-end, as in every certificate of its CA."""

    replica_id: str
    """Which of `replicas` this process is."""

    ca: Path
    ca_key: Path
    """Signs the certificates of hosts that enrol, so every replica needs it."""

    certificate: Path
    key: Path
    data: Path
    """Directory of the log and the state. Belongs to this replica alone."""

    datastore: Path
    """Directory of image files."""

    first_start: Path
    """Is there until the replica has started once."""

    metrics: str = ""
    """host:port of an HTTPS metrics endpoint; empty: none."""

    replicas: tuple[ReplicaAddresses, ...]
    """All replicas, this one included."""

    timing: Timing = Timing()
    limits: Limits = Limits()

    @property
    def me(self) -> ReplicaAddresses:
        return next(replica for replica in self.replicas if replica.id == self.replica_id)

    @property
    def peers(self) -> dict[str, str]:
        """Raft address of every other replica, by id."""
        return {r.id: r.raft for r in self.replicas if r.id != self.replica_id}


def load(path: Path) -> ReplicaConfig:
    """Reads and checks ``replica.toml``. Raises ConfigError."""
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); "
            "`skyraft cluster init` writes one for every replica"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None
    config = _Reader(path).replica(document)
    for key, file in (
        ("ca", config.ca),
        ("ca_key", config.ca_key),
        ("certificate", config.certificate),
        ("key", config.key),
    ):
        if not file.is_file():
            raise ConfigError(f"{path}: {key} names {file}, which is not a file")
    return config


class _Reader:
    """Checks one document; every complaint starts with the file's name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = path.absolute().parent

    def replica(self, document: dict[str, Any]) -> ReplicaConfig:
        paths = {name: "" for name in ("ca", "ca_key", "certificate", "key", "data", "datastore")}
        known = {"cluster_id", "replica_id", "metrics", "replicas", "timing", "limits", *paths}
        self._no_others(document, known, "")
        config = ReplicaConfig(
            cluster_id=self._text(document, "cluster_id"),
            replica_id=self._text(document, "replica_id"),
            metrics=self._address(document, "metrics") if document.get("metrics") else "",
            replicas=self._replicas(document),
            timing=self._timing(document.get("timing", {})),
            limits=self._limits(document.get("limits", {})),
            first_start=self._folder / FIRST_START,
            **{name: self._folder / self._text(document, name) for name in paths},
        )
        try:
            Identity(config.cluster_id, REPLICA, config.replica_id)
        except ValueError as error:
            raise self._wrong(str(error)) from None
        if config.replica_id not in {replica.id for replica in config.replicas}:
            raise self._wrong(
                f"replica_id is {config.replica_id!r}, but no [[replicas]] has this id"
            )
        return config

    def _replicas(self, document: dict[str, Any]) -> tuple[ReplicaAddresses, ...]:
        tables = document.get("replicas")
        if not isinstance(tables, list) or not tables:
            raise self._wrong("needs at least one [[replicas]] table with id, raft, api and token")
        replicas = []
        for number, table in enumerate(tables, 1):
            where = f"[[replicas]] number {number}: "
            if not isinstance(table, dict):
                raise self._wrong(f"{where}is not a table")
            self._no_others(table, {"id", "raft", "api", "token"}, where)
            ports = {name: self._address(table, name, where) for name in ("raft", "api", "token")}
            replicas.append(ReplicaAddresses(id=self._text(table, "id", where), **ports))
        try:
            check_addresses(replicas)
        except ConfigError as error:
            raise self._wrong(str(error)) from None
        return tuple(replicas)

    def _timing(self, table: Any) -> Timing:
        if not isinstance(table, dict):
            raise self._wrong("timing is not a table: write [timing]")
        known = Timing.__dataclass_fields__
        self._no_others(table, set(known), "[timing] ")
        for name, value in table.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise self._wrong(f"[timing] {name} is {value!r}: write seconds above 0")
        timing = Timing(**{name: float(value) for name, value in table.items()})
        if timing.election_timeout_max_s <= timing.election_timeout_min_s:
            raise self._wrong("[timing] election_timeout_max_s must exceed election_timeout_min_s")
        if timing.election_timeout_min_s < 3 * timing.heartbeat_s:
            raise self._wrong(
                "[timing] election_timeout_min_s must be at least 3 times heartbeat_s, "
                "or one late heartbeat costs an election"
            )
        return timing

    def _limits(self, table: Any) -> Limits:
        if not isinstance(table, dict):
            raise self._wrong("limits is not a table: write [limits]")
        self._no_others(table, set(Limits.__dataclass_fields__), "[limits] ")
        size = table.get("map_size_gib", Limits().map_size_gib)
        if isinstance(size, bool) or not isinstance(size, int) or size not in MAP_SIZES_GIB:
            raise self._wrong(
                f"[limits] map_size_gib is {size!r}: write whole GiB, "
                f"{MAP_SIZES_GIB[0]} to {MAP_SIZES_GIB[-1]}"
            )
        return Limits(map_size_gib=size)

    def _text(self, table: dict[str, Any], key: str, where: str = "") -> str:
        value = table.get(key)
        if not isinstance(value, str) or not value:
            found = "is missing" if value is None else f"is {value!r}"
            raise self._wrong(f'{where}{key} {found}: write {key} = "..."')
        return value

    def _address(self, table: dict[str, Any], key: str, where: str = "") -> str:
        value = self._text(table, key, where)
        try:
            split_address(value)
        except ValueError as error:
            raise self._wrong(f"{where}{key}: {error}") from None
        return value

    def _no_others(self, table: dict[str, Any], known: set[str], where: str) -> None:
        strange = sorted(set(table) - known)
        if strange:
            raise self._wrong(
                f"{where}unknown key {strange[0]!r}; known are {', '.join(sorted(known))}"
            )

    def _wrong(self, text: str) -> ConfigError:
        return ConfigError(f"{self._path}: {text}")


def check_addresses(replicas: Sequence[ReplicaAddresses]) -> None:
    """Ids and addresses are sound and no two are the same. Raises ConfigError."""
    if not replicas:
        raise ConfigError("a front-end needs at least one replica (three to survive one's loss)")
    seen: dict[str, str] = {}
    ids: set[str] = set()
    for replica in replicas:
        if not replica.id.isascii() or not replica.id.isdigit() or replica.id.startswith("0"):
            raise ConfigError(f"replica id {replica.id!r} is not 1, 2, 3, ...")
        if replica.id in ids:
            raise ConfigError(f"replica id {replica.id} is there twice")
        ids.add(replica.id)
        for name in ("raft", "api", "token"):
            address = getattr(replica, name)
            what = f"{name} address of replica {replica.id}"
            try:
                host, port = split_address(address)
            except ValueError as error:
                raise ConfigError(f"{what}: {error}") from None
            if port == 0 or host in ("0.0.0.0", "::"):
                raise ConfigError(
                    f"{what} is {address}: write one that the others and the clients can dial"
                )
            if address in seen:
                raise ConfigError(f"{what} is {address}, which is also the {seen[address]}")
            seen[address] = what


def init_cluster(directory: Path, replicas: Sequence[ReplicaAddresses]) -> str:
    """Writes the directory of a new front-end and returns its cluster id.

    All or nothing: it is made beside *directory* and renamed into place. Raises ConfigError when
    *directory* exists and is not empty, or the addresses are not sound."""
    check_addresses(replicas)
    directory = directory.absolute()
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(
            f"{directory} exists and is not an empty directory: choose another one "
            "(a front-end's CA cannot be made anew without replacing every certificate)"
        )
    cluster_id = uuid.uuid4().hex
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
        try:
            _write_cluster(made, directory, cluster_id, replicas)
            os.rename(made, directory)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename}: {error.strerror}") from error
    return cluster_id


def _write_cluster(
    made: Path, final: Path, cluster_id: str, replicas: Sequence[ReplicaAddresses]
) -> None:
    """Into *made*, with the paths that hold once it is *final*."""
    authority, ca = create_authority(cluster_id)
    _write_issued(_folder(made / "ca"), "ca", ca)
    for replica in replicas:
        _write_replica(_folder(made / f"replica-{replica.id}"), authority, ca, replica, replicas)
    admin = _folder(made / "admin")
    _write(admin / "ca.crt", ca.certificate_pem)
    _write_issued(admin, ADMIN_NAME, authority.issue_user(ADMIN_NAME, Role.ADMIN))
    _write(admin / "config.toml", tomli_w.dumps(_contexts(final / "admin", replicas)).encode())


def _write_replica(
    folder: Path,
    authority: Authority,
    ca: Issued,
    replica: ReplicaAddresses,
    replicas: Sequence[ReplicaAddresses],
) -> None:
    _write_issued(folder, "ca", ca)
    hosts = [split_address(address)[0] for address in (replica.raft, replica.api, replica.token)]
    _write_issued(folder, "replica", authority.issue_replica(replica.id, hosts))
    _write(folder / FIRST_START, b"")
    _folder(folder / "data")
    _folder(folder / "datastore")
    document = {
        "cluster_id": authority.cluster_id,
        "replica_id": replica.id,
        "ca": "ca.crt",
        "ca_key": "ca.key",
        "certificate": "replica.crt",
        "key": "replica.key",
        "data": "data",
        "datastore": "datastore",
        "metrics": "",
        "replicas": [
            {"id": r.id, "raft": r.raft, "api": r.api, "token": r.token} for r in replicas
        ],
    }
    _write(folder / "replica.toml", tomli_w.dumps(document).encode())


def _contexts(admin: Path, replicas: Sequence[ReplicaAddresses]) -> dict[str, Any]:
    context = {
        "addresses": [replica.api for replica in replicas],
        "ca": str(admin / "ca.crt"),
        "certificate": str(admin / f"{ADMIN_NAME}.crt"),
        "key": str(admin / f"{ADMIN_NAME}.key"),
    }
    return {"current": CONTEXT_NAME, "contexts": {CONTEXT_NAME: context}}


def _write_issued(folder: Path, name: str, issued: Issued) -> None:
    _write(folder / f"{name}.crt", issued.certificate_pem)
    _write(folder / f"{name}.key", issued.key_pem)


def _folder(path: Path) -> Path:
    path.mkdir(mode=0o700)
    return path


def _write(path: Path, content: bytes) -> None:
    """Readable by the owner alone from the first moment on, and on disk before the rename."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
