"""Replicas that start on the wrong directory, a taken port, a bad file or a full disk."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.testbed.replicas import Replicas
from protos.v1 import cluster_pb2, template_pb2
from tests.drills.callers import ANSWER_S, Callers, Writers, make_template, status
from tests.frontend.front_end import refusal, wait_for

pytestmark = pytest.mark.drill


def folder(replicas: Replicas, member: int) -> Path:
    return replicas.directory / f"replica-{replicas.members[member].id}"


def started(config: Path) -> tuple[int, str]:
    """Exit status and log of a replica that must not run."""
    done = subprocess.run(
        [sys.executable, "-m", "frontend.main", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.fixture
def made(tmp_path: Path) -> Replicas:
    """Directories only; nothing runs."""
    return Replicas(tmp_path)


def test_data_of_another_replica_is_refused_with_the_cause(
    replicas: Replicas, callers: Callers
) -> None:
    callers.leader()
    for member in (0, 1):
        assert replicas.stop(member)
    data = folder(replicas, 0) / "data"
    shutil.rmtree(data)
    shutil.copytree(folder(replicas, 1) / "data", data)
    code, log = started(folder(replicas, 0) / "replica.toml")
    assert code == 1
    assert "belongs to replica_id" in log
    assert "Traceback" not in log


def test_data_of_another_cluster_is_refused_and_left_alone(
    replicas: Replicas, tmp_path: Path
) -> None:
    assert replicas.stop(0)
    other = Replicas(tmp_path / "other")
    data = folder(other, 0) / "data"
    shutil.rmtree(data)
    shutil.copytree(folder(replicas, 0) / "data", data)
    code, log = started(folder(other, 0) / "replica.toml")
    assert code == 1
    assert "belongs to cluster_id" in log
    replicas.start(0)
    replicas.wait_until_ready()


def test_wiped_replica_does_not_start_and_the_others_go_on(
    replicas: Replicas, callers: Callers
) -> None:
    callers.leader()
    assert replicas.stop(0)
    data = folder(replicas, 0) / "data"
    shutil.rmtree(data)
    data.mkdir()
    code, log = started(folder(replicas, 0) / "replica.toml")
    assert code == 1
    assert "not the replica's first start" in log
    assert "Traceback" not in log


def test_overwritten_data_is_called_damaged(replicas: Replicas) -> None:
    replicas.wait_until_ready()
    assert replicas.stop(0)
    (folder(replicas, 0) / "data" / "data.mdb").write_bytes(b"nothing of the kind" * 1000)
    code, log = started(folder(replicas, 0) / "replica.toml")
    assert code == 1
    assert "data.mdb is damaged" in log
    assert "restore" in log
    assert "disk full" not in log
    assert "Traceback" not in log


@pytest.mark.parametrize("port", ["raft", "api", "token"])
def test_taken_port_is_named(made: Replicas, port: str) -> None:
    address = getattr(made.members[0], port)
    host, number = address.split(":")
    with socket.create_server((host, int(number))):
        code, log = started(folder(made, 0) / "replica.toml")
    assert code == 1
    assert address in log
    assert "Traceback" not in log


def test_second_process_on_the_same_data_is_refused(replicas: Replicas) -> None:
    code, log = started(folder(replicas, 0) / "replica.toml")
    assert code == 1
    assert "in use" in log


@pytest.mark.parametrize("missing", ["replica.crt", "replica.key", "ca.crt", "ca.key"])
def test_missing_file_is_named(made: Replicas, missing: str) -> None:
    (folder(made, 0) / missing).unlink()
    code, log = started(folder(made, 0) / "replica.toml")
    assert code == 2
    assert missing in log


def test_unknown_setting_is_named(made: Replicas) -> None:
    config = folder(made, 0) / "replica.toml"
    config.write_text("surprise = 1\n" + config.read_text())
    code, log = started(config)
    assert code == 2
    assert "surprise" in log


@pytest.mark.parametrize("missing", ["replica.crt", "ca.key"])
def test_file_that_is_no_certificate_or_key_is_named(made: Replicas, missing: str) -> None:
    (folder(made, 0) / missing).write_text("nothing of the kind")
    code, log = started(folder(made, 0) / "replica.toml")
    assert code in (1, 2)
    assert "Traceback" not in log


# A full disk.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "small", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path, leave: int = 0) -> Path:
    """Takes what is left of the disk, but *leave* bytes."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while shutil.disk_usage(place).free > leave and file.write(b"\0" * 65536):
                pass
        except OSError:
            pass
    return filler


def move_data(replicas: Replicas, member: int, place: Path) -> None:
    """Of a replica that has not started yet."""
    data = folder(replicas, member) / "data"
    data.rmdir()
    (place / "data").mkdir(mode=0o700)
    data.symlink_to(place / "data")


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_leader_whose_disk_is_nearly_full_hands_over_and_is_not_called_healthy(
    made: Replicas, small_disk: Path
) -> None:
    poor = 2
    move_data(made, poor, small_disk)
    with made as replicas, Callers(replicas) as callers:
        callers.admin.clusters.TransferLeadership(
            cluster_pb2.TransferLeadershipRequest(target_id=replicas.members[poor].id),
            timeout=ANSWER_S,
        )
        fill(small_disk, leave=12 << 20)
        wait_for("another leader", lambda: callers.leader() != poor)
        seen = status(callers.of(poor))
        assert not seen.halted
        assert seen.verdict.startswith("disk nearly full: ")
        assert "healthy" not in seen.verdict
        make_template(callers.admin, "under-the-new-leader")


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("as_leader", [False, True])
def test_replica_with_a_full_disk_halts_says_so_and_returns(
    made: Replicas, small_disk: Path, as_leader: bool
) -> None:
    poor = 2
    move_data(made, poor, small_disk)
    with made as replicas, Callers(replicas) as callers:
        name = replicas.members[poor].id
        target = name if as_leader else replicas.members[0].id
        callers.admin.clusters.TransferLeadership(
            cluster_pb2.TransferLeadershipRequest(target_id=target), timeout=ANSWER_S
        )
        filler = fill(small_disk)
        halted = callers.of(poor)
        with Writers(callers.admin) as writers:
            wait_for("the halt", lambda: status(halted).halted)
            writers.wait_for(20)
        assert not writers.refused
        assert "free space and restart" in status(halted).verdict
        refused = refusal(
            lambda: halted.templates.ListTemplates(
                template_pb2.ListTemplatesRequest(), timeout=ANSWER_S
            )
        )
        assert refused.reason == "unavailable"
        assert "disk full, free space and restart" in refused.message
        filler.unlink()
        assert replicas.stop(poor)
        replicas.start(poor)
        replicas.wait_until_ready()
        last = make_template(callers.admin, "after-the-space")
        found = callers.of(poor).templates.GetTemplate(
            template_pb2.GetTemplateRequest(id=last.id), timeout=ANSWER_S
        )
        assert found == last
