"""What the commands on images do to the state."""

from __future__ import annotations

from frontend.commands import access, edits, validation
from frontend.commands.validation import invalid
from frontend.errors import Rejected
from frontend.state import counters, events, images, vms
from frontend.state.store import Txn
from protos.v1.command_pb2 import AddImageCopy, Command
from protos.v1.image_pb2 import (
    IMAGE_FORMAT_UNSPECIFIED,
    IMAGE_STATE_ERROR,
    IMAGE_STATE_LOCKED,
    IMAGE_STATE_READY,
    IMAGE_STATE_USED,
    Image,
    ImageState,
)

_ALLOWED = ("name", "description", "labels")
_NAME = edits.NAMES["image"]
USABLE = frozenset({IMAGE_STATE_READY, IMAGE_STATE_USED})


def state_name(image: Image) -> str:
    return ImageState.Name(image.state).removeprefix("IMAGE_STATE_")


def register(txn: Txn, cmd: Command, index: int) -> bytes:
    op = cmd.register_image
    image = Image(
        name=op.name,
        description=op.description,
        format=op.format,
        size_bytes=op.size_bytes,
        virtual_size_bytes=op.virtual_size_bytes,
        sha256=op.sha256,
        owner=cmd.actor,
        labels=op.labels,
        copies_wanted=max(op.copies_wanted, 1),
        state=IMAGE_STATE_LOCKED,
        revision=index,
        create_time_ms=cmd.at_ms,
    )
    _check(image)
    if op.sha256 or op.replica_id:
        _check_content(op.sha256, op.replica_id, op.format, op.virtual_size_bytes)
        image.replica_ids.append(op.replica_id)
    edits.claim_name(txn, "image", image.name)

    image.id = counters.take(txn, "image")
    _NAME.put(txn, image.name, image.id)
    events.append(txn, cmd, index, "image.created", "image", image.id, image.name)
    _unlock(txn, cmd, index, image)
    return images.put(txn, image)


def add_copy(txn: Txn, cmd: Command, index: int) -> bytes:
    """A replica has verified its copy. Hearing it again changes nothing."""
    access.require_internal(cmd)
    op: AddImageCopy = cmd.add_image_copy
    image = access.existing(images.get(txn, op.image_id), "image", op.image_id, "image_id")
    _check_content(op.sha256, op.replica_id, op.format, op.virtual_size_bytes)
    if image.state == IMAGE_STATE_ERROR:
        raise Rejected("wrong_state", f"image {image.id} is in ERROR: {image.error}")
    if image.sha256 and image.sha256 != op.sha256:
        raise invalid("sha256", f"image {image.id} has {image.sha256}, the copy has {op.sha256}")
    if op.replica_id in image.replica_ids:
        return images.put(txn, image)

    if not image.sha256:
        image.sha256, image.format = op.sha256, op.format
        image.size_bytes, image.virtual_size_bytes = op.size_bytes, op.virtual_size_bytes
    image.replica_ids.append(op.replica_id)
    image.revision = index
    events.append(txn, cmd, index, "image.copied", "image", image.id, f"replica {op.replica_id}")
    _unlock(txn, cmd, index, image)
    return images.put(txn, image)


def fail(txn: Txn, cmd: Command, index: int) -> bytes:
    """An import by URL came to nothing. An image that VMs may use already is left alone."""
    access.require_internal(cmd)
    op = cmd.fail_image
    image = access.existing(images.get(txn, op.image_id), "image", op.image_id, "image_id")
    if image.state != IMAGE_STATE_LOCKED:
        raise Rejected("wrong_state", f"image {image.id} is {state_name(image)}, not LOCKED")
    image.error = validation.cleaned(op.error) or "the import failed"
    _move(txn, cmd, index, image, IMAGE_STATE_ERROR, image.error)
    return images.put(txn, image)


def update(txn: Txn, cmd: Command, index: int) -> bytes:
    request = cmd.update_image
    new = request.image
    image = access.changeable(cmd, images.get(txn, new.id), "image", new.id)
    access.expect_revision(image, "image", request.expected_revision)
    paths = edits.checked_mask(request.update_mask, _ALLOWED, Image)
    old_name = image.name
    edits.take_over(image, new, paths)
    _check(image)
    edits.rename(txn, "image", image.id, old_name, image.name)

    image.revision = index
    events.append(txn, cmd, index, "image.updated", "image", image.id, ", ".join(paths))
    return images.put(txn, image)


def delete(txn: Txn, cmd: Command, index: int) -> bytes:
    request = cmd.delete_image
    image = access.changeable(cmd, images.get(txn, request.id), "image", request.id)
    access.expect_revision(image, "image", request.expected_revision)
    if image.vm_count:
        user = next(vms.ids_of_image(txn, image.id))
        raise Rejected(
            "in_use", f"image {image.id} is used by {image.vm_count} VMs, for instance {user}"
        )
    images.delete(txn, image.id)
    _NAME.delete(txn, image.name)
    events.append(txn, cmd, index, "image.deleted", "image", image.id, image.name)
    return b""


def count_use(txn: Txn, cmd: Command, index: int, image: Image, change: int) -> None:
    """VMs began (+) or ceased (-) to use *image*; stores it.

    The count is derived, so it changes the revision only together with the state.
    """
    image.vm_count += change
    state = IMAGE_STATE_USED if image.vm_count else IMAGE_STATE_READY
    if state != image.state:
        _move(txn, cmd, index, image, state)
    images.put(txn, image)


def _unlock(txn: Txn, cmd: Command, index: int, image: Image) -> None:
    if image.state == IMAGE_STATE_LOCKED and len(image.replica_ids) >= image.copies_wanted:
        _move(txn, cmd, index, image, IMAGE_STATE_READY)


def _move(
    txn: Txn, cmd: Command, index: int, image: Image, state: ImageState, why: str = ""
) -> None:
    old = state_name(image)
    image.state, image.revision = state, index
    detail = f"{old} -> {state_name(image)}" + (f": {why}" if why else "")
    events.append(txn, cmd, index, "image.state", "image", image.id, detail)


def _check(image: Image) -> None:
    validation.object_name(image.name)
    validation.description(image.description)
    validation.labels(image.labels)


def _check_content(sha256: str, replica_id: str, kind: int, virtual_size_bytes: int) -> None:
    validation.sha256(sha256, "sha256")
    validation.name(replica_id, "replica_id")
    if kind == IMAGE_FORMAT_UNSPECIFIED:
        raise invalid("format", "must be RAW or QCOW2")
    if not 0 < virtual_size_bytes <= validation.DISK_BYTES_MAX:
        raise invalid("virtual_size_bytes", f"must be 1 to {validation.DISK_BYTES_MAX}")
