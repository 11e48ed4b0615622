"""What the commands on clusters do to the state."""

from __future__ import annotations

from ipaddress import IPv4Address

from frontend.commands import access, edits, validation
from frontend.errors import Rejected
from frontend.state import clusters, counters, events, hosts, leases
from frontend.state.store import Txn
from protos.v1.cluster_pb2 import Cluster, Network
from protos.v1.command_pb2 import Command

_ALLOWED = ("name", "description", "labels", "network")
_NAME = edits.NAMES["cluster"]


def create(txn: Txn, cmd: Command, index: int) -> bytes:
    access.require_admin(cmd)
    cluster = cmd.create_cluster.cluster
    cluster.network.CopyFrom(_checked(cluster))
    edits.claim_name(txn, "cluster", cluster.name)

    cluster.id = counters.take(txn, "cluster")
    cluster.revision, cluster.create_time_ms = index, cmd.at_ms
    _offer_addresses(txn, cluster)
    _NAME.put(txn, cluster.name, cluster.id)
    events.append(txn, cmd, index, "cluster.created", "cluster", cluster.id, cluster.name)
    return clusters.put(txn, cluster)


def update(txn: Txn, cmd: Command, index: int) -> bytes:
    access.require_admin(cmd)
    request = cmd.update_cluster
    new = request.cluster
    cluster = access.existing(clusters.get(txn, new.id), "cluster", new.id)
    access.expect_revision(cluster, "cluster", request.expected_revision)
    paths = edits.checked_mask(request.update_mask, _ALLOWED, Cluster)

    old_name, old_network = cluster.name, Network()
    old_network.CopyFrom(cluster.network)
    edits.take_over(cluster, new, paths)
    cluster.network.CopyFrom(_checked(cluster))
    if "network" in paths:
        _check_leases_survive(txn, cluster, old_network)
        _offer_addresses(txn, cluster)
    edits.rename(txn, "cluster", cluster.id, old_name, cluster.name)

    cluster.revision = index
    events.append(txn, cmd, index, "cluster.updated", "cluster", cluster.id, ", ".join(paths))
    return clusters.put(txn, cluster)


def delete(txn: Txn, cmd: Command, index: int) -> bytes:
    access.require_admin(cmd)
    request = cmd.delete_cluster
    cluster = access.existing(clusters.get(txn, request.id), "cluster", request.id)
    access.expect_revision(cluster, "cluster", request.expected_revision)
    # Every VM that is not done holds an address, so the leases tell whether VMs remain.
    holder = next(leases.held(txn, cluster.id), None)
    if holder is not None:
        raise Rejected("in_use", f"cluster {cluster.id} has VMs, for instance {holder[1]}")
    inside = hosts.list_page(txn, limit=1, keep=lambda host: host.cluster_id == cluster.id)
    if inside:
        raise Rejected("in_use", f"cluster {cluster.id} has hosts, for instance {inside[0].id}")

    clusters.delete(txn, cluster.id)
    leases.delete_ranges(txn, cluster.id)
    _NAME.delete(txn, cluster.name)
    events.append(txn, cmd, index, "cluster.deleted", "cluster", cluster.id, cluster.name)
    return b""


def may_lease(network: Network, address: int) -> bool:
    """Whether an address that is given back belongs to what may be leased now."""
    if not int(IPv4Address(network.first_ip)) <= address <= int(IPv4Address(network.last_ip)):
        return False
    return not network.gateway or address != int(IPv4Address(network.gateway))


def _checked(cluster: Cluster) -> Network:
    validation.object_name(cluster.name)
    validation.description(cluster.description)
    validation.labels(cluster.labels)
    return validation.network(cluster.network)


def _offer_addresses(txn: Txn, cluster: Cluster) -> None:
    network = cluster.network
    first, last = int(IPv4Address(network.first_ip)), int(IPv4Address(network.last_ip))
    reserved = {int(IPv4Address(network.gateway))} if network.gateway else set()
    leases.set_ranges(txn, cluster.id, first, last, reserved)


def _check_leases_survive(txn: Txn, cluster: Cluster, old: Network) -> None:
    """Guests keep the bridge, gateway and prefix that they were made with."""
    new = cluster.network
    if (new.bridge, new.cidr, new.gateway) == (old.bridge, old.cidr, old.gateway):
        return
    holder = next(leases.held(txn, cluster.id), None)
    if holder is not None:
        raise Rejected(
            "in_use",
            f"VM {holder[1]} has an address of cluster {cluster.id}: its bridge, cidr and gateway"
            " may be changed only while no VM uses them",
            "network",
        )
