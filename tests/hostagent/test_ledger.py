"""What the ledger keeps over a restart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hostagent import ledger as module
from hostagent.ledger import Ledger, LedgerError, Verdict
from protos.v1.agent_pb2 import Task, TaskReport
from storage.threads import in_thread


@contextmanager
def opened(directory: Path) -> Iterator[Ledger]:
    ledger = Ledger(directory)
    try:
        yield ledger
    finally:
        ledger.close()


def test_accepted_task_survives_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        assert ledger.offer(Task(id=4, vm_id=1, epoch=2)) is Verdict.NEW
    with opened(tmp_path) as ledger:
        assert [task.id for task in ledger.accepted()] == [4]
        assert ledger.offer(Task(id=4, vm_id=1, epoch=2)) is Verdict.UNDER_WAY
        assert ledger.epoch(1) == 2


def test_report_waits_until_acknowledged(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        ledger.offer(Task(id=4, vm_id=1))
        ledger.finish(TaskReport(task_id=4, ok=True))
    with opened(tmp_path) as ledger:
        assert ledger.accepted() == []
        assert [report.task_id for report in ledger.reports()] == [4]
        ledger.acknowledge(4)
        ledger.acknowledge(4)
        assert ledger.reports() == []


def test_task_that_was_done_is_answered_with_its_report(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        ledger.offer(Task(id=4, vm_id=1))
        ledger.finish(TaskReport(task_id=4, ok=False, detail="no room"))
        ledger.acknowledge(4)
        assert ledger.offer(Task(id=4, vm_id=1)) is Verdict.REPORTED
        assert [report.detail for report in ledger.reports()] == ["no room"]


def test_task_of_an_older_epoch_is_refused_with_a_report(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        ledger.offer(Task(id=4, vm_id=1, epoch=3))
        assert ledger.offer(Task(id=5, vm_id=1, epoch=2)) is Verdict.REPORTED
        (report,) = ledger.reports()
        assert not report.ok
        assert "epoch 2 of VM 1 is over, this host has seen epoch 3" in report.detail
        # Another VM has epochs of its own.
        assert ledger.offer(Task(id=6, vm_id=2, epoch=1)) is Verdict.NEW


def test_older_term_is_told_from_newer_ones(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        assert ledger.see_term(5)
        assert ledger.see_term(5)
        assert not ledger.see_term(4)
    with opened(tmp_path) as ledger:
        assert ledger.term() == 5
        assert ledger.see_term(6)


def test_only_the_newest_finished_tasks_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DONE_KEPT", 3)
    with opened(tmp_path) as ledger:
        for task_id in range(6):
            ledger.offer(Task(id=task_id, vm_id=1))
            ledger.finish(TaskReport(task_id=task_id, ok=True))
        assert ledger.offer(Task(id=3, vm_id=1)) is Verdict.REPORTED
        assert ledger.offer(Task(id=2, vm_id=1)) is Verdict.NEW
        # Reports are kept whatever happens, until they are acknowledged.
        assert len(ledger.reports()) == 6


def test_attempts_are_counted_over_restarts(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        ledger.offer(Task(id=4, vm_id=1))
        assert ledger.begin_attempt(4) == 1
    with opened(tmp_path) as ledger:
        assert ledger.begin_attempt(4) == 2
        ledger.take_attempt_back(4)
        assert ledger.begin_attempt(4) == 2


def test_changes_wait_for_no_other_work_in_threads(tmp_path: Path) -> None:
    go_on = threading.Event()

    async def scenario(ledger: Ledger) -> None:
        blocked = [asyncio.ensure_future(asyncio.to_thread(go_on.wait, 20)) for _ in range(50)]
        blocked += [asyncio.ensure_future(in_thread(go_on.wait, 20)) for _ in range(50)]
        await asyncio.sleep(0)
        assert await ledger.aside(ledger.offer, Task(id=4, vm_id=1)) is Verdict.NEW
        assert not go_on.is_set()
        go_on.set()
        assert all(await asyncio.gather(*blocked))

    with opened(tmp_path) as ledger:
        asyncio.run(scenario(ledger))


def test_unusable_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(LedgerError, match=str(tmp_path)):
        Ledger(tmp_path)


def test_full_ledger_is_an_error_that_names_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAP_BYTES", 64 << 10)
    with opened(tmp_path) as ledger:

        def fill() -> None:
            for task_id in range(1000):
                ledger.offer(Task(id=task_id, vm_id=1, detail="x" * 1000))

        with pytest.raises(LedgerError, match="disk is full"):
            fill()
        # What was there before is there still.
        assert ledger.accepted()
