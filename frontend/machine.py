"""The deterministic core: one committed log entry in, one state change out, exactly once."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import lmdb
from google.protobuf.message import DecodeError

from frontend.commands import (
    cluster,
    event,
    host,
    image,
    report,
    template,
    token,
    validation,
    vm,
    vm_actions,
)
from frontend.errors import LogCorrupt, Rejected
from frontend.state import events, results
from frontend.state.store import Store, Txn
from protos.v1.command_pb2 import Command, EnrollHost, RegisterImage, Result

Handler = Callable[[Txn, Command, int], bytes]
"""Changes the state, returns the serialized payload of the result, or raises Rejected."""

HANDLERS: dict[str, Handler] = {
    "create_cluster": cluster.create,
    "update_cluster": cluster.update,
    "delete_cluster": cluster.delete,
    "enroll_host": host.enroll,
    "report_host": host.report_host,
    "mark_host": host.mark,
    "update_host": host.update,
    "delete_host": host.delete,
    "register_image": image.register,
    "add_image_copy": image.add_copy,
    "fail_image": image.fail,
    "update_image": image.update,
    "delete_image": image.delete,
    "create_template": template.create,
    "update_template": template.update,
    "delete_template": template.delete,
    "create_vm": vm.create,
    "place_vms": vm.place,
    "update_vm": vm.update,
    "delete_vm": vm_actions.delete,
    "poweroff_vm": vm_actions.poweroff,
    "resume_vm": vm_actions.resume,
    "suspend_vm": vm_actions.suspend,
    "reboot_vm": vm_actions.reboot,
    "terminate_vm": vm_actions.terminate,
    "recover_vm": vm_actions.recover,
    "report_task": report.task,
    "report_guest": report.guest,
    "issue_token": token.issue,
    "revoke_token": token.revoke,
    "record_event": event.record,
}

EXPIRE_EVERY = 256
"""Old results and events go in batches, once in so many log indexes: cheaper than one by one."""


REFUSAL_CHARS_MAX = 1024
"""Refusals quote what was refused, which may be megabytes; results are kept."""


class Machine:
    def __init__(self, store: Store) -> None:
        self._store = store

    def apply(self, raw: lmdb.Transaction, index: int, entry: bytes) -> bytes:
        """Apply *entry*, committed at *index*; returns a serialized Result.

        Writes through *raw*, which the caller commits. The same request again gives the Result it
        had the first time. Raises LogCorrupt for an entry that this build does not understand.
        """
        cmd, op_name = _decode(index, entry)
        txn = self._store.wrap(raw)
        if index % EXPIRE_EVERY == 0:
            results.expire(txn, index, cmd.at_ms)
            events.expire(txn, index)
            txn.flush()
        digest = request_digest(cmd, op_name)
        known = results.find(txn, cmd.request_id)
        if known is not None:
            return _again(known, cmd, digest, index)

        try:
            validation.request_id(cmd.request_id)
            payload = HANDLERS[op_name](txn, cmd, index)
        except Rejected as no:
            txn.discard()
            detail = no.detail[:REFUSAL_CHARS_MAX]
            result = Result(code=no.code, detail=detail, field=no.field, revision=index)
        else:
            result = Result(payload=payload, revision=index)
        result.actor, result.request_sha256 = cmd.actor, digest
        data = result.SerializeToString()
        if cmd.request_id:
            results.put(txn, cmd.request_id, index, cmd.at_ms, data)
        txn.flush()
        return data


def request_digest(cmd: Command, op_name: str) -> bytes:
    """SHA-256 of what the client asked for; what the API adds anew at each try is left out."""
    op = getattr(cmd, op_name)
    if op_name == "issue_token":
        op = op.request
    elif op_name == "enroll_host":
        op = EnrollHost(token_sha256=op.token_sha256, key_sha256=op.key_sha256)
    elif op_name == "register_image":
        whole, op = op, RegisterImage()
        op.CopyFrom(whole)
        # The replica that a retry reached; and how many copies it then found fit.
        op.ClearField("replica_id")
        op.ClearField("copies_wanted")
    digest = sha256(op_name.encode())
    digest.update(op.SerializeToString(deterministic=True))
    return digest.digest()


def _decode(index: int, entry: bytes) -> tuple[Command, str]:
    """The command, if every part of it means something to this build."""
    try:
        cmd = Command.FromString(entry)
    except DecodeError as error:
        raise LogCorrupt(f"entry {index} is no command: {error}") from error
    op_name = cmd.WhichOneof("op")
    if op_name is None:
        raise LogCorrupt(f"entry {index} holds no operation that this build knows")
    size = cmd.ByteSize()
    cmd.DiscardUnknownFields()
    if cmd.ByteSize() != size:
        raise LogCorrupt(f"entry {index}: {op_name} has fields that this build does not know")
    return cmd, op_name


def _again(known: bytes, cmd: Command, digest: bytes, index: int) -> bytes:
    """A request id seen before: a retry gets its result, anything else is refused."""
    first = Result.FromString(known)
    if first.actor == cmd.actor and first.request_sha256 == digest:
        return known
    refused = Result(
        code="request_id_reused",
        detail=f"request id {cmd.request_id} stands for another request: make a new one",
        field="request_id",
        revision=index,
        actor=cmd.actor,
        request_sha256=digest,
    )
    return refused.SerializeToString()
