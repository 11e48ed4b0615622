"""A simulated cluster in a storm of faults: `python -m raft.sim --seeds N`.

Every seed is another history of crashes, power losses, cuts, losses and disorder, with clients
writing and reading all along; the same seed is the same history, to the last frame.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from raft.history import Violation, check_logs_match
from raft.interfaces import Role
from raft.simcluster import Ask, OrderMachine, SimCluster
from raft.simnet import NetworkFaults

__all__ = ["OrderMachine", "SimCluster", "run_seed"]

STORM_S = 12.0
_TRACE_LINES = 120


class Storm:
    """Random faults and a random workload on one cluster, all from the cluster's own seed."""

    def __init__(self, cluster: SimCluster) -> None:
        self.cluster, self.rng = cluster, cluster.rng
        self.asks: list[Ask] = []
        self._count = 0
        self._over = False
        self._faults = (
            self._crash,
            self._crash_at_commit,
            self._crash_all,
            self._crash_all_at_election,
            self._fill_disk,
            self._cut,
            self._isolate,
            self._isolate,
            self._heal,
            self._heal,
            self._reset_link,
            self._freeze,
            self._transfer,
        )

    def run(self, seconds: float) -> None:
        rng, cluster = self.rng, self.cluster
        cluster.network.faults = _faults(rng)
        fault_every_s, ask_every_s = rng.uniform(0.1, 1.5), rng.uniform(0.004, 0.05)
        until = cluster.clock.now() + seconds
        fault_at = cluster.clock.now() + 1.5
        while cluster.clock.now() < until:
            cluster.run(rng.expovariate(1 / ask_every_s))
            self._ask()
            if cluster.clock.now() >= fault_at:
                rng.choice(self._faults)()
                fault_at += rng.expovariate(1 / fault_every_s)
            for me in cluster.ids:
                if me not in cluster.up and rng.random() < 0.05:
                    cluster.start(me)

    def settle(self) -> None:
        """All faults end; then everything must be well, and everybody answered."""
        cluster = self.cluster
        self._over = True
        cluster.note("", "all faults end")
        cluster.network.faults = NetworkFaults()
        cluster.network.cuts.clear()
        for me in cluster.ids:
            if me in cluster.up and cluster.up[me].engine.halted:
                cluster.crash(me)
            if me not in cluster.up:
                cluster.start(me)
            cluster.up[me].journal.fault = ""
        cluster.run_until(self._all_answered, 30, "everybody is answered")
        cluster.write(cluster.ids[0], b"the last one")
        engines = [cluster.up[me].engine for me in cluster.ids]
        cluster.run_until(
            lambda: len({e.applied_index for e in engines}) == 1, 10, "all replicas catch up"
        )
        cluster.history.settled(engines)
        for one, other in itertools.pairwise(engines):
            check_logs_match(one, other)

    def _all_answered(self) -> bool:
        while self.asks and self.asks[-1].answered:
            self.asks.pop()
        return not self.asks

    def _ask(self) -> None:
        cluster, rng = self.cluster, self.rng
        if not cluster.up:
            return
        for _ in range(rng.choice((1, 1, 1, 2, 20))):
            me = rng.choice(sorted(cluster.up))
            if rng.random() < 0.25:
                self.asks.append(cluster.read(me))
            else:
                self._count += 1
                size = rng.choice((0, 10, 200, 5000))
                self.asks.append(cluster.propose(me, b"%d " % self._count + b"x" * size))

    # --- faults ----------------------------------------------------------------------------------

    def _any(self) -> str | None:
        alive = sorted(self.cluster.up)
        leader = self.cluster.leader()
        if leader and self.rng.random() < 0.4:
            return leader
        return self.rng.choice(alive) if alive else None

    def _crash(self) -> None:
        me = self._any()
        if me:
            self.cluster.crash(me, power=self.rng.random() < 0.5)

    def _crash_at_commit(self) -> None:
        me = self._any()
        if me:
            self.cluster.up[me].journal.fault = self.rng.choice(("before", "after"))

    def _crash_all(self) -> None:
        if self.rng.random() < 0.3:
            for me in sorted(self.cluster.up):
                self.cluster.crash(me, power=True)

    def _crash_all_at_election(self) -> None:
        """Everybody loses power in the middle of the next election."""
        cluster, delay_s = self.cluster, self.rng.uniform(0.0, 0.01)
        armed = [True]

        def on_role(role: Role, _term: int) -> None:
            if armed and role in (Role.CANDIDATE, Role.LEADER):
                armed.clear()
                cluster.later(delay_s, crash)

        def crash() -> None:
            for me in () if self._over else sorted(cluster.up):
                cluster.crash(me, power=True)

        for replica in cluster.up.values():
            replica.engine.on_role.append(on_role)
        self._crash()

    def _fill_disk(self) -> None:
        me = self._any()
        if me:
            self.cluster.note(me, "has a full disk")
            self.cluster.up[me].halt_expected = True
            self.cluster.up[me].journal.fault = "full"

    def _cut(self) -> None:
        a, b = self.rng.sample(self.cluster.ids, 2)
        both = self.rng.random() < 0.5
        self.cluster.note(a, f"is cut from {b}, {'both ways' if both else 'one way'}")
        self.cluster.network.cuts.add((a, b))
        if both:
            self.cluster.network.cuts.add((b, a))

    def _isolate(self) -> None:
        """Its own clients still reach it: a leader goes on writing what will not last."""
        me = self._any()
        if me:
            self.cluster.note(me, "is cut off")
            for other in self.cluster.ids:
                if other != me:
                    self.cluster.network.cuts |= {(me, other), (other, me)}

    def _heal(self) -> None:
        self.cluster.note("", "cuts heal")
        self.cluster.network.cuts.clear()
        for me in sorted(self.cluster.up):
            if self.cluster.up[me].engine.role is Role.HALTED:
                self.cluster.crash(me)

    def _reset_link(self) -> None:
        self.cluster.network.break_link(*self.rng.sample(self.cluster.ids, 2))

    def _freeze(self) -> None:
        me = self._any()
        if me:
            self.cluster.freeze(me, self.rng.choice((0.05, 0.3, 1.0, 3.0)))

    def _transfer(self) -> None:
        leader = self.cluster.leader()
        if leader:
            target = self.rng.choice(self.cluster.ids)
            self.cluster.note(leader, f"hands over to {target}")
            self.cluster.up[leader].engine.transfer(target, lambda _ok, _detail: None)


