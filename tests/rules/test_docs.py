"""Pages that exist, links that resolve, commands that are real."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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
