"""What the commands on hosts do to the state."""

from __future__ import annotations

from frontend.commands import access, capacity, edits, lifecycle, report, validation
from frontend.commands.validation import cleaned, invalid
from frontend.errors import Rejected
from frontend.state import clusters, counters, events, hosts, tasks, tokens, vms
from frontend.state.store import Txn
from protos.v1.agent_pb2 import TASK_KIND_CLEANUP, TASK_STATE_CANCELLED, Guest
from protos.v1.command_pb2 import Command, EnrollHost, ReportHost
from protos.v1.host_pb2 import (
    HOST_STATE_DISABLED,
    HOST_STATE_ERROR,
    HOST_STATE_MONITORED,
    HOST_STATE_OFFLINE,
    HOST_STATE_UNSPECIFIED,
    Host,
    HostState,
)
from protos.v1.token_pb2 import TOKEN_KIND_JOIN, Token
from protos.v1.vm_pb2 import VM_STATE_DONE

UNKNOWN_GUESTS_MAX = 1000
_ALLOWED = ("name", "labels", "state")
_NAME = edits.NAMES["host"]


def enroll(txn: Txn, cmd: Command, index: int) -> bytes:
    """Use up a join token. The token is the credential, whoever the actor is."""
    op = cmd.enroll_host
    for field in ("token_sha256", "certificate_sha256", "key_sha256"):
        validation.sha256(getattr(op, field), field)
    known = hosts.keys.find(txn, op.key_sha256)
    token = _join_token(txn, cmd, op.token_sha256, known)
    if known is not None:
        return _enroll_again(txn, cmd, index, token, known)

    cluster_id = token.cluster_id
    access.existing(clusters.get(txn, cluster_id), "cluster", cluster_id, "token")
    host = _new_host(txn, cmd, index, op, cluster_id)
    _use_up(txn, token, host.id, index)
    events.append(txn, cmd, index, "host.enrolled", "host", host.id, host.name)
    return hosts.put(txn, host)


def report_host(txn: Txn, cmd: Command, index: int) -> bytes:
    """The agent connected, or what it has or runs changed."""
    op = cmd.report_host
    access.require_host(cmd, op.host_id)
    host = access.existing(hosts.get(txn, op.host_id), "host", op.host_id, "host_id")
    if op.session < host.session:
        return b""
    newer_session = op.session > host.session
    host.session = op.session
    before = host.SerializeToString(deterministic=True)
    old_unknown = list(host.unknown_guests)
    host.capacity.CopyFrom(op.capacity)
    host.capacity.hypervisor = cleaned(op.capacity.hypervisor)
    host.capacity.hypervisor_detail = cleaned(op.capacity.hypervisor_detail)
    host.agent_version = cleaned(op.agent_version)
    host.unknown_guests[:] = map(cleaned, op.unknown_guests[:UNKNOWN_GUESTS_MAX])
    host.error = ""
    if host.state != HOST_STATE_DISABLED:
        _move(txn, cmd, index, host, HOST_STATE_MONITORED)
    if host.SerializeToString(deterministic=True) != before:
        host.revision = index
        _tell_change(txn, cmd, index, host, old_unknown)
        hosts.put(txn, host)
    elif newer_session:
        hosts.put(txn, host)
    _compare_guests(txn, cmd, index, op)
    return b""


def mark(txn: Txn, cmd: Command, index: int) -> bytes:
    """The leader's verdict on a host. A disabled host stays disabled, its `error` tells."""
    access.require_internal(cmd)
    op = cmd.mark_host
    host = access.existing(hosts.get(txn, op.host_id), "host", op.host_id, "host_id")
    if op.state not in (HOST_STATE_MONITORED, HOST_STATE_ERROR, HOST_STATE_OFFLINE):
        raise invalid("state", "must be MONITORED, ERROR or OFFLINE")
    if host.state == HOST_STATE_UNSPECIFIED:
        raise Rejected("wrong_state", f"host {host.id} was never seen")
    error = "" if op.state == HOST_STATE_MONITORED else cleaned(op.detail) or "the host is silent"
    if host.state == HOST_STATE_DISABLED:
        if host.error != error:
            host.revision = index
            events.append(txn, cmd, index, "host.error", "host", host.id, error)
    else:
        _move(txn, cmd, index, host, op.state, error)
    host.error = error
    # First, because losing VMs does not touch the host's record.
    data = hosts.put(txn, host)
    if error:
        for vm in list(vms.on_host(txn, host.id)):
            report.lose(txn, cmd, index, vm, f"host {host.id}: {error}")
    return data


