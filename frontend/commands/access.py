"""Who may touch what, checked once more where the state changes.

The API decides first (frontend/auth); this is the second lock on the same door, and the only one
that knows owners. To everyone but admins the VM of somebody else does not exist. Templates and
images are a catalogue: every user may see and use them, their owners and admins change them.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from frontend.errors import Rejected
from protos.v1.command_pb2 import Command


class Owned(Protocol):
    @property
    def id(self) -> int: ...
    @property
    def owner(self) -> str: ...


class Revised(Protocol):
    @property
    def id(self) -> int: ...
    @property
    def revision(self) -> int: ...


OwnedT = TypeVar("OwnedT", bound=Owned)
RevisedT = TypeVar("RevisedT", bound=Revised)


def is_internal(actor: str) -> bool:
    """The front-end itself, not somebody who asked it."""
    return actor == "system" or actor.startswith("replica/")


def owned(
    cmd: Command, record: OwnedT | None, noun: str, object_id: int, field: str = "id"
) -> OwnedT:
    """*record* if it exists and the actor may see it."""
    if record is None or not (record.owner == cmd.actor or cmd.admin or is_internal(cmd.actor)):
        raise not_found(noun, object_id, field)
    return record


def changeable(cmd: Command, record: OwnedT | None, noun: str, object_id: int) -> OwnedT:
    """*record* of a noun that every user may see and use, if the actor may also change it."""
    if record is None:
        raise not_found(noun, object_id)
    if record.owner != cmd.actor and not cmd.admin and not is_internal(cmd.actor):
        raise Rejected(
            "permission_denied",
            f"{noun} {object_id} belongs to {record.owner}: only its owner or an admin changes it",
            "id",
        )
    return record


def existing(record: RevisedT | None, noun: str, object_id: int, field: str = "id") -> RevisedT:
    if record is None:
        raise not_found(noun, object_id, field)
    return record


def not_found(noun: str, object_id: int, field: str = "id") -> Rejected:
    return Rejected("not_found", f"there is no {noun} {object_id}", field)


def require_admin(cmd: Command) -> None:
    if not (cmd.admin or is_internal(cmd.actor)):
        raise Rejected("permission_denied", f"{cmd.actor} is no admin")


def require_internal(cmd: Command) -> None:
    if not is_internal(cmd.actor):
        raise Rejected("permission_denied", "only the front-end itself does this")


def require_host(cmd: Command, host_id: int) -> None:
    """A host speaks for itself; nobody else but the front-end does."""
    if cmd.actor != f"host/{host_id}" and not is_internal(cmd.actor):
        raise Rejected("permission_denied", f"{cmd.actor} does not speak for host {host_id}")


def expect_revision(record: Revised, noun: str, expected: int) -> None:
    """Refuse when *record* changed since the caller read it. 0: the caller does not mind."""
    if expected and expected != record.revision:
        raise Rejected(
            "revision_mismatch",
            f"{noun} {record.id} is at revision {record.revision}, not {expected}: read it again",
            "expected_revision",
        )
