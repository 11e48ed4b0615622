"""What every bench prints: the machine, the versions, the commit, and figures beside the peer's."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
LIBRARIES = ("grpcio", "protobuf", "lmdb", "pysyncobj")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure, and the same figure of the peer from the same run where there is one."""

    name: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    target: str = ""
    """For people, for instance "<= 1.6 x etcd": not in the JSON."""

    @property
    def ratio(self) -> float | None:
        return self.value / self.peer_value if self.peer_value else None

    def as_json(self) -> dict[str, object]:
        row: dict[str, object] = {
            "name": self.name,
            "value": significant(self.value),
            "unit": self.unit,
        }
        if self.peer_value is not None:
            row |= {"peer": self.peer, "peer_value": significant(self.peer_value)}
            row["ratio"] = None if self.ratio is None else significant(self.ratio)
        return row


@dataclass(slots=True)
class Report:
    title: str
    directory: Path
    """On the disk that the figures depend on."""
    versions: dict[str, str] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def finish(self, *, as_json: bool) -> None:
        """Prints the JSON object on standard output and nothing else, or the table for people."""
        machine = describe_machine(self.directory)
        versions = {name: version(name) for name in LIBRARIES} | self.versions
        if as_json:
            document = {
                "bench": self.title,
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "command": command_line(),
                "machine": machine,
                "versions": versions,
                "commit": commit(),
                "results": [row.as_json() for row in self.rows],
                "notes": self.notes,
            }
            print(json.dumps(document, indent=2))
            return
        console = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
        console.print(f"{self.title}, commit {commit()}, {datetime.now(UTC):%Y-%m-%d}")
        for facts in (machine, versions):
            console.print(", ".join(f"{key} {value}" for key, value in facts.items()))
        console.print(self._table())
        for note in self.notes:
            console.print(note)

    def _table(self) -> Table:
        peers = {row.peer for row in self.rows if row.peer}
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("what", no_wrap=True)
        table.add_column("skyraft", justify="right")
        table.add_column("unit")
        table.add_column(peers.pop() if len(peers) == 1 else "peer", justify="right")
        table.add_column("ratio", justify="right")
        table.add_column("target", no_wrap=True)
        for row in self.rows:
            peer = "" if row.peer_value is None else readable(row.peer_value)
            if peers and peer:
                peer = f"{row.peer} {peer}"
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            table.add_row(row.name, readable(row.value), row.unit, peer, ratio, row.target)
        return table


def significant(value: float) -> float:
    """Four digits say all that a run on a shared machine can say."""
    return float(f"{value:.4g}")


def readable(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Of values that are sorted already; NaN when there are none."""
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def command_line() -> str:
    module = Path(sys.argv[0]).stem
    return shlex.join(["./dev", "bench", module, *sys.argv[1:]])


def commit() -> str:
    """Abbreviated, with -dirty when tracked files differ from it; "unknown" outside git."""
    try:
        described = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return described.stdout.strip()


def describe_machine(directory: Path) -> dict[str, str | float]:
    return {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "os": platform.freedesktop_os_release().get("PRETTY_NAME", "Linux"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "fdatasync_ms": round(fdatasync_ms(directory), 3),
    }


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()


def fdatasync_ms(directory: Path) -> float:
    """Median of 50 durable 4 KiB appends: what this disk charges for a promise."""
    took = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(50):
            started = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - started)
    return statistics.median(took) * 1000


def median_rows(rounds: Sequence[Sequence[Row]]) -> list[Row]:
    """One row per name: the medians over rounds that measured the same things."""
    merged = []
    for same in zip(*rounds, strict=True):
        peers = [row.peer_value for row in same if row.peer_value is not None]
        merged.append(
            dataclasses.replace(
                same[0],
                value=statistics.median(row.value for row in same),
                peer_value=statistics.median(peers) if peers else None,
            )
        )
    return merged
