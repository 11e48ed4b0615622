"""How this replica sees the front-end, in figures and in words."""

from __future__ import annotations

import importlib.metadata
import math
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from frontend.config import ReplicaConfig
from protos.v1 import cluster_pb2 as wire
from raft.halt import FULL_BELOW_BYTES
from raft.interfaces import Role, Status

ROLES = {
    Role.FOLLOWER: wire.REPLICA_ROLE_FOLLOWER,
    Role.CANDIDATE: wire.REPLICA_ROLE_CANDIDATE,
    Role.LEADER: wire.REPLICA_ROLE_LEADER,
    Role.HALTED: wire.REPLICA_ROLE_HALTED,
}

_STARTED = time.monotonic()
_FULL = re.compile(r"ENOSPC|no space|disk (is )?full", re.IGNORECASE)
_MAP_FULL = re.compile(r"MDB_MAP_FULL", re.IGNORECASE)
_MAP_WARNS_FROM = 0.8
_RAISE_MAP = "raise map_size_gib under [limits] in replica.toml and restart"
_LOW_BELOW_BYTES = 256 << 20
_LOW_SHARE, _LOW_SHARE_MAX_BYTES = 0.05, 4 << 30


def describe(config: ReplicaConfig, status: Status) -> wire.GetStatusResponse:
    """The answer of GetStatus. Blocks for about a millisecond."""
    disk = shutil.disk_usage(config.data)
    return wire.GetStatusResponse(
        cluster_id=config.cluster_id,
        replica_id=config.replica_id,
        role=ROLES[status.role],
        term=status.term,
        leader_id=status.leader_id,
        last_index=status.last_index,
        commit_index=status.commit_index,
        applied_index=status.applied_index,
        replicas=[_replica(config, status, each.id) for each in config.replicas],
        disk_free_bytes=disk.free,
        version=version(),
        halted=status.halted,
        verdict=verdict(
            [each.id for each in config.replicas],
            config.replica_id,
            status,
            disk.free,
            map_used(config),
            low_below=low_below(disk.total),
        ),
        private_memory_bytes=private_memory_bytes(),
    )


def _replica(config: ReplicaConfig, status: Status, replica_id: str) -> wire.Replica:
    addresses = next(each for each in config.replicas if each.id == replica_id)
    found = wire.Replica(
        id=replica_id,
        api_address=addresses.api,
        raft_address=addresses.raft,
        token_address=addresses.token,
    )
    if replica_id == config.replica_id:
        found.role, found.connected = ROLES[status.role], True
        found.match_index = status.last_index
        return found
    peer = status.peers.get(replica_id)
    if peer is None:
        return found
    if replica_id == status.leader_id:
        found.role = wire.REPLICA_ROLE_LEADER
    elif peer.connected:
        found.role = wire.REPLICA_ROLE_FOLLOWER
    found.connected, found.match_index = peer.connected, peer.match
    if peer.connected and status.leader_id not in (replica_id, config.replica_id):
        # Followers have a link but say nothing to each other.
        return found
    # Never heard from: not since this process started.
    silent_s = peer.last_contact_s
    silent_s = silent_s if math.isfinite(silent_s) else time.monotonic() - _STARTED
    found.last_contact_ms = max(0, int(silent_s * 1000))
    return found


def map_used(config: ReplicaConfig) -> float:
    """How much of its greatest size the file of log and state has reached, 0 to 1."""
    return (config.data / "data.mdb").stat().st_size / (config.limits.map_size_gib << 30)


def low_below(disk_bytes: int) -> int:
    """Free bytes under which a disk of this size is nearly full."""
    return max(_LOW_BELOW_BYTES, min(int(disk_bytes * _LOW_SHARE), _LOW_SHARE_MAX_BYTES))


def verdict(
    replica_ids: Sequence[str],
    me: str,
    status: Status,
    free_bytes: int,
    map_share: float = 0.0,
    *,
    low_below: int = _LOW_BELOW_BYTES,
) -> str:
    """What an operator needs to know first: does it work, and how much may still break.
    *map_share* is `map_used`."""
    said = _standing(replica_ids, me, status, free_bytes)
    if status.halted:
        return said
    if free_bytes < low_below:
        low = f"disk nearly full: {free_bytes >> 20} MiB free, free space now"
        said = f"{low}; {said.removeprefix('healthy, ')}"
    if map_share < _MAP_WARNS_FROM:
        return said
    return f"{said}; log and state have reached {map_share:.0%} of their bound, {_RAISE_MAP}"


def _standing(replica_ids: Sequence[str], me: str, status: Status, free_bytes: int) -> str:
    if status.halted:
        if _MAP_FULL.search(status.halted):
            return f"halted: log and state have reached their bound, {_RAISE_MAP}"
        if status.halted.startswith("disk full"):
            return f"halted: {status.halted}"
        if free_bytes < FULL_BELOW_BYTES or _FULL.search(status.halted):
            return f"halted: disk full, free space and restart ({status.halted})"
        return f"halted: {status.halted}; restart this replica"
    away = [
        replica_id
        for replica_id in replica_ids
        if replica_id != me
        and not (replica_id in status.peers and status.peers[replica_id].connected)
    ]
    reachable, majority = len(replica_ids) - len(away), len(replica_ids) // 2 + 1
    names = ", ".join(away)
    if reachable < majority:
        return (
            f"no quorum: {reachable} of {len(replica_ids)} replicas reachable from here, "
            f"{majority} needed; start or reconnect {names}"
        )
    if not status.leader_id:
        return "no leader: an election is under way"
    spare = reachable - majority
    can_lose = f"can lose {spare} replica" + ("" if spare == 1 else "s")
    if away:
        return f"degraded: replica {names} is away, {can_lose}"
    return f"healthy, {can_lose}"


def private_memory_bytes() -> int:
    """Anonymous memory of this process. Pages of mapped files (the LMDB state) are the page
    cache's, which the kernel takes back when it needs them, so they are not counted."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    return 0


def version() -> str:
    return importlib.metadata.version("skyraft")
