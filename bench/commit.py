"""How fast are durable writes and linearizable reads, beside etcd's in the same run?

Three replicas and three etcd members run at the same time on one disk, with mutual TLS on every
port, and are measured in turn by the same client: one process, coroutines, one channel that knows
all three addresses. A write is TemplateService.UpdateTemplate with its permission check, stored
result and event, against a plain Put of the same size. etcd has no stream of puts, so its unary
Put is the peer of both ways. Beside the stream with 16 writes a message there is a second peer,
etcd's Txn of 16 puts: one entry of its log, done or not as a whole, where each of our 16 has its
own permission check, outcome, stored result and event."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from bench.clusters import SkyraftFailover
from bench.etcd import Etcd, ServerTls, etcd_version
from bench.load import Figures, Operation, closed_loop
from bench.report import ROOT, Report, Row, median_rows
from bench.subjects import EtcdSubject, SkyraftSubject
from bench.testbed.replicas import Replicas
from protos.channel import open_aio_channel

CLIENTS = (1, 16, 64, 256)
READERS = 64
BATCH = 16
"""Writes in a message of a stream, and puts in a transaction of the peer."""
TARGETS = {
    "writes_per_s.unary.c64": ">= 0.5 x etcd",
    "write_p50_ms.unary.c1": "<= 1.4 x etcd",
    "writes_per_s.stream1.c64": ">= 1.0 x etcd",
    "writes_per_s.stream16.c64": ">= 4 x etcd",
    "reads_per_s.unary.c64": ">= 0.5 x etcd",
    "reads_per_s.stream1.c64": ">= 1.0 x etcd",
}
PER_ROUND = len(CLIENTS) * 5 + 3


class Round:
    """One pass over everything, the two systems in turn."""

    def __init__(
        self, etcd: EtcdSubject, skyraft: SkyraftSubject, peer: str, *, seconds: float
    ) -> None:
        self._etcd = etcd
        self._skyraft = skyraft
        self._peer = peer
        self._seconds = seconds
        self.rows: list[Row] = []

    async def measure(self, progress: Progress) -> list[Row]:
        bar = progress.add_task("commit", total=PER_ROUND)

        async def run(clients: Sequence[Operation], weight: int = 1) -> Figures:
            warm_up = self._seconds / 4
            done = await closed_loop(
                clients, seconds=self._seconds, warm_up_s=warm_up, weight=weight
            )
            progress.advance(bar)
            return done

        for count in CLIENTS:
            numbers = range(count)
            put = await run([self._etcd.writer(n) for n in numbers])
            unary = await run([self._skyraft.writer(n) for n in numbers])
            self._add("write", "unary", count, unary, put)
            for size in (1, BATCH):
                streams = [self._skyraft.stream_writer(n, size) for n in numbers]
                streamed = await run(streams, size)
                self._add("write", f"stream{size}", count, streamed, put)
            txn = await run([self._etcd.txn_writer(n, BATCH) for n in numbers], BATCH)
            self._add("write", f"stream{BATCH}", count, streamed, txn, f"Txn of {BATCH}")
        readers = range(READERS)
        got = await run([self._etcd.reader(n) for n in readers])
        unary = await run([self._skyraft.reader(n) for n in readers])
        self._add("read", "unary", READERS, unary, got)
        streams = [self._skyraft.stream_reader(n, 1) for n in readers]
        self._add("read", "stream1", READERS, await run(streams), got)
        return self.rows

    def _add(
        self,
        verb: str,
        way: str,
        clients: int,
        ours: Figures,
        theirs: Figures,
        other_call: str = "",
    ) -> None:
        """*other_call* is set where the peer is another call than the unary one."""
        peer = f"{self._peer} {other_call}".strip()
        suffix = ".vs_txn" if other_call else ""
        for figure, unit, value, peer_value in (
            (f"{verb}s_per_s", "1/s", ours.rate, theirs.rate),
            (f"{verb}_p50_ms", "ms", ours.p50_ms, theirs.p50_ms),
            (f"{verb}_p99_ms", "ms", ours.p99_ms, theirs.p99_ms),
        ):
            name = f"{figure}.{way}.c{clients}{suffix}"
            self.rows.append(
                Row(
                    name=name,
                    value=value,
                    unit=unit,
                    peer=peer,
                    peer_value=peer_value,
                    target=TARGETS.get(name, ""),
                )
            )


async def measure(directory: Path, *, rounds: int, seconds: float) -> list[Row]:
    with Replicas(directory) as replicas:
        tls = ServerTls(ca=replicas.ca, certificate=replicas.certificate(0), key=replicas.key(0))
        with Etcd(directory, tls) as etcd:
            credentials = replicas.credentials
            members = [open_aio_channel([address], credentials) for address in etcd.addresses]
            await etcd.leader(members)
            await SkyraftFailover(replicas).ready()
            theirs = EtcdSubject(open_aio_channel(etcd.addresses, credentials))
            ours = SkyraftSubject(
                open_aio_channel(replicas.addresses, credentials), run=uuid.uuid4().hex[:8]
            )
            await theirs.prepare()
            await ours.prepare()
            peer = f"etcd {etcd_version()}"
            with Progress(console=Console(stderr=True), transient=True) as progress:
                return median_rows(
                    [
                        await Round(theirs, ours, peer, seconds=seconds).measure(progress)
                        for _ in range(rounds)
                    ]
                )


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="One short round: under a minute.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--rounds", type=int, help="How many rounds the medians are taken over.")
@click.option("--seconds", type=float, help="Length of each measurement.")
def main(quick: bool, as_json: bool, rounds: int | None, seconds: float | None) -> None:
    rounds = rounds or (1 if quick else 3)
    seconds = seconds or (0.8 if quick else 3.0)
    with tempfile.TemporaryDirectory(prefix="skyraft-bench-", dir=work_directory()) as name:
        report = Report("commit", Path(name), versions={"etcd": etcd_version()})
        report.rows = asyncio.run(measure(Path(name), rounds=rounds, seconds=seconds))
        report.notes.append(
            f"Median of {rounds} rounds of {seconds:g} s for each figure; 3 replicas and 3 "
            "members on one machine and one disk, mutual TLS, real syncs; clients share one "
            "process and one channel over all addresses."
        )
        report.finish(as_json=as_json)


def work_directory() -> Path:
    """On the disk of the working tree: /tmp may be in memory, where a sync costs nothing."""
    directory = ROOT / ".cache" / "bench"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


if __name__ == "__main__":
    main()
