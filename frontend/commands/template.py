"""What the commands on templates do to the state."""

from __future__ import annotations

from collections.abc import Callable

from frontend.commands import access, edits, validation
from frontend.commands.validation import invalid
from frontend.state import counters, events, images, templates
from frontend.state.store import ReadTxn, Txn
from protos.v1.command_pb2 import Command
from protos.v1.template_pb2 import Template

Check = Callable[[Template], None]

_CHECKS: dict[str, Check] = {
    "name": lambda new: validation.object_name(new.name),
    "description": lambda new: validation.description(new.description),
    "vcpu": lambda new: validation.size(new.vcpu, 1),
    "memory_mib": lambda new: validation.size(1, new.memory_mib),
    "disks": lambda new: validation.disks(new.disks),
    "context": lambda new: validation.context(new.context),
    "ssh_public_keys": lambda new: validation.ssh_public_keys(new.ssh_public_keys),
    "labels": lambda new: validation.labels(new.labels),
}
_NAME = edits.NAMES["template"]


def create(txn: Txn, cmd: Command, index: int) -> bytes:
    template = cmd.create_template.template
    for check in _CHECKS.values():
        check(template)
    edits.claim_name(txn, "template", template.name)
    _check_images(txn, template)

    template.id = counters.take(txn, "template")
    template.owner = cmd.actor
    template.revision, template.create_time_ms = index, cmd.at_ms
    _NAME.put(txn, template.name, template.id)
    events.append(txn, cmd, index, "template.created", "template", template.id, template.name)
    return templates.put(txn, template)


def update(txn: Txn, cmd: Command, index: int) -> bytes:
    request = cmd.update_template
    new = request.template
    template = access.changeable(cmd, templates.get(txn, new.id), "template", new.id)
    access.expect_revision(template, "template", request.expected_revision)
    paths = edits.checked_mask(request.update_mask, _CHECKS, Template)
    for path in paths:
        _CHECKS[path](new)
    old_name = template.name
    edits.take_over(template, new, paths)
    if "disks" in paths:
        _check_images(txn, template)
    edits.rename(txn, "template", template.id, old_name, template.name)

    template.revision = index
    events.append(txn, cmd, index, "template.updated", "template", template.id, ", ".join(paths))
    return templates.put(txn, template)


def delete(txn: Txn, cmd: Command, index: int) -> bytes:
    request = cmd.delete_template
    template = access.changeable(cmd, templates.get(txn, request.id), "template", request.id)
    access.expect_revision(template, "template", request.expected_revision)
    templates.delete(txn, template.id)
    _NAME.delete(txn, template.name)
    events.append(txn, cmd, index, "template.deleted", "template", template.id, template.name)
    return b""


def _check_images(txn: ReadTxn, template: Template) -> None:
    """Its images exist, and no disk is smaller than its image."""
    for position, disk in enumerate(template.disks):
        field = f"template.disks[{position}]"
        found = images.get(txn, disk.image_id)
        image = access.existing(found, "image", disk.image_id, f"{field}.image_id")
        if disk.size_bytes and disk.size_bytes < image.virtual_size_bytes:
            raise invalid(
                f"{field}.size_bytes",
                f"image {image.id} needs {image.virtual_size_bytes}, {disk.size_bytes} is less",
            )
