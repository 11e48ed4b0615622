"""Three replicas in processes of their own, for drills that share them or break them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.testbed.replicas import Replicas
from tests.drills.callers import Callers


@pytest.fixture(scope="module")
def shared_replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """Left as they were found: all three running."""
    with Replicas(tmp_path_factory.mktemp("replicas")) as replicas:
        yield replicas


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[Replicas]:
    """For one drill alone."""
    with Replicas(tmp_path) as started:
        yield started


@pytest.fixture
def callers(replicas: Replicas) -> Iterator[Callers]:
    with Callers(replicas) as made:
        yield made


@pytest.fixture
def shared_callers(shared_replicas: Replicas) -> Iterator[Callers]:
    with Callers(shared_replicas) as made:
        yield made
