"""The front-end's own state, and clusters."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask

from protos.v1 import cluster_pb2 as wire
from tests.frontend.front_end import FrontEnd, refusal


def test_status_tells_who_leads_and_how_far_it_is(front_end: FrontEnd) -> None:
    status = front_end.status()
    assert (status.cluster_id, status.leader_id) == (front_end.cluster_id, "1")
    assert status.role == wire.REPLICA_ROLE_LEADER
    assert status.last_index >= status.commit_index >= status.applied_index > 0
    assert status.verdict == "healthy, can lose 0 replicas"
    assert 10 << 20 < status.private_memory_bytes < 1 << 30


def test_status_tells_all_addresses_of_each_replica(front_end: FrontEnd) -> None:
    [replica] = front_end.status().replicas
    me = front_end.config.me
    assert (replica.raft_address, replica.api_address) == (me.raft, me.api)
    assert replica.token_address == me.token


def test_leadership_goes_to_no_unknown_replica(front_end: FrontEnd) -> None:
    request = wire.TransferLeadershipRequest(target_id="9")
    failure = refusal(lambda: front_end.admin.clusters.TransferLeadership(request))
    assert (failure.reason, failure.field) == ("not_found", "target_id")


def test_leadership_that_is_here_already_stays(front_end: FrontEnd) -> None:
    request = wire.TransferLeadershipRequest(target_id="1")
    assert front_end.admin.clusters.TransferLeadership(request).leader_id == "1"


def test_cluster_lives_its_life(front_end: FrontEnd) -> None:
    made = front_end.cluster("life")
    clusters = front_end.admin.clusters
    changed = clusters.UpdateCluster(
        wire.UpdateClusterRequest(
            cluster=wire.Cluster(id=made.id, description="edge"),
            update_mask=FieldMask(paths=["description"]),
            expected_revision=made.revision,
        )
    )
    assert clusters.GetCluster(wire.GetClusterRequest(id=made.id)) == changed
    assert changed in clusters.ListClusters(wire.ListClustersRequest()).clusters
    clusters.DeleteCluster(wire.DeleteClusterRequest(id=made.id))
    gone = refusal(lambda: clusters.GetCluster(wire.GetClusterRequest(id=made.id)))
    assert gone.reason == "not_found"


def test_duplicate_name_is_refused(front_end: FrontEnd) -> None:
    front_end.cluster("twin")
    assert refusal(lambda: front_end.cluster("twin")).reason == "already_exists"
