"""The task table: the waiting ones by host, the finished ones for a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontend.state import tasks
from tests.frontend.cloud import Cloud


def test_waiting_tasks_are_listed_by_host(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path).furnish(host_count=2)
    for vm_id, host_id in ((0, 1), (1, 0), (2, 1)):
        cloud.vm()
        cloud.place(vm_id, host_id)
    assert [task.vm_id for task in cloud.waiting()] == [1, 0, 2]
    assert [task.vm_id for task in cloud.waiting(1)] == [0, 2]
    cloud.report(0)
    with cloud.read() as txn:
        assert [task.id for task in tasks.list_page(txn, after=1)] == [2, 3]


def test_finished_tasks_are_forgotten_after_a_while_and_waiting_ones_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "FINISHED_KEPT", 3)
    cloud = Cloud(tmp_path).furnish()
    cloud.vm()
    cloud.place(0)  # task 0 waits on and on
    cloud.running_vm()
    for _ in range(4):
        cloud.act("reboot", 1)
        cloud.report(1)
    with cloud.read() as txn:
        assert [task.id for task in tasks.list_page(txn)] == [0, 4, 5, 6]
    cloud.report(0)
    with cloud.read() as txn:
        assert tasks.get(txn, 0) is None
