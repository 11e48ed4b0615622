"""How much memory does a replica need with 100 hosts connected and 1,000 VMs running?

Hosts are simulated: they enrol, hold a session each and report every task as done, so the
replicas do all that they do for real ones. Counted is memory of the process that is its own
(anonymous pages); pages of the mapped LMDB file belong to the page cache and are left out. Then all
VMs are terminated, and the memory is read again: does it come back down?"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from bench.clusters import SkyraftFailover
from bench.commit import work_directory
from bench.report import Report, Row
from bench.simulated_hosts import SimulatedHosts, enroll
from bench.testbed.replicas import Replicas
from protos.channel import open_aio_channel
from protos.v1 import (
    cluster_pb2,
    cluster_pb2_grpc,
    host_pb2,
    host_pb2_grpc,
    template_pb2,
    template_pb2_grpc,
    vm_pb2,
    vm_pb2_grpc,
)

DEADLINE_S = 300.0
SETTLE_S = 60.0
"""How long memory may take to stop changing."""

SAMPLE_EVERY_S = 2.0
AGREE_MIB = 0.25
"""Two samples that differ by no more than this are the same."""

IN_FLIGHT = 32
TARGET_MIB = 150


class Cloud:
    """What the bench puts into the replicas."""

    def __init__(self, replicas: Replicas) -> None:
        self._replicas = replicas
        self.channel = open_aio_channel(replicas.addresses, replicas.credentials)
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def add_cluster(self) -> int:
        network = cluster_pb2.Network(
            bridge="skyraft0",
            cidr="10.64.0.0/16",
            gateway="10.64.0.1",
            first_ip="10.64.0.2",
            last_ip="10.64.255.254",
        )
        request = cluster_pb2.CreateClusterRequest(
            request_id=uuid.uuid4().hex,
            cluster=cluster_pb2.Cluster(name="bench", network=network),
        )
        clusters = cluster_pb2_grpc.ClusterServiceStub(self.channel)
        return int((await clusters.CreateCluster(request, timeout=20)).id)

    async def add_template(self) -> int:
        template = template_pb2.Template(
            name="bench",
            description="What the VMs of the bench are made from.",
            vcpu=1,
            memory_mib=512,
            context={"ROLE": "bench"},
            ssh_public_keys=["ssh-ed25519 " + "A" * 68 + " bench"],
        )
        request = template_pb2.CreateTemplateRequest(request_id=uuid.uuid4().hex, template=template)
        templates = template_pb2_grpc.TemplateServiceStub(self.channel)
        return int((await templates.CreateTemplate(request, timeout=20)).id)

    async def add_vm(self, cluster_id: int, template_id: int) -> None:
        request = vm_pb2.CreateVmRequest(
            request_id=uuid.uuid4().hex, template_id=template_id, cluster_id=cluster_id
        )
        async with self._slots:
            await vm_pb2_grpc.VmServiceStub(self.channel).CreateVm(request, timeout=20)

    async def usable_hosts(self) -> int:
        hosts = host_pb2_grpc.HostServiceStub(self.channel)
        page: host_pb2.ListHostsResponse = await hosts.ListHosts(
            host_pb2.ListHostsRequest(page_size=1_000), timeout=20
        )
        return sum(host.state == host_pb2.HOST_STATE_MONITORED for host in page.hosts)

    async def running_vms(self) -> int:
        return sum(vm.lcm_state == vm_pb2.LCM_STATE_RUNNING for vm in await self._list_vms())

    async def done_vms(self) -> int:
        return sum(vm.state == vm_pb2.VM_STATE_DONE for vm in await self._list_vms())

    async def _list_vms(self) -> list[vm_pb2.Vm]:
        found: list[vm_pb2.Vm] = []
        request = vm_pb2.ListVmsRequest(page_size=1_000, include_done=True)
        while True:
            page: vm_pb2.ListVmsResponse = await vm_pb2_grpc.VmServiceStub(self.channel).ListVms(
                request, timeout=20
            )
            found += page.vms
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def terminate_vm(self, vm_id: int) -> None:
        request = vm_pb2.TerminateVmRequest(request_id=uuid.uuid4().hex, id=vm_id)
        async with self._slots:
            await vm_pb2_grpc.VmServiceStub(self.channel).TerminateVm(request, timeout=20)


async def wait_for(
    count: Callable[[], Awaitable[int]], wanted: int, advance: Callable[[int], None]
) -> None:
    """Raises TimeoutError when fewer than *wanted* are there after DEADLINE_S."""
    async with asyncio.timeout(DEADLINE_S):
        while (now := await count()) < wanted:
            advance(now)
            await asyncio.sleep(0.2)
    advance(wanted)


async def all_of(work: Callable[[int], Awaitable[None]], count: int) -> None:
    async def one(number: int) -> None:
        await work(number)

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(number))


def own_memory_mib(pid: int) -> float:
    """Anonymous resident memory of one process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/status has no RssAnon line")


