"""The seven steps of the demo. Each finds facts, measures, and raises Broken if a promise fails."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence

import grpc.aio

from bench.demo_guests import ConsoleFacts, Guests
from bench.demo_material import FAKE_IMAGE, public_key, upload
from bench.demo_once import (
    WITNESSED,
    Broken,
    asked,
    catch_in_flight,
    seen_of,
    seen_on_hosts,
)
from bench.demo_show import Show
from bench.demo_writes import Writes
from bench.report import Row
from bench.testbed import guest
from bench.testbed.bed import GUEST_NETWORK, Bed, left_behind, noted_processes
from bench.testbed.network import GUEST_BRIDGE
from protos.channel import open_aio_channel
from protos.v1.cluster_pb2 import Cluster, CreateClusterRequest, Network, ReplicaRole
from protos.v1.cluster_pb2_grpc import ClusterServiceStub
from protos.v1.host_pb2 import Host, HostState, ListHostsRequest
from protos.v1.host_pb2_grpc import HostServiceStub
from protos.v1.image_pb2 import GetImageRequest, ImageState
from protos.v1.image_pb2_grpc import ImageServiceStub
from protos.v1.template_pb2 import CreateTemplateRequest, Template, TemplateDisk
from protos.v1.template_pb2_grpc import TemplateServiceStub
from protos.v1.token_pb2 import CreateTokenRequest, TokenKind
from protos.v1.token_pb2_grpc import TokenServiceStub
from protos.v1.vm_pb2 import Vm

VM_NAMES = ("web-1", "web-2", "db-1")
IN_FLIGHT_NAMES = ("db-2", "db-3", "db-4")
"""One is enough, unless a host is done with it before the leader is killed."""

# The operation that is in flight when the leader is killed has to take its time.
FAKE_SCRIPT = "boot_s = 0.2\nshutdown_s = 0.1\n" + "".join(
    f'[[rules]]\nverb = "start"\nvm_id = {len(VM_NAMES) + nth}\ndelay_s = 1.5\n'
    for nth in range(len(IN_FLIGHT_NAMES))
)

WRITES_BEFORE = 100
WRITES_AFTER = 200
DEADLINE_S = 60.0

_POLL_S = 0.02


class Demo:
    """State that the steps hand on. The steps are called in their order."""

    def __init__(self, bed: Bed, show: Show, *, names: Sequence[str] = VM_NAMES) -> None:
        """*names* are those of the VMs that boot() makes, one each."""
        self.bed = bed
        self._names = names
        self.rows: list[Row] = []
        self._show = show
        self._template_id = 0
        self._key = public_key()
        self._vms: list[Vm] = []
        self._writes: Writes | None = None
        self._seen: dict[int, ConsoleFacts] = {}
        self._killed = 0

    # 1

    def elect(self) -> None:
        """Starts the replicas and waits until they agree on a leader."""
        replicas = self.bed.replicas
        started = time.monotonic()
        replicas.start_all()
        majority = len(replicas.members) // 2 + 1
        while sum(replicas.status(n) is not None for n in range(len(replicas.members))) < majority:
            if time.monotonic() - started > DEADLINE_S:
                # Says why, from the replicas' logs.
                break
            time.sleep(_POLL_S)
        up = time.monotonic()
        leader = replicas.members[replicas.wait_until_ready()]
        now = time.monotonic()
        self._figure("replicas_start_ms", (up - started) * 1000, "ms")
        self._figure("election_ms", (now - up) * 1000, "ms")
        self._show.tell(f"certificate authority of front-end {replicas.cluster_id[:8]} made")
        self._show.tell(
            f"replica {leader.id} leads, {(now - up) * 1000:.0f} ms after a majority ran"
        )

    # 2

    async def enrol(self) -> None:
        """A cluster, a one-time token a host, and the agents' first reports."""
        bed = self.bed
        async with self._channel() as channel:
            network = Network(
                bridge=GUEST_BRIDGE,
                cidr=str(GUEST_NETWORK.network),
                gateway=str(GUEST_NETWORK.ip),
                first_ip=str(GUEST_NETWORK.network[10]),
                last_ip=str(GUEST_NETWORK.network[200]),
            )
            cluster = await ClusterServiceStub(channel).CreateCluster(
                CreateClusterRequest(
                    request_id=uuid.uuid4().hex, cluster=Cluster(name="demo", network=network)
                )
            )
            tokens = TokenServiceStub(channel)
            for host in bed.hosts:
                made = await tokens.CreateToken(
                    CreateTokenRequest(
                        request_id=uuid.uuid4().hex,
                        kind=TokenKind.TOKEN_KIND_JOIN,
                        cluster_id=cluster.id,
                        description=host.name,
                    )
                )
                servers = bed.replicas.token_addresses
                await asyncio.to_thread(host.join, bed.replicas.ca, servers, made.secret)
                host.agent.start()
            for known in await self._monitored(channel):
                capacity = known.capacity
                why = f" ({capacity.hypervisor_detail})" if capacity.hypervisor_detail else ""
                self._show.tell(
                    f"{known.name}: {capacity.vcpu} vCPU, {capacity.memory_mib} MiB, "
                    f"{capacity.hypervisor}{why}"
                )

    async def _monitored(self, channel: grpc.aio.Channel) -> list[Host]:
        stub, end = HostServiceStub(channel), time.monotonic() + DEADLINE_S
        while True:
            hosts: list[Host] = list((await stub.ListHosts(ListHostsRequest())).hosts)
            if sum(h.state == HostState.HOST_STATE_MONITORED for h in hosts) == len(self.bed.hosts):
                return hosts
            for host in self.bed.hosts:
                if not host.agent.running or time.monotonic() > end:
                    raise Broken(f"{host.name} does not report:\n{host.agent.log_tail()}")
            await asyncio.sleep(_POLL_S)

    # 3

    async def import_image(self) -> None:
        """Builds the guest's image, uploads it, registers a template."""
        content = FAKE_IMAGE
        if not self.bed.fake:
            path = await asyncio.to_thread(guest.build)
            content = path.read_bytes()
        async with self._channel() as channel:
            images = ImageServiceStub(channel)
            started = time.monotonic()
            image = await images.UploadImage(upload(content), timeout=DEADLINE_S)
            while image.state == ImageState.IMAGE_STATE_LOCKED:
                await asyncio.sleep(_POLL_S)
                image = await images.GetImage(GetImageRequest(id=image.id))
            if image.state not in (ImageState.IMAGE_STATE_READY, ImageState.IMAGE_STATE_USED):
                raise Broken(f"the image is {ImageState.Name(image.state)}: {image.error}")
            self._figure("image_import_s", time.monotonic() - started, "s")
            self._show.tell(
                f"image {image.name}: {len(content) / 1e6:.1f} MB, sha256 {image.sha256[:12]}, "
                f"on replicas {', '.join(sorted(image.replica_ids))}"
            )
            template = Template(
                name="small",
                vcpu=1,
                memory_mib=128,
                disks=[TemplateDisk(image_id=image.id)],
                ssh_public_keys=[self._key],
            )
            made = await TemplateServiceStub(channel).CreateTemplate(
                CreateTemplateRequest(request_id=uuid.uuid4().hex, template=template)
            )
            self._template_id = made.id

    # 4

    async def boot(self) -> None:
        """Three VMs from the template; each says on its console what it was told."""
        async with self._channel() as channel:
            guests = Guests(channel)
            begun = time.monotonic()
            self._vms = [
                await guests.create(self._template_id, name, self._key) for name in self._names
            ]
            found = await asyncio.gather(*(guests.until_talking(vm.id) for vm in self._vms))
            times = []
            for vm, (facts, at) in zip(self._vms, found, strict=True):
                self._check_identity(vm, facts)
                times.append(at - begun)
                self._figure(f"vm_boot_s.{vm.name}", at - begun, "s")
                placed = await guests.get(vm.id)
                self._show.tell(
                    f"VM {vm.id} on {self.bed.hosts[placed.host_id].name}: console says "
                    f"{facts.hostname}, {facts.ip}, {self._key[:24]}..., {at - begun:.1f} s"
                )
            self._figure("vm_boot_s", statistics.median(times), "s")
        await asyncio.to_thread(self._check_network)

    def _check_identity(self, vm: Vm, facts: ConsoleFacts) -> None:
        wanted = (vm.name, vm.nics[0].ip)
        if (facts.hostname, facts.ip) != wanted or self._key not in facts.ssh_keys:
            raise Broken(f"VM {vm.id} was told {wanted} and our ssh key, but its console: {facts}")

    def _check_network(self) -> None:
        """Each guest is asked over the bridges, from their gateway: none on fake hosts."""
        if self.bed.network is None:
            return
        script = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=10).read())"
        for vm in self._vms:
            url = f"http://{vm.nics[0].ip}/"
            command = self.bed.network.in_switch([sys.executable, "-c", script, url])
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if vm.name not in done.stdout:
                raise Broken(f"{url} does not answer {vm.name}: {done.stdout}{done.stderr}")
        self._show.tell("each answers over HTTP across the hosts' bridges")

    # 5

    async def kill_leader(self) -> None:
        """kill -9 under load, with a VM on its way; then counts what was lost or done twice."""
        replicas = self.bed.replicas
        async with self._channel() as channel:
            guests, writes = Guests(channel), Writes(channel)
            self._seen = {vm.id: await guests.console(vm.id) for vm in self._vms}
            run = uuid.uuid4().hex
            async with writes.stream():
                await writes.grow_by(WRITES_BEFORE)
                vm, self._killed = await catch_in_flight(
                    guests,
                    IN_FLIGHT_NAMES,
                    lambda name: guests.create(self._template_id, name, self._key, run + name),
                    lambda: asyncio.to_thread(replicas.wait_until_ready),
                )
                killed_at = time.monotonic()
                replicas.kill(self._killed)
                failover_s = await writes.first_after(killed_at) - killed_at
                await writes.grow_by(WRITES_AFTER)
                facts, _ = await guests.until_talking(vm.id)
            leader = replicas.members[await asyncio.to_thread(replicas.wait_until_ready)]
            self._figure("failover_ms", failover_s * 1000, "ms")
            self._figure("longest_write_pause_ms", writes.longest_pause_s() * 1000, "ms")
            self._show.tell(
                f"replica {replicas.members[self._killed].id} killed, replica {leader.id} leads, "
                f"the next write was acknowledged after {failover_s * 1000:.0f} ms"
            )
            await self._count_writes(writes)
            self._check_identity(vm, facts)
            await self._check_once(channel, guests, vm)
            await self._check_uptimes(guests)
            self._writes = writes

    async def _count_writes(self, writes: Writes) -> None:
        """As reads on every replica show them. The killed one is asked in step 6."""
        lost, repeated = set[str](), set[str]()
        for number, process in enumerate(self.bed.replicas.processes):
            if process.running:
                async with self._channel(number) as channel:
                    counted = await writes.counted_on(channel)
                lost.update(counted.lost)
                repeated.update(counted.doubled)
        self._figure("writes_acknowledged", len(writes.acknowledged), "writes")
        self._figure("writes_lost", len(lost), "writes")
        self._figure("writes_doubled", len(repeated), "writes")
        self._show.tell(
            f"{len(writes.acknowledged)} writes acknowledged, {len(lost)} lost, "
            f"{len(repeated)} done twice, read from each replica"
        )
        if lost or repeated:
            raise Broken(f"lost {sorted(lost)[:5]}, done twice {sorted(repeated)[:5]}")

    async def _check_once(self, channel: grpc.aio.Channel, guests: Guests, caught: Vm) -> None:
        """All that was done to any VM until now, by every witness, is what was asked for."""
        vms = await guests.all()
        hosts = {host.name: host.agent_directory / "fake" for host in self.bed.hosts}
        seen = await seen_of(channel, guests, vms)
        if self.bed.fake:
            seen += seen_on_hosts(hosts)
        wanted = asked(vms, list(hosts) if self.bed.fake else ())
        again, missing = seen - wanted, wanted - seen
        self._figure("duplicate_effects", again.total(), "effects")
        times = [seen[who, caught.id, what] for who, what in WITNESSED]
        self._show.tell(
            f"VM {caught.id}, in flight at the kill: created {times[0]}, reached RUNNING "
            f"{times[1]}, booted {times[2]} time(s)"
        )
        self._show.tell(
            f"{seen.total()} effects on {len(vms)} VMs, {wanted.total()} asked for: "
            f"{again.total()} done again, {missing.total()} missing"
        )
        if again or missing:
            raise Broken(f"not done once: again {dict(again)}, missing {dict(missing)}")

    async def _check_uptimes(self, guests: Guests) -> None:
        told = []
        for vm in self._vms:
            before = self._seen[vm.id]
            after = await guests.until_counted_beyond(vm.id, before.uptime_s)
            if after.boots != before.boots or after.uptime_fell:
                raise Broken(f"VM {vm.id} was restarted: {before} became {after}")
            told.append(f"VM {vm.id} {before.uptime_s} -> {after.uptime_s} s")
        self._show.tell(f"the guests never stopped: uptime by guest clock {', '.join(told)}")

    # 6

    async def catch_up(self) -> None:
        """The killed replica comes back from its disk and gets what it missed."""
        replicas, number = self.bed.replicas, self._killed
        leader = await asyncio.to_thread(replicas.wait_until_ready)
        status = await asyncio.to_thread(replicas.status, leader)
        goal = status.commit_index if status is not None else 0
        started = time.monotonic()
        replicas.start(number)
        while True:
            status = await asyncio.to_thread(replicas.status, number)
            if status is not None and status.applied_index >= goal and status.leader_id:
                break
            if time.monotonic() - started > DEADLINE_S:
                raise Broken(f"no catching up:\n{replicas.processes[number].log_tail()}")
            await asyncio.sleep(_POLL_S)
        self._figure("catch_up_ms", (time.monotonic() - started) * 1000, "ms")
        async with self._channel(number) as channel:
            counted = await self._writes.counted_on(channel) if self._writes is not None else None
        if counted is not None and (counted.lost or counted.doubled):
            raise Broken(f"replica {status.replica_id}, caught up, does not agree: {counted}")
        await asyncio.to_thread(replicas.wait_until_ready)
        for member in range(len(replicas.members)):
            status = await asyncio.to_thread(replicas.status, member)
            if status is None:
                raise Broken(f"replica {replicas.members[member].id} does not answer")
            role = ReplicaRole.Name(status.role).removeprefix("REPLICA_ROLE_").lower()
            self._show.tell(
                f"replica {status.replica_id}: {role}, term {status.term}, "
                f"applied {status.applied_index}; {status.verdict}"
            )

    # 7

    def tear_down(self) -> None:
        """Everything ends and nothing is left: processes, namespaces, bridges, mounts, files."""
        processes = noted_processes(self.bed.directory)
        killed = self.bed.stop()
        self.bed.close()
        left = left_behind(self.bed.name, processes)
        if killed or left:
            raise Broken(f"had to be killed: {killed}; left behind: {left}")
        self._show.tell(
            f"{len(processes)} processes ended; left: no process, namespace, link, mount or file"
        )

    def _figure(self, name: str, value: float, unit: str) -> None:
        self.rows.append(Row(name=name, value=value, unit=unit))

    @contextlib.asynccontextmanager
    async def _channel(self, member: int | None = None) -> AsyncIterator[grpc.aio.Channel]:
        """To all replicas, or to one."""
        replicas = self.bed.replicas
        addresses = replicas.addresses if member is None else [replicas.members[member].api]
        async with open_aio_channel(addresses, replicas.credentials) as channel:
            yield channel
