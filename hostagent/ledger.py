"""
What this host must not forget: tasks it accepted, reports nobody acknowledged yet, the highest
leader's term and the highest epoch of each VM.

Every change is on disk before the call returns. Changes block for a sync: an event loop makes
them through aside().
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import lmdb

from protos.v1.agent_pb2 import Task, TaskReport
from storage.threads import in_thread

A = TypeVarTuple("A")
T = TypeVar("T")

MAP_BYTES = 256 << 20
DONE_KEPT = 20_000
"""Finished tasks that are remembered. The front-end sends no task again once it is reported, so
this covers any number of failovers within the last twenty thousand tasks."""

_TERM = b"term"


class LedgerError(Exception):
    """The ledger cannot be read or written. The text names cause and next step."""


class Verdict(enum.Enum):
    """What is to happen with a task that was offered."""

    NEW = "new"
    """Accepted now: do it."""
    UNDER_WAY = "under way"
    """Accepted before and not finished: it is being done."""
    REPORTED = "reported"
    """Finished or refused; its report waits to be sent (again)."""


class Ledger:
    """One per agent directory."""

    def __init__(self, directory: Path) -> None:
        """Raises LedgerError."""
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._explained():
            self._env = lmdb.open(str(directory), map_size=MAP_BYTES, max_dbs=8)
            names = (b"meta", b"epochs", b"tasks", b"attempts", b"reports", b"done")
            tables = [self._env.open_db(name) for name in names]
        self._meta, self._epochs, self._tasks, self._attempts, self._reports, self._done = tables

        # Its own: a session must not end because work on disks has taken all threads.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    def close(self) -> None:
        self._thread.shutdown()
        self._env.close()

    async def aside(self, change: Callable[[*A], T], *arguments: *A) -> T:
        """Runs one of this ledger's calls in its thread."""
        return await in_thread(change, *arguments, pool=self._thread)

    def term(self) -> int:
        """The highest term that this host has seen a leader of; 0 before the first."""
        with self._explained(), self._env.begin() as txn:
            return _number(txn.get(_TERM, db=self._meta))

    def see_term(self, term: int) -> bool:
        """False for a term older than the highest seen: whoever claims it does not lead."""
        if term == self.term():
            return True
        with self._writing() as txn:
            known = _number(txn.get(_TERM, db=self._meta))
            if term > known:
                txn.put(_TERM, _key(term), db=self._meta)
            return term >= known

    def epoch(self, vm_id: int) -> int:
        """The highest epoch seen of that VM; 0 when none was."""
        with self._explained(), self._env.begin() as txn:
            return _number(txn.get(_key(vm_id), db=self._epochs))

    def offer(self, task: Task) -> Verdict:
        """Accepts the task unless it was before or its epoch is over."""
        key = _key(task.id)
        with self._writing() as txn:
            done = txn.get(key, db=self._done)
            if done is not None:
                txn.put(key, done, db=self._reports)
                return Verdict.REPORTED
            if txn.get(key, db=self._tasks) is not None:
                return Verdict.UNDER_WAY
            known = _number(txn.get(_key(task.vm_id), db=self._epochs))
            if task.epoch < known:
                self._put_report(txn, _stale(task, known))
                return Verdict.REPORTED
            txn.put(_key(task.vm_id), _key(task.epoch), db=self._epochs)
            txn.put(key, task.SerializeToString(), db=self._tasks)
            return Verdict.NEW

    def accepted(self) -> list[Task]:
        """Tasks that are not finished, in the order of their ids."""
        with self._explained(), self._env.begin(db=self._tasks) as txn:
            return [Task.FromString(row) for _, row in txn.cursor()]

    def begin_attempt(self, task_id: int) -> int:
        """Counts the starts of a task over crashes of the agent; 1 the first time."""
        with self._writing() as txn:
            attempts = _number(txn.get(_key(task_id), db=self._attempts)) + 1
            txn.put(_key(task_id), _key(attempts), db=self._attempts)
            return attempts

    def take_attempt_back(self, task_id: int) -> None:
        """The attempt was ended in order, by no crash."""
        with self._writing() as txn:
            attempts = _number(txn.get(_key(task_id), db=self._attempts))
            if attempts:
                txn.put(_key(task_id), _key(attempts - 1), db=self._attempts)

    def finish(self, report: TaskReport) -> None:
        """The task is done, or failed; its report waits for acknowledgement."""
        with self._writing() as txn:
            self._put_report(txn, report)

    def reports(self) -> list[TaskReport]:
        """Reports that wait for acknowledgement, in the order of their tasks."""
        with self._explained(), self._env.begin(db=self._reports) as txn:
            return [TaskReport.FromString(row) for _, row in txn.cursor()]

    def acknowledge(self, task_id: int) -> None:
        """The front-end has the report. Acknowledging twice, or nothing, is fine."""
        with self._writing() as txn:
            txn.delete(_key(task_id), db=self._reports)

    def _put_report(self, txn: Any, report: TaskReport) -> None:
        key, row = _key(report.task_id), report.SerializeToString()
        txn.delete(key, db=self._tasks)
        txn.delete(key, db=self._attempts)
        txn.put(key, row, db=self._reports)
        txn.put(key, row, db=self._done)
        # Ids grow, so the lowest ones are the oldest.
        cursor = txn.cursor(db=self._done)
        for _ in range(txn.stat(self._done)["entries"] - DONE_KEPT):
            cursor.first()
            cursor.delete()

    @contextmanager
    def _writing(self) -> Iterator[Any]:
        with self._explained(), self._env.begin(write=True) as txn:
            yield txn

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as err:
            raise LedgerError(
                f"the ledger in {self._directory} cannot be used: {err}; "
                "see whether its disk is full or broken (guests go on running meanwhile)"
            ) from err


def _stale(task: Task, known: int) -> TaskReport:
    return TaskReport(
        task_id=task.id,
        vm_id=task.vm_id,
        epoch=task.epoch,
        detail=f"refused: epoch {task.epoch} of VM {task.vm_id} is over, this host has seen "
        f"epoch {known}; nothing was done",
    )


def _key(number: int) -> bytes:
    """Big-endian, so that LMDB's order is the numbers'."""
    return number.to_bytes(8, "big")


def _number(row: bytes | None) -> int:
    return 0 if row is None else int.from_bytes(row, "big")
