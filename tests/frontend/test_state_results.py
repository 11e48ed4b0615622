"""Kept results: found by request, forgotten by age."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontend.machine import EXPIRE_EVERY
from frontend.state import results
from protos.v1.cluster_pb2 import DeleteClusterRequest
from tests.frontend.cloud import Cloud


def test_result_is_found_by_a_request_id_of_any_length(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path)
    with cloud.env.begin(write=True) as raw:
        txn = cloud.store.wrap(raw)
        results.put(txn, "r" * 1000, 1, 5, b"one")
        results.put(txn, "r", 2, 6, b"two")
        txn.flush()
        assert results.find(txn, "r" * 1000) == b"one"
        assert results.find(txn, "r") == b"two"
        assert results.find(txn, "s") is None


def test_old_results_are_forgotten_in_step_with_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "KEPT", 100)
    monkeypatch.setattr(results, "KEPT_MS", 0)
    cloud = Cloud(tmp_path)
    op = {"delete_cluster": DeleteClusterRequest(id=7)}
    for number in range(2 * EXPIRE_EVERY):
        cloud.now_ms += 1
        cloud.apply(cloud.command(request_id=f"r{number}", **op))
    with cloud.read() as txn:
        assert results.find(txn, f"r{2 * EXPIRE_EVERY - 1}") is not None
        assert results.find(txn, f"r{2 * EXPIRE_EVERY - 100}") is not None
        assert results.find(txn, f"r{2 * EXPIRE_EVERY - 102}") is None
        assert len(list(txn.scan("results"))) == 100
        assert len(list(txn.scan("results_by_request"))) == 100


@pytest.mark.parametrize(
    ("apart_ms", "kept_max", "left"),
    [(0, 10**6, 2 * EXPIRE_EVERY), (10_000, 10**6, 100), (0, 150, 150)],
)
def test_young_results_are_kept_however_fast_the_log_grows_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart_ms: int, kept_max: int, left: int
) -> None:
    """A client that asks again within its deadline must find its answer."""
    monkeypatch.setattr(results, "KEPT", 100)
    monkeypatch.setattr(results, "KEPT_MAX", kept_max)
    cloud = Cloud(tmp_path)
    for number in range(2 * EXPIRE_EVERY):
        cloud.now_ms += apart_ms
        op = {"delete_cluster": DeleteClusterRequest(id=7)}
        cloud.apply(cloud.command(request_id=f"r{number}", **op))
    with cloud.read() as txn:
        assert len(list(txn.scan("results"))) == left
        assert len(list(txn.scan("results_by_request"))) == left
