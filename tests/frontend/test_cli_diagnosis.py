"""Why nobody answers, told for each way in which a connection can fail."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from frontend.auth.certificates import Issued, create_authority
from frontend.cli.connection import Connection
from frontend.cli.contexts import Context, Contexts
from frontend.cli.errors import EXIT_UNAVAILABLE, EXIT_USAGE, CliError
from frontend.cli.nouns import VM
from tests.frontend.cli_runner import run
from tests.frontend.front_end import FrontEnd

CLUSTER_ID = "0" * 32


@pytest.fixture
def context(tmp_path: Path) -> Context:
    authority, ca = create_authority(CLUSTER_ID)
    return written(tmp_path, authority.issue_user("ann"), ca.certificate_pem)


def written(folder: Path, issued: Issued, ca_pem: bytes) -> Context:
    for name, pem in (
        ("ca.crt", ca_pem),
        ("ann.crt", issued.certificate_pem),
        ("ann.key", issued.key_pem),
    ):
        (folder / name).write_bytes(pem)
    return Context(
        name="a",
        addresses=(f"127.0.0.1:{unused_port()}",),
        ca=folder / "ca.crt",
        certificate=folder / "ann.crt",
        key=folder / "ann.key",
    )


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def failure(context: Context) -> CliError:
    connection = Connection(context, timeout_s=5)
    try:
        with pytest.raises(CliError) as caught:
            connection.call(VM, "List")
    finally:
        connection.close()
    return caught.value


@pytest.fixture
def mute() -> Iterator[str]:
    """Accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_connection_refused_names_every_address(context: Context) -> None:
    other = f"127.0.0.1:{unused_port()}"
    error = failure(replace(context, addresses=(*context.addresses, other)))
    assert error.exit_code == EXIT_UNAVAILABLE
    assert all(f"nothing listens at {a}" in error.cause for a in (context.addresses[0], other))
    assert "are the replicas running" in error.next_step


def test_missing_certificate_is_a_usage_error(context: Context) -> None:
    assert context.certificate is not None
    context.certificate.unlink()
    with pytest.raises(CliError, match=str(context.certificate)) as caught:
        Connection(context)
    assert caught.value.exit_code == EXIT_USAGE
    assert "skyraft context show" in caught.value.next_step


@pytest.mark.parametrize("name", ["ca.crt", "ann.crt", "ann.key"])
def test_file_that_is_not_pem_is_a_usage_error(context: Context, name: str) -> None:
    (context.ca.parent / name).write_text("nothing of the kind")
    error = failure(context)
    assert error.exit_code == EXIT_USAGE
    assert name in error.cause


def test_key_of_another_certificate_is_a_usage_error(context: Context) -> None:
    other, _ = create_authority(CLUSTER_ID)
    assert context.key is not None
    context.key.write_bytes(other.issue_user("ann").key_pem)
    error = failure(context)
    assert error.exit_code == EXIT_USAGE
    assert "ann.key" in error.cause


def test_expired_certificate_says_when(tmp_path: Path) -> None:
    authority, ca = create_authority(CLUSTER_ID)
    issued = authority.issue_user("ann", lifetime=dt.timedelta(hours=-1))
    error = failure(written(tmp_path, issued, ca.certificate_pem))
    assert error.exit_code == EXIT_USAGE
    assert "expired on" in error.cause
    assert "skyraft cluster certificate" in error.next_step


def test_silent_peer_is_said_not_to_answer(context: Context, mute: str) -> None:
    error = failure(replace(context, addresses=(mute,)))
    assert error.exit_code == EXIT_UNAVAILABLE
    assert "does not answer" in error.cause


def test_wrong_ca_is_told_from_a_dead_replica(context: Context, front_end: FrontEnd) -> None:
    error = failure(replace(context, addresses=(front_end.config.me.api,)))
    assert error.exit_code == EXIT_UNAVAILABLE
    assert "is not a replica of this front-end" in error.cause
    assert "ca.crt" in error.next_step


def test_certificate_of_another_front_end_is_refused(tmp_path: Path, front_end: FrontEnd) -> None:
    authority, _ = create_authority(CLUSTER_ID)
    ours = (front_end.directory / "ca" / "ca.crt").read_bytes()
    context = written(tmp_path, authority.issue_user("ann"), ours)
    error = failure(replace(context, addresses=(front_end.config.me.api,)))
    assert error.exit_code == EXIT_UNAVAILABLE
    assert "does not accept this client's certificate" in error.cause


def test_certificate_on_the_api_port_of_a_living_replica_needs_no_explanation(
    tmp_path: Path, front_end: FrontEnd
) -> None:
    config = front_end.directory / "admin" / "config.toml"
    assert run("vm", "list", "-o", "json", config=config).json == []


def test_address_that_is_none_is_a_usage_error(context: Context) -> None:
    with pytest.raises(CliError, match="not host:port") as caught:
        Connection(replace(context, addresses=("nowhere",)))
    assert caught.value.exit_code == EXIT_USAGE


def test_certificate_of_another_front_end_is_told_in_status_too(
    tmp_path: Path, front_end: FrontEnd
) -> None:
    authority, _ = create_authority(CLUSTER_ID)
    ours = (front_end.directory / "ca" / "ca.crt").read_bytes()
    context = written(tmp_path, authority.issue_user("ann"), ours)
    config = Contexts(path=tmp_path / "config.toml").with_entry(
        replace(context, addresses=(front_end.config.me.api,))
    )
    config.save()
    result = run("cluster", "status", config=config.path)
    assert result.code == EXIT_UNAVAILABLE
    assert "UNREACHABLE" in result.out
    assert "does not accept this client's certificate" in result.err
