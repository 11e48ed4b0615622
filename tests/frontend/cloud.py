"""One state machine on a real LMDB environment, and short ways to say what happens to it."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import lmdb
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from frontend.commands import lifecycle
from frontend.errors import Rejected
from frontend.machine import Machine
from frontend.state import events, hosts, tasks, vms
from frontend.state.store import ReadTxn, Store
from protos.v1 import (
    agent_pb2,
    cluster_pb2,
    command_pb2,
    host_pb2,
    image_pb2,
    template_pb2,
    token_pb2,
    vm_pb2,
)
from protos.v1.command_pb2 import Command, Result

GIB = 1 << 30
START_MS = 1_700_000_000_000


def sha(text: str) -> str:
    """A hexadecimal SHA-256 that stands for *text*."""
    return text.encode().hex().ljust(64, "0")[:64]


class Cloud:
    """Applies commands one after the other, each in a transaction of its own."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.env = lmdb.open(str(path), map_size=GIB, max_dbs=64, sync=False)
        self.store = Store(self.env)
        self.machine = Machine(self.store)
        self.index = 0
        self.now_ms = START_MS
        self._ids = count(1)

    # Commands.

    def command(self, actor: str = "user/ann", request_id: str = "", **op: Any) -> Command:
        """As the API would make it; admin and system actors are told by their names."""
        return Command(
            request_id=request_id or f"req-{next(self._ids)}",
            actor=actor,
            admin=actor in ("user/root", "system"),
            at_ms=self.now_ms,
            **op,
        )

    def apply_entry(self, entry: bytes) -> Result:
        self.index += 1
        with self.env.begin(write=True) as raw:
            return Result.FromString(self.machine.apply(raw, self.index, entry))

    def apply(self, cmd: Command) -> Result:
        return self.apply_entry(cmd.SerializeToString())

    def run(self, actor: str = "user/ann", **op: Any) -> bytes:
        """The payload of an accepted command; raises Rejected as a client's call would."""
        result = self.apply(self.command(actor, **op))
        if result.code:
            raise Rejected(result.code, result.detail, result.field)
        return result.payload

    def refused(self, actor: str = "user/ann", **op: Any) -> Rejected:
        """The refusal of a command that must be refused, and must leave nothing behind."""
        before = self.state()
        with pytest.raises(Rejected) as caught:
            self.run(actor, **op)
        assert self.state() == before
        return caught.value

    # What is stored.

    def read(self) -> ReadTxn:
        return self.store.read()

    def state(self) -> dict[str, list[tuple[bytes, bytes]]]:
        """Every table but the results."""
        dump = self.store.dump()
        return {name: rows for name, rows in dump.items() if not name.startswith("results")}

    def events(self) -> list[str]:
        """All events as "kind detail"."""
        return [f"{event.kind} {event.detail}".rstrip() for event in self.event_records()]

    def event_records(self) -> list[Any]:
        with self.read() as txn:
            return events.page_after(txn, 0, 100_000)[0]

    def get(self, table: Any, object_id: int) -> Any:
        with self.read() as txn:
            return table.get(txn, object_id)

    def waiting(self, host_id: int | None = None) -> list[agent_pb2.Task]:
        with self.read() as txn:
            return list(tasks.waiting(txn, host_id))

    # Things to have.

    def cluster(self, name: str = "home", cidr: str = "10.0.0.0/24", **network: Any) -> Any:
        net = cluster_pb2.Network(bridge="br0", cidr=cidr, **network)
        request = cluster_pb2.CreateClusterRequest(
            cluster=cluster_pb2.Cluster(name=name, network=net)
        )
        return cluster_pb2.Cluster.FromString(self.run("user/root", create_cluster=request))

    def join_token(self, cluster_id: int = 0, secret: str = "join") -> Any:
        request = token_pb2.CreateTokenRequest(
            kind=token_pb2.TOKEN_KIND_JOIN, cluster_id=cluster_id
        )
        issue = command_pb2.IssueToken(request=request, secret_sha256=sha(secret))
        return token_pb2.Token.FromString(self.run("user/root", issue_token=issue))

    def enrolment(self, name: str, secret: str = "", key: str = "") -> command_pb2.EnrollHost:
        return command_pb2.EnrollHost(
            token_sha256=sha(secret or f"token {name}"),
            name=name,
            certificate_sha256=sha(f"certificate {name}"),
            key_sha256=sha(key or f"key {name}"),
        )

    def host(
        self, name: str = "h0", cluster_id: int = 0, vcpu: int = 4, memory_mib: int = 8192
    ) -> Any:
        """Enrolled and seen: MONITORED."""
        self.join_token(cluster_id, f"token {name}")
        payload = self.run("system", enroll_host=self.enrolment(name))
        host = host_pb2.Host.FromString(payload)
        self.report_host(host.id, vcpu=vcpu, memory_mib=memory_mib)

        return self.get(hosts, host.id)

    def report_host(
        self, host_id: int, *guests: Any, vcpu: int = 4, memory_mib: int = 8192, **more: Any
    ) -> None:
        capacity = host_pb2.HostCapacity(vcpu=vcpu, memory_mib=memory_mib, hypervisor="fake")
        report = command_pb2.ReportHost(
            host_id=host_id, capacity=capacity, agent_version="1", guests=guests, **more
        )
        self.run(f"host/{host_id}", report_host=report)

    def image(self, name: str = "debian", actor: str = "user/ann", **more: Any) -> Any:
        fields: dict[str, Any] = {
            "format": image_pb2.IMAGE_FORMAT_QCOW2,
            "size_bytes": 1 << 20,
            "virtual_size_bytes": GIB,
            "sha256": sha(name),
            "replica_id": "1",
            "copies_wanted": 1,
        }
        register = command_pb2.RegisterImage(name=name, **{**fields, **more})
        return image_pb2.Image.FromString(self.run(actor, register_image=register))

    def template(self, name: str = "small", actor: str = "user/ann", **more: Any) -> Any:
        fields: dict[str, Any] = {"vcpu": 1, "memory_mib": 512}
        template = template_pb2.Template(name=name, **{**fields, **more})
        request = template_pb2.CreateTemplateRequest(template=template)
        return template_pb2.Template.FromString(self.run(actor, create_template=request))

    def vm(self, template_id: int = 0, actor: str = "user/ann", **more: Any) -> Any:
        request = vm_pb2.CreateVmRequest(template_id=template_id, **more)
        return vm_pb2.Vm.FromString(self.run(actor, create_vm=request))

    def place(self, vm_id: int, host_id: int | None = 0, reason: str = "") -> None:
        placement = command_pb2.Placement(vm_id=vm_id, host_id=host_id, reason=reason)
        self.run("system", place_vms=command_pb2.PlaceVms(placements=[placement]))

    def act(self, verb: str, vm_id: int, actor: str = "user/ann", **more: Any) -> Any:
        """For instance act("poweroff", 0, hard=True)."""
        kind = getattr(vm_pb2, f"{verb.capitalize()}VmRequest")
        return vm_pb2.Vm.FromString(self.run(actor, **{f"{verb}_vm": kind(id=vm_id, **more)}))

    def refuse_act(self, verb: str, vm_id: int, actor: str = "user/ann", **more: Any) -> Rejected:
        kind = getattr(vm_pb2, f"{verb.capitalize()}VmRequest")
        return self.refused(actor, **{f"{verb}_vm": kind(id=vm_id, **more)})

    def report(self, vm_id: int, ok: bool = True, detail: str = "") -> None:
        """The host's answer on the VM's waiting task."""
        [task] = [task for task in self.waiting() if task.vm_id == vm_id]
        self.report_task(task, ok, detail)

    def report_task(self, task: agent_pb2.Task, ok: bool = True, detail: str = "") -> None:
        report = agent_pb2.TaskReport(
            task_id=task.id, ok=ok, detail=detail, vm_id=task.vm_id, epoch=task.epoch
        )
        op = command_pb2.ReportTask(host_id=task.host_id, report=report)
        self.run(f"host/{task.host_id}", report_task=op)

    def report_guest(
        self, vm_id: int, power: str, epoch: int = 1, host_id: int = 0, session: int = 0
    ) -> None:
        event = agent_pb2.GuestEvent(
            vm_id=vm_id, epoch=epoch, power=agent_pb2.GuestPower.Value(f"GUEST_POWER_{power}")
        )
        op = command_pb2.ReportGuest(host_id=host_id, event=event, session=session)
        self.run(f"host/{host_id}", report_guest=op)

    def mark_host(self, host_id: int, state: str, detail: str = "") -> None:
        op = command_pb2.MarkHost(
            host_id=host_id,
            state=host_pb2.HostState.Value(f"HOST_STATE_{state}"),
            detail=detail,
        )
        self.run("system", mark_host=op)

    def update(self, noun: str, paths: list[str], actor: str = "user/ann", **fields: Any) -> bytes:
        return self.run(actor, **self.update_op(noun, paths, **fields))

    def update_op(
        self, noun: str, paths: list[str], expected_revision: int = 0, **fields: Any
    ) -> dict[str, Any]:
        modules = {
            "cluster": cluster_pb2,
            "host": host_pb2,
            "image": image_pb2,
            "template": template_pb2,
            "vm": vm_pb2,
        }
        module, title = modules[noun], noun.capitalize()
        request = getattr(module, f"Update{title}Request")(
            update_mask=FieldMask(paths=paths),
            expected_revision=expected_revision,
            **{noun: getattr(module, title)(**fields)},
        )
        return {f"update_{noun}": request}

    # Clouds to begin with.

    def furnish(self, host_count: int = 1) -> Cloud:
        """A cluster, hosts, an image, and template 0 with one disk of it."""
        self.cluster()
        for number in range(host_count):
            self.host(f"h{number}")
        self.image()
        self.template(disks=[template_pb2.TemplateDisk(image_id=0)])
        return self

    def running_vm(self) -> Any:
        """A VM that went the whole way to RUNNING on host 0."""
        vm = self.vm()
        self.place(vm.id)
        self.report(vm.id)
        self.report(vm.id)
        return vm

    def where(self, vm_id: int) -> str:
        """For instance ACTIVE/RUNNING."""

        return lifecycle.name_of(self.get(vms, vm_id))
