"""
Does tasks: one at a time for each VM, different VMs side by side, each exactly once.

A task is in the ledger before its work starts, so an agent that is killed does it again after
its restart: verbs bring about a state, and a repeat finds it there. A reboot brings about none,
so it is never repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from hostagent.drivers.base import Driver, DriverError
from hostagent.ledger import Ledger, LedgerError, Verdict
from hostagent.network.base import NetworkError
from hostagent.preparation import Preparation
from protos.v1.agent_pb2 import Task, TaskKind, TaskReport
from storage.errors import StorageError

log = logging.getLogger(__name__)

TIMEOUT_S = 600.0
"""Of a task that names none."""

ATTEMPTS_MAX = 3
"""After that many crashes of the agent in the middle of a task it is reported as failed."""

_LEDGER_RETRY_S = 1.0


class Network(Protocol):
    async def ensure(self, names: Iterable[str]) -> None:
        """The bridges of that name are there. Raises NetworkError."""
        ...


@dataclass(frozen=True, slots=True)
class Tools:
    """What verbs work with."""

    driver: Driver
    preparation: Preparation
    network: Network


async def _prepare(tools: Tools, task: Task) -> None:
    await tools.preparation.prepare(task.vm)


async def _start(tools: Tools, task: Task) -> None:
    await tools.network.ensure(nic.bridge for nic in task.vm.nics)
    await tools.driver.define(tools.preparation.spec(task.vm))
    await tools.driver.start(task.vm_id)


async def _stop(tools: Tools, task: Task) -> None:
    await tools.driver.stop(task.vm_id, grace_s=0 if task.hard else task.grace_s)


async def _reboot(tools: Tools, task: Task) -> None:
    await tools.driver.reboot(task.vm_id, hard=task.hard)


async def _save(tools: Tools, task: Task) -> None:
    await tools.driver.save(task.vm_id)


async def _restore(tools: Tools, task: Task) -> None:
    await tools.network.ensure(nic.bridge for nic in task.vm.nics)
    await tools.driver.restore(task.vm_id)


async def _cleanup(tools: Tools, task: Task) -> None:
    await tools.driver.undefine(task.vm_id)
    await tools.preparation.remove(task.vm_id)


ONCE = frozenset({TaskKind.TASK_KIND_REBOOT})
"""Kinds whose repeat would be a second effect."""

Verb = Callable[[Tools, Task], Awaitable[None]]

VERBS: dict[TaskKind, Verb] = {
    TaskKind.TASK_KIND_PREPARE: _prepare,
    TaskKind.TASK_KIND_START: _start,
    TaskKind.TASK_KIND_STOP: _stop,
    TaskKind.TASK_KIND_REBOOT: _reboot,
    TaskKind.TASK_KIND_SAVE: _save,
    TaskKind.TASK_KIND_RESTORE: _restore,
    TaskKind.TASK_KIND_CLEANUP: _cleanup,
}


class Worker:
    """Works while run() runs, whether or not a front-end can be reached."""

    def __init__(self, ledger: Ledger, tools: Tools, *, parallel: int = 16) -> None:
        self._ledger = ledger
        self._tools = tools
        self._slots = asyncio.Semaphore(parallel)
        self._locks: dict[int, asyncio.Lock] = {}
        self._running: defaultdict[int, dict[int, asyncio.Task[None]]] = defaultdict(dict)
        self._dropped: set[int] = set()
        self._finishing: set[int] = set()
        self._group: asyncio.TaskGroup | None = None
        self._started = asyncio.Event()
        self.finished = 0
        """Counts finished tasks: two equal readings say that nothing was completed in between."""
        self.on_report: Callable[[TaskReport], None] = lambda _: None
        """Called with every report once it is in the ledger."""

    async def run(self) -> None:
        """
        First what an earlier agent left unfinished, then what submit() brings. Ends by
        cancellation, or by a bug in a verb.
        """
        async with asyncio.TaskGroup() as group:
            self._group = group
            left = await self._ledger.aside(self._ledger.accepted)
            removals = {t.vm_id: t.id for t in left if t.kind == TaskKind.TASK_KIND_CLEANUP}
            for task in left:
                log.info("task %d of VM %d was interrupted", task.id, task.vm_id)
                self._spawn(group, task, cancelled=task.id < removals.get(task.vm_id, 0))
            self._started.set()
            await asyncio.Event().wait()

    async def submit(self, task: Task) -> None:
        """Accepts a task; its report comes through on_report. Raises LedgerError."""
        await self._started.wait()
        assert self._group is not None
        # A session that ends in the middle must not leave a task that is accepted and not done.
        error = await asyncio.shield(self._group.create_task(self._accept(self._group, task)))
        if error is not None:
            raise error

    async def _accept(self, group: asyncio.TaskGroup, task: Task) -> LedgerError | None:
        try:
            verdict = await self._ledger.aside(self._ledger.offer, task)
            reports = self._ledger.reports() if verdict is Verdict.REPORTED else []
        except LedgerError as err:
            return err
        if verdict is Verdict.NEW:
            if task.kind == TaskKind.TASK_KIND_CLEANUP:
                self._cancel_all(task.vm_id)
            self._spawn(group, task)
        for report in reports:
            if report.task_id == task.id:
                self.on_report(report)
        return None

    def busy(self, vm_id: int) -> bool:
        """A task of that VM is being done or waits for its turn."""
        return bool(self._running.get(vm_id))

    def _spawn(self, group: asyncio.TaskGroup, task: Task, *, cancelled: bool = False) -> None:
        """*cancelled* ones are only reported."""
        work = self._complete(task, _cancelled(task)) if cancelled else self._work(task)
        self._running[task.vm_id][task.id] = group.create_task(work, name=f"task {task.id}")

    def _cancel_all(self, vm_id: int) -> None:
        """The VM goes away: what is still being done to it is of no more use."""
        for task_id, running in self._running.get(vm_id, {}).items():
            if task_id not in self._finishing:
                self._dropped.add(task_id)
                running.cancel()

    async def _work(self, task: Task) -> None:
        try:
            async with self._locks.setdefault(task.vm_id, asyncio.Lock()), self._slot(task):
                report = await self._perform(task)
        except asyncio.CancelledError:
            if task.id not in self._dropped:
                raise
            report = _cancelled(task)
        await self._complete(task, report)

    async def _complete(self, task: Task, report: TaskReport) -> None:
        self._finishing.add(task.id)
        await self._finish(report)
        self._forget(task)
        self.finished += 1
        self.on_report(report)

    def _slot(self, task: Task) -> AbstractAsyncContextManager[object]:
        """Only for what keeps the host busy all the time: a fetch waits for the network (and what
        it writes for storage's own few threads), a shutdown for the guest."""
        patient = task.kind == TaskKind.TASK_KIND_STOP and not task.hard
        if patient or task.kind == TaskKind.TASK_KIND_PREPARE:
            return nullcontext()
        return self._slots

    def _forget(self, task: Task) -> None:
        self._finishing.discard(task.id)
        self._dropped.discard(task.id)
        running = self._running[task.vm_id]
        del running[task.id]
        if not running:
            del self._running[task.vm_id]
            self._locks.pop(task.vm_id, None)

    async def _finish(self, report: TaskReport) -> None:
        """Waits out a ledger that cannot be written: an effect must not go unreported."""
        while True:
            try:
                await self._ledger.aside(self._ledger.finish, report)
                return
            except LedgerError as err:
                log.error("task %d: %s", report.task_id, err)
                await asyncio.sleep(_LEDGER_RETRY_S)

    async def _perform(self, task: Task) -> TaskReport:
        """Only refusals and failures of the outside become a failed report; a bug propagates."""
        refusal = await self._refusal(task)
        if refusal:
            return _report(task, refusal)
        verb = VERBS.get(task.kind)
        if verb is None:
            return _report(task, f"this agent does not know {_name(task)}; upgrade the agent")
        timeout_s = task.timeout_s or TIMEOUT_S
        try:
            async with asyncio.timeout(timeout_s):
                await verb(self._tools, task)
        except TimeoutError:
            return _report(
                task,
                f"{_name(task)} of VM {task.vm_id} did not finish within {timeout_s:g} s; see "
                "the host's hypervisor and disks, then try again",
            )
        except (DriverError, NetworkError, StorageError) as err:
            return _report(task, str(err))
        except asyncio.CancelledError:
            if task.id not in self._dropped:
                await self._take_back(task)
            raise
        return _report(task)

    async def _take_back(self, task: Task) -> None:
        """The agent is stopped in order: the task is not what ends it. Unless a repeat would do
        harm, which is so after a stop as it is after a crash."""
        if task.kind in ONCE:
            return
        try:
            await self._ledger.aside(self._ledger.take_attempt_back, task.id)
        except LedgerError as err:
            log.error("task %d: %s", task.id, err)

    async def _refusal(self, task: Task) -> str:
        """Counts this attempt; why it must not be made, or nothing."""
        try:
            attempt = await self._ledger.aside(self._ledger.begin_attempt, task.id)
        except LedgerError as err:
            if task.kind in ONCE:
                return f"not done, as it could not be noted that it is begun: {err}"
            # The count only guards against a task that ends the agent again and again.
            log.error("task %d: %s", task.id, err)
            return ""
        if task.kind in ONCE and attempt > 1:
            return (
                f"{_name(task)} of VM {task.vm_id} was interrupted, outcome unknown; look at the "
                "guest, then ask again if need be"
            )
        if attempt > ATTEMPTS_MAX:
            return f"the agent ended {ATTEMPTS_MAX} times in the middle of it; see its log"
        return ""


def _name(task: Task) -> str:
    if task.kind not in VERBS:
        return f"operation {task.kind}"
    return TaskKind.Name(task.kind).removeprefix("TASK_KIND_").lower()


def _cancelled(task: Task) -> TaskReport:
    return _report(task, "cancelled: the VM is being removed")


def _report(task: Task, problem: str = "") -> TaskReport:
    log.info("task %d, %s of VM %d: %s", task.id, _name(task), task.vm_id, problem or "done")
    return TaskReport(
        task_id=task.id, vm_id=task.vm_id, epoch=task.epoch, ok=not problem, detail=problem
    )