def update(txn: Txn, cmd: Command, index: int) -> bytes:
    access.require_admin(cmd)
    request = cmd.update_host
    new = request.host
    host = access.existing(hosts.get(txn, new.id), "host", new.id)
    access.expect_revision(host, "host", request.expected_revision)
    paths = edits.checked_mask(request.update_mask, _ALLOWED, Host)
    old_name = host.name
    edits.take_over(host, new, [path for path in paths if path != "state"])
    validation.name(host.name)
    validation.labels(host.labels)
    edits.rename(txn, "host", host.id, old_name, host.name)
    if "state" in paths:
        _enable_or_disable(txn, cmd, index, host, new.state)

    host.revision = index
    events.append(txn, cmd, index, "host.updated", "host", host.id, ", ".join(paths))
    return hosts.put(txn, host)


def delete(txn: Txn, cmd: Command, index: int) -> bytes:
    access.require_admin(cmd)
    request = cmd.delete_host
    host = access.existing(hosts.get(txn, request.id), "host", request.id)
    access.expect_revision(host, "host", request.expected_revision)
    vm = next(vms.on_host(txn, host.id), None)
    if vm is not None:
        raise Rejected("in_use", f"host {host.id} has VMs, for instance {vm.id}: remove them first")
    for task in list(tasks.waiting(txn, host.id)):
        task.state, task.revision = TASK_STATE_CANCELLED, index
        tasks.finish(txn, task)
    hosts.delete(txn, host.id)
    _NAME.delete(txn, host.name)
    hosts.keys.delete(txn, host.key_sha256)
    events.append(txn, cmd, index, "host.deleted", "host", host.id, host.name)
    return b""


def _join_token(txn: Txn, cmd: Command, sha256: str, known: int | None) -> Token:
    token = tokens.find(txn, sha256)
    if token is None or token.kind != TOKEN_KIND_JOIN:
        raise Rejected("token_unknown", "no such join token: ask an admin for one", "token")
    if token.revoked:
        raise Rejected("token_revoked", f"join token {token.id} was revoked", "token")
    if cmd.at_ms >= token.expire_time_ms:
        raise Rejected("token_expired", f"join token {token.id} expired: make a new one", "token")
    if token.HasField("used_by_host_id") and token.used_by_host_id != known:
        raise Rejected("token_used", f"join token {token.id} was used: make a new one", "token")
    return token


def _enroll_again(txn: Txn, cmd: Command, index: int, token: Token, host_id: int) -> bytes:
    """The same agent, known by its key: it lost the answer or wants a new certificate."""
    host = hosts.get(txn, host_id)
    assert host is not None, f"a key names host {host_id}, which does not exist"
    if host.cluster_id != token.cluster_id:
        raise Rejected(
            "already_exists",
            f"this key is that of host {host.id} in cluster {host.cluster_id}, the token is for"
            f" cluster {token.cluster_id}",
            "token",
        )
    _use_up(txn, token, host.id, index)
    host.certificate_sha256 = cmd.enroll_host.certificate_sha256
    host.revision = index
    events.append(txn, cmd, index, "host.enrolled", "host", host.id, "again, with the same key")
    return hosts.put(txn, host)


