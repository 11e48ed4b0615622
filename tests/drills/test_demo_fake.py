"""The demo on fake hosts: every promise holds, and nothing stays behind however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.testbed.bed import RECORD, noted_processes
from bench.testbed.process import ROOT, ProcessId
from protos.channel import Credentials, open_channel
from protos.v1.vm_pb2 import ListVmsRequest
from protos.v1.vm_pb2_grpc import VmServiceStub

pytestmark = [pytest.mark.drill, pytest.mark.timeout(300)]

FIGURES = {
    "election_ms",
    "failover_ms",
    "writes_acknowledged",
    "writes_lost",
    "duplicate_effects",
    "vm_boot_s",
    "catch_up_ms",
}


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Beds of this test only; those that it leaves are removed."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    yield environment
    run("bench.testbed.bed", "--kept", environment=environment)


def run(module: str, *arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def until(condition: Callable[[], bool], what: str, deadline_s: float = 60.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def beds(environment: dict[str, str]) -> list[Path]:
    return sorted(Path(environment["TMPDIR"]).glob("skyraft-beds-*/skybed*"))


def started(environment: dict[str, str]) -> subprocess.Popen[str]:
    """In a session of its own, so that its group can be signalled as a terminal does it."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench.demo", "--fake"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def begun(environment: dict[str, str]) -> tuple[subprocess.Popen[str], list[ProcessId]]:
    """A demo that has started its replicas, and their processes."""
    demo = started(environment)
    until(lambda: any(has_replicas(bed) for bed in beds(environment)), "three replicas")
    return demo, noted_processes(beds(environment)[0])


def has_replicas(bed: Path) -> bool:
    return (bed / RECORD).exists() and len(noted_processes(bed)) >= 3


def figures(printed: str) -> dict[str, float]:
    document: dict[str, Any] = json.loads(printed)
    assert document["machine"]
    assert document["commit"]
    return {row["name"]: row["value"] for row in document["results"]}


def test_demo_holds_on_fake_hosts_and_leaves_nothing(environment):
    done = run("bench.demo", "--fake", "--json", environment=environment)
    assert done.returncode == 0, done.stderr
    found = figures(done.stdout)
    assert found.keys() >= FIGURES
    assert found["writes_acknowledged"] > 0
    assert found["writes_lost"] == found["writes_doubled"] == found["duplicate_effects"] == 0
    assert beds(environment) == []


def test_kept_demo_runs_until_it_is_stopped(environment):
    done = run("bench.demo", "--fake", "--keep", environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (bed,) = beds(environment)
    how_to = done.stdout[done.stdout.index("Every promise held.") :]
    assert has_leaders_pid(how_to, bed)
    (export,) = re.findall(r"^  (export .*)$", how_to, re.MULTILINE)
    status = subprocess.run(
        ["sh", "-c", f"{export}\nskyraft status"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "can lose 1 replica" in status.stdout, status.stderr
    assert names_of_vms(bed) == ["web-1", "web-2", "db-1", "db-2"]
    processes = noted_processes(bed)

    stopped = run("bench.demo", "--stop", environment=environment)
    assert stopped.stdout == f"ended {bed.name}\n"
    assert not any(process.alive for process in processes)
    assert beds(environment) == []


def has_leaders_pid(how_to: str, bed: Path) -> bool:
    """Each replica's pid is told, and of one that it leads."""
    told = re.findall(r"^  replica (\d): pid (\d+)(, leads)?$", how_to, re.MULTILINE)
    for number, pid, _ in told:
        config = f"{bed}/front-end/replica-{number}/replica.toml"
        assert config in Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return len(told) == 3 and [leads for *_, leads in told].count(", leads") == 1


def names_of_vms(bed: Path) -> list[str]:
    admin = bed / "front-end" / "admin"
    context = tomllib.loads((admin / "config.toml").read_text())["contexts"]["admin"]
    credentials = Credentials.load(
        ca=admin / "ca.crt", certificate=admin / "admin.crt", key=admin / "admin.key"
    )
    with open_channel(context["addresses"], credentials) as channel:
        return [vm.name for vm in VmServiceStub(channel).ListVms(ListVmsRequest(), timeout=10).vms]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_interrupted_demo_cleans_up(environment, number):
    demo, processes = begun(environment)
    demo.send_signal(number)
    _, said = demo.communicate(timeout=60)
    assert demo.returncode == 128 + number
    assert said == "interrupted; everything was taken down\n"
    assert not any(process.alive for process in processes)
    assert beds(environment) == []


@pytest.mark.parametrize("after_s", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("pause_s", [0.0, 0.05, 0.3])
def test_second_ctrl_c_does_not_disturb_the_clean_up(environment, after_s, pause_s):
    demo, processes = begun(environment)
    time.sleep(after_s)
    (bed,) = beds(environment)
    processes += noted_processes(bed)
    os.killpg(demo.pid, signal.SIGINT)
    time.sleep(pause_s)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(demo.pid, signal.SIGINT)
    _, said = demo.communicate(timeout=60)
    assert demo.returncode == 130, said
    assert said == "interrupted; everything was taken down\n"
    assert not any(process.alive for process in processes)
    assert processes_that_name(bed) == []
    assert bed_leftovers(environment) == []


def processes_that_name(bed: Path) -> list[str]:
    """Command lines with the bed's directory in them, whoever started those processes."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if (command := file.read_text(errors="replace")).find(str(bed)) >= 0:
                found.append(command.replace("\0", " "))
    return found


def bed_leftovers(environment: dict[str, str]) -> list[Path]:
    """Drafts of beds too."""
    return list(Path(environment["TMPDIR"]).glob("skyraft-beds-*/*"))


def test_crashed_demo_is_swept_away_by_the_next_command(environment):
    demo, processes = begun(environment)
    demo.kill()
    demo.wait()
    assert any(process.alive for process in processes)
    swept = run("bench.testbed.bed", environment=environment)
    assert swept.stdout.startswith("removed skybed")
    until(lambda: not any(process.alive for process in processes), "processes end")
    assert beds(environment) == []


def test_bed_of_a_running_demo_is_left_alone(environment):
    demo, processes = begun(environment)
    try:
        assert run("bench.testbed.bed", "--kept", environment=environment).stdout == (
            "nothing to remove\n"
        )
        assert all(process.alive for process in processes)
    finally:
        demo.send_signal(signal.SIGTERM)
        demo.wait(60)
