"""The engine starts only on the PySyncObj it was written against."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import raft.internals as internals
from raft.internals import Incompatible, Peer, check_instance, check_module


def test_the_installed_pysyncobj_fits() -> None:
    check_module()


def test_another_version_is_named_with_the_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(internals, "VERSION", "0.3.18")
    with pytest.raises(Incompatible, match=r"0\.3\.18 is installed.*==0\.3\.17"):
        check_module()


def test_a_missing_private_name_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(internals.impl.SyncObj, "_SyncObj__setState")
    with pytest.raises(Incompatible, match="_SyncObj__setState"):
        check_module()
    with pytest.raises(Incompatible, match="_SyncObj__raftState"):
        check_instance(object())


def test_peers_are_ordered_alike_in_every_process() -> None:
    """Rule of the simulator: a set of peers has one order, whatever PYTHONHASHSEED is."""
    program = "from raft.internals import Peer; print([p.id for p in {Peer(i) for i in '12345'}])"
    seen = set()
    for seed in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(done.stdout)
    assert len(seen) == 1
    assert Peer("1") == Peer("1") != Peer("2")
