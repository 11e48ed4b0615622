"""The agent's directory: agent.toml and what it names."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from protos.channel import Credentials, split_address

FILE_NAME = "agent.toml"


class ConfigError(Exception):
    """The agent's directory cannot be used. The text names cause and next step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """What a host got when it joined. Paths are those of its directory."""

    directory: Path
    cluster_id: str
    host_id: int
    name: str
    addresses: tuple[str, ...]
    """The replicas' api ports, host:port."""

    @property
    def ca(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def certificate(self) -> Path:
        return self.directory / "host.crt"

    @property
    def key(self) -> Path:
        return self.directory / "host.key"

    @property
    def ledger(self) -> Path:
        return self.directory / "ledger"

    @property
    def datastore(self) -> Path:
        """Base images."""
        return self.directory / "datastore"

    @property
    def guests(self) -> Path:
        """Disks of the guests."""
        return self.directory / "guests"

    def credentials(self) -> Credentials:
        """Raises ConfigError."""
        try:
            return Credentials.load(ca=self.ca, certificate=self.certificate, key=self.key)
        except OSError as err:
            raise ConfigError(f"{err}; join the host anew into an empty directory") from err


def load(directory: Path) -> AgentConfig:
    """Raises ConfigError."""
    path = directory / FILE_NAME
    try:
        raw = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist: this host has not joined; run skyraft-agent join first"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as err:
        raise ConfigError(f"{path}: {err}") from err
    config = AgentConfig(
        directory=directory.absolute(),
        cluster_id=_value(path, raw, "cluster_id", str),
        host_id=_value(path, raw, "host_id", int),
        name=_value(path, raw, "name", str),
        addresses=tuple(_value(path, raw, "addresses", list)),
    )
    try:
        for address in config.addresses:
            split_address(address)
    except (ValueError, AttributeError) as err:
        raise ConfigError(f"{path}: addresses: {err}") from err
    if not config.addresses:
        raise ConfigError(f"{path}: addresses is empty: list the api port of at least one replica")
    return config


def save(config: AgentConfig) -> None:
    """Written last by a join: a directory with this file is complete. Raises OSError."""
    text = tomli_w.dumps(
        {
            "cluster_id": config.cluster_id,
            "host_id": config.host_id,
            "name": config.name,
            "addresses": list(config.addresses),
        }
    )
    write_file(config.directory / FILE_NAME, text.encode())


def write_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replaces the file in one step, synced. Raises OSError."""
    draft = path.with_name(f".{path.name}.new")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def _value(path: Path, raw: dict[str, Any], key: str, kind: type) -> Any:
    value = raw.get(key)
    if not isinstance(value, kind):
        raise ConfigError(f"{path}: {key} is missing or not a {kind.__name__}")
    return value
