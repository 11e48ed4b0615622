"""Promises of protos/channel.py about processes that die or hang."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from frontend.config import ReplicaAddresses, init_cluster
from protos.channel import Credentials, open_channel
from protos.v1.template_pb2 import GetTemplateRequest
from protos.v1.template_pb2_grpc import TemplateServiceStub

pytestmark = pytest.mark.drill


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    places = {name: f"127.0.0.1:{port}" for port, name in enumerate(("raft", "api", "token"), 1)}
    init_cluster(tmp_path / "cloud", [ReplicaAddresses(id="1", **places)])
    started = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.protos.named_server",
                str(tmp_path / "cloud" / "replica-1"),
                name,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b", "c")
    ]
    yield started
    for server in started:
        server.send_signal(signal.SIGCONT)
        server.kill()
        server.communicate()


@pytest.mark.parametrize("spread", [True, False])
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_no_call_fails_when_a_replica_dies_or_hangs(
    servers: list[subprocess.Popen[str]], tmp_path: Path, blow: signal.Signals, spread: bool
) -> None:
    """A stopped process' kernel still answers, so only an unanswered ping can tell."""
    admin = tmp_path / "cloud" / "admin"
    credentials = Credentials.load(
        ca=admin / "ca.crt", certificate=admin / "admin.crt", key=admin / "admin.key"
    )
    ports = [server.stdout.readline().strip() for server in servers if server.stdout]
    with open_channel(
        [f"127.0.0.1:{port}" for port in ports], credentials, spread=spread
    ) as channel:
        stub = TemplateServiceStub(channel)

        def ask() -> str:
            # Without retries and pings a call to a stopped process would last till its deadline.
            return str(stub.GetTemplate(GetTemplateRequest(), timeout=60).name)

        victim = ask()
        servers["abc".index(victim)].send_signal(blow)
        assert victim not in {ask() for _ in range(9)}
