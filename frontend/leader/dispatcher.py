"""
Leader only: pushes waiting tasks to the agents of their hosts.

The task table is the queue; all that is remembered here is up to which task the connected hosts
have been told. A host that connects gets everything that waits for it, so agents must recognise
a task that they have already, and they do.
"""

from __future__ import annotations

import asyncio
from itertools import islice

from frontend.leader.hosts import Hosts
from frontend.replica import Replica
from frontend.state import counters, tasks, vms
from frontend.state.store import ReadTxn
from protos.v1.agent_pb2 import TASK_STATE_WAITING, Task

_BATCH = 500


class Dispatcher:
    def __init__(self, replica: Replica, hosts: Hosts) -> None:
        self._replica, self._hosts = replica, hosts

    async def run(self, term: int) -> None:
        """Until cancelled. *term* is the leader's, carried by each task."""
        with self._replica.store.read() as txn:
            told = counters.value(txn, "task") - 1
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(term, told))
            group.create_task(self._greet(term))

    async def _follow(self, term: int, told: int) -> None:
        """New tasks, as they are committed."""
        while True:
            seen = self._replica.revision
            with self._replica.store.read() as txn:
                # Most commits make no task: one look-up tells, where a scan would cost a cursor.
                news = counters.value(txn, "task") - 1 > told
                page = tasks.list_page(txn, told, _BATCH) if news else []
                for task in page:
                    if task.state == TASK_STATE_WAITING:
                        self._push(txn, task, term)
            if page:
                told = page[-1].id
                # Others get a turn between two pages.
                await asyncio.sleep(0)
            else:
                await self._replica.wait_revision(seen)

    async def _greet(self, term: int) -> None:
        """What waits for a host that has just connected, oldest first."""
        while True:
            host_id = await self._hosts.arrived()
            after = -1
            while True:
                with self._replica.store.read() as txn:
                    waiting = (task for task in tasks.waiting(txn, host_id) if task.id > after)
                    page = list(islice(waiting, _BATCH))
                    for task in page:
                        self._push(txn, task, term)
                if len(page) < _BATCH:
                    break
                after = page[-1].id
                await asyncio.sleep(0)

    def _push(self, txn: ReadTxn, task: Task, term: int) -> None:
        vm = vms.get(txn, task.vm_id)
        assert vm is not None, f"task {task.id} is for VM {task.vm_id}, which does not exist"
        task.term = term
        task.vm.CopyFrom(vm)
        # Not connected: it is told when it connects.
        self._hosts.send_task(task)
