"""The language of tests/sim/scenarios: who, does what, to what, with which options.

ann create web template=0        a user; root is an admin
host0 report failed no space     a host: on its oldest waiting task
leader schedule                  the front-end itself
vm 0 | host 0 | tasks | events   looks, at no actor's expense
again | kill leader | restart | power loss | wait 2
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from frontend.commands import capacity, lifecycle
from frontend.scheduler.placement import place
from frontend.state import events, hosts, tasks, vms
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
from protos.v1.command_pb2 import Result
from tests.sim.simcloud import SimCloud

VERBS = ("poweroff", "resume", "suspend", "reboot", "terminate", "recover", "delete")
GIB = 1 << 30


def digest(text: str) -> str:
    return text.encode().hex().ljust(64, "0")[:64]


class Line:
    """One line, taken apart."""

    def __init__(self, text: str) -> None:
        words = text.split()
        self.options = dict(word.split("=", 1) for word in words if "=" in word)
        self.words = [word for word in words if "=" not in word]

    def number(self, option: str, default: int) -> int:
        return int(self.options.get(option, default))


class Console:
    def __init__(self, cloud: SimCloud) -> None:
        self._cloud = cloud
        self._looks: dict[str, Callable[[Line], str]] = {
            "vm": self._vm,
            "host": self._host,
            "tasks": self._tasks,
            "events": self._events,
            "again": lambda line: answer(self._cloud.again()),
            "kill": lambda line: self._trouble(self._cloud.kill_leader),
            "restart": lambda line: self._trouble(self._cloud.restart),
            "power": lambda line: self._trouble(self._cloud.lose_power),
            "wait": self._wait,
        }
        self._event_mark = 0

    def run(self, text: str) -> str:
        line = Line(text)
        look = self._looks.get(line.words[0])
        if look is not None:
            return look(line)
        who, verb, *line.words = line.words
        if who == "leader":
            actor = "system"
        elif who.startswith("host"):
            actor = f"host/{who.removeprefix('host')}"
        else:
            actor = f"user/{who}"
        if verb == "schedule":
            return self._schedule()
        if verb == "report":
            return self._report(actor, line)
        op = verb_op(verb, line) if verb in VERBS else OPS[verb](line, actor)
        return answer(self._cloud.submit(self._cloud.command(actor, **op)))

    # What the leader and the hosts do by themselves.

    def _schedule(self) -> str:
        with self._cloud.read() as txn:
            placements = place(vms.pending(txn), hosts.list_page(txn))
        op = command_pb2.PlaceVms(placements=placements)
        result = self._cloud.submit(self._cloud.command("system", place_vms=op))
        told = [
            f"vm {decision.vm_id}: "
            + (f"host {decision.host_id}" if decision.HasField("host_id") else decision.reason)
            for decision in placements
        ]
        return "\n".join([answer(result), *told])

    def _report(self, actor: str, line: Line) -> str:
        host_id = int(actor.removeprefix("host/"))
        with self._cloud.read() as txn:
            task = next(tasks.waiting(txn, host_id), None)
        if task is None:
            return "nothing to do"
        ok, detail = line.words[0] == "ok", " ".join(line.words[1:])
        report = agent_pb2.TaskReport(task_id=task.id, ok=ok, detail=detail, epoch=task.epoch)
        op = command_pb2.ReportTask(host_id=host_id, report=report)
        result = self._cloud.submit(self._cloud.command(actor, report_task=op))
        return f"{answer(result)}: {task_name(task)}"

    # Looks.

    def _vm(self, line: Line) -> str:
        with self._cloud.read() as txn:
            vm = vms.get(txn, int(line.words[1]))
        assert vm is not None
        where = f" on host {vm.host_id}" if vm.HasField("host_id") else ""
        error = f" ({vm.error})" if vm.error else ""
        return f"{vm.name} {vm.nics[0].ip} {lifecycle.name_of(vm)}{where}{error}"

    def _host(self, line: Line) -> str:
        with self._cloud.read() as txn:
            host = hosts.get(txn, int(line.words[1]))
        assert host is not None
        used = f"{host.vcpu_used} vcpu, {host.memory_used_mib} of {host.capacity.memory_mib} MiB"
        return f"{host.name} {capacity.state_name(host)} {used}"

    def _tasks(self, line: Line) -> str:
        with self._cloud.read() as txn:
            lines = [f"host {task.host_id}: {task_name(task)}" for task in tasks.waiting(txn)]
        return "\n".join(lines) or "none"

    def _events(self, line: Line) -> str:
        """Those since the last look."""
        with self._cloud.read() as txn:
            page, self._event_mark = events.page_after(txn, self._event_mark, 10_000)
        lines = [f"{e.actor} {e.kind} {e.object_id} {e.detail}".rstrip() for e in page]
        return "\n".join(lines) or "none"

    def _wait(self, line: Line) -> str:
        self._cloud.cluster.run(float(line.words[1]))
        return "ok"

    def _trouble(self, make: Callable[[], None]) -> str:
        make()
        return "ok"


def answer(result: Result) -> str:
    return f"{result.code}: {result.detail}" if result.code else "ok"


def task_name(task: agent_pb2.Task) -> str:
    kind = agent_pb2.TaskKind.Name(task.kind).removeprefix("TASK_KIND_")
    return f"task {task.id} {kind} vm {task.vm_id}"


def verb_op(verb: str, line: Line) -> dict[str, Any]:
    request = getattr(vm_pb2, f"{verb.capitalize()}VmRequest")(id=int(line.words[0]))
    return {f"{verb}_vm": request}


def cluster_op(line: Line, actor: str) -> dict[str, Any]:
    name, cidr = line.words
    network = cluster_pb2.Network(bridge="br0", cidr=cidr)
    cluster = cluster_pb2.Cluster(name=name, network=network)
    return {"create_cluster": cluster_pb2.CreateClusterRequest(cluster=cluster)}


def token_op(line: Line, actor: str) -> dict[str, Any]:
    request = token_pb2.CreateTokenRequest(
        kind=token_pb2.TOKEN_KIND_JOIN, ttl_seconds=line.number("ttl", 0)
    )
    return {
        "issue_token": command_pb2.IssueToken(request=request, secret_sha256=digest(line.words[0]))
    }


def join_op(line: Line, actor: str) -> dict[str, Any]:
    name = line.words[0]
    return {
        "enroll_host": command_pb2.EnrollHost(
            name=name,
            token_sha256=digest(line.options["token"]),
            key_sha256=digest(line.options.get("key", name)),
            certificate_sha256=digest(name),
        )
    }


def inventory_op(line: Line, actor: str) -> dict[str, Any]:
    """Options that are numbers are guests: 0=ON."""
    guests = [
        agent_pb2.Guest(vm_id=int(vm_id), epoch=1, power=power_of(power))
        for vm_id, power in line.options.items()
        if vm_id.isdigit()
    ]
    return {
        "report_host": command_pb2.ReportHost(
            host_id=int(actor.removeprefix("host/")),
            agent_version="1",
            capacity=host_pb2.HostCapacity(
                vcpu=line.number("vcpu", 2), memory_mib=line.number("memory", 1024)
            ),
            guests=guests,
        )
    }


def guest_op(line: Line, actor: str) -> dict[str, Any]:
    vm_id, power = line.words
    event = agent_pb2.GuestEvent(vm_id=int(vm_id), epoch=1, power=power_of(power))
    host_id = int(actor.removeprefix("host/"))
    return {"report_guest": command_pb2.ReportGuest(host_id=host_id, event=event)}


def power_of(name: str) -> agent_pb2.GuestPower:
    return agent_pb2.GuestPower.Value(f"GUEST_POWER_{name}")


def mark_op(line: Line, actor: str) -> dict[str, Any]:
    host_id, state, *detail = line.words
    return {
        "mark_host": command_pb2.MarkHost(
            host_id=int(host_id),
            state=host_pb2.HostState.Value(f"HOST_STATE_{state}"),
            detail=" ".join(detail),
        )
    }


def image_op(line: Line, actor: str) -> dict[str, Any]:
    name = line.words[0]
    return {
        "register_image": command_pb2.RegisterImage(
            name=name,
            format=image_pb2.IMAGE_FORMAT_QCOW2,
            size_bytes=GIB,
            virtual_size_bytes=GIB,
            sha256=digest(name),
            replica_id="1",
            copies_wanted=line.number("copies", 1),
        )
    }


def copy_op(line: Line, actor: str) -> dict[str, Any]:
    return {
        "add_image_copy": command_pb2.AddImageCopy(
            image_id=int(line.words[0]),
            replica_id=line.options["replica"],
            sha256=digest(line.options["content"]),
            format=image_pb2.IMAGE_FORMAT_QCOW2,
            size_bytes=GIB,
            virtual_size_bytes=GIB,
        )
    }


def template_op(line: Line, actor: str) -> dict[str, Any]:
    disks = []
    if "image" in line.options:
        disks.append(template_pb2.TemplateDisk(image_id=line.number("image", 0)))
    template = template_pb2.Template(
        name=line.words[0],
        vcpu=line.number("vcpu", 1),
        memory_mib=line.number("memory", 512),
        disks=disks,
    )
    return {"create_template": template_pb2.CreateTemplateRequest(template=template)}


def create_op(line: Line, actor: str) -> dict[str, Any]:
    request = vm_pb2.CreateVmRequest(
        name=line.words[0] if line.words else "", template_id=line.number("template", 0)
    )
    return {"create_vm": request}


def drop_op(line: Line, actor: str) -> dict[str, Any]:
    """For instance: root drop host 0."""
    noun, object_id = line.words
    modules: dict[str, Any] = {
        "cluster": cluster_pb2,
        "host": host_pb2,
        "image": image_pb2,
        "template": template_pb2,
    }
    request = getattr(modules[noun], f"Delete{noun.capitalize()}Request")(id=int(object_id))
    return {f"delete_{noun}": request}


OPS: dict[str, Callable[[Line, str], dict[str, Any]]] = {
    "cluster": cluster_op,
    "token": token_op,
    "join": join_op,
    "inventory": inventory_op,
    "guest": guest_op,
    "mark": mark_op,
    "image": image_op,
    "copy": copy_op,
    "template": template_op,
    "create": create_op,
    "drop": drop_op,
}
