"""Objects written as YAML or JSON files, and the parts of them that come from other files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from frontend.cli.errors import CliError, usage
from frontend.cli.nouns import IMAGE
from frontend.cli.options import SIZE

if TYPE_CHECKING:
    from frontend.cli.connection import Connection

_FIELDS = "the fields are those that `-o yaml` shows; see docs/cli.md"


def fill(message: Any, source: TextIO, connection: Connection) -> None:
    """Fills *message* from a document with its fields' names.

    Two conveniences for people: `image: NAME` beside `image_id: N`, and `memory: 2G`,
    `size: 10G` beside `memory_mib`, `size_bytes`. Raises a usage error for anything else that is
    not a field."""
    import yaml
    from google.protobuf import json_format

    where = getattr(source, "name", "the file")
    try:
        document = yaml.safe_load(source)  # JSON is YAML
    except yaml.YAMLError as error:
        raise usage(f"{where} is neither YAML nor JSON: {_one_line(error)}", _FIELDS) from error
    except UnicodeDecodeError as error:
        raise usage(f"{where} is not UTF-8 text", _FIELDS) from error
    if not isinstance(document, dict):
        raise usage(f"{where} is not a mapping of fields", _FIELDS)
    _resolve(document, connection, where)
    try:
        json_format.ParseDict(document, message)
    except json_format.ParseError as error:
        raise usage(f"{where}: {_one_line(error)}", _FIELDS) from error


def ssh_keys(keys: Sequence[str], files: Sequence[Path]) -> list[str]:
    """Keys given as such and those in *files*, without comments and empty lines."""
    found = list(keys)
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise usage(f"cannot read {file}: {error}", "name a file of public keys") from error
        kept = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if any("PRIVATE KEY" in line for line in kept):
            raise usage(f"{file} is a private key", f"name the public one: {file}.pub")
        found += kept
    return found


def mebibytes(count: int) -> int:
    """Raises a usage error unless *count* bytes are whole MiB."""
    if count % (1 << 20) or not count:
        raise usage("memory is counted in whole MiB", "write for instance 512M or 2G")
    return count >> 20


def _resolve(document: dict[str, Any], connection: Connection, where: str) -> None:
    if "memory" in document:
        document["memory_mib"] = mebibytes(_size(document.pop("memory"), f"{where}: memory"))
    disks = document.get("disks")
    for number, disk in enumerate(disks if isinstance(disks, list) else ()):
        if not isinstance(disk, dict):
            raise usage(f"{where}: disks[{number}] is not a mapping of fields", _FIELDS)
        if "size" in disk:
            disk["size_bytes"] = _size(disk.pop("size"), f"{where}: disks[{number}].size")
        if "image" in disk:
            from frontend.cli import lookup

            disk["image_id"] = lookup.find(connection, IMAGE, str(disk.pop("image")))


def _size(value: Any, where: str) -> int:
    try:
        return SIZE.convert(value, None, None)
    except click.BadParameter as error:
        raise _at(where, error) from error


def _at(where: str, error: click.BadParameter) -> CliError:
    return usage(f"{where}: {error.message}", _FIELDS)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
