"""Removing wires ends: also when what hangs on them does not."""

from __future__ import annotations

import os
import subprocess

import pytest

from bench.testbed import network
from bench.testbed.process import ProcessId

UNKILLABLE = ProcessId(os.getpid(), 0)
"""Not alive by its start time, so kill() leaves it alone, and yet it never goes."""


def test_process_that_cannot_be_killed_is_named_not_waited_for_forever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def processes_in(namespace: str) -> list[ProcessId]:
        asked.append(namespace)
        return [UNKILLABLE]

    monkeypatch.setattr(network, "processes_in", processes_in)
    with pytest.raises(network.NetworkError, match=f"process {os.getpid()}"):
        network._empty("skybed-h1", deadline_s=0.2)
    assert 1 < len(asked) <= 11


def test_processes_are_ended_until_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        identity = ProcessId.of(child.pid)
        assert identity is not None
        monkeypatch.setattr(network, "processes_in", lambda _: [identity] if identity.alive else [])
        network._empty("skybed-h1")
        assert child.wait() == -9
