"""
A whole bed: replicas, hosts, wires, files, and the promise that nothing of it is left behind.

Every process is noted in the bed's record before anything depends on it, so that a bed whose
program was killed can be swept away by the next one: `python -m bench.testbed.bed`.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.testbed import network
from bench.testbed.hosts import Host, NamespacedHost
from bench.testbed.interrupts import undisturbed
from bench.testbed.network import NAME_PREFIX, BedNetwork, NetworkError
from bench.testbed.process import ProcessId
from bench.testbed.replicas import Replicas

GUEST_NETWORK = ipaddress.IPv4Interface("172.20.0.1/24")
"""Of the guests' bridge; its address is their gateway."""

RECORD = "bed.json"
_GONE_DEADLINE_S = 20.0
_STOP_DEADLINE_S = 10.0


class Bed:
    """
    Three replicas and *hosts* hosts, none of them started. A context manager: leaving it removes
    everything unless keep() was called.
    """

    def __init__(self, *, hosts: int = 2, fake: bool = False, script: str = "") -> None:
        """*script* is what fake hosts are told to do, in TOML."""
        self.name = f"{NAME_PREFIX}{secrets.token_hex(2)}"
        self.fake = fake
        # A socket's path may have only 107 bytes, so the directory's name is short.
        self.directory = bed_directories() / self.name
        self._record = Record.make(self.directory)
        self.network: BedNetwork | None = None
        self.hosts: list[Host] = []
        self._kept = False
        try:
            self._make(hosts, script)
        except BaseException:
            self.close()
            raise

    def _make(self, hosts: int, script: str) -> None:
        note = self._record.add
        address = "127.0.0.1"
        script_file = self.directory / "fake.toml"
        script_file.write_text(script)
        if not self.fake:
            self.network = BedNetwork(self.name, GUEST_NETWORK)
            address = self.network.machine_address
        self.replicas = Replicas(self.directory, host=address, note=note)
        for number in range(1, hosts + 1):
            directory = self.directory / f"host-{number}"
            if self.network is None:
                host = Host(f"host-{number}", directory, note=note, script=script_file)
            else:
                host = NamespacedHost(f"host-{number}", directory, note=note, network=self.network)
            self.hosts.append(host)

    def keep(self) -> None:
        """Leaves it all running when this program ends; remove_bed() takes it away later."""
        self._kept = True
        self._record.keep()

    def __enter__(self) -> Bed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None
    ) -> None:
        if not self._kept:
            self.close()

    def stop(self) -> list[str]:
        """Ends agents and replicas in good order; names of those that had to be killed."""
        processes = [host.agent for host in self.hosts] + self.replicas.processes
        return [each.name for each in processes if not each.stop(_STOP_DEADLINE_S)]

    def save_logs(self) -> Path:
        """Copies the logs out of the bed, for who wants to know why something failed."""
        target = Path(tempfile.mkdtemp(prefix=f"{self.name}-logs-"))
        for log in [*self.directory.rglob("*.log"), *self.directory.rglob("log")]:
            if log.is_file():
                shutil.copy(log, target / "-".join(log.relative_to(self.directory).parts))
        return target

    def close(self) -> None:
        """Removes everything. Ctrl-C and SIGTERM have to wait for it."""
        with undisturbed():
            for host in self.hosts:
                host.close()
            remove_bed(self.directory)


class Record:
    """What a bed has started, on disk: enough to remove it without its program."""

    def __init__(self, directory: Path, owner: ProcessId | None) -> None:
        self._path = directory / RECORD
        self._content: dict[str, Any] = {"owner": _pair(owner), "keep": False, "processes": []}
        self._write()

    @staticmethod
    def make(directory: Path) -> Record:
        """Makes *directory* with a record in it, at once: sweep() never sees it without."""
        owner = ProcessId.of(os.getpid())
        # Its name says whose it is until the record does.
        ticks = owner.start_ticks if owner else 0
        draft = directory.with_name(f".{os.getpid()}.{ticks}.{directory.name}")
        draft.mkdir(mode=0o700)
        record = Record(draft, owner)
        draft.rename(directory)
        record._path = directory / RECORD
        return record

    def add(self, identity: ProcessId) -> None:
        self._content["processes"].append(_pair(identity))
        self._write()

    def keep(self) -> None:
        self._content["keep"] = True
        self._write()

    def _write(self) -> None:
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(self._content))
        draft.replace(self._path)


