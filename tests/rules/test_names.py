"""Names say what is inside: no drawers for odds and ends, and a role in each file's first line."""

from __future__ import annotations

import ast
import re

from tests.rules.sources import CODE_FOLDERS, ROOT, python_files

BANNED = {"util", "utils", "common", "helper", "helpers", "manager", "managers", "misc", "shared"}


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    drawers = [
        str(path)
        for path in python_files(*CODE_FOLDERS, "tests")
        if BANNED & set(re.split(r"[_/]", str(path.with_suffix(""))))
    ]
    assert not drawers, "name them after what they do"


def test_every_module_opens_with_its_role() -> None:
    silent = [
        str(path)
        for path in python_files(*CODE_FOLDERS, "tests")
        if path.name != "__init__.py"
        and not ast.get_docstring(ast.parse((ROOT / path).read_text()))
    ]
    assert not silent, "the first line is a docstring that says the module's role"


def test_nothing_is_left_to_do_later() -> None:
    unfinished = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError")
    found = [
        f"{path}:{number}"
        for path in python_files(*CODE_FOLDERS, "tests")
        if path.name != "test_names.py"
        for number, line in enumerate((ROOT / path).read_text().splitlines(), 1)
        if unfinished.search(line)
    ]
    assert not found
