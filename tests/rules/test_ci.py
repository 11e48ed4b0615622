""".ci/run is green only if everything ran and nothing stayed behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.rules.sources import ROOT

pytestmark = pytest.mark.timeout(120)


def run(tree: Path, dev: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """.ci/run in a tree of its own, where ./dev is the script *dev*."""
    (tree / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", tree / ".ci" / "run")
    (tree / "dev").write_text(f"#!/bin/sh\n{dev}\n")
    (tree / "dev").chmod(0o755)
    return subprocess.run(
        [tree / ".ci" / "run"],
        env={"PATH": os.environ["PATH"], "SKYRAFT_CI_LEFTOVERS_S": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_ci_fails_when_a_process_stays_behind_and_ends_it(tmp_path: Path) -> None:
    left = "setsid sleep 1000 >/dev/null 2>&1 & echo $! >pid"
    done = run(tmp_path, f'[ "$1" = check ] || {{ {left}; }}')
    assert done.returncode == 1
    assert "left behind, ended now" in done.stderr
    status = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    end = time.monotonic() + 10
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < end


def test_ci_passes_when_all_pass_and_nothing_stays(tmp_path: Path) -> None:
    assert run(tmp_path, "exit 0").returncode == 0


@pytest.mark.parametrize("failing", ["check", "test"])
def test_ci_fails_with_the_check_or_the_test_that_failed(tmp_path: Path, failing: str) -> None:
    assert run(tmp_path, f'[ "$1" != {failing} ] || exit 3').returncode == 3


def test_ci_demands_real_hosts_unless_they_are_left_out_by_name(tmp_path: Path) -> None:
    dev = '[ "$1" = check ] || [ "$SKYRAFT_REAL_REQUIRED" = 1 ] || exit 7'
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    assert run(tmp_path / "with", dev).returncode == 0
    assert run(tmp_path / "without", dev, SKYRAFT_CI_WITHOUT_REAL="1").returncode == 7