def _new_host(txn: Txn, cmd: Command, index: int, op: EnrollHost, cluster_id: int) -> Host:
    if op.name:
        validation.name(op.name)
        edits.claim_name(txn, "host", op.name)
    host = Host(
        id=counters.take(txn, "host"),
        cluster_id=cluster_id,
        state=HOST_STATE_UNSPECIFIED,
        certificate_sha256=op.certificate_sha256,
        key_sha256=op.key_sha256,
        revision=index,
        create_time_ms=cmd.at_ms,
    )
    host.name = op.name or f"host-{host.id}"
    if not op.name:
        edits.claim_name(txn, "host", host.name)
    _NAME.put(txn, host.name, host.id)
    hosts.keys.put(txn, host.key_sha256, host.id)
    return host


def _use_up(txn: Txn, token: Token, host_id: int, index: int) -> None:
    if not token.HasField("used_by_host_id"):
        token.used_by_host_id, token.revision = host_id, index
        tokens.put(txn, token)


def _compare_guests(txn: Txn, cmd: Command, index: int, op: ReportHost) -> None:
    """What the host runs against what it should run."""
    guests = {guest.vm_id: guest for guest in op.guests}
    for vm in list(vms.on_host(txn, op.host_id)):
        guest = guests.pop(vm.id, None)
        if guest is not None and guest.epoch == vm.epoch:
            report.see(txn, cmd, index, vm, guest.epoch, guest.power)
        elif not vm.HasField("task_id"):
            report.lose(txn, cmd, index, vm, f"host {op.host_id} runs it no more")
    for guest in guests.values():
        _remove_leftover(txn, cmd, index, op.host_id, guest)


def _remove_leftover(txn: Txn, cmd: Command, index: int, host_id: int, guest: Guest) -> None:
    """A guest of a VM that is DONE: the host was away when an admin gave it up."""
    vm = vms.get(txn, guest.vm_id)
    if vm is None or vm.state != VM_STATE_DONE or not vm.HasField("host_id"):
        return
    under_way = any(task.vm_id == vm.id for task in tasks.waiting(txn, host_id))
    if vm.host_id == host_id and guest.epoch == vm.epoch and not under_way:
        lifecycle.add_task(txn, cmd, index, vm, TASK_KIND_CLEANUP, hard=True)
        events.append(txn, cmd, index, "host.leftover", "host", host_id, f"VM {vm.id} is DONE")


def _tell_change(txn: Txn, cmd: Command, index: int, host: Host, old_unknown: list[str]) -> None:
    detail = f"{host.capacity.vcpu} vcpu, {host.capacity.memory_mib} MiB"
    if host.capacity.hypervisor:
        detail += f", {host.capacity.hypervisor}"
    events.append(txn, cmd, index, "host.reported", "host", host.id, detail)
    if list(host.unknown_guests) != old_unknown:
        names = ", ".join(host.unknown_guests) or "none"
        events.append(txn, cmd, index, "host.unknown_guests", "host", host.id, names[:1024])


def _enable_or_disable(txn: Txn, cmd: Command, index: int, host: Host, state: HostState) -> None:
    if state == host.state:
        return
    if state == HOST_STATE_DISABLED:
        _move(txn, cmd, index, host, state)
    elif state != HOST_STATE_MONITORED:
        raise invalid("state", "must be MONITORED or DISABLED")
    elif host.state != HOST_STATE_DISABLED:
        raise Rejected(
            "wrong_state",
            f"host {host.id} is {capacity.state_name(host)}: its agent must connect first",
            "state",
        )
    elif not host.agent_version:
        _move(txn, cmd, index, host, HOST_STATE_UNSPECIFIED)
    else:
        _move(txn, cmd, index, host, HOST_STATE_ERROR if host.error else HOST_STATE_MONITORED)


def _move(txn: Txn, cmd: Command, index: int, host: Host, state: HostState, why: str = "") -> None:
    if host.state == state:
        return
    old = capacity.state_name(host)
    host.state, host.revision = state, index
    detail = f"{old} -> {capacity.state_name(host)}" + (f": {why}" if why else "")
    events.append(txn, cmd, index, "host.state", "host", host.id, detail)
