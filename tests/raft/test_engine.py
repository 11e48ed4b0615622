"""The engine as its users see it: threads, halts, status, and three of them over real TLS."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import lmdb
import pytest

from raft.engine import Engine, Outcome, Role
from raft.guard import InvariantBroken
from raft.interfaces import Poller, Transport
from raft.journal import Journal
from raft.settings import JournalSettings, RaftSettings
from raft.transport import TlsFiles, TlsTransport
from tests.raft.lab import HandTransport, Lab, Notebook

DEADLINE_S = 20.0


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what
        threading.Event().wait(0.005)


class Answer:
    """One outcome, waited for from another thread."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self.values: list[object] = []

    def __call__(self, *values: object) -> None:
        self.values.append(values[0] if len(values) == 1 else values)
        self._ready.set()

    def get(self) -> object:
        assert self._ready.wait(DEADLINE_S), "no answer"
        return self.values[0]


def engine_of(
    directory: Path,
    me: str = "1",
    peers: tuple[str, ...] = (),
    transport: Transport | Callable[[Poller], Transport] | None = None,
    map_size: int = 64 << 20,
) -> tuple[Engine, Notebook]:
    journal = Journal(
        directory,
        cluster_id="c",
        replica_id=me,
        settings=JournalSettings(map_size_bytes=map_size),
    )
    machine = Notebook(journal)
    settings = RaftSettings(cluster_id="c", replica_id=me, peers=peers)
    engine = Engine(
        settings=settings,
        journal=journal,
        machine=machine,
        transport=transport or HandTransport(),
    )
    return engine, machine


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[Engine, Notebook]]:
    engine, machine = engine_of(tmp_path, map_size=1 << 20)
    engine.start()
    yield engine, machine
    engine.stop()
    engine.journal.close()


def test_a_single_replica_writes_reads_and_remembers(tmp_path: Path) -> None:
    engine, machine = engine_of(tmp_path)
    engine.start()
    written, read = Answer(), Answer()
    engine.propose(b"x", written)
    outcome = written.get()
    assert isinstance(outcome, Outcome)
    assert outcome.applied
    engine.read_barrier(read)
    assert read.get() == outcome.index
    engine.stop()
    engine.journal.close()
    again, machine = engine_of(tmp_path)
    with again.journal.env.begin() as txn:
        assert [bytes(v) for _, v in txn.cursor(machine.table)] == [b"x"]
    assert again.applied_index == outcome.index
    again.stop()
    again.journal.close()


def test_stop_answers_everything_and_can_be_repeated(tmp_path: Path) -> None:
    engine, _ = engine_of(tmp_path, peers=("2", "3"))
    engine.start()
    answers = [Answer() for _ in range(20)]
    for answer in answers:
        engine.propose(b"never", answer)
    engine.stop()
    engine.stop()
    for answer in answers:
        outcome = answer.get()
        assert isinstance(outcome, Outcome)
        assert not outcome.applied
    assert engine.status().halted == "stopped"
    engine.journal.close()


def test_a_full_disk_halts_and_loses_nothing(alone: tuple[Engine, Notebook]) -> None:
    engine, _ = alone
    roles: list[Role] = []
    engine.on_role.append(lambda role, _term: roles.append(role))
    written = Answer()
    engine.propose(b"small", written)
    written.get()
    acknowledged = 1
    while not engine.halted:
        answer = Answer()
        engine.propose(b"x" * 50_000, answer)
        outcome = answer.get()
        assert isinstance(outcome, Outcome)
        acknowledged += outcome.applied
    until(lambda: Role.HALTED in roles, "on_role tells of the halt")
    assert "MapFullError" in engine.status().halted
    assert engine.status().role is Role.HALTED
    after = Answer()
    engine.propose(b"later", after)
    outcome = after.get()
    assert isinstance(outcome, Outcome)
    assert "halted" in outcome.detail
    engine.stop()
    engine.journal.close()
    again, machine = engine_of(engine.journal.path, map_size=64 << 20)
    again.start()
    read = Answer()
    again.read_barrier(read)
    assert read.get() != 0
    with again.journal.env.begin() as txn:
        assert txn.stat(db=machine.table)["entries"] >= acknowledged
    again.stop()
    again.journal.close()


@pytest.mark.parametrize(("free", "said"), [(4096, True), (64 << 20, False)])
def test_halt_by_a_full_disk_says_so_and_what_to_do(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, free: int, said: bool
) -> None:
    """LMDB itself speaks of an input/output error."""
    b = lab["B"]
    monkeypatch.setattr("raft.halt.shutil.disk_usage", lambda _: SimpleNamespace(free=free))

    def fail() -> None:
        raise lmdb.Error("mdb_txn_commit: Input/output error")

    b.journal.commit = fail  # type: ignore[method-assign]
    b.append("A", 1, (1, 0), [(1, b"x")])
    halted = b.engine.status().halted
    assert halted.startswith("disk full, free space and restart (") == said
    assert "mdb_txn_commit: Input/output error" in halted


def test_orderly_stop_is_not_told_as_a_halt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    engine, _ = engine_of(tmp_path)
    engine.start()
    engine.stop()
    engine.journal.close()
    assert "raft: stopped" in caplog.text
    assert "halted" not in caplog.text


