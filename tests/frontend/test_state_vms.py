"""The VM table's indexes follow a VM through its life."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontend.state import vms
from tests.frontend.cloud import Cloud


def ids(found) -> list[int]:
    return [vm.id for vm in found]


def test_indexes_follow_a_vm_from_creation_to_done(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path).furnish()
    for _ in range(3):
        cloud.vm()
    cloud.place(1)
    with cloud.read() as txn:
        assert ids(vms.pending(txn)) == [0, 2]
        assert ids(vms.on_host(txn, 0)) == [1]
        assert list(vms.ids_of_image(txn, 0)) == [0, 1, 2]

    cloud.act("delete", 0)
    cloud.act("delete", 1)
    cloud.report(1)
    with cloud.read() as txn:
        assert ids(vms.pending(txn)) == [2]
        assert ids(vms.on_host(txn, 0)) == []
        assert list(vms.ids_of_image(txn, 0)) == [2]
        assert ids(vms.list_page(txn)) == [2]
        assert ids(vms.list_page(txn, include_done=True)) == [0, 1, 2]


def test_pages_go_on_after_an_id_and_keep_owners_apart(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path).furnish()
    for number in range(6):
        cloud.vm(actor="user/ann" if number % 2 else "user/bob")
    cloud.act("terminate", 1)
    with cloud.read() as txn:
        assert ids(vms.list_page(txn, limit=2)) == [0, 2]
        assert ids(vms.list_page(txn, after=2, limit=2)) == [3, 4]
        assert ids(vms.list_page(txn, owner="user/ann")) == [3, 5]
        assert ids(vms.list_page(txn, owner="user/ann", include_done=True)) == [1, 3, 5]
        assert ids(vms.list_page(txn, after=3, owner="user/bob")) == [4]
        assert ids(vms.list_page(txn, owner="user/an")) == []
        assert vms.list_page(txn, after=2**63 - 1) == []


@pytest.mark.parametrize("owner", ["", "user/ann"])
def test_list_without_done_vms_reads_none_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    """They stay for ever: what is listed by default must not become slower with each of them."""
    cloud = Cloud(tmp_path).furnish()
    for number in range(20):
        cloud.vm()
        if number < 19:
            cloud.act("delete", number)
    read: list[bytes] = []
    existing = vms._existing
    monkeypatch.setattr(vms, "_existing", lambda txn, key: read.append(key) or existing(txn, key))
    with cloud.read() as txn:
        assert ids(vms.list_page(txn, owner=owner)) == [19]
    assert len(read) == 1
