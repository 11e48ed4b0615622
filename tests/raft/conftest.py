"""One laboratory of three replicas a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.raft.lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(directory=tmp_path)
    made.connect()
    yield made
    made.close()
