"""The command: join against a real front-end, run as a process, list, stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from hostagent import config
from hostagent.config import AgentConfig
from hostagent.main import main
from tests.hostagent.replicas import CLUSTER_ID, Certificates


@pytest.fixture
def joined(tmp_path: Path) -> Path:
    """An agent's directory; nobody answers at its addresses."""
    directory = tmp_path / "agent"
    directory.mkdir()
    agent = AgentConfig(
        directory=directory,
        cluster_id=CLUSTER_ID,
        host_id=7,
        name="h1",
        addresses=("127.0.0.1:9",),
    )
    certificates = Certificates()
    agent.ca.write_bytes(certificates.authority.certificate_pem)
    agent.certificate.write_bytes(certificates.host.certificate_pem)
    agent.key.write_bytes(certificates.host.key_pem)
    config.save(agent)
    return directory


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.01)


@pytest.fixture
def agent(joined: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "hostagent.main", "run", "--dir", str(joined)]
    process = subprocess.Popen(
        [*command, "--driver", "fake"], stderr=(joined / "log").open("w"), text=True
    )
    try:
        wait_for(lambda: "session with" in (joined / "log").read_text(), "an attempt to connect")
        yield process
    finally:
        process.kill()
        process.wait()


def test_agent_runs_without_a_front_end_and_ends_at_sigterm(
    joined: Path, agent: subprocess.Popen[str]
) -> None:
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(20) == 0
    assert "Traceback" not in (joined / "log").read_text()


def test_second_agent_in_one_directory_is_refused(
    joined: Path, agent: subprocess.Popen[str]
) -> None:
    result = CliRunner().invoke(main, ["run", "--dir", str(joined), "--driver", "fake"])
    assert result.exit_code == 1
    assert "an agent runs in" in result.output
    assert agent.poll() is None


def test_killed_agent_leaves_a_directory_that_runs_again(
    joined: Path, agent: subprocess.Popen[str]
) -> None:
    os.kill(agent.pid, signal.SIGKILL)
    agent.wait()
    result = CliRunner().invoke(main, ["list", "--dir", str(joined), "--driver", "fake"])
    assert result.exit_code == 0
    assert result.output.split() == ["VM", "EPOCH", "POWER"]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["run", "--dir", "/nowhere"], "join this host first"),
        (["list", "--dir", "/nowhere"], "has not joined"),
        (["join", "--ca", "/nowhere", "--server", "h:1", "--token", "t"], "/nowhere"),
    ],
)
def test_mistake_ends_as_one_line(tmp_path: Path, arguments: list[str], fault: str) -> None:
    if arguments[0] == "join":
        arguments = [*arguments, "--dir", str(tmp_path)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert fault in result.output
    assert len(result.output.splitlines()) == 1


def test_faulty_fake_script_is_named(joined: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text("bot_s: 1\n")
    arguments = ["run", "--dir", str(joined), "--driver", "fake", "--fake-script", str(script)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "no key 'bot_s'" in result.output


def test_fake_host_needs_none_of_the_host_extra() -> None:
    missing = "sys.modules.update(dict.fromkeys(('libvirt', 'pyroute2')))"
    code = f"import sys; {missing}; from hostagent.main import main; main(['run', '--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
