"""What the rules look at: the repository's own source files."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
TOP_FOLDERS = ("protos", "raft", "storage", "hostagent", "frontend")
CODE_FOLDERS = (*TOP_FOLDERS, "bench")
MADE = {"__pycache__", "node_modules", "build", "dist"}


def tracked(*suffixes: str) -> list[Path]:
    """The repository's files, relative to the root, sorted; what tools made is left out.

    Found by walking, not by asking git: a copy without .git has to hold to the rules too."""
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not made_by_tools(name)]
        found += [Path(folder, name) for name in names if name.endswith(suffixes)]
    return sorted(path.relative_to(ROOT) for path in found)


def made_by_tools(folder: str) -> bool:
    return folder.startswith(".") or folder in MADE or folder.endswith(".egg-info")


def python_files(*folders: str) -> list[Path]:
    """Written by hand: what protoc made is left out."""
    return [
        path
        for path in tracked(".py")
        if path.parts[0] in folders and path.parent != Path("protos/v1")
    ]
