"""Tables of virtual machines: id -> Vm, and indexes by host, image, owner, waiting, not done.

A VM in DONE stays in `vms` and `vms_by_owner` and leaves the other indexes, so what is listed by
default costs nothing for VMs of the past.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from frontend.state.keys import LAST_ID, pack_id, pack_pair, pack_text, pack_text_id, unpack_id
from frontend.state.rows import Rows
from frontend.state.store import ReadTxn, Txn
from protos.v1.vm_pb2 import Vm

_ROWS = Rows("vms", Vm.FromString)

get = _ROWS.get
put = _ROWS.put


def insert(txn: Txn, vm: Vm) -> bytes:
    """A new VM that waits for a host."""
    key = pack_id(vm.id)
    txn.put("vms_live", key, b"")
    txn.put("vms_pending", key, b"")
    by_owner = pack_text_id(vm.owner, vm.id)
    txn.put("vms_by_owner", by_owner, b"")
    txn.put("vms_live_by_owner", by_owner, b"")
    for disk in vm.disks:
        txn.put("vms_by_image", pack_pair(disk.image_id, vm.id), b"")
    return put(txn, vm)


def index_placed(txn: Txn, vm: Vm) -> None:
    """The VM waits no more: it belongs to `vm.host_id`."""
    txn.delete("vms_pending", pack_id(vm.id))
    txn.put("vms_by_host", pack_pair(vm.host_id, vm.id), b"")


def index_done(txn: Txn, vm: Vm) -> None:
    """The VM is gone from its host and uses nothing any more."""
    key = pack_id(vm.id)
    txn.delete("vms_live", key)
    txn.delete("vms_live_by_owner", pack_text_id(vm.owner, vm.id))
    txn.delete("vms_pending", key)
    if vm.HasField("host_id"):
        txn.delete("vms_by_host", pack_pair(vm.host_id, vm.id))
    for disk in vm.disks:
        txn.delete("vms_by_image", pack_pair(disk.image_id, vm.id))


def list_page(
    txn: ReadTxn,
    after: int = -1,
    limit: int = 100,
    *,
    owner: str = "",
    include_done: bool = False,
) -> list[Vm]:
    """Up to *limit* VMs with an id above *after*, by id. *owner* empty: everybody's."""
    if after >= LAST_ID:
        return []
    start = pack_id(after + 1)
    if owner:
        prefix = pack_text(owner) + b"\0"
        index = "vms_by_owner" if include_done else "vms_live_by_owner"
        rows = txn.scan(index, prefix + start, prefix)
        return [_existing(txn, key[-8:]) for key, _ in islice(rows, limit)]
    if include_done:
        return _ROWS.list_page(txn, after, limit)
    return [_existing(txn, key) for key, _ in islice(txn.scan("vms_live", start), limit)]


def pending(txn: ReadTxn, limit: int = 1000) -> list[Vm]:
    """VMs that wait for a host, oldest first."""
    return [_existing(txn, key) for key, _ in islice(txn.scan("vms_pending"), limit)]


def on_host(txn: ReadTxn, host_id: int) -> Iterator[Vm]:
    """VMs placed on the host and not done, by id."""
    for key, _ in txn.scan("vms_by_host", prefix=pack_id(host_id)):
        yield _existing(txn, key[8:])


def ids_of_image(txn: ReadTxn, image_id: int) -> Iterator[int]:
    """Ids of the VMs with a disk made from the image, by id."""
    for key, _ in txn.scan("vms_by_image", prefix=pack_id(image_id)):
        yield unpack_id(key[8:])


def _existing(txn: ReadTxn, key: bytes) -> Vm:
    row = txn.get("vms", key)
    assert row is not None, f"an index names VM {unpack_id(key)}, which does not exist"
    return Vm.FromString(row)
