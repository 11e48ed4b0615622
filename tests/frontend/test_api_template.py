"""Templates through the whole stack: gRPC, TLS, log, state and back."""

from __future__ import annotations

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from protos.v1 import template_pb2 as wire
from protos.v1.template_pb2_grpc import TemplateServiceStub
from tests.frontend.front_end import FrontEnd, refusal


def test_what_is_created_can_be_read_at_once(front_end: FrontEnd) -> None:
    made = front_end.template("web")
    assert front_end.admin.templates.GetTemplate(wire.GetTemplateRequest(id=made.id)) == made


def test_same_request_id_gives_the_same_object(front_end: FrontEnd) -> None:
    request = wire.CreateTemplateRequest(
        request_id="once", template=wire.Template(name="once", vcpu=1, memory_mib=64)
    )
    first = front_end.admin.templates.CreateTemplate(request)
    assert front_end.admin.templates.CreateTemplate(request) == first


def test_request_id_cannot_be_used_for_something_else(front_end: FrontEnd) -> None:
    template = wire.Template(name="first-use", vcpu=1, memory_mib=64)
    request = wire.CreateTemplateRequest(request_id="reused", template=template)
    front_end.admin.templates.CreateTemplate(request)
    request.template.name = "second-use"
    failure = refusal(lambda: front_end.admin.templates.CreateTemplate(request))
    assert failure.reason == "request_id_reused"


def test_change_without_request_id_is_refused_because_a_retry_would_do_it_twice(
    front_end: FrontEnd,
) -> None:
    # Not through the stubs, which choose ids.
    plain = TemplateServiceStub(front_end.admin.channel)
    template = wire.Template(name="unnamed-request", vcpu=1, memory_mib=64)
    failure = refusal(lambda: plain.CreateTemplate(wire.CreateTemplateRequest(template=template)))
    assert (failure.reason, failure.field) == ("invalid_argument", "request_id")
    assert "choose a new one for each change" in failure.message


@pytest.mark.parametrize("request_id", ["x" * 65, "line\nbreak", "tilde\u00e9"])
def test_unprintable_request_id_is_refused(front_end: FrontEnd, request_id: str) -> None:
    request = wire.CreateTemplateRequest(request_id=request_id)
    failure = refusal(lambda: front_end.admin.templates.CreateTemplate(request))
    assert (failure.reason, failure.field) == ("invalid_argument", "request_id")


def test_update_at_an_old_revision_is_refused(front_end: FrontEnd) -> None:
    made = front_end.template("contended")
    update = wire.UpdateTemplateRequest(
        template=wire.Template(id=made.id, description="mine"),
        update_mask=FieldMask(paths=["description"]),
        expected_revision=made.revision,
    )
    front_end.admin.templates.UpdateTemplate(update)
    failure = refusal(lambda: front_end.admin.templates.UpdateTemplate(update))
    assert failure.reason == "revision_mismatch"


def test_pages_show_everything_once(front_end: FrontEnd) -> None:
    for number in range(5):
        front_end.template(f"page-{number}")
    seen, page_token = [], ""
    while True:
        page = front_end.admin.templates.ListTemplates(
            wire.ListTemplatesRequest(page_size=2, page_token=page_token)
        )
        seen += [template.id for template in page.templates]
        page_token = page.next_page_token
        if not page_token:
            break
    whole = front_end.admin.templates.ListTemplates(wire.ListTemplatesRequest())
    assert seen == sorted(template.id for template in whole.templates)


def test_user_reads_all_templates_but_changes_only_own(front_end: FrontEnd) -> None:
    made = front_end.template("of-the-admin")
    ann = front_end.user("ann")
    assert ann.templates.GetTemplate(wire.GetTemplateRequest(id=made.id)) == made
    failure = refusal(lambda: ann.templates.DeleteTemplate(wire.DeleteTemplateRequest(id=made.id)))
    assert failure.reason == "permission_denied"


def test_missing_template_is_not_found(front_end: FrontEnd) -> None:
    failure = refusal(
        lambda: front_end.admin.templates.GetTemplate(wire.GetTemplateRequest(id=10**6))
    )
    assert (failure.reason, failure.retryable) == ("not_found", False)
