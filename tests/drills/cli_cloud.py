"""Three real replicas and fake hosts, used through `skyraft` as a person would."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

from bench.testbed.hosts import Host
from bench.testbed.process import ROOT
from bench.testbed.replicas import Replicas
from tests.frontend.cli_runner import Done, done, run
from tests.storage import disk_images

DEADLINE_S = 60.0
"""Generous: it only matters when a test fails."""

NETWORK = ("--bridge", "br0", "--cidr", "172.20.0.0/24", "--gateway", "172.20.0.1")

T = TypeVar("T")


class Cloud:
    """A context manager: a front-end with one cluster, one template `small` and *hosts* hosts."""

    def __init__(self, directory: Path, hosts: int = 1) -> None:
        self.directory = directory
        self.replicas = Replicas(directory)
        self.config = self.replicas.contexts
        self.hosts = [
            Host(f"node-{number}", directory / f"node-{number}", note=lambda _: None)
            for number in range(hosts)
        ]
        self._held = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as started:
            started.enter_context(self.replicas)
            self("cluster", "create", "default", *NETWORK)
            for host in self.hosts:
                secret = self("host", "token")["secret"]
                host.join(self.replicas.ca, self.replicas.token_addresses, secret)
                started.callback(host.close)
                host.agent.start()
            image = disk_images.qcow2(self.directory / "tiny.qcow2")
            self("image", "upload", image, "--wait")
            self("template", "create", "small", "--vcpu", 1, "--memory", "64M", "--disk", "tiny")
            self._held = started.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def __call__(self, *words: object) -> Any:
        """What the command, which must succeed, prints as JSON."""
        return done(*words, "-o", "json", config=self.config).json

    def run(self, *words: object) -> Done:
        return run(*words, config=self.config)

    @contextmanager
    def start(self, *words: object) -> Iterator[subprocess.Popen[str]]:
        """The command in a process of its own, for what has no end."""
        command = [sys.executable, "-m", "frontend.cli.main", *map(str, words)]
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "SKYRAFT_CONFIG": str(self.config), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as child:
            try:
                yield child
            finally:
                child.kill()


def wait_for(what: str, found: Callable[[], T | None]) -> T:
    """The first true value of *found*, or a failure that names *what*."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        value = found()
        if value:
            return value
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S:.0f} s"
        time.sleep(0.02)