def _faults(rng: random.Random) -> NetworkFaults:
    lossy = rng.random() < 0.6
    return NetworkFaults(
        delay_max_s=rng.choice((0.001, 0.005, 0.05)),
        slow=rng.choice((0.0, 0.01, 0.1)),
        slow_max_s=rng.choice((0.2, 3.0)),
        drop=rng.choice((0.0, 0.01, 0.1)) if lossy else 0.0,
        duplicate=rng.choice((0.0, 0.01, 0.2)) if lossy else 0.0,
        ordered=rng.random() < 0.5,
    )


def run_seed(seed: int, *, storm_s: float = STORM_S, directory: Path | None = None) -> SimCluster:
    """One history. Raises Violation with the readable trace in its notes."""
    made = Path(tempfile.mkdtemp(prefix="skyraft-sim-", dir=directory or _memory()))
    # Small frames: a follower is often behind by more than one.
    settings = {"max_append_bytes": 200} if seed % 3 == 1 else {}
    cluster = SimCluster(seed, made, size=5 if seed % 4 == 3 else 3, settings=settings)
    storm = Storm(cluster)
    try:
        storm.run(storm_s)
        storm.settle()
    except Violation as violation:
        violation.add_note("\n".join(list(cluster.trace)[-_TRACE_LINES:]))
        raise
    finally:
        cluster.close()
        shutil.rmtree(made)
    return cluster


def _memory() -> Path | None:
    shm = Path("/dev/shm")
    return shm if shm.is_dir() else None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m raft.sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=50, help="how many seeds (default 50)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--minutes", type=float, help="go on for this long instead")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    options = parser.parse_args(arguments)
    logging.getLogger("raft").setLevel(logging.CRITICAL + 1)  # the trace says it all
    started = time.monotonic()
    seed, simulated_s, entries = options.first, 0.0, 0
    while True:
        spent_s = time.monotonic() - started
        if options.minutes is not None:
            if spent_s >= options.minutes * 60:
                break
        elif seed >= options.first + options.seeds:
            break
        try:
            cluster = run_seed(seed)
        except Violation as violation:
            return _report_failure(seed, violation, as_json=options.json)
        simulated_s += cluster.clock.now() - 1000
        entries += len(cluster.history.committed) - 1
        seed += 1
    count = seed - options.first
    result = {
        "seeds": count,
        "seconds": round(spent_s, 1),
        "seeds_per_second": round(count / spent_s, 2) if spent_s else 0.0,
        "simulated_seconds": round(simulated_s),
        "committed_entries": entries,
        "violations": 0,
    }
    if options.json:
        _say(json.dumps(result))
    else:
        _say("\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in result.items()))
    return 0


def _report_failure(seed: int, violation: Violation, *, as_json: bool) -> int:
    trace = "\n".join(violation.__notes__)
    if as_json:
        _say(json.dumps({"seed": seed, "violation": str(violation), "trace": trace.split("\n")}))
    else:
        _say(
            f"{trace}\n\nseed {seed}: {violation}\n"
            f"replay: python -m raft.sim --first {seed} --seeds 1"
        )
    return 1


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
