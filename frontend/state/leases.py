"""Tables of addresses: (cluster, address) -> VM, and the free ranges of each cluster.

A free range is a row (cluster, first address) -> last address. The lowest free address is found
without looking at the leases, and freed addresses merge with their neighbours. Addresses are IPv4
addresses as integers.
"""

from __future__ import annotations

from collections.abc import Iterator

from frontend.state.keys import pack_id, pack_lease, unpack_id, unpack_lease
from frontend.state.store import ReadTxn, Txn


def take_lowest(txn: Txn, cluster_id: int, vm_id: int) -> int | None:
    """Lease the lowest free address to the VM. None: all are taken."""
    for key, row in txn.scan("leases_free", prefix=pack_id(cluster_id)):
        address, last = unpack_lease(key)[1], int.from_bytes(row, "big")
        txn.delete("leases_free", key)
        if address < last:
            _put_range(txn, cluster_id, address + 1, last)
        txn.put("leases", pack_lease(cluster_id, address), pack_id(vm_id))
        return address
    return None


def free(txn: Txn, cluster_id: int, address: int, *, reusable: bool = True) -> None:
    """End a lease. Not *reusable*: the cluster's range has moved away from the address."""
    txn.delete("leases", pack_lease(cluster_id, address))
    if not reusable:
        return
    first = last = address
    following = pack_lease(cluster_id, address + 1)
    row = txn.get("leases_free", following)
    if row is not None:
        last = int.from_bytes(row, "big")
        txn.delete("leases_free", following)
    back = txn.scan_back("leases_free", pack_lease(cluster_id, address), pack_id(cluster_id))
    for key, row in back:
        if int.from_bytes(row, "big") == address - 1:
            first = unpack_lease(key)[1]
        break
    _put_range(txn, cluster_id, first, last)


def held(txn: ReadTxn, cluster_id: int) -> Iterator[tuple[int, int]]:
    """(address, VM id) of the cluster's leases, by address."""
    for key, row in txn.scan("leases", prefix=pack_id(cluster_id)):
        yield unpack_lease(key)[1], unpack_id(row)


def set_ranges(txn: Txn, cluster_id: int, first: int, last: int, reserved: set[int]) -> None:
    """What may be leased from now on: *first* to *last* but for *reserved*. Leases stay."""
    for key, _ in txn.scan("leases_free", prefix=pack_id(cluster_id)):
        txn.delete("leases_free", key)
    taken = {address for address, _ in held(txn, cluster_id)} | reserved
    start = first
    for address in sorted(taken):
        if first <= address <= last:
            if start < address:
                _put_range(txn, cluster_id, start, address - 1)
            start = address + 1
    if start <= last:
        _put_range(txn, cluster_id, start, last)


def delete_ranges(txn: Txn, cluster_id: int) -> None:
    for key, _ in txn.scan("leases_free", prefix=pack_id(cluster_id)):
        txn.delete("leases_free", key)


def _put_range(txn: Txn, cluster_id: int, first: int, last: int) -> None:
    txn.put("leases_free", pack_lease(cluster_id, first), last.to_bytes(4, "big"))
