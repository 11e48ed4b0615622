"""How every Update command works: the fields that its mask names are taken over, no others."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from frontend.commands.validation import invalid
from frontend.errors import Rejected
from frontend.state import clusters, hosts, images, templates
from frontend.state.rows import Names
from frontend.state.store import ReadTxn, Txn

NAMES: dict[str, Names] = {
    "cluster": clusters.names,
    "host": hosts.names,
    "image": images.names,
    "template": templates.names,
}


def checked_mask(
    mask: FieldMask, allowed: Collection[str], message: type[Message]
) -> Sequence[str]:
    """The fields that *mask* names, each once; refuses it when it names what may not change."""
    paths = mask.paths
    if not paths:
        raise invalid("update_mask", f"names no field; may name {', '.join(sorted(allowed))}")
    for path in paths:
        if path not in allowed:
            known = path in message.DESCRIPTOR.fields_by_name
            detail = f"{path} may not be changed" if known else f"there is no field {path!r}"
            raise invalid("update_mask", detail)
    return list(dict.fromkeys(paths))


def take_over(target: Message, source: Message, paths: Sequence[str]) -> None:
    """Copy the fields *paths* (checked before) from *source*; unset ones are cleared."""
    for path in paths:
        value = getattr(source, path)
        if isinstance(value, (str, int)):
            setattr(target, path, value)
        else:
            target.ClearField(path)
            getattr(target, path).MergeFrom(value)


def claim_name(txn: ReadTxn, noun: str, name: str) -> None:
    """Refuse a name that another object of the noun has."""
    other = NAMES[noun].find(txn, name)
    if other is not None:
        raise Rejected("already_exists", f"{noun} {other} is already called {name!r}", "name")


def rename(txn: Txn, noun: str, object_id: int, old: str, new: str) -> None:
    if old == new:
        return
    claim_name(txn, noun, new)
    NAMES[noun].delete(txn, old)
    NAMES[noun].put(txn, new, object_id)
