"""``python -m protos.build`` regenerates protos/v1; ``--check`` fails if that changes a file."""

from __future__ import annotations

import sys
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
OUT = ROOT / "protos" / "v1"


def generate() -> None:
    """Runs protoc from the root, so that generated imports read ``from protos.v1 import ...``."""
    files = [str(path.relative_to(ROOT)) for path in sorted(OUT.glob("*.proto"))]
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    args = [
        "",
        f"-I{ROOT}",
        f"-I{well_known}",
        f"--python_out={ROOT}",
        f"--pyi_out={ROOT}",
        f"--grpc_python_out={ROOT}",
        *files,
    ]
    if protoc.main(args) != 0:
        sys.exit("protoc failed")


def snapshot() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in OUT.glob("*_pb2*")}


def main() -> None:
    before = snapshot()
    generate()
    if "--check" in sys.argv and snapshot() != before:
        sys.exit("protos/v1 is stale: run `python -m protos.build` and commit the result")


if __name__ == "__main__":
    main()
