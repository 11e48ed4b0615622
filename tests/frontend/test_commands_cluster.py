"""Clusters: complete networks, addresses that survive changes, no deletion under VMs or hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frontend.errors import Rejected
from frontend.state import clusters
from protos.v1.cluster_pb2 import Cluster, CreateClusterRequest, DeleteClusterRequest, Network
from tests.frontend.cloud import Cloud


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path)


def network(**fields: Any) -> Network:
    return Network(**{"bridge": "br0", "cidr": "10.0.0.0/24", **fields})


def test_new_cluster_gets_ids_from_zero_and_a_complete_network(cloud: Cloud) -> None:
    made = cloud.cluster(gateway="10.0.0.1", dns=["10.0.0.1", "2001:db8::53"])
    assert (made.id, made.revision, made.create_time_ms) == (0, 1, cloud.now_ms)
    assert (made.network.first_ip, made.network.last_ip) == ("10.0.0.1", "10.0.0.254")
    assert cloud.cluster("edge").id == 1
    assert cloud.get(clusters, 0) == made
    assert cloud.events()[0] == "cluster.created home"


def test_name_is_taken_once(cloud: Cloud) -> None:
    cloud.cluster()
    request = CreateClusterRequest(cluster=Cluster(name="home", network=network()))
    refusal = cloud.refused("user/root", create_cluster=request)
    assert (refusal.code, refusal.field) == ("already_exists", "name")


def test_name_is_free_again_after_renaming_and_deleting(cloud: Cloud) -> None:
    cloud.cluster("a")
    cloud.update("cluster", ["name"], "user/root", id=0, name="b")
    assert cloud.cluster("a").id == 1
    cloud.run("user/root", delete_cluster=DeleteClusterRequest(id=0))
    assert cloud.cluster("b").id == 2
    with pytest.raises(Rejected, match="already_exists"):
        cloud.update("cluster", ["name"], "user/root", id=2, name="a")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"cidr": "10.0.0.1/24"}, "network.cidr"),
        ({"cidr": "10.0.0.0"}, "network.cidr"),
        ({"cidr": "10.0.0.0/31"}, "network.cidr"),
        ({"cidr": "0.0.0.0/0"}, "network.cidr"),
        ({"cidr": "127.0.0.0/24"}, "network.cidr"),
        ({"cidr": "224.0.0.0/24"}, "network.cidr"),
        ({"cidr": "fd00::/64"}, "network.cidr"),
        ({"cidr": ""}, "network.cidr"),
        ({"gateway": "10.0.1.1"}, "network.gateway"),
        ({"gateway": "10.0.0.255"}, "network.gateway"),
        ({"first_ip": "10.0.0.0"}, "network.first_ip"),
        ({"last_ip": "10.0.0.256"}, "network.last_ip"),
        ({"first_ip": "10.0.0.9", "last_ip": "10.0.0.8"}, "network.last_ip"),
        ({"dns": ["1.1.1.1", "one"]}, "network.dns[1]"),
        ({"dns": ["1.1.1.1"] * 5}, "network.dns[4]"),
        ({"bridge": ""}, "network.bridge"),
        ({"bridge": "br/../0"}, "network.bridge"),
        ({"bridge": "a-name-too-long-"}, "network.bridge"),
    ],
)
def test_impossible_network_is_refused_and_the_field_named(
    cloud: Cloud, fields: dict[str, Any], field: str
) -> None:
    request = CreateClusterRequest(cluster=Cluster(name="home", network=network(**fields)))
    refusal = cloud.refused("user/root", create_cluster=request)
    assert (refusal.code, refusal.field) == ("invalid_argument", field)


def test_users_and_hosts_do_not_change_clusters(cloud: Cloud) -> None:
    cloud.cluster()
    request = CreateClusterRequest(cluster=Cluster(name="mine", network=network()))
    for actor in ("user/ann", "host/0"):
        assert cloud.refused(actor, create_cluster=request).code == "permission_denied"
        update = cloud.update_op("cluster", ["name"], id=0, name="x")
        assert cloud.refused(actor, **update).code == "permission_denied"
        delete = DeleteClusterRequest(id=0)
        assert cloud.refused(actor, delete_cluster=delete).code == "permission_denied"


def test_cluster_with_hosts_or_vms_is_not_deleted(cloud: Cloud) -> None:
    cloud.furnish()
    cloud.cluster("edge")
    delete = DeleteClusterRequest(id=0)
    assert "host" in cloud.refused("user/root", delete_cluster=delete).detail
    cloud.vm()
    refusal = cloud.refused("user/root", delete_cluster=delete)
    assert (refusal.code, "VM" in refusal.detail) == ("in_use", True)
    cloud.run("user/root", delete_cluster=DeleteClusterRequest(id=1))
    assert cloud.get(clusters, 1) is None


def test_network_of_guests_is_not_pulled_away_under_them(cloud: Cloud) -> None:
    cloud.furnish()
    cloud.update("cluster", ["network"], "user/root", id=0, network=network(cidr="10.9.0.0/24"))
    assert cloud.vm().nics[0].ip == "10.9.0.1"
    refusal = cloud.refused(
        "user/root", **cloud.update_op("cluster", ["network"], id=0, network=network())
    )
    assert (refusal.code, refusal.field) == ("in_use", "network")


def test_range_may_move_while_guests_keep_their_addresses(cloud: Cloud) -> None:
    cloud.furnish()
    assert cloud.vm().nics[0].ip == "10.0.0.1"
    moved = network(first_ip="10.0.0.20", last_ip="10.0.0.21")
    cloud.update("cluster", ["network"], "user/root", id=0, network=moved)
    assert [cloud.vm().nics[0].ip for _ in range(2)] == ["10.0.0.20", "10.0.0.21"]
    cloud.act("terminate", 0)
    with pytest.raises(Rejected, match="resource_exhausted"):
        cloud.vm()


def test_unknown_cluster_and_stale_revision_are_refused(cloud: Cloud) -> None:
    made = cloud.cluster()
    update = cloud.update_op("cluster", ["name"], id=5, name="x")
    assert cloud.refused("user/root", **update).code == "not_found"
    update = cloud.update_op("cluster", ["name"], made.revision + 1, id=0, name="x")
    refusal = cloud.refused("user/root", **update)
    assert (refusal.code, refusal.field) == ("revision_mismatch", "expected_revision")
    delete = DeleteClusterRequest(id=0, expected_revision=9)
    assert cloud.refused("user/root", delete_cluster=delete).code == "revision_mismatch"
