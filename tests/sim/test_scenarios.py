"""
Runs tests/sim/scenarios/*.txt on three simulated replicas: a line, dashes, what it must answer.

After an intended change of behaviour run with SKYRAFT_REWRITE=1 and review the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.sim.console import Console
from tests.sim.simcloud import SimCloud

pytestmark = pytest.mark.sim

FILES = sorted(Path(__file__).parent.glob("scenarios/*.txt"))


def played(text: str, console: Console) -> str:
    """*text* with the answers that the console gives now."""
    out: list[str] = []
    for block in text.strip().split("\n\n"):
        head = [line for line in block.split("\n----")[0].splitlines() if line]
        out.extend(head)
        if not head[-1].startswith("#"):
            out.extend(["----", console.run(head[-1])])
        out.append("")
    return "\n".join(out)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path, tmp_path: Path) -> None:
    cloud = SimCloud(tmp_path)
    got = played(path.read_text(), Console(cloud))
    if os.environ.get("SKYRAFT_REWRITE"):
        path.write_text(got)
    assert got == path.read_text()
    cloud.check_replicas_agree()
    cloud.cluster.close()
