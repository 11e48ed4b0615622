"""What Python 3.11.0 to 3.11.3 (Debian 12 has 3.11.2) does differently from later ones."""

from __future__ import annotations

import ast

from tests.rules.sources import CODE_FOLDERS, ROOT, python_files


def test_nothing_is_raised_inside_except_star() -> None:
    """There it would come out wrapped in an ExceptionGroup, and no caller would catch it."""
    found = [
        f"{path}:{inner.lineno}"
        for path in python_files(*CODE_FOLDERS)
        for node in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(node, ast.TryStar)
        for handler in node.handlers
        for inner in ast.walk(handler)
        if isinstance(inner, ast.Raise)
    ]
    assert not found, "keep the exception and raise it after the statement"
