"""Templates: checked in every field, changed by mask and revision, by their owners alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frontend.state import templates
from protos.v1.template_pb2 import (
    CreateTemplateRequest,
    DeleteTemplateRequest,
    Template,
    TemplateDisk,
)
from tests.frontend.cloud import GIB, Cloud


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path)


def test_created_template_is_stored_as_answered(cloud: Cloud) -> None:
    made = cloud.template(labels={"tier": "web"}, id=77, owner="user/bob", revision=9)
    assert (made.id, made.owner, made.revision) == (0, "user/ann", 1)
    assert cloud.get(templates, 0) == made
    assert cloud.events() == ["template.created small"]


def test_only_masked_fields_change(cloud: Cloud) -> None:
    cloud.template(labels={"a": "1"}, context={"A": "1"}, description="old")
    payload = cloud.update(
        "template", ["labels", "vcpu"], id=0, vcpu=4, labels={"b": "2"}, name="no"
    )
    new = Template.FromString(payload)
    assert (new.name, new.description, new.vcpu) == ("small", "old", 4)
    assert (dict(new.labels), dict(new.context)) == ({"b": "2"}, {"A": "1"})
    assert new == cloud.get(templates, 0)
    assert new.revision == cloud.index
    assert cloud.events()[-1] == "template.updated labels, vcpu"


def test_masked_field_that_is_not_given_is_cleared(cloud: Cloud) -> None:
    cloud.template(description="old", labels={"a": "1"})
    cloud.update("template", ["description", "labels"], id=0)
    new = cloud.get(templates, 0)
    assert (new.description, len(new.labels)) == ("", 0)


@pytest.mark.parametrize("path", ["id", "owner", "revision", "create_time_ms", "colour", "*", ""])
def test_unknown_or_forbidden_mask_is_refused(cloud: Cloud, path: str) -> None:
    cloud.template()
    refusal = cloud.refused(**cloud.update_op("template", ["vcpu", path], id=0, vcpu=2))
    assert (refusal.code, refusal.field) == ("invalid_argument", "update_mask")


def test_empty_mask_is_refused(cloud: Cloud) -> None:
    cloud.template()
    refusal = cloud.refused(**cloud.update_op("template", [], id=0, vcpu=2))
    assert refusal.field == "update_mask"


def test_update_of_what_somebody_changed_meanwhile_is_refused(cloud: Cloud) -> None:
    made = cloud.template()
    cloud.update("template", ["vcpu"], id=0, vcpu=2, expected_revision=made.revision)
    stale = cloud.update_op("template", ["vcpu"], id=0, vcpu=3, expected_revision=made.revision)
    assert cloud.refused(**stale).code == "revision_mismatch"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": "bell\a"}, "name"),
        ({"name": "rtl\u202e"}, "name"),
        ({"name": " space"}, "name"),
        ({"name": "space "}, "name"),
        ({"description": "esc\x1b[31m"}, "description"),
        ({"description": "x" * 4097}, "description"),
        ({"vcpu": 0}, "vcpu"),
        ({"vcpu": 513}, "vcpu"),
        ({"memory_mib": 0}, "memory_mib"),
        ({"memory_mib": 1 << 40}, "memory_mib"),
        ({"labels": {"UPPER": "x"}}, "labels"),
        ({"labels": {"a": "new\nline"}}, "labels"),
        ({"labels": {f"k{n}": "" for n in range(65)}}, "labels"),
        ({"context": {"lower": "x"}}, "context"),
        ({"context": {"PATH TO": "x"}}, "context"),
        ({"context": {"A": "nul\0"}}, "context"),
        ({"context": {"A": "x" * 70_000}}, "context"),
        ({"ssh_public_keys": ["ssh-ed25519 AAAA"]}, "ssh_public_keys[0]"),
        ({"ssh_public_keys": ["ssh-rsa " + "A" * 64 + " me\nroot:x"]}, "ssh_public_keys[0]"),
        ({"disks": [TemplateDisk(image_id=-1)]}, "disks[0].image_id"),
        ({"disks": [TemplateDisk(image_id=0, size_bytes=1 << 50)]}, "disks[0].size_bytes"),
        ({"disks": [TemplateDisk(image_id=0)] * 17}, "disks"),
    ],
)
def test_bad_field_is_refused_at_creation_and_update(
    cloud: Cloud, fields: dict[str, Any], field: str
) -> None:
    template = Template(**{"name": "ok", "vcpu": 1, "memory_mib": 64, **fields})
    refusal = cloud.refused(create_template=CreateTemplateRequest(template=template))
    assert (refusal.code, refusal.field) == ("invalid_argument", field)
    cloud.template()
    refusal = cloud.refused(**cloud.update_op("template", list(fields), id=0, **fields))
    assert (refusal.code, refusal.field) == ("invalid_argument", field)


def test_widest_allowed_values_are_accepted(cloud: Cloud) -> None:
    cloud.template(
        "\U0001f600" * 128,
        description="two\nlines\tand a tab",
        labels={"app.example.org/tier": "é" * 256},
        context={"START_SCRIPT": "#!/bin/sh\necho hi\n"},
        ssh_public_keys=["ssh-ed25519 " + "A" * 68 + " ann@home with spaces"],
    )


def test_disk_needs_an_image_and_room_for_it(cloud: Cloud) -> None:
    def disk(**fields: int) -> dict[str, Any]:
        template = Template(name="t", vcpu=1, memory_mib=64, disks=[TemplateDisk(**fields)])
        return {"create_template": CreateTemplateRequest(template=template)}

    refusal = cloud.refused(**disk(image_id=0))
    assert (refusal.code, refusal.field) == ("not_found", "template.disks[0].image_id")
    cloud.image(actor="user/root")
    refusal = cloud.refused(**disk(image_id=0, size_bytes=GIB - 1))
    assert (refusal.code, refusal.field) == ("invalid_argument", "template.disks[0].size_bytes")
    cloud.run(**disk(image_id=0, size_bytes=GIB))


def test_others_use_a_template_and_do_not_change_it(cloud: Cloud) -> None:
    cloud.furnish()
    update = cloud.update_op("template", ["vcpu"], id=0, vcpu=2)
    delete = {"delete_template": DeleteTemplateRequest(id=0)}
    for op in (update, delete):
        assert cloud.refused("user/bob", **op).code == "permission_denied"
    assert cloud.vm(actor="user/bob").owner == "user/bob"
    cloud.run("user/root", **update)
    cloud.run("user/root", **delete)


def test_deleted_template_is_gone_and_its_name_free(cloud: Cloud) -> None:
    cloud.template()
    cloud.run(delete_template=DeleteTemplateRequest(id=0))
    assert cloud.get(templates, 0) is None
    for object_id in (0, 7, -1, 2**63 - 1, -(2**63)):
        refusal = cloud.refused(delete_template=DeleteTemplateRequest(id=object_id))
        assert (refusal.code, refusal.field) == ("not_found", "id")
    assert cloud.template().id == 1


def test_mask_that_names_a_field_many_times_is_told_once(cloud: Cloud) -> None:
    cloud.template()
    cloud.update("template", ["vcpu"] * 10_000, id=0, vcpu=2)
    assert cloud.events()[-1] == "template.updated vcpu"
