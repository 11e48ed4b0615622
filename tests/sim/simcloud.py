"""Three simulated replicas, each with the real state machine, and a client that retries."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from frontend.machine import Machine
from frontend.state.store import ReadTxn, Store
from protos.v1.command_pb2 import Command, Result
from raft.journal import Journal
from raft.simcluster import Ask, SimCluster

WITHIN_S = 30.0
"""Simulated seconds within which a cluster with a majority must answer."""

START_MS = 1_700_000_000_000


class SimCloud:
    def __init__(self, directory: Path, seed: int = 1) -> None:
        self._stores: dict[str, Store] = {}
        self.cluster = SimCluster(seed, directory, machine=self._machine)
        self._request_ids = count(1)
        self._last: Command | None = None
        self._killed: str | None = None

    def _machine(self, replica: str, journal: Journal) -> Machine:
        self._stores[replica] = Store(journal.env)
        return Machine(self._stores[replica])

    # Commands.

    def command(self, actor: str, **op: Any) -> Command:
        return Command(
            request_id=f"req-{next(self._request_ids)}",
            actor=actor,
            admin=actor in ("user/root", "system"),
            at_ms=START_MS + int(self.cluster.clock.now() * 1000),
            **op,
        )

    def submit(self, cmd: Command) -> Result:
        """Propose until it is applied, as a client with one request id does."""
        self._last = cmd
        entry = cmd.SerializeToString()
        until = self.cluster.clock.now() + WITHIN_S
        while self.cluster.clock.now() < until:
            self.cluster.run_until(lambda: self.cluster.leader() is not None, WITHIN_S, "a leader")
            # Not the leader, where there is a choice: followers forward.
            ask = self._answered(self.cluster.propose(max(self.cluster.up), entry))
            if ask.outcome is not None and ask.outcome.applied:
                return Result.FromString(ask.outcome.result)
            self.cluster.run(0.1)
        raise AssertionError(f"{cmd.request_id} is not applied within {WITHIN_S} simulated seconds")

    def again(self) -> Result:
        """The last command once more, with its request id."""
        assert self._last is not None
        return self.submit(self._last)

    # What is stored.

    def read(self) -> ReadTxn:
        """A linearizable view, on a replica that need not lead."""
        until = self.cluster.clock.now() + WITHIN_S
        while self.cluster.clock.now() < until:
            replica = min(self.cluster.up)
            if self._answered(self.cluster.read(replica)).read_index:
                return self._stores[replica].read()
            self.cluster.run(0.1)
        raise AssertionError("no linearizable read")

    def _answered(self, ask: Ask) -> Ask:
        self.cluster.run_until(lambda: ask.answered, WITHIN_S, "an answer")
        return ask

    # Trouble.

    def kill_leader(self, *, power: bool = False) -> None:
        self.cluster.run_until(lambda: self.cluster.leader() is not None, WITHIN_S, "a leader")
        self._killed = self.cluster.leader()
        assert self._killed is not None
        self.cluster.crash(self._killed, power=power)

    def restart(self) -> None:
        """Start whoever is down."""
        for replica in self.cluster.ids:
            if replica not in self.cluster.up:
                self.cluster.start(replica)

    def lose_power(self) -> None:
        """Everywhere at once."""
        for replica in list(self.cluster.up):
            self.cluster.crash(replica, power=True)

    def check_replicas_agree(self) -> None:
        """Let everyone catch up, then compare every table byte by byte."""
        self.restart()

        def caught_up() -> bool:
            # Not what was applied: that may be in a transaction still open.
            marks = {up.journal.visible for up in self.cluster.up.values()}
            return len(marks) == 1 and self.cluster.leader() is not None

        self.cluster.run_until(caught_up, WITHIN_S, "equal applied indexes")
        dumps = [self._stores[replica].dump() for replica in self.cluster.ids]
        assert dumps[0] == dumps[1] == dumps[2]
