"""Exactly once, all or nothing, and rather halt than diverge."""

from __future__ import annotations

from pathlib import Path

import pytest

from frontend import machine
from frontend.errors import LogCorrupt, Rejected
from frontend.machine import HANDLERS
from frontend.state import hosts, templates
from frontend.state.store import Txn
from protos.v1.command_pb2 import Command, EnrollHost, IssueToken, RegisterImage, Result
from protos.v1.host_pb2 import Host
from protos.v1.image_pb2 import IMAGE_FORMAT_RAW
from protos.v1.template_pb2 import CreateTemplateRequest, Template
from protos.v1.token_pb2 import TOKEN_KIND_USER, CreateTokenRequest, Token
from tests.frontend.cloud import Cloud, sha


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path)


def create(name: str) -> CreateTemplateRequest:
    return CreateTemplateRequest(template=Template(name=name, vcpu=1, memory_mib=64))


def test_every_command_has_a_handler() -> None:
    assert set(HANDLERS) == {f.name for f in Command.DESCRIPTOR.oneofs_by_name["op"].fields}


def test_rejected_command_leaves_nothing_but_its_result(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_then_refuse(txn: Txn, cmd: Command, index: int) -> bytes:
        templates.put(txn, Template(id=0, name="half"))
        raise Rejected("wrong_state", "changed my mind", "template")

    monkeypatch.setitem(machine.HANDLERS, "create_template", write_then_refuse)
    result = cloud.apply(cloud.command(request_id="r1", create_template=create("half")))
    assert (result.code, result.detail, result.field) == (
        "wrong_state",
        "changed my mind",
        "template",
    )
    dump = cloud.store.dump()
    assert {name for name, rows in dump.items() if rows} == {"results", "results_by_request"}


def test_bug_in_a_handler_is_not_swallowed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(txn: Txn, cmd: Command, index: int) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setitem(machine.HANDLERS, "create_template", bug)
    with pytest.raises(ZeroDivisionError):
        cloud.run(create_template=create("small"))
    assert not any(cloud.store.dump().values())


def test_retry_gets_the_first_result_and_changes_nothing(cloud: Cloud) -> None:
    first = cloud.command(request_id="r1", create_template=create("small"))
    result = cloud.apply(first)
    before = cloud.store.dump()
    cloud.now_ms += 5000
    retry = cloud.command(request_id="r1", create_template=create("small"))
    assert cloud.apply(retry) == result
    assert cloud.store.dump() == before
    assert Template.FromString(result.payload).id == 0


def test_retry_of_a_refused_request_is_refused_the_same_way(cloud: Cloud) -> None:
    cloud.run(create_template=create("small"))
    cmd = cloud.command(request_id="r1", create_template=create("small"))
    refused = cloud.apply(cmd)
    assert refused.code == "already_exists"
    assert cloud.apply(cmd) == refused


def test_request_id_reused_for_another_request_is_refused(cloud: Cloud) -> None:
    first = cloud.command(request_id="r1", create_template=create("small"))
    done = cloud.apply(first)
    other = cloud.apply(cloud.command(request_id="r1", create_template=create("big")))
    assert (other.code, other.field) == ("request_id_reused", "request_id")
    assert cloud.apply(first) == done


def test_request_id_of_another_actor_is_refused_and_shows_nothing(cloud: Cloud) -> None:
    cloud.apply(cloud.command(request_id="r1", create_template=create("small")))
    theirs = cloud.command("user/bob", request_id="r1", create_template=create("small"))
    result = cloud.apply(theirs)
    assert (result.code, result.payload) == ("request_id_reused", b"")


def test_retried_token_request_gives_the_first_token(cloud: Cloud) -> None:
    request = CreateTokenRequest(kind=TOKEN_KIND_USER, user="ann")
    issue = [IssueToken(request=request, secret_sha256=sha(text)) for text in ("one", "two")]
    results = [cloud.apply(cloud.command(request_id="r", issue_token=op)) for op in issue]
    assert results[0] == results[1]
    assert Token.FromString(results[0].payload).id == 0
    assert len(cloud.state()["tokens_by_sha256"]) == 1


def test_retried_enrolment_gives_the_first_host(cloud: Cloud) -> None:
    cloud.cluster()
    cloud.join_token()
    results: list[Result] = []
    for certificate in ("one", "two"):
        op = EnrollHost(
            token_sha256=sha("join"), key_sha256=sha("key"), certificate_sha256=sha(certificate)
        )
        results.append(cloud.apply(cloud.command("system", request_id="r", enroll_host=op)))
    assert results[0] == results[1]
    assert Host.FromString(results[1].payload).certificate_sha256 == sha("one")
    assert cloud.get(hosts, 1) is None


def test_retried_upload_through_another_replica_gives_the_first_image(cloud: Cloud) -> None:
    results = []
    for replica_id, copies_wanted in (("1", 2), ("2", 1)):
        op = RegisterImage(
            name="debian",
            format=IMAGE_FORMAT_RAW,
            virtual_size_bytes=512,
            sha256=sha("debian"),
            replica_id=replica_id,
            copies_wanted=copies_wanted,
        )
        results.append(cloud.apply(cloud.command(request_id="r", register_image=op)))
    assert results[0] == results[1]
    assert results[0].code == ""


@pytest.mark.parametrize("request_id", ["x" * 65, "tab\t", "line\n"])
def test_odd_request_id_is_refused(cloud: Cloud, request_id: str) -> None:
    result = cloud.apply(cloud.command(request_id=request_id, create_template=create("small")))
    assert (result.code, result.field) == ("invalid_argument", "request_id")


def test_refusal_of_a_huge_field_is_short(cloud: Cloud) -> None:
    template = Template(name="t", vcpu=1, memory_mib=64, labels={"X" * 100_000: ""})
    op = CreateTemplateRequest(template=template)
    result = cloud.apply(cloud.command(create_template=op))
    assert result.code == "invalid_argument"
    assert result.ByteSize() < 1500


def test_command_without_request_id_is_refused_each_time(cloud: Cloud) -> None:
    cmd = Command(actor="user/ann", create_template=create("small"))
    assert cloud.apply(cmd).code == cloud.apply(cmd).code == "invalid_argument"
    assert not any(cloud.store.dump().values())


# A length-delimited field 1000, as a newer build might write it.
NEWER_FIELD = b"\xc2\x3e\x01x"


@pytest.mark.parametrize(
    "entry",
    [
        b"\xff\xff",
        b"",
        Command(request_id="r", actor="user/ann").SerializeToString(),
        Command(request_id="r", actor="user/ann").SerializeToString() + NEWER_FIELD,
        Command(request_id="r", create_template=create("a")).SerializeToString() + NEWER_FIELD,
        Command(
            request_id="r",
            create_template=CreateTemplateRequest.FromString(
                create("a").SerializeToString() + NEWER_FIELD
            ),
        ).SerializeToString(),
    ],
    ids=["garbage", "empty", "no operation", "newer operation", "newer field", "newer subfield"],
)
def test_entry_that_this_build_does_not_understand_halts_it(cloud: Cloud, entry: bytes) -> None:
    with pytest.raises(LogCorrupt):
        cloud.apply_entry(entry)
    assert not any(cloud.store.dump().values())
