"""What the demo tells people to type does what it says."""

from __future__ import annotations

import os

import pytest

from bench.demo import stop_command


@pytest.mark.parametrize(
    ("user", "environment", "command"),
    [
        (1000, {}, "./dev demo --stop"),
        (0, {}, "./dev demo --stop"),
        (0, {"SUDO_UID": "1000"}, "sudo ./dev demo --stop"),
    ],
)
def test_kept_demo_is_ended_by_the_user_whose_it_is(
    monkeypatch: pytest.MonkeyPatch, user: int, environment: dict[str, str], command: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert stop_command(environment) == command
