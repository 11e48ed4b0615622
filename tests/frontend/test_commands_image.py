"""Images: usable when enough replicas hold a verified copy, kept while VMs use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frontend.state import images
from protos.v1.command_pb2 import AddImageCopy, FailImage, RegisterImage
from protos.v1.image_pb2 import IMAGE_FORMAT_RAW, DeleteImageRequest, ImageState
from protos.v1.template_pb2 import TemplateDisk
from protos.v1.vm_pb2 import CreateVmRequest
from tests.frontend.cloud import Cloud, sha


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path)


def state(cloud: Cloud, image_id: int = 0) -> str:
    return ImageState.Name(cloud.get(images, image_id).state).removeprefix("IMAGE_STATE_")


def copy(replica_id: str, **more: Any) -> dict[str, Any]:
    fields = {
        "sha256": sha("debian"),
        "format": IMAGE_FORMAT_RAW,
        "size_bytes": 512,
        "virtual_size_bytes": 1024,
        **more,
    }
    return {"add_image_copy": AddImageCopy(image_id=0, replica_id=replica_id, **fields)}


def url_import(cloud: Cloud) -> None:
    register = RegisterImage(name="debian", copies_wanted=2)
    cloud.run(register_image=register)


def test_image_is_locked_until_enough_replicas_hold_it(cloud: Cloud) -> None:
    assert cloud.image(copies_wanted=2).copies_wanted == 2
    assert state(cloud) == "LOCKED"
    cloud.run("replica/1", **copy("1"))
    assert state(cloud) == "LOCKED"
    cloud.run("replica/2", **copy("2"))
    assert state(cloud) == "READY"
    assert list(cloud.get(images, 0).replica_ids) == ["1", "2"]


def test_import_learns_size_and_hash_from_its_first_copy(cloud: Cloud) -> None:
    url_import(cloud)
    cloud.run("replica/3", **copy("3"))
    image = cloud.get(images, 0)
    assert (image.sha256, image.size_bytes, image.virtual_size_bytes) == (sha("debian"), 512, 1024)
    cloud.run("replica/1", **copy("1"))
    assert state(cloud) == "READY"


def test_copy_with_another_hash_is_refused(cloud: Cloud) -> None:
    cloud.image()
    refusal = cloud.refused("replica/2", **copy("2", sha256=sha("other")))
    assert (refusal.code, refusal.field) == ("invalid_argument", "sha256")


def test_copy_heard_of_twice_changes_nothing(cloud: Cloud) -> None:
    cloud.image()
    before = cloud.state()
    cloud.run("replica/1", **copy("1"))
    assert cloud.state() == before


def test_failed_import_says_why_and_stays_failed(cloud: Cloud) -> None:
    url_import(cloud)
    cloud.run("replica/1", fail_image=FailImage(image_id=0, error="404 from the server"))
    assert (state(cloud), cloud.get(images, 0).error) == ("ERROR", "404 from the server")
    assert cloud.refused("replica/1", **copy("1")).code == "wrong_state"
    cloud.run(delete_image=DeleteImageRequest(id=0))


def test_usable_image_is_not_failed(cloud: Cloud) -> None:
    cloud.image()
    fail = FailImage(image_id=0, error="late")
    assert cloud.refused("replica/1", fail_image=fail).code == "wrong_state"


def test_only_the_front_end_reports_copies_and_failures(cloud: Cloud) -> None:
    cloud.image()
    for actor in ("user/ann", "user/root", "host/0"):
        assert cloud.refused(actor, **copy("2")).code == "permission_denied"
        fail = FailImage(image_id=0)
        assert cloud.refused(actor, fail_image=fail).code == "permission_denied"


def test_image_is_used_while_vms_have_disks_of_it(cloud: Cloud) -> None:
    cloud.furnish()
    for _ in range(2):
        cloud.vm()
    assert (state(cloud), cloud.get(images, 0).vm_count) == ("USED", 2)
    refusal = cloud.refused(delete_image=DeleteImageRequest(id=0))
    assert (refusal.code, "2 VMs" in refusal.detail) == ("in_use", True)
    for vm_id in range(2):
        cloud.act("terminate", vm_id)
    assert state(cloud) == "READY"
    cloud.run(delete_image=DeleteImageRequest(id=0))
    assert cloud.get(images, 0) is None


def test_vm_with_two_disks_of_an_image_counts_once(cloud: Cloud) -> None:
    cloud.furnish()
    disks = [TemplateDisk(image_id=0)] * 2
    cloud.template("two", disks=disks)
    cloud.vm(1)
    assert cloud.get(images, 0).vm_count == 1
    cloud.act("delete", 0)
    assert cloud.get(images, 0).vm_count == 0


def test_use_by_vms_does_not_disturb_an_editor(cloud: Cloud) -> None:
    cloud.furnish()
    cloud.vm()
    revision = cloud.get(images, 0).revision
    cloud.vm()
    cloud.update("image", ["description"], id=0, description="x", expected_revision=revision)


@pytest.mark.parametrize("copies_wanted", [2, 3])
def test_vm_of_an_image_that_is_not_ready_is_refused(cloud: Cloud, copies_wanted: int) -> None:
    cloud.cluster()
    cloud.image(copies_wanted=copies_wanted)
    cloud.template(disks=[TemplateDisk(image_id=0)])
    refusal = cloud.refused(create_vm=CreateVmRequest(template_id=0))
    assert (refusal.code, refusal.detail) == ("wrong_state", "image 0 is LOCKED")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"sha256": "xyz"}, "sha256"),
        ({"sha256": "A" * 64}, "sha256"),
        ({"sha256": ""}, "sha256"),
        ({"replica_id": ""}, "replica_id"),
        ({"format": 0}, "format"),
        ({"virtual_size_bytes": 0}, "virtual_size_bytes"),
        ({"name": "\n"}, "name"),
    ],
)
def test_incomplete_image_is_refused(cloud: Cloud, fields: dict[str, Any], field: str) -> None:
    register = RegisterImage(
        **{
            "name": "debian",
            "format": IMAGE_FORMAT_RAW,
            "virtual_size_bytes": 512,
            "sha256": sha("debian"),
            "replica_id": "1",
            **fields,
        }
    )
    refusal = cloud.refused(register_image=register)
    assert (refusal.code, refusal.field) == ("invalid_argument", field)


def test_others_do_not_change_or_delete_an_image(cloud: Cloud) -> None:
    cloud.image()
    update = cloud.update_op("image", ["name"], id=0, name="mine")
    assert cloud.refused("user/bob", **update).code == "permission_denied"
    delete = DeleteImageRequest(id=0)
    assert cloud.refused("user/bob", delete_image=delete).code == "permission_denied"
    cloud.run("user/root", **update)
    assert cloud.refused("user/root", **cloud.update_op("image", ["state"], id=0)).field == (
        "update_mask"
    )
