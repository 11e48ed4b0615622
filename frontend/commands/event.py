"""The command that records what changed no object."""

from __future__ import annotations

from frontend.commands import access, validation
from frontend.commands.validation import invalid
from frontend.state import events
from frontend.state.store import Txn
from protos.v1.command_pb2 import Command


def record(txn: Txn, cmd: Command, index: int) -> bytes:
    """Details often quote what a stranger sent, so they are cut and cleaned, not refused."""
    access.require_admin(cmd)
    op = cmd.record_event
    validation.name(op.kind, "kind")
    if "." not in op.kind:
        raise invalid("kind", "must look like noun.what")
    validation.name(op.noun, "noun")
    detail = validation.cleaned(op.detail)
    events.append(txn, cmd, index, op.kind, op.noun, op.object_id, detail)
    return b""
