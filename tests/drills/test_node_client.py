"""The Node.js client does its job against real replicas, also while one of them is killed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.testbed.process import ROOT
from bench.testbed.replicas import free_ports
from tests.drills.cli_cloud import Cloud

CLIENT = ROOT / "clients" / "node"
LIMIT_S = 120

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(shutil.which("npm") is None, reason="needs nodejs and npm"),
]


@pytest.fixture(scope="module")
def modules() -> Path:
    """The client's packages, installed once for each lock file."""
    lock = (CLIENT / "package-lock.json").read_bytes()
    place = ROOT / ".cache" / f"node-client-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not place.is_dir():
        place.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as fresh:
            for name in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(CLIENT / name, fresh)
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(command, cwd=fresh, check=True, timeout=300)
            os.rename(Path(fresh) / "node_modules", place)
    return place


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with Cloud(tmp_path_factory.mktemp("cloud")) as made:
        yield made


def command(cloud: Cloud, *more: str) -> list[str]:
    admin = cloud.replicas.directory / "admin"
    files = ["--ca", "ca.crt", "--certificate", "admin.crt", "--key", "admin.key"]
    files = [word if word.startswith("--") else str(admin / word) for word in files]
    addresses = ",".join(cloud.replicas.addresses)
    script = str(CLIENT / "vm-life.js")
    return ["node", script, "--addresses", addresses, "--template", "small", *files, *more]


def environment(modules: Path) -> dict[str, str]:
    return {**os.environ, "NODE_PATH": str(modules)}


def test_vm_is_created_watched_and_deleted(cloud: Cloud, modules: Path) -> None:
    ended = subprocess.run(
        command(cloud), env=environment(modules), capture_output=True, text=True, timeout=LIMIT_S
    )
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert "LCM_STATE_RUNNING" in lines
    assert lines[-2:] == ["VM_STATE_DONE", "done"]


def test_client_goes_on_when_the_leader_is_killed(cloud: Cloud, modules: Path) -> None:
    leader = cloud.replicas.wait_until_ready()
    with subprocess.Popen(
        command(cloud), env=environment(modules), stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            assert child.stdout is not None
            while not child.stdout.readline().startswith("created"):
                assert child.poll() is None
            cloud.replicas.kill(leader)
            rest = child.stdout.read().splitlines()
            assert child.wait(LIMIT_S) == 0
        finally:
            child.kill()
    assert rest[-2:] == ["VM_STATE_DONE", "done"]
    cloud.replicas.start(leader)
    cloud.replicas.wait_until_ready()


def test_failure_is_told_and_exits_with_1(cloud: Cloud, modules: Path) -> None:
    words = command(cloud)
    words[words.index("small")] = "missing"
    ended = subprocess.run(
        words, env=environment(modules), capture_output=True, text=True, timeout=LIMIT_S
    )
    assert ended.returncode == 1
    assert "no template is called missing" in ended.stderr


def test_wrong_arguments_are_told_and_exit_with_2(modules: Path) -> None:
    for words, said in ([], "missing: --addresses, --template"), (["--bogus"], "--bogus"):
        ended = subprocess.run(
            ["node", str(CLIENT / "vm-life.js"), *words],
            env=environment(modules),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert ended.returncode == 2
        assert said in ended.stderr
        assert "usage: node vm-life.js" in ended.stderr


def test_address_where_nobody_answers_is_told_and_exits_with_1(cloud: Cloud, modules: Path) -> None:
    (port,) = free_ports(1)
    words = command(cloud)
    words[words.index("--addresses") + 1] = f"127.0.0.1:{port}"
    ended = subprocess.run(
        words, env=environment(modules), capture_output=True, text=True, timeout=LIMIT_S
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("vm-life: unavailable: ")
    assert f"127.0.0.1:{port}" in ended.stderr


def test_bearer_token_works_on_the_token_ports(cloud: Cloud, modules: Path) -> None:
    secret = cloud("token", "create", "--user", "node")["secret"]
    words = command(cloud)
    words = [*words[: words.index("--certificate")], "--token", secret]
    words[words.index("--addresses") + 1] = ",".join(cloud.replicas.token_addresses)
    ended = subprocess.run(
        words, env=environment(modules), capture_output=True, text=True, timeout=LIMIT_S
    )
    assert ended.returncode == 0, ended.stderr


def test_lock_file_names_no_registry() -> None:
    packages = json.loads((CLIENT / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert all(package.get("integrity") for name, package in packages.items() if name)
