"""The peer of the benches runs, with TLS, and survives the loss of its leader."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from pathlib import Path

import pytest

from bench import etcd
from bench.clusters import EtcdFailover
from frontend.config import ReplicaAddresses, init_cluster
from protos.channel import Credentials

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd-server is not installed"),
]


def test_killed_leader_is_succeeded_and_writes_are_kept(tmp_path: Path) -> None:
    init_cluster(
        tmp_path / "front-end",
        [ReplicaAddresses(id="1", raft="127.0.0.1:1", api="127.0.0.1:2", token="127.0.0.1:3")],
    )
    replica, admin = tmp_path / "front-end" / "replica-1", tmp_path / "front-end" / "admin"
    tls = etcd.ServerTls(
        ca=replica / "ca.crt", certificate=replica / "replica.crt", key=replica / "replica.key"
    )
    credentials = Credentials.load(
        ca=admin / "ca.crt", certificate=admin / "admin.crt", key=admin / "admin.key"
    )

    async def lose_a_leader(cluster: etcd.Etcd) -> Counter[int]:
        subject = EtcdFailover(cluster, credentials)
        first = await subject.ready()
        await subject.write(1, 10)
        subject.kill(first)
        assert await subject.ready() != first
        await subject.write(2, 10)
        subject.restart(first)
        await subject.ready()
        return await subject.stored()

    with etcd.Etcd(tmp_path, tls, heartbeat_ms=50, election_ms=400) as cluster:
        assert asyncio.run(lose_a_leader(cluster)) == Counter({1: 1, 2: 1})
    assert not any(member.running for member in cluster.members)
