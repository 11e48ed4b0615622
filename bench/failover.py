"""How long do writes stand still when the leader is killed, beside etcd's in the same run?

A client that knows all addresses starts a write every few milliseconds, whatever became of the
others, and repeats each until it is acknowledged. The leader is ended with SIGKILL. The figure is
the time from there to the first acknowledgement of a write that was started after it: election,
the client's reconnect and the write itself. Then the killed process is started again, and when it
has caught up the next leader is killed. At the end every acknowledged write has to be there."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import click
import grpc.aio
from rich.console import Console
from rich.progress import Progress

from bench.clusters import EtcdFailover, SkyraftFailover
from bench.commit import work_directory
from bench.etcd import Etcd, ServerTls, etcd_version
from bench.report import Report, Row
from bench.testbed.replicas import Replicas

WRITE_EVERY_S = 0.005
ATTEMPT_S = 2.0
GIVE_UP_S = 30.0
REPEATED = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
)


class Subject(Protocol):
    """A running cluster of three whose leader can be killed."""

    name: str

    async def ready(self) -> int:
        """Waits until all three are up and have caught up. Index of the leader."""

    def kill(self, member: int) -> None:
        """SIGKILL; returns when the process is gone."""

    def restart(self, member: int) -> None: ...

    async def write(self, number: int, timeout_s: float) -> None:
        """Writes record *number*; may be repeated. Raises AioRpcError."""

    async def stored(self) -> Counter[int]:
        """How often each record number is there."""


class Ledger:
    """Every write of one subject: when it was started and acknowledged."""

    def __init__(self) -> None:
        self.started: dict[int, float] = {}
        self.acknowledged: dict[int, float] = {}
        self._after = 0.0
        self._waiting: asyncio.Future[float] | None = None

    def acknowledge(self, number: int) -> None:
        now = self.acknowledged[number] = time.perf_counter()
        if self._waiting and not self._waiting.done() and self.started[number] >= self._after:
            self._waiting.set_result(now)

    async def first_after(self, moment: float) -> float:
        """When the first write that was started after *moment* is acknowledged.

        Called before that happens. Raises TimeoutError after GIVE_UP_S."""
        self._after = moment
        self._waiting = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(GIVE_UP_S):
            return await self._waiting


@dataclass(frozen=True, slots=True)
class Outcome:
    outages_s: list[float]
    slowest_write_s: float
    """Of all writes, those under way at a kill included: from start to acknowledgement."""

    acknowledged: int
    lost: int
    doubled: int


async def write_until_acknowledged(subject: Subject, ledger: Ledger, number: int) -> None:
    while True:
        try:
            await subject.write(number, ATTEMPT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() not in REPEATED or (
                time.perf_counter() > ledger.started[number] + GIVE_UP_S
            ):
                raise
            await asyncio.sleep(0.02)
            continue
        ledger.acknowledge(number)
        return


async def steady_load(subject: Subject, ledger: Ledger, stopped: asyncio.Event) -> None:
    """Starts a write at every beat until *stopped*, then waits for those that are under way."""
    async with asyncio.TaskGroup() as group:
        beat = time.perf_counter()
        while not stopped.is_set():
            number = len(ledger.started)
            ledger.started[number] = time.perf_counter()
            group.create_task(write_until_acknowledged(subject, ledger, number))
            beat = max(beat + WRITE_EVERY_S, time.perf_counter())
            await asyncio.sleep(beat - time.perf_counter())


async def run_kills(subject: Subject, kills: int, advance: Callable[[], None]) -> Outcome:
    ledger = Ledger()
    outages = []
    stopped = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(steady_load(subject, ledger, stopped))
        for _ in range(kills):
            leader = await subject.ready()
            await ledger.first_after(time.perf_counter())
            killed = time.perf_counter()
            subject.kill(leader)
            outages.append(await ledger.first_after(killed) - killed)
            subject.restart(leader)
            advance()
        await subject.ready()
        stopped.set()
    stored = await subject.stored()
    return Outcome(
        outages_s=outages,
        slowest_write_s=max(at - ledger.started[n] for n, at in ledger.acknowledged.items()),
        acknowledged=len(ledger.acknowledged),
        lost=sum(number not in stored for number in ledger.acknowledged),
        doubled=sum(times > 1 for times in stored.values()),
    )


def rows(ours: Outcome, theirs: Outcome, tuned: Outcome, peer: str) -> list[Row]:
    made = []
    for other, name, suffix in ((theirs, peer, ""), (tuned, f"{peer} tuned", ".vs_tuned")):
        for figure, choose, target in (
            ("failover_median_s", statistics.median, "<= 0.5 s"),
            ("failover_max_s", max, "<= 1.0 s"),
        ):
            made.append(
                Row(
                    name=figure + suffix,
                    value=choose(ours.outages_s),
                    unit="s",
                    peer=name,
                    peer_value=choose(other.outages_s),
                    target="" if suffix else target,
                )
            )
    made.append(
        Row(
            name="slowest_write_s",
            value=ours.slowest_write_s,
            unit="s",
            peer=peer,
            peer_value=theirs.slowest_write_s,
        )
    )
    for figure in ("acknowledged", "lost", "doubled"):
        made.append(
            Row(
                name=f"writes_{figure}",
                value=getattr(ours, figure),
                unit="writes",
                peer=peer,
                peer_value=getattr(theirs, figure),
                target="" if figure == "acknowledged" else "0",
            )
        )
    return made


async def measure(directory: Path, kills: int) -> tuple[Outcome, Outcome, Outcome]:
    with Progress(console=Console(stderr=True), transient=True) as progress:

        def bar(name: str) -> Callable[[], None]:
            task = progress.add_task(name, total=kills)
            return lambda: progress.advance(task)

        with Replicas(directory / "skyraft") as replicas:
            ours = await run_kills(SkyraftFailover(replicas), kills, bar("skyraft"))
            tls = ServerTls(
                ca=replicas.ca, certificate=replicas.certificate(0), key=replicas.key(0)
            )
        outcomes = []
        for heartbeat_ms, election_ms in ((100, 1000), (50, 400)):
            name = f"etcd-{heartbeat_ms}-{election_ms}"
            times = {"heartbeat_ms": heartbeat_ms, "election_ms": election_ms}
            with Etcd(directory / name, tls, **times) as etcd:
                subject = EtcdFailover(etcd, replicas.credentials)
                outcomes.append(await run_kills(subject, kills, bar(name)))
    return ours, outcomes[0], outcomes[1]


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Three kills each: under a minute.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--kills", type=int, help="How often each system loses its leader.")
def main(quick: bool, as_json: bool, kills: int | None) -> None:
    kills = kills or (3 if quick else 20)
    with tempfile.TemporaryDirectory(prefix="skyraft-bench-", dir=work_directory()) as name:
        report = Report("failover", Path(name), versions={"etcd": etcd_version()})
        ours, theirs, tuned = asyncio.run(measure(Path(name), kills))
        report.rows = rows(ours, theirs, tuned, f"etcd {etcd_version()}")
        report.notes.append(
            f"{kills} kills of the leader of each; a write started every "
            f"{WRITE_EVERY_S * 1000:g} ms; etcd at its default times (heartbeat 100 ms, election "
            "1,000 ms) and tuned (50 and 400 ms). Doubled: by events of a request, by versions of "
            "a key; a Put has no request id, so repeating one whose outcome is unknown may do it "
            "twice."
        )
        report.finish(as_json=as_json)
    if ours.lost or ours.doubled:
        raise click.ClickException("an acknowledged write is lost or doubled")


if __name__ == "__main__":
    main()
