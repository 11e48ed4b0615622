"""Tables of host tasks: id -> Task, and the waiting ones by host. They are the work queue.

Finished tasks are kept for a while for people who look what happened, then forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator

from frontend.state import counters
from frontend.state.keys import pack_id, pack_pair
from frontend.state.rows import Rows
from frontend.state.store import ReadTxn, Txn
from protos.v1.agent_pb2 import TASK_STATE_WAITING, Task

FINISHED_KEPT = 20_000
"""A finished task goes when this many newer ones have been made."""

_ROWS = Rows("tasks", Task.FromString)

get = _ROWS.get
list_page = _ROWS.list_page


def insert(txn: Txn, task: Task) -> None:
    """A new waiting task. Makes room by forgetting an old finished one."""
    _ROWS.put(txn, task)
    txn.put("tasks_waiting", pack_pair(task.host_id, task.id), b"")
    old = get(txn, task.id - FINISHED_KEPT)
    if old is not None and old.state != TASK_STATE_WAITING:
        _ROWS.delete(txn, old.id)


def finish(txn: Txn, task: Task) -> None:
    """Store a task whose state is no longer WAITING."""
    assert task.state != TASK_STATE_WAITING, f"task {task.id} still waits"
    txn.delete("tasks_waiting", pack_pair(task.host_id, task.id))
    if task.id <= counters.value(txn, "task") - FINISHED_KEPT:
        _ROWS.delete(txn, task.id)
    else:
        _ROWS.put(txn, task)


def waiting(txn: ReadTxn, host_id: int | None = None) -> Iterator[Task]:
    """Tasks to be done, by host (only *host_id*'s when given) and age."""
    prefix = b"" if host_id is None else pack_id(host_id)
    for key, _ in txn.scan("tasks_waiting", prefix=prefix):
        row = txn.get("tasks", key[8:])
        assert row is not None, "tasks_waiting names a task that does not exist"
        yield Task.FromString(row)
