"""Pages that exist, links that resolve, commands that are real."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from frontend.cli.main import skyraft
from tests.rules.sources import ROOT, TOP_FOLDERS, tracked

DESIGN_LINES_MAX = 130
"""About two pages."""

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|<img[^>]+src=\"([^\"]+)\"")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """As the hosting sites derive them from headings."""
    text = FENCE.sub("", page.read_text())
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in HEADING.findall(text)
    }


@pytest.mark.parametrize("folder", [*TOP_FOLDERS, "bench", "tests"])
def test_each_folder_has_a_short_design_page(folder: str) -> None:
    page = ROOT / folder / "DESIGN.md"
    assert page.is_file()
    assert len(page.read_text().splitlines()) <= DESIGN_LINES_MAX


@pytest.mark.parametrize("page", tracked(".md"), ids=str)
def test_links_resolve(page: Path) -> None:
    for found in LINK.finditer(FENCE.sub("", (ROOT / page).read_text())):
        link = found.group(1) or found.group(2)
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page}: {link} names no heading"


def test_every_page_of_the_docs_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in seen:
            continue
        seen.add(page)
        for found in LINK.finditer(page.read_text()):
            target = (page.parent / (found.group(1) or "").partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists():
                waiting.append(target)
    pages = {(ROOT / path).resolve() for path in tracked(".md") if path.parts[0] == "docs"}
    assert not {str(page.relative_to(ROOT)) for page in pages - seen}


def test_commands_in_the_pages_exist() -> None:
    offered = set(re.findall(r"^([a-z]+)\)|^\| ([a-z]+)\)", (ROOT / "dev").read_text(), re.M))
    commands = {first or second for first, second in offered} | {"help"}
    for page in tracked(".md"):
        used = re.findall(r"\./dev ([a-z]+)", (ROOT / page).read_text())
        assert set(used) <= commands, f"{page}: {sorted(set(used) - commands)}"
        for bench in re.findall(r"\./dev bench ([a-z]+)", (ROOT / page).read_text()):
            assert (ROOT / "bench" / f"{bench}.py").is_file(), f"{page}: ./dev bench {bench}"


CODE = re.compile(
    r"^(?:    |\$ )(?:\.venv/bin/)?((?:\w+=\S+ )*skyraft .+)$|`(skyraft [a-z][^`]*)`", re.M
)
"""Indented blocks, prompts in fences, and inline code."""


def skyraft_lines(page: Path) -> list[str]:
    """Each command line that *page* shows, without what follows a pipe or a comment."""
    text = re.sub(r"\\\n\s*", " ", page.read_text())
    shown = [first or second for first, second in CODE.findall(text)]
    return [re.split(r"\s[|>#&]|\s{2,}#|;", line)[0].partition("skyraft ")[2] for line in shown]


def unknown_in(line: str) -> str:
    """What of `skyraft *line*` the command line does not have; empty when all is there."""
    command: click.Command = skyraft
    words = shlex.split(line)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        if re.fullmatch(r"[A-Z.]+", words[0]):
            # A word that stands for any command.
            return ""
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            return words[0]
        command = found
        del words[0]
    options = [*command.params, *skyraft.params, click.Option(["--help"])]
    known = {name for each in options for name in (*each.opts, *each.secondary_opts)}
    used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    return " ".join(sorted(used - known))


@pytest.mark.parametrize("page", tracked(".md"), ids=str)
def test_skyraft_commands_in_the_pages_exist(page: Path) -> None:
    found = {line: unknown_in(line) for line in skyraft_lines(ROOT / page)}
    assert {line: unknown for line, unknown in found.items() if unknown} == {}


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("replica transfer --to 2", "replica"),
        ("cluster transfer --into 2", "--into"),
        ("cluster transfer --to 2", ""),
        ("vm create web --template small -x", "-x"),
        ("status -o json", ""),
    ],
)
def test_command_that_does_not_exist_is_found(tmp_path: Path, line: str, unknown: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n    skyraft {line}      # a comment\n")
    assert [unknown_in(each) for each in skyraft_lines(page)] == [unknown]
