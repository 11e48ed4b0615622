"""Turns messages into records: the plain fields that people and programs see alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message

Record = dict[str, Any]

# What the value 0 means where it is a state of its own.
_ZERO_NAMES = {"HostState": "INIT", "LcmState": "LCM_INIT"}


def to_record(message: Message) -> Record:
    """Every field by its name in the .proto file, defaults included.

    Integers stay integers, enums lose their prefix (RUNNING), an optional field that is absent
    is None, so that 0 and "not given" differ.
    """
    return {
        field.name: _field(message, field)
        for field in message.DESCRIPTOR.fields  # in the order of the .proto file
    }


def enum_name(enum: Any, number: int) -> str | None:
    """RUNNING for LCM_STATE_RUNNING; None for an unspecified value that means nothing.

    *enum* is the enum's descriptor."""
    if number == 0:
        return _ZERO_NAMES.get(enum.name)
    value = enum.values_by_number.get(number)
    if value is None:  # a newer replica than this client
        return str(number)
    prefix = str(enum.values_by_number[0].name).removesuffix("UNSPECIFIED")
    return str(value.name).removeprefix(prefix)


def _field(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return dict(sorted(value.items()))
    if field.is_repeated:
        return [_single(item, field) for item in value]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _single(value, field)


def _single(value: Any, field: Any) -> Any:
    if field.message_type is not None:
        return to_record(value)
    if field.enum_type is not None:
        return enum_name(field.enum_type, value)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value