@pytest.mark.parametrize("error", [lmdb.DiskError("disk"), OSError(28, "No space left")])
def test_a_failing_commit_halts_before_anything_is_acknowledged(lab: Lab, error: Exception) -> None:
    b = lab["B"]

    def fail() -> None:
        raise error

    b.journal.commit = fail  # type: ignore[method-assign]
    assert b.append("A", 1, (1, 0), [(1, b"x")]) == []
    assert type(error).__name__ in b.engine.status().halted
    b.engine.again = True
    assert b.engine.idle_s() > 0, "a halted engine waits, it does not spin"
    assert b.transport.destroyed
    again = b.reopen()
    assert again.journal.last_index == 1


def test_the_commit_index_never_goes_back_nor_beyond_the_log(lab: Lab) -> None:
    """Rule 16."""
    b = lab["B"]
    b.append("A", 1, (1, 0), [(1, b"x")], commit=2)
    for wrong in (1, 3):
        with pytest.raises(InvariantBroken):
            b.engine.commit_index = wrong


def test_status_tells_who_leads_and_how_far_everybody_is(lab: Lab) -> None:
    a = lab.elect("A")
    lab.settle()
    a.propose(b"x")
    lab.settle()
    lab.wait(0.25)
    leader, follower = a.engine.status(), lab["B"].engine.status()
    assert (leader.role, leader.leader_id, leader.last_index) == (Role.LEADER, "A", 3)
    assert (follower.role, follower.leader_id, follower.halted) == (Role.FOLLOWER, "A", "")
    assert leader.peers["B"].match == 3
    assert leader.peers["B"].connected
    assert leader.peers["B"].last_contact_s == pytest.approx(0.25)
    assert a.engine.stats.commits > 0


def test_restart_applies_nothing_twice(lab: Lab) -> None:
    b = lab["B"]
    b.append("A", 1, (1, 0), [(1, b"x"), (1, b"y")], commit=3)
    lab.wait(0.03)
    b.tick()
    b = b.reopen()
    b.up("A")
    b.append("A", 1, (3, 1), [(1, b"z")], commit=4)
    assert b.machine.applied == [b"z"]


# --- over real links -----------------------------------------------------------------------------


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[dict[str, Engine]]:
    made = over_tls(tmp_path)
    for engine in made.values():
        engine.start()
    yield made
    for engine in made.values():
        engine.stop()
        engine.journal.close()


def over_tls(directory: Path) -> dict[str, Engine]:
    # Imported here: certificates are the front-end's, and raft does not know it.
    from frontend.config import ReplicaAddresses, init_cluster, load
    from tests.raft.ports import free_ports

    ports = free_ports(9)
    addresses = [
        ReplicaAddresses(
            id=str(n + 1), **{k: f"127.0.0.1:{ports.pop()}" for k in ("raft", "api", "token")}
        )
        for n in range(3)
    ]
    init_cluster(directory / "cluster", addresses)
    engines = {}
    for me in ("1", "2", "3"):
        config = load(directory / "cluster" / f"replica-{me}" / "replica.toml")
        files = TlsFiles(config.ca, config.certificate, config.key)

        def connect(poller: Poller, config=config, files=files) -> Transport:  # type: ignore[no-untyped-def]
            return TlsTransport(
                config.replica_id,
                config.me.raft,
                config.peers,
                files,
                config.cluster_id,
                poller,
                lambda _detail: None,
            )

        engines[me], _ = engine_of(
            directory / f"journal-{me}",
            me,
            tuple(config.peers),
            connect,
        )
    return engines


def leader_of(engines: dict[str, Engine]) -> str:
    def leads() -> list[str]:
        return [me for me, engine in engines.items() if engine.role is Role.LEADER]

    until(lambda: bool(leads()), "a leader")
    return leads()[0]


@pytest.mark.drill
def test_three_replicas_over_tls_write_read_and_hand_over(trio: dict[str, Engine]) -> None:
    leader = leader_of(trio)
    for me, engine in trio.items():
        written, read = Answer(), Answer()
        engine.propose(b"from " + me.encode(), written)
        outcome = written.get()
        assert isinstance(outcome, Outcome)
        assert outcome.applied, outcome.detail
        engine.read_barrier(read)
        seen = read.get()
        assert isinstance(seen, int)
        assert seen >= outcome.index
    target = next(me for me in trio if me != leader)
    handed = Answer()
    trio[leader].transfer(target, handed)
    assert handed.get() == (True, "")
    assert trio[target].role is Role.LEADER


@pytest.mark.drill
def test_three_replicas_over_tls_survive_the_loss_of_the_leader(trio: dict[str, Engine]) -> None:
    leader = leader_of(trio)
    answers = [Answer() for _ in range(200)]
    for answer in answers:
        trio[leader].propose(b"x" * 100, answer)
    applied = sum(isinstance(o := a.get(), Outcome) and o.applied for a in answers)
    assert applied == 200
    trio[leader].stop()
    rest = {me: engine for me, engine in trio.items() if me != leader}
    new = leader_of(rest)
    read = Answer()
    rest[new].read_barrier(read)
    index = read.get()
    assert isinstance(index, int)
    assert index >= 201
