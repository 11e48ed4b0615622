"""`cluster init` and `cluster certificate`: files made without a front-end."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509

from frontend.auth.callers import Callers
from frontend.cli.contexts import load
from frontend.config import load as load_replica
from tests.frontend.cli_runner import Done, done, run

REPLICAS = ("--replica", "1=127.0.0.1:7001:7002:7003", "--replica", "2=[::1]:7001:7002:7003")


@pytest.fixture
def made(tmp_path: Path) -> Done:
    return done("cluster", "init", tmp_path / "fe", *REPLICAS, "-o", "json")


def test_init_makes_what_replicas_and_the_admin_need(tmp_path: Path, made: Done) -> None:
    config = load_replica(tmp_path / "fe" / "replica-2" / "replica.toml")
    assert config.cluster_id == made.json["cluster_id"]
    assert config.me.api == "[::1]:7002"
    context = load(Path(made.json["contexts_file"])).pick(None)
    assert context.addresses == ("127.0.0.1:7002", "[::1]:7002")
    assert context.certificate is not None
    assert context.certificate.is_file()


def test_init_tells_people_how_to_go_on(tmp_path: Path) -> None:
    text = done("cluster", "init", tmp_path / "fe", *REPLICAS).out
    assert "skyraft-replica --config" in text
    assert "export SKYRAFT_CONFIG=" in text


def test_init_never_overwrites(tmp_path: Path, made: Done) -> None:
    again = run("cluster", "init", tmp_path / "fe", *REPLICAS)
    assert again.code == 2
    assert "exists" in again.err


@pytest.mark.parametrize(
    "replica",
    ["1", "1=host", "1=host:1:2", "1=host:1:2:", "1=host:a:b:c", "1=host:1:1:1", "x/y=h:1:2:3"],
)
def test_init_refuses_what_is_no_replica(tmp_path: Path, replica: str) -> None:
    result = run("cluster", "init", tmp_path / "fe", "--replica", replica)
    assert result.code == 2
    assert result.err.startswith("skyraft: usage: ")
    assert not (tmp_path / "fe").exists()


@pytest.mark.parametrize(("flag", "admin"), [((), False), (("--admin",), True)])
def test_certificate_stands_for_its_user(
    tmp_path: Path, made: Done, flag: tuple[str, ...], admin: bool
) -> None:
    out = tmp_path / "ann"
    words = ("cluster", "certificate", tmp_path / "fe", "--user", "ann", "--out", out, *flag)
    done(*words, "--days", 2, "-o", "json")
    pem = (out / "ann.crt").read_bytes()
    certificate = x509.load_pem_x509_certificate(pem)
    now_ms = int(certificate.not_valid_after_utc.timestamp() - 3600) * 1000
    caller = Callers(made.json["cluster_id"]).of_certificate(pem, now_ms)
    assert (caller.actor, caller.admin) == ("user/ann", admin)
    assert stat.S_IMODE((out / "ann.key").stat().st_mode) == 0o600
    assert load(out / "config.toml").pick(None).addresses == ("127.0.0.1:7002", "[::1]:7002")


def test_certificate_never_overwrites(tmp_path: Path, made: Done) -> None:
    words = ("cluster", "certificate", tmp_path / "fe", "--user", "ann", "--out", tmp_path)
    result = run(*words)
    assert result.code == 2
    assert "exists" in result.err


def test_certificate_needs_the_directory_with_the_ca(tmp_path: Path) -> None:
    result = run("cluster", "certificate", tmp_path, "--user", "ann")
    assert result.code == 2
    assert "cannot read" in result.err


def test_certificate_refuses_a_name_that_cannot_be_in_it(tmp_path: Path, made: Done) -> None:
    result = run("cluster", "certificate", tmp_path / "fe", "--user", "a/b")
    assert result.code == 2
    assert "a/b" in result.err
