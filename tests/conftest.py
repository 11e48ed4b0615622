"""Which tests run where: `./dev test` says through the environment what this machine can do."""

from __future__ import annotations

import os

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out tests marked real (no root here), or all others (the part that runs as root)."""
    if os.environ.get("SKYRAFT_WITHOUT_REAL"):
        wanted = [item for item in items if item.get_closest_marker("real") is None]
    elif os.environ.get("SKYRAFT_ONLY_REAL"):
        wanted = [item for item in items if item.get_closest_marker("real") is not None]
    else:
        return
    kept = set(wanted)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = wanted
