"""Promises of frontend/config.py."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest
import tomli_w

from frontend.auth.callers import Callers
from frontend.auth.certificates import Authority, load_certificate
from frontend.config import (
    ConfigError,
    Limits,
    ReplicaAddresses,
    ReplicaConfig,
    Timing,
    init_cluster,
    load,
)

THREE = [
    ReplicaAddresses(
        id=str(number),
        raft=f"127.0.0.1:{7000 + 10 * number}",
        api=f"127.0.0.1:{7001 + 10 * number}",
        token=f"127.0.0.1:{7002 + 10 * number}",
    )
    for number in (1, 2, 3)
]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    init_cluster(tmp_path / "cloud", THREE)
    return tmp_path / "cloud"


def rewrite(path: Path, **changes: object) -> Path:
    """Replaces top-level keys; None removes one."""
    document = tomllib.loads(path.read_text()) | changes
    path.write_text(tomli_w.dumps({k: v for k, v in document.items() if v is not None}))
    return path


def complaint(path: Path, **changes: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(rewrite(path, **changes))
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    return text.removeprefix(f"{path}: ")


# init


def test_directory_holds_all_that_is_needed_and_nothing_else(made: Path) -> None:
    found = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    each = ["first-start", "replica.toml", "ca.crt", "ca.key", "replica.crt", "replica.key"]
    assert found == {
        "ca/ca.crt",
        "ca/ca.key",
        *(f"admin/{name}" for name in ("ca.crt", "admin.crt", "admin.key", "config.toml")),
        *(f"replica-{number}/{name}" for number in (1, 2, 3) for name in each),
    }
    assert (made / "replica-1" / "data").is_dir()
    assert (made / "replica-1" / "datastore").is_dir()


def test_nobody_else_can_read_it(made: Path) -> None:
    for path in [made, *made.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE((made / "ca" / "ca.key").stat().st_mode) == 0o600


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        init_cluster(tmp_path / "cloud", THREE)
    finally:
        os.umask(before)
    test_nobody_else_can_read_it(tmp_path / "cloud")


def test_every_replica_loads_and_knows_the_others(made: Path) -> None:
    configs = [load(made / f"replica-{number}" / "replica.toml") for number in (1, 2, 3)]
    assert len({config.cluster_id for config in configs}) == 1
    two = configs[1]
    assert two.me == THREE[1]
    assert two.peers == {"1": THREE[0].raft, "3": THREE[2].raft}
    assert two.data == made / "replica-2" / "data"
    assert two.timing == Timing()
    assert two.metrics == ""


def test_certificates_are_those_of_their_owners(made: Path) -> None:
    config = load(made / "replica-3" / "replica.toml")
    callers = Callers(config.cluster_id)
    assert callers.of_certificate(config.certificate.read_bytes(), 0).actor == "replica/3"
    admin = callers.of_certificate((made / "admin" / "admin.crt").read_bytes(), 0)
    assert (admin.actor, admin.admin) == ("user/admin", True)
    authority = Authority.load(config.cluster_id, config.ca, config.ca_key)
    issuer = load_certificate(authority.certificate_pem).subject
    assert load_certificate(config.certificate.read_bytes()).issuer == issuer


def test_contexts_file_works_from_anywhere(made: Path) -> None:
    contexts = tomllib.loads((made / "admin" / "config.toml").read_text())
    context = contexts["contexts"][contexts["current"]]
    assert context["addresses"] == [replica.api for replica in THREE]
    for key in ("ca", "certificate", "key"):
        path = Path(context[key])
        assert path.is_absolute()
        assert path.is_file()


def test_two_front_ends_share_nothing(tmp_path: Path) -> None:
    ids = {init_cluster(tmp_path / name, THREE) for name in ("a", "b")}
    assert len(ids) == 2
    assert (tmp_path / "a/ca/ca.key").read_bytes() != (tmp_path / "b/ca/ca.key").read_bytes()


def test_existing_front_end_is_never_overwritten(made: Path) -> None:
    before = (made / "ca" / "ca.key").read_bytes()
    with pytest.raises(ConfigError, match="is not an empty directory"):
        init_cluster(made, THREE)
    assert (made / "ca" / "ca.key").read_bytes() == before


def test_empty_directory_and_missing_parents_are_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    init_cluster(tmp_path / "empty", THREE)
    init_cluster(tmp_path / "a" / "b" / "c", THREE[:1])
    assert load(tmp_path / "a/b/c/replica-1/replica.toml").peers == {}


def test_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="not an empty directory"):
        init_cluster(tmp_path / "file", THREE)
    with pytest.raises(ConfigError, match="cannot write"):
        init_cluster(tmp_path / "file" / "below", THREE)


def test_failed_init_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "ca.key")

    monkeypatch.setattr("frontend.config.os.rename", fail)
    with pytest.raises(ConfigError, match=r"cannot write ca\.key: No space left"):
        init_cluster(tmp_path / "cloud", THREE)
    assert list(tmp_path.iterdir()) == []


def one(**changes: str) -> ReplicaAddresses:
    ports = {"id": "1", "raft": "a:1", "api": "a:2", "token": "a:3"}
    return ReplicaAddresses(**(ports | changes))


@pytest.mark.parametrize(
    ("replicas", "why"),
    [
        ([], "at least one replica"),
        ([one(id="x")], "is not 1, 2, 3"),
        ([one(id="0")], "is not 1, 2, 3"),
        ([one(), one(raft="b:1", api="b:2", token="b:3")], "is there twice"),
        ([one(api="a:1")], "api address of replica 1 is a:1, which is also the raft address"),
        ([one(raft="a")], "raft address of replica 1: address 'a' is not host:port"),
        ([one(raft="a:0")], "that the others and the clients can dial"),
        ([one(raft="0.0.0.0:1")], "that the others and the clients can dial"),
    ],
)
def test_unsound_addresses_are_refused_before_anything_is_written(
    tmp_path: Path, replicas: list[ReplicaAddresses], why: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        init_cluster(tmp_path / "cloud", replicas)
    assert why in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# load


def test_missing_file_says_who_writes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No such file.*skyraft cluster init"):
        load(tmp_path / "replica.toml")


@pytest.mark.parametrize("content", [b"= 1", b"\xff\xfe", b'a = "'])
def test_file_that_is_not_toml_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "replica.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is not TOML"):
        load(path)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"cluster_id": None}, "cluster_id is missing"),
        ({"cluster_id": 7}, "cluster_id is 7: write cluster_id ="),
        ({"cluster_id": "short"}, "is not 32 hexadecimal digits"),
        ({"replica_id": "4"}, "no [[replicas]] has this id"),
        ({"replicas": None}, "needs at least one [[replicas]]"),
        ({"replicas": []}, "needs at least one [[replicas]]"),
        ({"replicas": [7]}, "[[replicas]] number 1: is not a table"),
        ({"replicas": [{"id": "1"}]}, "[[replicas]] number 1: raft is missing"),
        (
            {"replicas": [{"id": "1", "raft": "a", "api": "a:2", "token": "a:3"}]},
            "raft: address 'a' is not host:port",
        ),
        ({"port": 7}, "unknown key 'port'; known are"),
        ({"ca_key": "elsewhere.key"}, "ca_key names"),
        ({"metrics": "everywhere"}, "metrics: address 'everywhere'"),
        ({"timing": {"heartbeat_s": 0}}, "heartbeat_s is 0: write seconds above 0"),
        ({"timing": {"heartbeat_s": "fast"}}, "heartbeat_s is 'fast'"),
        ({"timing": {"heartbeat_s": True}}, "heartbeat_s is True"),
        ({"timing": {"heartbeat_s": 1.0}}, "at least 3 times heartbeat_s"),
        ({"timing": {"election_timeout_min_s": 2.0}}, "must exceed election_timeout_min_s"),
        ({"timing": {"speed": 1}}, "[timing] unknown key 'speed'"),
        ({"timing": 3}, "timing is not a table"),
        ({"limits": 3}, "limits is not a table"),
        ({"limits": {"map_size": 3}}, "[limits] unknown key 'map_size'"),
        ({"limits": {"map_size_gib": 0}}, "map_size_gib is 0: write whole GiB"),
        ({"limits": {"map_size_gib": True}}, "map_size_gib is True"),
        ({"limits": {"map_size_gib": 1.5}}, "map_size_gib is 1.5"),
    ],
)
def test_wrong_key_is_named_with_what_to_write(
    made: Path, changes: dict[str, object], why: str
) -> None:
    assert why in complaint(made / "replica-1" / "replica.toml", **changes)


def test_timing_and_metrics_are_read(made: Path) -> None:
    path = rewrite(
        made / "replica-1" / "replica.toml",
        timing={"election_timeout_min_s": 1, "election_timeout_max_s": 2.5},
        metrics="127.0.0.1:9100",
    )
    config: ReplicaConfig = load(path)
    assert config.timing == Timing(election_timeout_min_s=1.0, election_timeout_max_s=2.5)
    assert config.metrics == "127.0.0.1:9100"


def test_bound_of_log_and_state_is_read_and_generous_when_not_said(made: Path) -> None:
    path = made / "replica-1" / "replica.toml"
    assert load(path).limits == Limits(map_size_gib=1024)
    assert load(rewrite(path, limits={"map_size_gib": 2})).limits.map_size_gib == 2


def test_relative_paths_start_at_the_file_not_at_the_caller(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(made)
    assert load(Path("replica-1/replica.toml")).ca == made / "replica-1" / "ca.crt"
