"""What is generated and committed is what its sources give."""

from __future__ import annotations

import subprocess
import sys

from tests.rules.sources import ROOT, tracked


def test_generated_code_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "protos.build", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_proto_has_its_output_and_nothing_else_has() -> None:
    sources = {path.stem for path in tracked(".proto") if path.parts[:2] == ("protos", "v1")}
    outputs = {
        path.name.partition("_pb2")[0] for path in tracked(".py", ".pyi") if "_pb2" in path.name
    }
    assert outputs == sources