async def settled(sample: Callable[[], list[float]]) -> list[float]:
    """The memory of each process once two samples in a row agree; the last one after SETTLE_S."""
    end = time.monotonic() + SETTLE_S
    before = sample()
    while True:
        await asyncio.sleep(SAMPLE_EVERY_S)
        now = sample()
        same = all(abs(a - b) <= AGREE_MIB for a, b in zip(before, now, strict=True))
        if same or time.monotonic() > end:
            return now
        before = now


@dataclass(frozen=True, slots=True)
class Samples:
    """Own memory of each replica in MiB, settled, and how long the VMs took."""

    empty: list[float]
    full: list[float]
    emptied: list[float]
    created_s: float


async def measure(directory: Path, hosts: int, vms: int) -> Samples:
    with (
        Replicas(directory) as replicas,
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        await SkyraftFailover(replicas).ready()
        cloud = Cloud(replicas)
        cluster_id = await cloud.add_cluster()
        template_id = await cloud.add_template()

        def sample() -> list[float]:
            return [own_memory_mib(process.pid) for process in replicas.processes]

        async def until(count: Callable[[], Awaitable[int]], wanted: int, what: str) -> None:
            bar = progress.add_task(what, total=wanted)
            await wait_for(count, wanted, lambda now: progress.update(bar, completed=now))

        empty = await settled(sample)
        enrolled = []
        for number in progress.track(range(hosts), description="hosts enrol"):
            name = f"bench-{number}"
            ca_pem = replicas.ca.read_bytes()
            enrolled.append(
                await enroll(cloud.channel, replicas.token_addresses, ca_pem, cluster_id, name)
            )
        async with SimulatedHosts(enrolled):
            await until(cloud.usable_hosts, hosts, "hosts connect")
            started = time.perf_counter()
            await all_of(lambda _: cloud.add_vm(cluster_id, template_id), vms)
            await until(cloud.running_vms, vms, "VMs run")
            created_s = time.perf_counter() - started
            full = await settled(sample)
            await all_of(cloud.terminate_vm, vms)
            await until(cloud.done_vms, vms, "VMs end")
            emptied = await settled(sample)
    return Samples(empty, full, emptied, created_s)


def rows(samples: Samples, hosts: int, vms: int) -> list[Row]:
    busy = f"h{hosts}.v{vms}"
    return [
        Row(name="own_memory_mib.empty", value=max(samples.empty), unit="MiB"),
        Row(
            name=f"own_memory_mib.{busy}",
            value=max(samples.full),
            unit="MiB",
            target=f"< {TARGET_MIB} MiB",
        ),
        Row(name=f"own_memory_all_mib.{busy}", value=sum(samples.full), unit="MiB"),
        Row(name=f"own_memory_mib.{busy}.terminated", value=max(samples.emptied), unit="MiB"),
        Row(name="vms_created_to_running_per_s", value=vms / samples.created_s, unit="1/s"),
    ]


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="20 hosts and 200 VMs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
@click.option("--hosts", type=int, help="100 unless told, 20 with --quick.")
@click.option("--vms", type=int, help="1,000 unless told, 200 with --quick.")
def main(quick: bool, as_json: bool, hosts: int | None, vms: int | None) -> None:
    hosts = hosts or (20 if quick else 100)
    vms = vms or (200 if quick else 1_000)
    with tempfile.TemporaryDirectory(prefix="skyraft-bench-", dir=work_directory()) as name:
        report = Report("memory", Path(name))
        report.rows = rows(asyncio.run(measure(Path(name), hosts, vms)), hosts, vms)
        report.notes.append(
            f"The largest of three replicas; {hosts} simulated hosts with a session each; {vms} "
            "VMs RUNNING, then all of them terminated (DONE, and still in the tables). Each figure "
            f"once two samples {SAMPLE_EVERY_S:g} s apart agree; mapped files are left out."
        )
        report.finish(as_json=as_json)


if __name__ == "__main__":
    main()
