"""Memory is read when it has stopped changing."""

from __future__ import annotations

import asyncio

import pytest

from bench import memory


def settled(monkeypatch: pytest.MonkeyPatch, samples: list[list[float]]) -> list[float]:
    monkeypatch.setattr(memory, "SAMPLE_EVERY_S", 0)
    return asyncio.run(memory.settled(lambda: samples.pop(0)))


def test_sample_counts_once_the_next_one_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [[10.0, 5.0], [30.0, 5.0], [30.1, 9.0], [30.1, 9.1], [99.0, 99.0]]
    assert settled(monkeypatch, samples) == [30.1, 9.1]
    assert samples == [[99.0, 99.0]]


def test_memory_that_never_settles_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SETTLE_S", -1)
    assert settled(monkeypatch, [[10.0], [20.0], [30.0]]) == [20.0]
