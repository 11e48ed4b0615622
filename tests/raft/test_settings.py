"""Settings that would make elections unsafe or endless are refused."""

from __future__ import annotations

from typing import Any

import pytest

from raft.settings import RaftSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"cluster_id": ""},
        {"replica_id": ""},
        {"peers": ("1", "2")},
        {"peers": ("2", "2")},
        {"heartbeat_s": 0.2},
        {"heartbeat_s": 0.0},
        {"election_timeout_max_s": 0.4},
        {"lost_link_min_s": 0.2, "lost_link_max_s": 0.1},
        {"max_entry_bytes": 0},
    ],
)
def test_unusable_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="raft settings: "):
        RaftSettings(**{"cluster_id": "c", "replica_id": "1", "peers": ("2", "3"), **wrong})


def test_defaults_are_usable() -> None:
    assert RaftSettings(cluster_id="c", replica_id="1").peers == ()
