"""What an operator may tune in one replica's Raft engine; checked once, when it is made."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftSettings:
    cluster_id: str
    """Recorded in the journal and in every frame; another cluster's are refused."""

    replica_id: str
    """This replica."""

    peers: tuple[str, ...] = ()
    """The other voters, without this replica."""

    election_timeout_min_s: float = 0.4
    """A follower that heard a leader within this time grants nobody a vote."""

    election_timeout_max_s: float = 0.8
    """A follower that hears nothing stands after a random time between the two; a leader that
    hears no majority this long steps down."""

    heartbeat_s: float = 0.1
    """How often an idle leader lets itself be heard. At most a third of the minimum timeout."""

    lost_link_min_s: float = 0.02
    lost_link_max_s: float = 0.1
    """When the link to the leader closes, its process is likely dead: stand after a random time
    between these instead of the election timeout. A live leader's other followers say no."""

    proposal_deadline_s: float = 5.0
    """A proposal without an outcome after this long is answered `applied=False`."""

    read_deadline_s: float = 5.0
    """A read barrier without a result after this long is answered 0."""

    transfer_deadline_s: float = 2.0
    """A leader that handed over and sees no successor after this long takes proposals again."""

    state_commit_s: float = 0.02
    """Applied state that no reader waits for may stay uncommitted this long, to share the
    next log flush. The log itself is always synced before it is acknowledged."""

    commit_notice_s: float = 0.01
    """A follower nobody waits on learns of a new commit index at most this much later."""

    max_entry_bytes: int = 4 * MIB
    """A larger proposal is refused."""

    max_append_bytes: int = MIB
    """One append or forward frame carries about this much, and always at least one entry."""

    max_queued_bytes: int = 64 * MIB
    """Proposals waiting for a leader beyond this are refused."""

    apply_burst_s: float = 0.05
    """A replica that catches up returns to its links at least this often."""

    def __post_init__(self) -> None:
        if not self.cluster_id or not self.replica_id:
            raise ValueError("raft settings: cluster_id and replica_id must not be empty")
        if self.replica_id in self.peers or len(set(self.peers)) != len(self.peers):
            raise ValueError(f"raft settings: peers {self.peers} must be distinct, without self")
        if not 0 < 3 * self.heartbeat_s < self.election_timeout_min_s + 1e-9:
            raise ValueError("raft settings: election_timeout_min_s must exceed 3 x heartbeat_s")
        if not self.election_timeout_min_s < self.election_timeout_max_s:
            raise ValueError("raft settings: election_timeout_min_s must be below the maximum")
        if not 0 <= self.lost_link_min_s <= self.lost_link_max_s <= self.election_timeout_max_s:
            raise ValueError("raft settings: lost_link_min_s..lost_link_max_s is not a range")
        if self.max_entry_bytes < 1 or self.max_append_bytes < 1:
            raise ValueError("raft settings: byte limits must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    map_size_bytes: int = 64 << 30
    """Upper bound of the LMDB file (log and state). Address space only: the file is sparse."""

    sync: bool = True
    """False only in the simulator: every process there dies inside this one, and power loss is
    modelled by aborting the transaction."""

    cache_entries: int = 8192
    cache_bytes: int = 8 * MIB
    """Tail of the log kept in memory; older entries are read from LMDB when a peer needs them."""
