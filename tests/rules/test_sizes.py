"""Files stay readable in one sitting, functions on one screen. The lists may only get shorter."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.rules.sources import CODE_FOLDERS, ROOT, python_files

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

LONG_FILES: dict[str, int] = {}
"""Path -> lines it may have, with the reason in a comment."""

LONG_FUNCTIONS: dict[str, int] = {}
"""path::name -> lines it may have, with the reason in a comment."""


def lines_of(path: Path) -> int:
    return len((ROOT / path).read_text().splitlines())


def functions_of(path: Path) -> dict[str, int]:
    tree = ast.parse((ROOT / path).read_text(), str(path))
    return {
        f"{path}::{node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_no_file_is_longer_than_one_sitting() -> None:
    sizes = {str(path): lines_of(path) for path in python_files(*CODE_FOLDERS, "tests")}
    too_long = {
        path: lines for path, lines in sizes.items() if lines > LONG_FILES.get(path, FILE_LINES_MAX)
    }
    assert not too_long, f"over {FILE_LINES_MAX} lines: split them"


def test_no_function_is_longer_than_one_screen() -> None:
    too_long = {
        name: lines
        for path in python_files(*CODE_FOLDERS, "tests")
        for name, lines in functions_of(path).items()
        if lines > LONG_FUNCTIONS.get(name, FUNCTION_LINES_MAX)
    }
    assert not too_long, f"over {FUNCTION_LINES_MAX} lines: split them"


def test_exceptions_are_still_needed() -> None:
    files = {path: lines_of(Path(path)) for path in LONG_FILES}
    functions = {name: functions_of(Path(name.partition("::")[0]))[name] for name in LONG_FUNCTIONS}
    short = {name: size for name, size in files.items() if size <= FILE_LINES_MAX}
    short |= {name: size for name, size in functions.items() if size <= FUNCTION_LINES_MAX}
    assert not short, "short enough now: take them off the list"