def bed_directories() -> Path:
    """Where the beds of this user are."""
    directory = Path(tempfile.gettempdir()) / f"skyraft-beds-{os.geteuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_uid != os.geteuid():
        raise PermissionError(f"{directory} belongs to somebody else: remove it")
    return directory


def remove_bed(directory: Path) -> None:
    """Kills the bed's processes, removes its wires and its files. Nothing there is success."""
    with undisturbed():
        for pair in _record(directory)["processes"]:
            ProcessId(*pair).kill()
        if _has_wires():
            network.remove(directory.name)
        end = time.monotonic() + _GONE_DEADLINE_S
        # A process that dies may still write: once more until it is gone.
        while directory.exists() and time.monotonic() < end:
            shutil.rmtree(directory, ignore_errors=True)


def left_behind(bed: str, processes: list[ProcessId]) -> list[str]:
    """What is still there of a removed bed, in words; nothing when all is well."""
    left = [f"process {each.pid}" for each in processes if each.alive]
    if _has_wires():
        left += [f"namespace {name}" for name in network.namespaces(bed)]
        left += [f"interface {name}" for name in network.links(bed)]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    left += [f"mount {line.split()[1]}" for line in mounts if bed in line]
    directory = bed_directories() / bed
    return left + ([f"files in {directory}"] if directory.exists() else [])


def noted_processes(directory: Path) -> list[ProcessId]:
    """All that the bed in *directory* has ever started."""
    record = json.loads((directory / RECORD).read_text())
    return [ProcessId(*pair) for pair in record["processes"]]


def sweep(*, kept: bool = False) -> list[str]:
    """Removes beds whose program is gone; those that were kept too, if *kept*. Their names."""
    removed = []
    for directory in sorted(bed_directories().glob(f"{NAME_PREFIX}*")):
        record = _record(directory)
        owned = record["owner"] is not None and ProcessId(*record["owner"]).alive
        if kept if record["keep"] else not owned:
            remove_bed(directory)
            removed.append(directory.name)
    _remove_drafts(lambda owner: not owner.alive)
    return removed


def _record(directory: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((directory / RECORD).read_text())
    except FileNotFoundError:
        return {"owner": None, "keep": False, "processes": []}
    return record


def _remove_drafts(unwanted: Callable[[ProcessId], bool]) -> None:
    """Directories that were to become beds, of *unwanted* programs."""
    for draft in bed_directories().glob(f".*.*.{NAME_PREFIX}*"):
        _, pid, ticks, _ = draft.name.split(".")
        if unwanted(ProcessId(int(pid), int(ticks))):
            shutil.rmtree(draft, ignore_errors=True)


def _has_wires() -> bool:
    return os.geteuid() == 0 and shutil.which("ip") is not None


def _pair(identity: ProcessId | None) -> list[int] | None:
    return None if identity is None else [identity.pid, identity.start_ticks]


def remove_own() -> str:
    """Removes all beds that this program has made, kept or not; in words how that went."""
    own = ProcessId.of(os.getpid())
    try:
        for directory in bed_directories().glob(f"{NAME_PREFIX}*"):
            if _record(directory)["owner"] == _pair(own):
                remove_bed(directory)
        _remove_drafts(lambda owner: owner == own)
    except NetworkError as err:
        return f"interrupted; not everything could be taken down: {err}"
    return "interrupted; everything was taken down"


def main() -> None:
    """Removes what crashed beds left behind."""
    parser = argparse.ArgumentParser(prog="python -m bench.testbed.bed", description=main.__doc__)
    parser.add_argument("--kept", action="store_true", help="beds that were kept too")
    removed = sweep(kept=parser.parse_args().kept)
    print("\n".join(f"removed {name}" for name in removed) or "nothing to remove")


if __name__ == "__main__":
    main()
