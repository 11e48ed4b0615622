"""What the rules look at: the repository's own source files."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TOP_FOLDERS = ("protos", "raft", "storage", "hostagent", "frontend")
CODE_FOLDERS = (*TOP_FOLDERS, "bench")


def tracked(*suffixes: str) -> list[Path]:
    """Files that git tracks or that are new and not ignored, relative to the root, sorted."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"],
        capture_output=True,
        check=True,
        text=True,
    )
    paths = {Path(name) for name in listed.stdout.split("\0") if name.endswith(suffixes)}
    return sorted(path for path in paths if (ROOT / path).is_file())


def python_files(*folders: str) -> list[Path]:
    """Written by hand: what protoc made is left out."""
    return [
        path
        for path in tracked(".py")
        if path.parts[0] in folders and path.parent != Path("protos/v1")
    ]
