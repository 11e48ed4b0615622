"""The contexts file: which front-ends this user knows and as whom to talk to them."""

from __future__ import annotations

import os
import tempfile
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from frontend.cli.errors import usage

_LIST = "`skyraft context list` shows what there is, `skyraft context add` adds one"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One front-end and one identity: a certificate with its key, or a bearer token."""

    name: str
    addresses: tuple[str, ...]
    """host:port of every replica: the API ports for a certificate, the token ports for a token."""
    ca: Path
    certificate: Path | None = None
    key: Path | None = None
    token: str = ""

    def identity(self) -> str:
        return "token" if self.token else "certificate"

    def table(self, base: Path) -> dict[str, Any]:
        """As written to the file; paths below *base*, the file's directory, become relative."""
        row: dict[str, Any] = {"addresses": list(self.addresses), "ca": _shorten(self.ca, base)}
        if self.token:
            row["token"] = self.token
        if self.certificate is not None:
            row["certificate"] = _shorten(self.certificate, base)
        if self.key is not None:
            row["key"] = _shorten(self.key, base)
        return row


@dataclass(frozen=True, slots=True, kw_only=True)
class Contexts:
    """The whole file. `current` is empty or one of `entries`."""

    path: Path
    current: str = ""
    entries: dict[str, Context] = field(default_factory=dict)

    def pick(self, name: str | None) -> Context:
        """The context called *name*, or the current one. Usage error if there is none."""
        wanted = name or self.current
        if not wanted:
            if not self.entries:
                raise usage(
                    f"no context is configured in {self.path}",
                    "`skyraft cluster init` makes a front-end with its contexts file; "
                    "`skyraft context add` names an existing one",
                )
            raise usage("no context is current", "`skyraft context use NAME` picks one")
        if wanted not in self.entries:
            raise usage(f"no context is called {wanted!r} in {self.path}", _LIST)
        return self.entries[wanted]

    def with_entry(self, context: Context) -> Contexts:
        current = self.current or context.name
        entries = {**self.entries, context.name: context}
        return replace(self, current=current, entries=entries)

    def without(self, name: str) -> Contexts:
        entries = {key: value for key, value in self.entries.items() if key != name}
        return replace(self, current="" if self.current == name else self.current, entries=entries)

    def save(self) -> None:
        """Replaces the file as a whole, readable by its owner alone: it may hold tokens."""
        import tomli_w

        base = self.path.parent
        document: dict[str, Any] = {"current": self.current} if self.current else {}
        document["contexts"] = {name: entry.table(base) for name, entry in self.entries.items()}
        try:
            base.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_private(self.path, tomli_w.dumps(document).encode())
        except OSError as err:
            raise usage(f"cannot write {self.path}: {err.strerror}", _choose_path()) from err


def default_path() -> Path:
    """SKYRAFT_CONFIG, else skyraft/config.toml in the user's configuration directory."""
    if chosen := os.environ.get("SKYRAFT_CONFIG"):
        return Path(chosen)
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "skyraft" / "config.toml"


def load(path: Path | None = None) -> Contexts:
    """A file that is not there has no contexts; one that can't be read is a usage error."""
    path = (path or default_path()).expanduser().absolute()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Contexts(path=path)
    except OSError as err:
        raise usage(f"cannot read {path}: {err.strerror}", _choose_path()) from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise usage(f"{path} is not valid TOML: {err}", f"correct or remove {path}") from err
    current = document.get("current", "")
    tables = document.get("contexts", {})
    if not isinstance(current, str) or not isinstance(tables, dict):
        raise _malformed(path, "`current` is a name and `contexts` is a table")
    entries = {name: _entry(path, name, row) for name, row in tables.items()}
    return Contexts(path=path, current=current, entries=entries)


def _entry(path: Path, name: str, row: Any) -> Context:
    where = f"contexts.{name}"
    if not isinstance(row, dict):
        raise _malformed(path, f"{where} is not a table")
    unknown = set(row) - {"addresses", "ca", "certificate", "key", "token"}
    if unknown:
        raise _malformed(path, f"{where} has the unknown key {min(unknown)!r}")
    addresses = row.get("addresses")
    if not isinstance(addresses, list) or not all(isinstance(item, str) for item in addresses):
        raise _malformed(path, f"{where}.addresses is not a list of host:port")
    for key in ("ca", "certificate", "key", "token"):
        if not isinstance(row.get(key, ""), str):
            raise _malformed(path, f"{where}.{key} is not a string")
    if not addresses:
        raise _malformed(path, f"{where}.addresses is empty")
    if not row.get("ca"):
        raise _malformed(path, f"{where}.ca is missing")
    if not row.get("token") and not (row.get("certificate") and row.get("key")):
        raise _malformed(path, f"{where} has neither a token nor a certificate with its key")
    files = {key: path.parent / row[key] for key in ("ca", "certificate", "key") if row.get(key)}
    return Context(name=name, addresses=tuple(addresses), token=row.get("token", ""), **files)


def _malformed(path: Path, cause: str) -> Exception:
    return usage(f"{path}: {cause}", f"correct {path}; docs/cli.md shows a whole file")


def _choose_path() -> str:
    return "name another file with --config or SKYRAFT_CONFIG"


def _shorten(path: Path, base: Path) -> str:
    path = path.expanduser().absolute()
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)


def _write_private(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".config-")  # made with mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
