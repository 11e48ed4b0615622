"""Counters of the API that cost next to nothing per call; put into words when they are scraped."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from raft.interfaces import Role, Stats, Status

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


@dataclass(slots=True)
class MethodStats:
    """What one method did since the start. Belongs to the event loop; read from any thread."""

    codes: dict[str, int] = field(default_factory=dict)
    """Calls by the reason they ended with; ok for success."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    """Calls by duration, each in the first bucket of BUCKETS_S that holds it, or in the last."""

    seconds: float = 0.0

    def observe(self, code: str, seconds: float) -> None:
        codes = self.codes
        codes[code] = codes.get(code, 0) + 1
        self.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self.seconds += seconds


class ApiStats:
    """One MethodStats a method, by ``/skyraft.v1.Service/Method``."""

    def __init__(self) -> None:
        self.methods: dict[str, MethodStats] = {}

    def of(self, path: str) -> MethodStats:
        return self.methods.setdefault(path, MethodStats())


class Exposition(Collector):
    """What Prometheus scrapes. Runs on the endpoint's thread and only reads."""

    def __init__(self, api: ApiStats, status: Callable[[], Status], raft: Stats) -> None:
        self._api, self._status, self._raft = api, status, raft

    def collect(self) -> Iterator[Metric]:
        yield from self._calls()
        yield from self._replication()

    def _calls(self) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "skyraft_api_calls", "Finished calls.", labels=["method", "reason"]
        )
        seconds = HistogramMetricFamily(
            "skyraft_api_seconds", "Duration of calls; streams count whole.", labels=["method"]
        )
        for path, stats in list(self._api.methods.items()):
            method = path.rpartition(".")[2]
            for reason, count in list(stats.codes.items()):
                calls.add_metric([method, reason], count)
            if any(stats.buckets):
                seconds.add_metric([method], _cumulative(stats.buckets), stats.seconds)
        yield calls
        yield seconds

    def _replication(self) -> Iterator[Metric]:
        status = self._status()
        gauges = {
            "skyraft_raft_term": ("Current term.", status.term),
            "skyraft_raft_last_index": ("Last index of the log.", status.last_index),
            "skyraft_raft_commit_index": ("Committed index.", status.commit_index),
            "skyraft_raft_applied_index": ("Applied index.", status.applied_index),
            "skyraft_raft_leader": ("1 while this replica leads.", status.role is Role.LEADER),
            "skyraft_raft_halted": ("1 once it has stopped itself.", bool(status.halted)),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value=float(value))
        for each in fields(Stats):
            total = float(getattr(self._raft, each.name))
            yield CounterMetricFamily(f"skyraft_raft_{each.name}", "Since the start.", value=total)


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    bounds = [*(str(bound) for bound in BUCKETS_S), "+Inf"]
    return list(zip(bounds, map(float, accumulate(buckets)), strict=True))
