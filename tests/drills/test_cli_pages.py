"""What the users' pages show is true: their commands exist, their Python runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bench.testbed.process import ROOT
from frontend.cli.main import skyraft
from tests.drills.cli_cloud import Cloud

PAGES = ("README.md", "docs/cli.md", "docs/clients.md", "docs/getting-started.md")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """Lines that call `skyraft`, continued lines joined, pipes and comments cut off."""
    text = (ROOT / page).read_text().replace("\\\n", " ")
    found = re.findall(r"^(?:    |\$ |)(skyraft .*)$", text, re.MULTILINE)
    return [re.split(r" [|#>] | #|  +#", line)[0] for line in found]


@pytest.mark.parametrize(
    ("page", "line"), [(page, line) for page in PAGES for line in commands(page)]
)
def test_commands_and_options_on_the_pages_exist(page: str, line: str) -> None:
    command: click.Command = skyraft
    known = {option for param in skyraft.params for option in param.opts}
    words = shlex.split(line)[1:]
    while words and words[0].startswith("-"):
        words = words[2:]  # an option of the root with its value
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, line
        command = found
    known |= {option for param in command.params for option in param.opts} | {"--help"}
    assert {word for word in words if re.fullmatch(r"--?[a-z][a-z0-9-]*", word)} <= known


@pytest.mark.drill
def test_python_client_on_the_page_runs(tmp_path: Path) -> None:
    code = next(
        text
        for language, text in BLOCK.findall((ROOT / "docs" / "clients.md").read_text())
        if language == "python"
    )
    with Cloud(tmp_path / "cloud") as cloud:
        code = re.sub(r"ADDRESSES = .*", f"ADDRESSES = {cloud.replicas.addresses}", code)
        code = code.replace("demo/admin", str(cloud.replicas.directory / "admin"))
        ended = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.split()[-2:] == ["LCM_STATE_RUNNING", "wrong_state"]
